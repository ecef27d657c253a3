'use strict';
// Finds the `parse` SDK, makes it the one instance of this process and leads its requests to the server.

const fs = require('node:fs');
const Module = require('node:module');
const path = require('node:path');
const { pathToFileURL } = require('node:url');
const { createKeeper } = require('./keep.cjs');

// The module name under which applications get at the instance of the server.
const NODE_BUILD = /^parse\/node(\.js)?$/;

function findFrom(directory) {
  try {
    return Module.createRequire(path.join(directory, 'x.js')).resolve('parse/node');
  } catch {
    return undefined;
  }
}

// The application's own copy first, then what the server was told, then whatever the working directory has.
function locate(appDirectory, nodeModules) {
  const own = appDirectory && findFrom(appDirectory);
  if (own) {
    return { file: own, own: true };
  }
  const folders = (nodeModules || []).map(folder =>
    path.basename(folder) === 'node_modules' ? path.dirname(folder) : folder
  );
  for (const folder of [...folders, process.cwd()]) {
    const file = findFrom(path.resolve(folder));
    if (file) {
      return { file, own: false };
    }
  }
  throw new Error(
    'Cloud Code needs the npm package "parse": install it beside your Cloud Code (npm install parse), ' +
      'or name a folder that has it in PARSIMONY_NODE_MODULES.'
  );
}

// `parse/node` is this instance for every module of the application, whichever copy it would find by
// itself; `parse` falls back to the same package where the application has none.
function pin(file, own) {
  const resolve = Module._resolveFilename;
  Module._resolveFilename = function (request, ...rest) {
    if (NODE_BUILD.test(request)) {
      return file;
    }
    if (request !== 'parse') {
      return resolve.call(this, request, ...rest);
    }
    try {
      return resolve.call(this, request, ...rest);
    } catch (error) {
      if (error.code !== 'MODULE_NOT_FOUND') {
        throw error;
      }
      return file;
    }
  };
  if (own) {
    return;
  }
  // `import` finds a copy of the application's own by itself; any other has to be shown to it.
  const url = pathToFileURL(file).href;
  if (typeof Module.registerHooks === 'function') {
    // These hold for `require` too: a package with a copy of its own under the name `parse` keeps it.
    const shown = { url, format: 'commonjs', shortCircuit: true };
    Module.registerHooks({
      resolve(specifier, context, next) {
        if (NODE_BUILD.test(specifier)) {
          return shown;
        }
        try {
          return next(specifier, context);
        } catch (error) {
          if (specifier === 'parse' && /MODULE_NOT_FOUND$/.test(error.code)) {
            return shown;
          }
          throw error;
        }
      },
    });
  } else {
    Module.register(pathToFileURL(path.join(__dirname, 'esm-hooks.mjs')), { data: { url } });
  }
}

// The package parse-server, which some applications load for its helpers, puts its own `Parse.Cloud` and
// `Parse.Server` in the place of the host's; what is registered there would never run.
function keepFromPeer(Parse) {
  const load = Module._load;
  Module._load = function (request, ...rest) {
    if (!/(^|[\\/])parse-server([\\/]|$)/.test(request)) {
      return load.call(this, request, ...rest);
    }
    const own = { ...Parse.Cloud };
    const server = Object.getOwnPropertyDescriptor(Parse, 'Server');
    try {
      return load.call(this, request, ...rest);
    } finally {
      for (const name of Object.keys(Parse.Cloud)) {
        if (!Object.prototype.hasOwnProperty.call(own, name)) {
          delete Parse.Cloud[name];
        }
      }
      Object.assign(Parse.Cloud, own);
      if (server) {
        Object.defineProperty(Parse, 'Server', server);
      }
    }
  };
}

function mountOf(serverURL) {
  try {
    return new URL(serverURL).pathname.replace(/\/$/, '');
  } catch {
    return '';
  }
}

function startsWithMount(target, serverURL) {
  const mount = mountOf(serverURL);
  return mount !== '' && target.startsWith(mount + '/') ? mount.length : 0;
}

// Items of a batch may be named as other requests are, without the mount in front.
function withMount(data, serverURL) {
  const mount = mountOf(serverURL);
  if (mount === '' || !data || !Array.isArray(data.requests)) {
    return data;
  }
  const isBare = item => item && typeof item.path === 'string' && !item.path.startsWith(`${mount}/`);
  const place = path => `${mount}${path.startsWith('/') ? '' : '/'}${path}`;
  return { ...data, requests: data.requests.map(item => (isBare(item) ? { ...item, path: place(item.path) } : item)) };
}

