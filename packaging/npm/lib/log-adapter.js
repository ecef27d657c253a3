'use strict';
// `loggerAdapter`: what the server logs, given to the application's adapter line by line.

const { StringDecoder } = require('node:string_decoder');
const { loadAdapter } = require('./host')('adapters');

// The server's names of levels, where they differ from those of adapters.
const LEVELS = { TRACE: 'verbose' };
// What no line of the log is longer than; a longer one is cut.
const LONGEST = 1024 * 1024;

// In any form in which adapters are given; with the options that concern a log.
async function loadLogger(given) {
  if (!given.loggerAdapter) {
    return undefined;
  }
  const { jsonLogs, logsFolder, verbose, logLevel, maxLogFiles, silent } = given;
  const options = { jsonLogs, logsFolder, verbose, logLevel, maxLogFiles, silent };
  const adapter = await loadAdapter(given.loggerAdapter, options, process.cwd());
  if (!adapter || typeof adapter.log !== 'function') {
    throw new Error('The option loggerAdapter cannot be used: it has no function log(level, message, meta).');
  }
  return adapter;
}

function deliver(adapter, text) {
  let level = 'info';
  let message = text;
  let meta;
  try {
    const line = JSON.parse(text);
    level = LEVELS[line.level] || line.level.toLowerCase();
    message = line.message;
    meta = { ...line, ...(line.meta && JSON.parse(line.meta)) };
    for (const name of ['level', 'message', 'meta', 'target', 'timestamp']) {
      delete meta[name];
    }
  } catch {
    // Something else that was written there.
    level = 'info';
    message = text;
    meta = undefined;
  }
  try {
    const done = meta && Object.keys(meta).length > 0 ? adapter.log(level, message, meta) : adapter.log(level, message);
    if (done && typeof done.catch === 'function') {
      done.catch(error => console.error(error));
    }
  } catch (error) {
    // A logger that fails must not take the application with it.
    console.error(error);
  }
}

function feed(stream, adapter) {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  stream.on('data', chunk => {
    const lines = (rest + decoder.write(chunk)).split('\n');
    rest = lines.pop();
    lines.forEach(line => line && deliver(adapter, line));
    if (rest.length > LONGEST) {
      deliver(adapter, rest);
      rest = '';
    }
  });
  stream.on('end', () => rest && deliver(adapter, rest));
}

module.exports = { feed, loadLogger };
