'use strict';
// The application inside the host: its SDK, its registrations, its adapters, and how a call gets to them.

const path = require('node:path');
const { KIND } = require('./wire.cjs');
const { Adapters } = require('./adapters.cjs');
const { createCloud, createOptions, installServer } = require('./cloud-api.cjs');
const { Refusal, createCodec, TRIGGER_FAILED } = require('./codec.cjs');
const { Files } = require('./files.cjs');
const { createFunctions } = require('./functions.cjs');
const { loadModule, resolveFile } = require('./load.cjs');
const { createLogger } = require('./log.cjs');
const { createMiddleware } = require('./middleware.cjs');
const { Registry } = require('./registry.cjs');
const sdk = require('./sdk.cjs');
const { createSpecialTriggers } = require('./special-triggers.cjs');
const { createTriggers } = require('./triggers.cjs');

// `embedding`: what a process has of its own that embeds the server (`{Parse, keeper, registry, loaded}`): the
// SDK is installed there before any server is, its registrations outlive a server, and code is loaded once.
function createApplication(link, init, live, embedding) {
  const directory = process.cwd();
  const cloudFile = typeof init.cloud === 'string' ? resolveFile(init.cloud, directory) : undefined;
  const appDirectory = cloudFile ? path.dirname(cloudFile) : directory;
  const { Parse, keeper } = embedding || sdk.load(link, { ...init, appDirectory });
  const log = createLogger(link);
  const codec = createCodec(Parse);

  // What is registered before or after the start is complete is announced once per turn, and before any
  // request that may depend on it.
  let dirty = false;
  link.announce = () => {
    if (dirty) {
      dirty = false;
      link.wire.send(KIND.REGISTERED, 0, JSON.stringify(summary()));
    }
  };
  const changed = () => {
    if (!dirty) {
      dirty = true;
      setImmediate(link.announce);
    }
  };
  const warn = message => log.warn(message);
  const registry = embedding ? Object.assign(embedding.registry, { warn, changed }) : new Registry(warn, changed);
  // With the functions and instances that were given; an embedding process has its options as they are.
  const serverOptions = createOptions(link, log, embedding ? init.config : live.decode(init.config));
  const options = serverOptions.read;
  if (!embedding) {
    Object.assign(Parse.Cloud, createCloud(Parse, registry, link, log, keeper));
    installServer(Parse, serverOptions);
  }

  const middleware = createMiddleware({ Parse, codec, log, options });
  const parts = { Parse, codec, keeper, registry, log, options, configFor: middleware.configFor };
  const functions = createFunctions(parts);
  const triggers = createTriggers(parts);
  const special = createSpecialTriggers({ ...parts, triggers });
  const adapters = new Adapters(live, directory, codec.inflateUser);
  const files = new Files({ Parse, adapters, link, options });
  let described = {};

  async function load() {
    described = await adapters.load(init.adapters);
    if (!embedding || !embedding.loaded) {
      if (cloudFile) {
        await loadModule(cloudFile, directory);
      } else if (init.cloud) {
        await live.decode(init.cloud)(Parse);
      }
    }
    link.loaded();
  }

  // For a start in two steps: functions of the configuration can be called, and then the code is loaded.
  async function loadLater() {
    try {
      await load();
    } catch (error) {
      link.notLoaded(error);
      throw new Refusal(141, error && error.stack ? error.stack : String(error));
    }
    dirty = false;
    return JSON.stringify(summary());
  }

  function summary() {
    return { ...registry.summary(), adapters: described, sdk: Parse.CoreManager.get('VERSION') };
  }

  async function runTrigger(call) {
    if (call.type === 'onLiveQueryEvent') {
      return special.observe(call);
    }
    const entry = registry.triggers.get(`${call.type}.${call.className}`);
    if (!entry) {
      // The server knows of it from another host that finished loading earlier.
      throw new Refusal(141, `The ${call.type} trigger of ${call.className} is not loaded yet.`);
    }
    return (special.find(call) || triggers.runTrigger)(entry, call);
  }

  function decodeArg(arg, adapterOptions) {
    if (arg.options) {
      return adapterOptions;
    }
    if (arg.nothing) {
      return undefined;
    }
    if (arg.request) {
      const request = triggers.adapterRequest(arg.request);
      if (arg.request.data || arg.request.object) {
        Object.assign(request, triggers.buildObjects(arg.request));
      }
      return request;
    }
    if (keeper.isWrapped(arg.json)) {
      return keeper.unwrap(arg.json);
    }
    return 'decoded' in arg ? Parse._decode(undefined, arg.decoded) : arg.json;
  }

  async function runOutside(invoke) {
    try {
      const result = await invoke();
      return result === undefined ? '' : JSON.stringify(Parse._encode(result)) || '';
    } catch (thrown) {
      throw codec.toError(thrown, TRIGGER_FAILED);
    }
  }

  async function dispatch(call) {
    switch (call.kind) {
      case 'function':
        return functions.runFunction(call);
      case 'trigger':
        return JSON.stringify(await runTrigger(call));
      case 'job':
        return functions.runJob(call, link);
      case 'load':
        return loadLater();
      case 'callback':
        if (call.args.length === 1 && call.args[0].exchange) {
          return runOutside(() => middleware.run(live.get(call.callback), call.args[0].exchange));
        }
        return runOutside(() => adapters.callback(call, decodeArg));
      case 'files':
        return JSON.stringify(await files.run(call));
      case 'adapter':
        if (call.args.some(arg => keeper.isWrapped(arg.json))) {
          return JSON.stringify(keeper.wrap(await settle(() => adapters.call(call, decodeArg))));
        }
        return runOutside(() => adapters.call(call, decodeArg));
      default:
        throw new Error(`Unknown call ${call.kind}`);
    }
  }

  return {
    load,
    log,
    serverOptions,
    summary() {
      dirty = false;
      return summary();
    },
    // Rejects with {code, message} and nothing else.
    run(call) {
      return dispatch(call).catch(error => {
        throw codec.toError(error, TRIGGER_FAILED);
      });
    },
  };
}

// How a call of one piece of the application to another ended.
async function settle(invoke) {
  try {
    return { returned: await invoke() };
  } catch (error) {
    return { thrown: { error } };
  }
}

module.exports = { createApplication };
