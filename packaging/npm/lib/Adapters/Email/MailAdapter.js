'use strict';

const { MailAdapter } = require('../../interfaces');

Object.defineProperty(exports, '__esModule', { value: true });
exports.MailAdapter = MailAdapter;
exports.default = MailAdapter;
