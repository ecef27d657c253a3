'use strict';

const { GridFSBucketAdapter } = require('../../storage-adapters');

Object.defineProperty(exports, '__esModule', { value: true });
exports.GridFSBucketAdapter = GridFSBucketAdapter;
exports.default = GridFSBucketAdapter;
