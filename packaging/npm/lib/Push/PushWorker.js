'use strict';

const { PushWorker } = require('../adapters');

Object.defineProperty(exports, '__esModule', { value: true });
exports.PushWorker = PushWorker;
exports.default = PushWorker;
