'use strict';
// From the options of an application to those of the child: functions and instances stay in this process, adapters
// that the server has itself become their options, and what cannot be had stops the start.

const { dirname } = require('node:path');
const { LiveValues } = require('./host')('adapters');
const { maker } = require('./host')('graphql-function');
const { BUILT_IN, CACHES } = require('./adapters');
const { GridFSBucketAdapter, MongoStorageAdapter, PostgresStorageAdapter } = require('./storage-adapters');

// Options that hold an object with code.
const ADAPTERS = ['filesAdapter', 'emailAdapter', 'analyticsAdapter'];

// What the child cannot take, and why.
const REFUSED = {
  databaseAdapter:
    'the server has its own adapters for PostgreSQL and MongoDB and cannot run one written in JavaScript: give databaseURI instead',
};

// What the child does by itself, and why. Of caches only those of the package say something to it.
const WITHOUT_EFFECT = {
  cacheAdapter:
    'the server keeps its caches in its own memory, and several servers tell each other of changes through the database',
};

function isOwnCache(name, value) {
  return name === 'cacheAdapter' && value && CACHES.includes(value.constructor);
}

// Options of the listener, which is this process, and of what is done here.
const OURS = ['middleware', 'host', 'port', 'cluster', 'verifyServerUrl', 'graphQLPath', 'mountPlayground', 'playgroundPath'];

// Where the child serves what is mounted elsewhere here: paths that no application has.
const GRAPHQL_PATH = '/.graphql';

// What the child is told instead shows as what it is to the application: parse-server's defaults, and what was given.
const SHOWN = { graphQLPath: '/graphql', mountGraphQL: false, mountPath: '/parse', startLiveQueryServer: undefined, verifyServerUrl: true };

function shown(config, options) {
  return { ...config, ...SHOWN, ...options };
}

function required(options) {
  for (const name of ['appId', 'masterKey', 'serverURL']) {
    if (options[name] === undefined) {
      throw new Error(`You must provide ${name === 'appId' ? 'an' : 'a'} ${name}!`);
    }
  }
}

function hasCode(value) {
  return value !== null && typeof value === 'object' && describes(value);
}

function describes(value) {
  for (let level = value; level && level !== Object.prototype; level = Object.getPrototypeOf(level)) {
    for (const name of Object.getOwnPropertyNames(level)) {
      const { value: member } = Object.getOwnPropertyDescriptor(level, name);
      if (name !== 'constructor' && typeof member === 'function') {
        return true;
      }
    }
  }
  return false;
}

// An adapter as the child knows it: its own one by name, a live object as a whole, or what the option says.
function encodeAdapter(live, value) {
  for (const adapter of BUILT_IN) {
    // One that is extended has code of its own.
    if (value && value.constructor === adapter) {
      return live.encode(value.toOptions());
    }
  }
  if (value && typeof value === 'object' && !value.module && !value.class && !value.adapter && hasCode(value)) {
    return { __instance: live.values.push(value) - 1 };
  }
  return live.encode(value);
}

// Where the application's own packages are looked for.
function applicationFolders() {
  return [process.cwd(), require.main && dirname(require.main.filename)];
}

// The options in the place of adapters that only say which database is meant.
function withoutStorage(options) {
  const { databaseAdapter, filesAdapter } = options;
  let plain = options;
  if (databaseAdapter && [MongoStorageAdapter, PostgresStorageAdapter].includes(databaseAdapter.constructor)) {
    if (['databaseURI', 'databaseOptions', 'collectionPrefix'].some(name => options[name] !== undefined)) {
      throw new Error('You cannot specify both a databaseAdapter and a databaseURI/databaseOptions/collectionPrefix.');
    }
    plain = { ...plain, ...databaseAdapter.toOptions(), databaseAdapter: undefined };
  }
  if (filesAdapter && filesAdapter.constructor === GridFSBucketAdapter) {
    const { uri, encryptionKey = plain.encryptionKey } = filesAdapter;
    if (uri !== undefined && uri !== plain.databaseURI) {
      throw new Error('The option filesAdapter cannot be used: the server keeps files in GridFS of its own database alone.');
    }
    plain = { ...plain, filesAdapter: 'GridFSBucketAdapter', encryptionKey };
  }
  return plain;
}

