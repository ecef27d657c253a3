'use strict';

const { MongoStorageAdapter } = require('../../../storage-adapters');

Object.defineProperty(exports, '__esModule', { value: true });
exports.MongoStorageAdapter = MongoStorageAdapter;
exports.default = MongoStorageAdapter;
