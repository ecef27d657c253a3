'use strict';

const { AuthAdapter } = require('../../adapters');

Object.defineProperty(exports, '__esModule', { value: true });
exports.AuthAdapter = AuthAdapter;
exports.default = AuthAdapter;