// Items of a batch carry no status; the SDK wants to know which ones were created.
function addBatchStatus(requests, answers) {
  if (Array.isArray(answers)) {
    answers.forEach((answer, index) => {
      if (answer && answer.success) {
        answer._status = requests[index] && requests[index].method === 'POST' ? 201 : 200;
      }
    });
  }
  return answers;
}

// The SDK's REST controller over the socket. Mirrors ParseServerRESTController: only what the call itself
// gives counts, nothing of the running request is inherited.
function createController(Parse, link, original, keeper) {
  async function request(method, target, data, options) {
    options = options || {};
    let context;
    try {
      context = structuredClone(options.context || {});
    } catch (error) {
      throw new Parse.Error(
        Parse.Error.INVALID_VALUE,
        `Context contains non-cloneable values: ${error.message}`
      );
    }
    if (target[0] !== '/') {
      target = `/${target}`;
    }
    target = target.slice(startsWithMount(target, Parse.serverURL));
    if (target === '/batch') {
      data = withMount(data, Parse.serverURL);
    }
    const scope = link.scope.getStore();
    let answer;
    try {
      answer = await link.request({
        kind: 'rest',
        method,
        path: target,
        data: data === undefined || data === null ? {} : data,
        useMasterKey: options.useMasterKey === true,
        sessionToken: typeof options.sessionToken === 'string' ? options.sessionToken : undefined,
        installationId: options.installationId || 'cloud',
        context: keeper.close(context),
        transaction: scope ? scope.transaction : undefined,
        depth: scope ? scope.depth + 1 : 1,
      });
    } catch (error) {
      // Files, and what else is no route of objects: over HTTP.
      if (error && error.code === Parse.Error.INVALID_JSON && error.message === `cannot route ${method} ${target}`) {
        return original.request(method, target.slice(1), data, options);
      }
      throw toParseError(Parse, error);
    }
    if (target === '/batch') {
      return options.returnStatus ? addBatchStatus(data.requests || [], answer.body) : answer.body;
    }
    if (options.returnStatus) {
      return { ...answer.body, _status: answer.status, _headers: answer.headers };
    }
    return answer.body;
  }
  // Uploads of buffers and streams, removals and downloads stay plain HTTP.
  return { request, ajax: original.ajax, handleError: original.handleError };
}

function toParseError(Parse, error) {
  if (error && typeof error.code === 'number') {
    return new Parse.Error(error.code, error.thrown === undefined ? error.message : error.thrown);
  }
  return error;
}

// A file that a client gave by its name alone (as the REST guide has it) is a saved one to the SDK, which writes no
// others; its JSON stays as it came.
function takeNamedFiles(Parse) {
  const { fromJSON } = Parse.File;
  Parse.File.fromJSON = json => {
    const file = fromJSON.call(Parse.File, json);
    if (!json.url && json.name) {
      const name = String(json.name).split('/').map(encodeURIComponent).join('/');
      const address = () => `${Parse.CoreManager.get('SERVER_URL')}/files/${Parse.CoreManager.get('APPLICATION_ID')}/${name}`;
      file.url = () => file._url || address();
    }
    return file;
  };
}

// Says whose SDK it is.
function introduce(Parse, { appId, javascriptKey, masterKey, maintenanceKey }, serverURL) {
  Parse._initialize
    ? Parse._initialize(appId, javascriptKey || 'unused', masterKey, maintenanceKey)
    : Parse.initialize(appId, javascriptKey || 'unused', masterKey);
  Parse.serverURL = serverURL;
}

// The SDK in `file` becomes the one of this process; what it asks goes through `link`.
function install(link, file, own) {
  pin(file, own);
  const Parse = require(file);
  const manager = Parse.CoreManager;
  const keeper = createKeeper(Parse);
  manager.setRESTController(createController(Parse, link, manager.getRESTController(), keeper));
  // Code such as `Parse = require('some-other-copy')` must not take the global away; only this module, loaded anew by
  // whoever resets the modules of its tests, replaces it.
  Object.defineProperty(globalThis, 'Parse', {
    configurable: true,
    enumerable: true,
    get: () => Parse,
    set: () => {},
  });
  takeNamedFiles(Parse);
  return { Parse, keeper };
}

function load(link, init) {
  const { file, own } = locate(init.appDirectory, init.nodeModules);
  const { Parse, keeper } = install(link, file, own);
  introduce(Parse, init.config, init.serverURL || init.config.serverURL);
  keepFromPeer(Parse);
  return { Parse, keeper };
}

function version(file) {
  return JSON.parse(fs.readFileSync(path.join(path.dirname(file), 'package.json'), 'utf8')).version;
}

module.exports = { install, introduce, load, locate, version, toParseError };
