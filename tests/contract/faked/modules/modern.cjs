'use strict';
// The three methods, as a class.
const { recorded } = require('./recorder.cjs');

const methods = recorded('modern', {
  async validateSetUp(authData) {
    if (authData.refused) throw new Error('no set-up');
    return { save: { id: authData.id, secret: authData.secret }, response: { method: 'set up' } };
  },
  async validateLogin(authData, options, request) {
    const stored = request.original.get('authData').modern;
    if (stored.secret !== authData.secret) throw new Error('no login');
    return { doNotSave: true, response: { method: 'login' } };
  },
  async validateUpdate(authData) {
    if (authData.refused) throw new Error('no update');
    return { save: { id: authData.id, secret: authData.secret, updated: true }, response: { method: 'update' } };
  },
  afterFind(authData) {
    const { secret, ...rest } = authData;
    return rest;
  },
});

module.exports = class Modern {};
Object.assign(module.exports.prototype, methods);
