'use strict';
// The JavaScript configuration file, the functions in it, and adapter modules.

const path = require('node:path');
const graphqlFunction = require('./graphql-function.cjs');
const graphqlSchema = require('./graphql-schema.cjs');
const { loadModule } = require('./load.cjs');

function isPlain(value) {
  const prototype = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

// Options may hold functions and instances, which stay here and travel as {__callback: n} and
// {__instance: n}. Every host numbers them alike, since all walk the same file in the same order.
class LiveValues {
  constructor() {
    this.values = [];
  }

  encode(value, seen = []) {
    if (typeof value === 'function') {
      return { __callback: this.values.push(value) - 1 };
    }
    if (value === null || typeof value !== 'object') {
      return value;
    }
    if (value instanceof RegExp) {
      return value.flags === '' ? value.source : { __regexp: [value.source, value.flags] };
    }
    if (value instanceof Date) {
      return value.toISOString();
    }
    if (seen.includes(value)) {
      throw new Error('The configuration contains a cycle.');
    }
    const path = [...seen, value];
    if (Array.isArray(value)) {
      return value.map(item => this.encode(item, path));
    }
    const schema = graphqlSchema.asOption(value);
    if (schema !== undefined) {
      return this.encode(schema, path);
    }
    if (!isPlain(value)) {
      return { __instance: this.values.push(value) - 1 };
    }
    const json = {};
    for (const key of Object.keys(value)) {
      json[key] = this.encode(value[key], path);
    }
    return json;
  }

  get(id) {
    return this.values[id];
  }

  // The other way, for options that come back from the server.
  decode(value) {
    if (value === null || typeof value !== 'object') {
      return value;
    }
    if (Array.isArray(value)) {
      return value.map(item => this.decode(item));
    }
    const id = value.__callback === undefined ? value.__instance : value.__callback;
    if (id !== undefined) {
      return this.get(id);
    }
    if (value.__regexp) {
      return new RegExp(...value.__regexp);
    }
    const decoded = {};
    for (const key of Object.keys(value)) {
      decoded[key] = this.decode(value[key]);
    }
    return decoded;
  }
}

// What the file exports: the options, a function that returns them, or a promise of either.
async function loadConfig(file, live) {
  const loaded = await loadModule(file, process.cwd());
  let options = await (loaded && loaded.default !== undefined ? loaded.default : loaded);
  if (typeof options === 'function') {
    options = await options();
  }
  if (options === null || typeof options !== 'object') {
    throw new Error(`${file} does not export an object with options`);
  }
  const directories = [path.dirname(path.resolve(file)), process.cwd()];
  return live.encode({ ...graphqlFunction.withMaker(options, directories) });
}

// Makes an adapter out of all the forms parse-server accepts: an instance, a class, a factory, a module
// name, or an object that holds one of these with options.
async function loadAdapter(spec, options, directory) {
  if (typeof spec === 'string') {
    const loaded = await loadModule(spec, directory);
    return loadAdapter(loaded && loaded.default ? loaded.default : loaded, options, directory);
  }
  if (typeof spec === 'function') {
    try {
      return spec(options);
    } catch (error) {
      if (error.name !== 'TypeError') {
        throw error;
      }
      return new spec(options);
    }
  }
  for (const key of ['module', 'class', 'adapter']) {
    if (spec && spec[key]) {
      return loadAdapter(spec[key], spec.options, directory);
    }
  }
  return spec;
}

// A login provider has no method of checking where the base class of parse-server's stands in its place and accepts
// everything: it would be asked instead of those that were written.
const CHECKS = ['validateAuthData', 'validateSetUp', 'validateLogin', 'validateUpdate'];
const ACCEPTS = /\{\s*return\s+(?:Promise\.resolve\(\{\s*\}\)|\{\s*\});?\s*\}$/;

function acceptsEverything(level, key, method) {
  const maker = Object.getOwnPropertyDescriptor(level, 'constructor')?.value;
  const isBase = typeof maker === 'function' && maker.name === 'AuthAdapter' && CHECKS.includes(key);
  return isBase && ACCEPTS.test(Function.prototype.toString.call(method));
}

function describe(adapter) {
  const methods = new Set();
  const properties = {};
  for (let level = adapter; level && level !== Object.prototype; level = Object.getPrototypeOf(level)) {
    for (const key of Object.getOwnPropertyNames(level)) {
      const { value } = Object.getOwnPropertyDescriptor(level, key);
      if (key !== 'constructor' && typeof value === 'function') {
        if (!acceptsEverything(level, key, value)) {
          methods.add(key);
        }
      } else if (['string', 'number', 'boolean'].includes(typeof value)) {
        properties[key] = properties[key] === undefined ? value : properties[key];
      }
    }
  }
  return { methods: [...methods], properties };
}

// Where methods of login providers are given authData.
const LOGIN_DATA = {
  beforeFind: 0,
  validateAuthData: 0,
  validateSetUp: 0,
  validateLogin: 0,
  validateUpdate: 0,
};

// Where methods of login providers are told who asks, and nothing else of the request.
const ASKER = { policy: 0, afterFind: 2 };

// Modules may change the data that they are given: beforeFind answers by that alone, what afterFind leaves of it is
// what is shown, and what the others leave is what is stored, unless they say otherwise.
async function withChanges(method, data, run) {
  const before = JSON.stringify(data);
  const result = await run();
  if (data === null || typeof data !== 'object' || JSON.stringify(data) === before) {
    return method === 'beforeFind' ? undefined : result;
  }
  if (method === 'beforeFind') {
    return data;
  }
  if (method === 'afterFind') {
    return result || data;
  }
  const isObject = result !== null && typeof result === 'object';
  return isObject && (result.save || result.doNotSave) ? result : { ...(isObject ? result : {}), save: data };
}

// A login provider that does not like its options refuses everybody, and says why.
async function optionsChecked(name, adapter, options) {
  if (!name.startsWith('auth.') || typeof adapter.validateOptions !== 'function') {
    return adapter;
  }
  try {
    await adapter.validateOptions(options);
    return adapter;
  } catch (error) {
    console.warn(`The login provider ${name} cannot be used: ${(error && error.message) || error}`);
    const refusing = Object.create(adapter);
    for (const method of ['challenge', 'validateAppId', ...Object.keys(LOGIN_DATA)]) {
      if (typeof adapter[method] === 'function') {
        refusing[method] = () => {
          throw error;
        };
      }
    }
    return refusing;
  }
}

class Adapters {
  constructor(live, directory, inflateUser) {
    this.live = live;
    this.directory = directory || process.cwd();
    this.inflateUser = inflateUser;
    this.adapters = new Map();
  }

  async load(specs) {
    const described = {};
    for (const { name, spec } of specs || []) {
      const options = this.live.decode(spec);
      let adapter;
      try {
        adapter = await loadAdapter(options, undefined, path.resolve(this.directory));
      } catch (error) {
        error.message = `Adapter ${name}: ${error.message}`;
        throw error;
      }
      if (adapter === null || typeof adapter !== 'object') {
        throw new Error(`Adapter ${name} is not an object.`);
      }
      adapter = await optionsChecked(name, adapter, options);
      this.adapters.set(name, { adapter, options });
      described[name] = describe(adapter);
    }
    return described;
  }

  get(name) {
    const entry = this.adapters.get(name);
    if (!entry) {
      throw new Error(`There is no adapter ${name}.`);
    }
    return entry.adapter;
  }

  // `decodeArg(arg, options)` makes SDK objects of what the server sent.
  call({ adapter: name, method, args }, decodeArg) {
    const entry = this.adapters.get(name);
    if (!entry || typeof entry.adapter[method] !== 'function') {
      throw new Error(`Adapter ${name} has no method ${method}.`);
    }
    const decoded = args.map(arg => decodeArg(arg, entry.options));
    const isLogin = name.startsWith('auth.');
    if (isLogin && method in ASKER) {
      const asker = decoded[ASKER[method]];
      asker.user = this.inflateUser(asker.user);
    }
    const at = method === 'afterFind' ? 0 : LOGIN_DATA[method];
    if (!isLogin || at === undefined) {
      return entry.adapter[method](...decoded);
    }
    return withChanges(method, decoded[at], () => entry.adapter[method](...decoded));
  }

  callback({ callback, args }, decodeArg) {
    const handler = this.live.get(callback);
    if (typeof handler !== 'function') {
      throw new Error(`There is no callback ${callback} in the configuration.`);
    }
    if (isClass(handler)) {
      return checked(new handler());
    }
    return handler(...args.map(arg => decodeArg(arg, undefined)));
  }
}

function isClass(value) {
  return /^class[\s{]/.test(Function.prototype.toString.call(value));
}

// The only classes among the functions of a configuration are groups of security checks.
async function checked(group) {
  await group.run();
  const checks = [];
  for (const check of group.checks()) {
    const { title, warning, solution } = check;
    checks.push({ title, warning, solution, state: check.checkState() });
  }
  return { name: group.name(), checks };
}

module.exports = { Adapters, LiveValues, loadAdapter, loadConfig };
