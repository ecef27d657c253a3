'use strict';
// Three methods that agree, policy `solo`.
const { recorded } = require('./recorder.cjs');

module.exports = recorded('solo', { policy: 'solo', validateSetUp: () => ({}), validateLogin: () => ({}), validateUpdate: () => ({}) });
