'use strict';
// A policy that depends on what is stored.
const { recorded } = require('./recorder.cjs');

module.exports = recorded('deciding', {
  policy: (request, authData) => (authData.strict ? 'additional' : 'default'),
  validateSetUp: () => ({}), validateLogin: () => ({}), validateUpdate: () => ({}),
});
