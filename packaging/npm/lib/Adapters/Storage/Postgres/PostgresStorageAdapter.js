'use strict';

const { PostgresStorageAdapter } = require('../../../storage-adapters');

Object.defineProperty(exports, '__esModule', { value: true });
exports.PostgresStorageAdapter = PostgresStorageAdapter;
exports.default = PostgresStorageAdapter;
