'use strict';

const { LRUCacheAdapter } = require('../../adapters');

Object.defineProperty(exports, '__esModule', { value: true });
exports.LRUCache = LRUCacheAdapter;
exports.default = LRUCacheAdapter;
