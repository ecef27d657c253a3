'use strict';

const { PushAdapter } = require('../../interfaces');

Object.defineProperty(exports, '__esModule', { value: true });
exports.PushAdapter = PushAdapter;
exports.default = PushAdapter;
