'use strict';

const { InMemoryCacheAdapter } = require('../../adapters');

Object.defineProperty(exports, '__esModule', { value: true });
exports.InMemoryCacheAdapter = InMemoryCacheAdapter;
exports.default = InMemoryCacheAdapter;
