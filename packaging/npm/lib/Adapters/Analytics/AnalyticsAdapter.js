'use strict';

const { AnalyticsAdapter } = require('../../interfaces');

Object.defineProperty(exports, '__esModule', { value: true });
exports.AnalyticsAdapter = AnalyticsAdapter;
exports.default = AnalyticsAdapter;
