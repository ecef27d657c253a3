'use strict';
// Random texts of the kinds that the server makes.

const crypto = require('node:crypto');

const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';

function randomHexString(size) {
  if (size === 0) {
    throw new Error('Zero-length randomHexString is useless.');
  }
  if (size % 2 !== 0) {
    throw new Error('randomHexString size must be divisible by 2.');
  }
  return crypto.randomBytes(size / 2).toString('hex');
}

function randomString(size) {
  if (size === 0) {
    throw new Error('Zero-length randomString is useless.');
  }
  return Array.from({ length: size }, () => LETTERS[crypto.randomInt(LETTERS.length)]).join('');
}

const newObjectId = (size = 10) => randomString(size);

const newToken = () => randomHexString(32);

const md5Hash = text => crypto.createHash('md5').update(text).digest('hex');

module.exports = { md5Hash, newObjectId, newToken, randomHexString, randomString };
