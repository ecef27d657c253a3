'use strict';

const { LoggerAdapter } = require('../../interfaces');

Object.defineProperty(exports, '__esModule', { value: true });
exports.LoggerAdapter = LoggerAdapter;
exports.default = LoggerAdapter;
