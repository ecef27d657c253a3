'use strict';
// Three methods that agree, policy `additional`.
const { recorded } = require('./recorder.cjs');

module.exports = recorded('additional', { policy: 'additional', validateSetUp: () => ({}), validateLogin: () => ({}), validateUpdate: () => ({}) });
