'use strict';

const { ParseGraphQLServer } = require('../graphql');

Object.defineProperty(exports, '__esModule', { value: true });
exports.ParseGraphQLServer = ParseGraphQLServer;
exports.default = ParseGraphQLServer;
