'use strict';
// The logger of the active server.

const { logger } = require('./parse');

let chosen = logger;

function getLogger() {
  return chosen;
}

function setLogger(other) {
  chosen = other;
}

Object.defineProperty(exports, '__esModule', { value: true });
exports.getLogger = getLogger;
exports.setLogger = setLogger;
Object.defineProperty(exports, 'default', { enumerable: true, get: getLogger });
Object.defineProperty(exports, 'logger', { enumerable: true, get: getLogger });