function encode(given) {
  const options = withoutStorage(given);
  const live = new LiveValues();
  const encoded = {};
  for (const name of Object.keys(options)) {
    const value = options[name];
    if (value === undefined || OURS.includes(name)) {
      continue;
    }
    if (REFUSED[name] && value !== null) {
      throw new Error(`The option ${name} cannot be used: ${REFUSED[name]}.`);
    }
    if (isOwnCache(name, value)) {
      encoded[name] = live.encode(value.toOptions());
    } else if (ADAPTERS.includes(name)) {
      encoded[name] = encodeAdapter(live, value);
    } else if (name === 'push' && value && typeof value === 'object' && value.adapter) {
      const { adapter, ...rest } = value;
      encoded.push = { ...live.encode(rest), adapter: encodeAdapter(live, adapter) };
    } else if (name === 'graphQLSchema' && typeof value === 'function') {
      encoded[name] = live.encode(maker(value, applicationFolders()));
    } else if (WITHOUT_EFFECT[name] || name === 'loggerAdapter') {
      // A logger is fed here (child.js).
      continue;
    } else {
      encoded[name] = live.encode(value);
    }
  }
  return { encoded, live };
}

// The path below which the child serves: that of serverURL, so that paths inside answers are right wherever the
// application mounts the server.
function mountOf(options) {
  let path;
  try {
    path = new URL(options.serverURL).pathname.replace(/\/+$/, '');
  } catch {
    path = '';
  }
  return path;
}

// What parse-server takes from the environment in an application, too, where its options say nothing.
function ofEnvironment(options) {
  const { JSON_LOGS, PARSE_SERVER_LOGS_FOLDER, TESTING, VERBOSE } = process.env;
  const found = {};
  if (VERBOSE && !('verbose' in options)) {
    found.verbose = true;
  }
  if (JSON_LOGS && !('jsonLogs' in options)) {
    found.jsonLogs = true;
  }
  if (!('logsFolder' in options)) {
    if (PARSE_SERVER_LOGS_FOLDER) {
      found.logsFolder = PARSE_SERVER_LOGS_FOLDER === 'null' ? null : PARSE_SERVER_LOGS_FOLDER;
    } else if (TESTING === '1') {
      found.logsFolder = './test_logs/';
    }
  }
  return found;
}

function forChild(options, liveQueryServerOptions) {
  const { encoded, live } = encode(options);
  const mountPath = mountOf(options);
  const child = {
    ...ofEnvironment(options),
    ...encoded,
    mountPath: mountPath === '' ? '/' : mountPath,
    verifyServerUrl: false,
    // Sockets come when the application hands them on.
    startLiveQueryServer: true,
    mountGraphQL: true,
    graphQLPath: GRAPHQL_PATH,
  };
  if (options.loggerAdapter) {
    // One line of JSON for each line of the log; the adapter decides what becomes of it.
    Object.assign(child, { jsonLogs: true, silent: false, logsFolder: null });
  }
  if (!child.graphQLSchema) {
    delete child.graphQLSchema;
  }
  const sockets = { ...options.liveQueryServerOptions, ...liveQueryServerOptions };
  delete sockets.port;
  if (Object.keys(sockets).length > 0) {
    child.liveQueryServerOptions = live.encode(sockets);
  } else {
    delete child.liveQueryServerOptions;
  }
  return { child, live, mountPath };
}

// A line for each option that is given and has no effect.
function withoutEffect(options) {
  return Object.keys(WITHOUT_EFFECT)
    .filter(name => options[name] && !isOwnCache(name, options[name]))
    .map(name => `The option ${name} has no effect: ${WITHOUT_EFFECT[name]}.`);
}

module.exports = { GRAPHQL_PATH, forChild, required, shown, withoutEffect };
