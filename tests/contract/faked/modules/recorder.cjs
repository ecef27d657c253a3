'use strict';
// Auth modules that write down how they are called, as JSON lines in the file that their option `journal` names.
const fs = require('node:fs');

let journal;

/** What an argument is, without what differs by nature. */
function shown(value) {
  if (value === undefined) return '(undefined)';
  if (value === null || typeof value !== 'object') return value;
  if (Array.isArray(value)) return value.map(shown);
  if (typeof value.toJSON === 'function') return shown(value.toJSON());
  if (value instanceof Date) return '(date)';
  return Object.fromEntries(Object.entries(value).filter(([, one]) => typeof one !== 'function').map(([key, one]) => [key, shown(one)]));
}

/** The request that a method is given. */
function request(given) {
  if (!given || typeof given !== 'object') return given === undefined ? '(undefined)' : given;
  const { object, original, user, master, ip, isChallenge, triggerName, installationId, context } = given;
  return {
    object: shown(object), original: shown(original), user: user ? user.id : '(none)', master, hasAddress: typeof ip === 'string',
    isChallenge: shown(isChallenge), triggerName: shown(triggerName), installationId: shown(installationId), context: shown(context),
  };
}

const requestAt = { validateAppId: 3, validateAuthData: 2, validateSetUp: 2, validateLogin: 2, validateUpdate: 2, challenge: 3, afterFind: 2, policy: 0 };

function note(name, method, args) {
  for (const one of args) if (one && typeof one === 'object' && one.journal) journal = one.journal;
  if (!journal) return;
  const all = args.map((one, at) => (requestAt[method] === at ? request(one) : shown(one)));
  fs.appendFileSync(journal, `${JSON.stringify({ name, method, args: all })}\n`);
}

/** An adapter with these methods, each written down before it runs. */
exports.recorded = (name, methods) => {
  const adapter = {};
  for (const [method, run] of Object.entries(methods)) {
    adapter[method] = typeof run !== 'function' ? run : function recorded(...args) {
      note(name, method, args);
      return run.apply(this, args);
    };
  }
  return adapter;
};
