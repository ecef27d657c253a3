'use strict';
// What the application registered: handlers by name, and the summary of it that the server gets.

const QUOTES = /['"`]/;

class Registry {
  constructor(warn, changed) {
    this.warn = warn;
    this.changed = changed;
    this.functions = new Map();
    this.jobs = new Map();
    this.triggers = new Map();
    this.liveQuery = [];
    this.rateLimits = [];
  }

  put(map, key, name, entry) {
    if (map.has(key)) {
      this.warn(
        `Warning: Duplicate cloud functions exist for ${name}. ` +
          'Only the last one will be used and the others will be ignored.'
      );
    }
    map.set(key, entry);
    this.changed();
  }

  define(name, handler, validator) {
    // Names with quotes are accepted and never found, as they always were.
    if (!QUOTES.test(name)) {
      this.put(this.functions, String(name), name, { handler, validator });
    }
  }

  job(name, handler) {
    if (!QUOTES.test(name)) {
      this.put(this.jobs, String(name), name, { handler });
    }
  }

  trigger(type, parseClass, handler, validator) {
    // Whatever was given is a name: of a class that nobody has, if it is none.
    const className = String(parseClass);
    this.put(this.triggers, `${type}.${className}`, className, { type, className, handler, validator });
  }

  onLiveQuery(handler) {
    this.liveQuery.push(handler);
    this.changed();
  }

  limit(rule) {
    this.rateLimits.push(rule);
    this.changed();
  }

  clear() {
    this.functions.clear();
    this.jobs.clear();
    this.triggers.clear();
    this.liveQuery = [];
    this.rateLimits = [];
    this.changed();
  }

  summary() {
    const needsRoles = ({ validator }) =>
      Boolean(validator && (validator.requireAnyUserRoles || validator.requireAllUserRoles));
    return {
      functions: [...this.functions].map(([name, entry]) => ({ name, needsRoles: needsRoles(entry) })),
      jobs: [...this.jobs.keys()],
      triggers: [...this.triggers.values()].map(entry => ({
        type: entry.type,
        className: entry.className,
        needsRoles: needsRoles(entry),
        transaction: Boolean(entry.validator && entry.validator.transaction === true),
      })),
      liveQueryEvents: this.liveQuery.length > 0,
      rateLimits: this.rateLimits,
    };
  }
}

module.exports = { Registry };
