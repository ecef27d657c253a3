'use strict';
// The old interface.
const { recorded } = require('./recorder.cjs');

module.exports = recorded('legacy', {
  validateOptions() {},
  validateAppId(appIds, authData) {
    if (authData.app && !appIds.includes(authData.app)) throw new Error('another app');
    return Promise.resolve();
  },
  async validateAuthData(authData, options) {
    switch (authData.answer) {
      case 'nothing': throw undefined;
      case 'text': throw 'a text';
      case 'error': throw new Error('an error');
      case 'code': throw new Parse.Error(123, 'an error with a code');
      case 'object': throw { code: 5, message: 'an object' };
      case 'rejected': return Promise.reject('rejected');
      case 'save': return { save: { id: authData.id, kept: 1 }, response: { hello: authData.id } };
      case 'do not save': return { doNotSave: true, response: { hello: authData.id } };
      case 'both': return { doNotSave: true, save: { id: authData.id, kept: 2 } };
      case 'empty': return {};
      case 'true': return true;
      case 'null': return null;
      case 'changes': authData.changed = true; return undefined;
      default:
    }
    if (authData.secret !== options.secret) throw new Parse.Error(Parse.Error.OBJECT_NOT_FOUND, 'wrong secret');
  },
  beforeFind(authData) {
    if (authData.alias) authData.id = authData.alias;
  },
  afterFind(authData, options, request) {
    if (request.master) return undefined;
    return { shown: authData.id };
  },
  challenge(challengeData, authData, options, request) {
    if (challengeData.fails) throw new Error('no challenge');
    if (challengeData.silent) return undefined;
    return { echo: challengeData.word, isChallenge: request.isChallenge };
  },
});
