'use strict';
// Three methods that agree, policy `wrong`.
const { recorded } = require('./recorder.cjs');

module.exports = recorded('wrong', { policy: 'wrong', validateSetUp: () => ({}), validateLogin: () => ({}), validateUpdate: () => ({}) });
