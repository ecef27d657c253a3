'use strict';
// `request.log`: the methods of parse-server's logger, leading to the server's log.

const { format } = require('node:util');

const LEVELS = ['error', 'warn', 'info', 'verbose', 'debug', 'silly'];

// Like winston: a trailing object is metadata, the rest is formatted into the message.
function write(link, level, args) {
  let meta;
  const last = args[args.length - 1];
  if (args.length > 1 && last !== null && typeof last === 'object') {
    meta = last instanceof Error ? { ...last, stack: last.stack } : last;
    args = args.slice(0, -1);
    if (last instanceof Error) {
      args.push(last.message);
    }
  }
  link.log(level, format(...args), meta);
}

function createLogger(link) {
  const logger = {
    log(level, ...args) {
      write(link, LEVELS.includes(level) ? level : 'info', args);
    },
  };
  for (const level of LEVELS) {
    logger[level] = (...args) => write(link, level, args);
  }
  return logger;
}

module.exports = { createLogger };
