'use strict';
// The one Parse SDK of this process: installed when the package is loaded, so that `Parse.Cloud.define` works from
// then on, and led to whichever server the running code belongs to.

const { AsyncLocalStorage } = require('node:async_hooks');
const path = require('node:path');
const host = require('./host');

const sdk = host('sdk');
const { createCloud, installServer } = host('cloud-api');
const { Registry } = host('registry');

// Servers by application id; of several with one id the last.
const servers = new Map();
// Whose Cloud Code is running.
const current = new AsyncLocalStorage();
let last;

// What is registered before there is a server, for the first one.
let early = new Registry(message => console.warn(message), () => {});

// The server that code outside of any call means: that of the application the SDK was initialised for, as
// parse-server has it.
function active() {
  return current.getStore() || servers.get(Parse.applicationId) || last;
}

// What is registered belongs to an application id and outlives its servers: a module that was loaded once is not loaded
// again by the next of them.
function enter(server) {
  const { appId } = server.config;
  const former = servers.get(appId);
  const registry = former ? former.registry : early || new Registry(() => {}, () => {});
  servers.set(appId, server);
  last = server;
  early = undefined;
  return registry;
}

// The link of the active server, as the SDK and `Parse.Cloud` use it.
const link = {
  request(payload) {
    const server = active();
    const own = server && server.link;
    if (!own) {
      return Promise.reject({ code: 1, message: `Invalid server state: ${server ? server.config.state : 'none'}` });
    }
    return own.request(payload);
  },
  scope: {
    getStore() {
      const server = active();
      return server && server.link ? server.link.scope.getStore() : undefined;
    },
  },
  log(level, message, meta) {
    const server = active();
    if (server && server.link) {
      server.link.log(level, message, meta);
    } else if (server && server.logAdapter) {
      server.logAdapter.log(level, message, meta);
    } else if (level === 'error' || level === 'warn') {
      console[level](message);
    } else if (level === 'info') {
      console.log(message);
    }
  },
};

const registry = {};
for (const method of ['define', 'job', 'trigger', 'onLiveQuery', 'limit', 'clear']) {
  registry[method] = (...args) => {
    const server = active();
    return (server ? server.registry : early)[method](...args);
  };
}

// Beside the application, as its own Cloud Code would find it; else the copy of this package.
function locate() {
  const program = (require.main && require.main.filename) || process.argv[1];
  const own = path.join(__dirname, '..');
  return sdk.locate(program && path.dirname(path.resolve(program)), [process.cwd(), own]);
}

const { file, own } = locate();
const { Parse, keeper } = sdk.install(link, file, own);
const logger = host('log').createLogger(link);
Object.assign(Parse.Cloud, createCloud(Parse, registry, link, logger, keeper));
installServer(Parse, {
  read() {
    const server = active();
    return server ? server.options() : {};
  },
  assign(options) {
    const server = active();
    if (server) {
      server.assign(options);
    }
  },
});

module.exports = { Parse, keeper, logger, current, servers, enter, introduce: sdk.introduce };
