'use strict';

const { ParseLiveQueryServer } = require('../live-query');

Object.defineProperty(exports, '__esModule', { value: true });
exports.ParseLiveQueryServer = ParseLiveQueryServer;
exports.default = ParseLiveQueryServer;
