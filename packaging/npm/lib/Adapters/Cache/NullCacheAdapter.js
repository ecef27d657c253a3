'use strict';

const { NullCacheAdapter } = require('../../adapters');

Object.defineProperty(exports, '__esModule', { value: true });
exports.NullCacheAdapter = NullCacheAdapter;
exports.default = NullCacheAdapter;
