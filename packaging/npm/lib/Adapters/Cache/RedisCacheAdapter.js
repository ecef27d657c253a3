'use strict';

const { RedisCacheAdapter } = require('../../adapters');

Object.defineProperty(exports, '__esModule', { value: true });
exports.RedisCacheAdapter = RedisCacheAdapter;
exports.default = RedisCacheAdapter;
