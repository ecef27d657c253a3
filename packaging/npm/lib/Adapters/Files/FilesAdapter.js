'use strict';

const { FilesAdapter } = require('../../interfaces');

Object.defineProperty(exports, '__esModule', { value: true });
exports.FilesAdapter = FilesAdapter;
exports.default = FilesAdapter;
exports.validateFilename = require('../../interfaces').validateFilename;
