'use strict';
// Values that leave this process as JSON and come back into JavaScript: contexts, mails of `sendEmail` and what
// adapters answer to it. Where they come back to the process that sent them they are the very values; elsewhere they
// are made anew from a description that names their types. The server carries both under one key and reads neither.

const { randomUUID } = require('node:crypto');

const KEY = '__kept';
// Values remembered at most; older ones are known by their description alone.
const SHELF = 2000;
const DEEPEST = 35;

const TYPED_ARRAYS = [
  Int8Array,
  Uint8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array,
];

const ERRORS = { Error, TypeError, RangeError, SyntaxError, ReferenceError, EvalError, URIError };

function createKeeper(Parse) {
  const shelf = new Map();

  function put(value) {
    const id = randomUUID();
    shelf.set(id, value);
    if (shelf.size > SHELF) {
      shelf.delete(shelf.keys().next().value);
    }
    return id;
  }

  const tagged = (...parts) => ({ [KEY]: parts });

  // What JSON cannot say is tagged with its kind. Whatever contains itself, and functions, are left out.
  function describe(value, path = []) {
    switch (typeof value) {
      case 'undefined':
        return tagged('undefined');
      case 'number':
        return Number.isFinite(value) && !Object.is(value, -0) ? value : tagged('number', Object.is(value, -0) ? '-0' : String(value));
      case 'bigint':
        return tagged('bigint', String(value));
      case 'function':
      case 'symbol':
        return tagged('undefined');
      case 'object':
        break;
      default:
        return value;
    }
    if (value === null) {
      return null;
    }
    if (path.includes(value) || path.length > DEEPEST) {
      return tagged('undefined');
    }
    return describeObject(value, [...path, value]);
  }

  function describeObject(value, path) {
    const each = items => items.map(item => describe(item, path));
    if (Array.isArray(value)) {
      return each(value);
    }
    if (value instanceof Date) {
      return tagged('date', value.getTime());
    }
    if (Buffer.isBuffer(value)) {
      return tagged('buffer', value.toString('base64'));
    }
    if (value instanceof ArrayBuffer) {
      return tagged('bytes', 'ArrayBuffer', Buffer.from(value).toString('base64'));
    }
    const array = TYPED_ARRAYS.find(type => value instanceof type);
    if (array) {
      const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
      return tagged('bytes', array.name, bytes.toString('base64'));
    }
    if (value instanceof Parse.Error || value instanceof Error) {
      const kind = value instanceof Parse.Error ? 'Parse.Error' : value.name;
      return tagged('error', kind, describe(value.message, path), value.stack, describe(value.code, path));
    }
    if (value instanceof RegExp) {
      return tagged('regexp', value.source, value.flags);
    }
    if (value instanceof Map) {
      return tagged('map', [...value].map(each));
    }
    if (value instanceof Set) {
      return tagged('set', each([...value]));
    }
    return describeParse(value) || describeRecord(value, path);
  }

  function describeParse(value) {
    if (value instanceof Parse.Object) {
      const whole = { ...Parse._encode(value.attributes), className: value.className, objectId: value.id };
      return tagged('object', whole, value.className);
    }
    if (value instanceof Parse.File) {
      const source = value._source || {};
      const data = source.format === 'buffer' ? source.buffer.toString('base64') : value._data;
      return tagged('file', value._name, value._url, data, source.type);
    }
    if (value instanceof Parse.ACL) {
      return tagged('acl', value.toJSON());
    }
    const isEncoded = value instanceof Parse.GeoPoint || value instanceof Parse.Polygon || value instanceof Parse.Relation;
    return isEncoded ? tagged('parse', Parse._encode(value)) : undefined;
  }

  function describeRecord(value, path) {
    const entries = Object.keys(value).map(key => [key, describe(value[key], path)]);
    if (entries.some(([key]) => key === KEY || key === '__proto__')) {
      return tagged('record', entries);
    }
    return Object.fromEntries(entries);
  }

  function rebuild(value) {
    if (value === null || typeof value !== 'object') {
      return value;
    }
    if (Array.isArray(value)) {
      return value.map(rebuild);
    }
    if (Array.isArray(value[KEY])) {
      return rebuildTagged(...value[KEY]);
    }
    return Object.fromEntries(Object.keys(value).map(key => [key, rebuild(value[key])]));
  }

  function rebuildTagged(kind, first, second, third, fourth) {
    switch (kind) {
      case 'number':
        return Number(first);
      case 'bigint':
        return BigInt(first);
      case 'date':
        return new Date(first === null ? NaN : first);
      case 'buffer':
        return Buffer.from(first, 'base64');
      case 'bytes':
        return rebuildBytes(first, Buffer.from(second, 'base64'));
      case 'error':
        return rebuildError(first, rebuild(second), third, rebuild(fourth));
      case 'regexp':
        return new RegExp(first, second);
      case 'map':
        return new Map(first.map(entry => entry.map(rebuild)));
      case 'set':
        return new Set(first.map(rebuild));
      case 'object':
        return rebuildObject(first, second);
      case 'file':
        return rebuildFile(first, second, third, fourth);
      case 'acl':
        return new Parse.ACL(first);
      case 'parse':
        return Parse._decode(undefined, first);
      case 'record':
        return Object.fromEntries(first.map(([key, item]) => [key, rebuild(item)]));
      default:
        return undefined;
    }
  }

  function rebuildBytes(name, bytes) {
    const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
    const type = TYPED_ARRAYS.find(array => array.name === name);
    return type ? new type(buffer) : buffer;
  }

  function rebuildError(kind, message, stack, code) {
    if (kind === 'Parse.Error') {
      return new Parse.Error(code, message);
    }
    const error = new (ERRORS[kind] || Error)(message);
    error.stack = stack;
    if (error.name !== kind) {
      Object.defineProperty(error, 'name', { value: kind, configurable: true, writable: true });
    }
    if (code !== undefined) {
      error.code = code;
    }
    return error;
  }

  function rebuildObject(json, className) {
    if (json.objectId) {
      return Parse.Object.fromJSON(json);
    }
    const { objectId, className: _, createdAt, updatedAt, ...attributes } = json;
    const object = Parse.Object.fromJSON({ className });
    object.set(Parse._decode(undefined, attributes));
    return object;
  }

  function rebuildFile(name, url, data, type) {
    const file = data === undefined || data === null ? new Parse.File(name) : new Parse.File(name, { base64: data }, type);
    if (url) {
      file._url = url;
    }
    return file;
  }

  // Any value in an envelope; `texts` are copied outside, for whoever reads it on the way.
  function wrap(value, texts = []) {
    const envelope = { [KEY]: { id: put(value), value: describe(value) } };
    for (const key of texts) {
      if (value && typeof value[key] === 'string') {
        envelope[key] = value[key];
      }
    }
    return envelope;
  }

  function isWrapped(envelope) {
    return Boolean(envelope && typeof envelope === 'object' && envelope[KEY]);
  }

  // The value of an envelope, which is opened once.
  function unwrap(envelope) {
    const { id, value } = envelope[KEY];
    if (!shelf.has(id)) {
      return rebuild(value);
    }
    const live = shelf.get(id);
    shelf.delete(id);
    return live;
  }

  // A context as it leaves: plain JSON for everybody, beside it what only JavaScript can have.
  function close(context) {
    if (context === null || typeof context !== 'object') {
      return context;
    }
    const keys = Object.keys(context);
    if (keys.every(key => context[key] === null || ['string', 'boolean'].includes(typeof context[key]) || Number.isFinite(context[key]))) {
      return context;
    }
    const shown = {};
    for (const key of keys) {
      shown[key] = plainView(context[key]);
    }
    shown[KEY] = { id: put({ ...context }), value: describe({ ...context }) };
    return shown;
  }

  function plainView(value) {
    if (value === null || typeof value !== 'object') {
      return value;
    }
    try {
      return JSON.parse(JSON.stringify(value));
    } catch {
      return undefined;
    }
  }

  // A context without prototype, so that nothing polluted shows through.
  function open(context) {
    const opened = Object.create(null);
    const kept = context && context[KEY];
    if (!kept) {
      return Object.assign(opened, context);
    }
    return Object.assign(opened, shelf.has(kept.id) ? shelf.get(kept.id) : rebuild(kept.value));
  }

  // The same as an ordinary object, as functions get it; most are empty.
  function openPlain(context) {
    return context[KEY] ? { ...open(context) } : context;
  }

  return { wrap, isWrapped, unwrap, close, open, openPlain };
}

module.exports = { createKeeper };
