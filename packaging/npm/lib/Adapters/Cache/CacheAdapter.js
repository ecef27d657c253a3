'use strict';

const { CacheAdapter } = require('../../interfaces');

Object.defineProperty(exports, '__esModule', { value: true });
exports.CacheAdapter = CacheAdapter;
exports.default = CacheAdapter;
