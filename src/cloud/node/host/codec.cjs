'use strict';
// Between REST encoding and SDK objects, and from thrown values to errors.

const { createInflate } = require('./inflate.cjs');

function createCodec(Parse) {
  // Parameters of functions and jobs: dates, files and pointers become objects, at any depth.
  function decodeParam(value) {
    if (value === null || typeof value !== 'object' || Buffer.isBuffer(value)) {
      return value;
    }
    if (Array.isArray(value)) {
      return value.map(decodeParam);
    }
    switch (value.__type) {
      case 'Date':
        return Object.assign(new Date(value.iso), value);
      case 'File':
        return Parse.File.fromJSON(value);
      case 'Pointer':
        return Parse.Object.fromJSON({
          __type: 'Pointer',
          className: value.className,
          objectId: value.objectId,
        });
      default:
        return decodeParams(value);
    }
  }

  function decodeParams(params) {
    const decoded = {};
    for (const key of Object.keys(params || {})) {
      decoded[key] = decodeParam(params[key]);
    }
    return decoded;
  }

  const { inflate: inflateRow, quickJSON } = createInflate(Parse);

  function inflate(className, json) {
    return inflateRow({ ...json, className: json.className || className });
  }

  function inflateUser(json) {
    return json ? inflateRow({ ...json, className: '_User' }) : undefined;
  }

  // An object's JSON with the changes that are not saved yet, nested objects in full.
  function fullJSON(object, className) {
    if (!object || !object.toJSON) {
      return {};
    }
    const json = object.toJSON();
    const pending = Parse.CoreManager.getObjectStateController().getPendingOps(object._getStateIdentifier());
    for (const key in pending[0]) {
      const value = object.get(key);
      json[key] = value && value._toFullJSON ? value._toFullJSON() : value;
    }
    if (className) {
      json.className = className;
    } else if (object.className && !json.className) {
      json.className = object.className;
    }
    return json;
  }

  // What a thrown value means to the client: {code, message}.
  function toError(thrown, fallback) {
    if (!thrown) {
      return new Refusal(fallback.code, fallback.message);
    }
    if (thrown instanceof Refusal) {
      return thrown;
    }
    if (thrown instanceof Parse.Error) {
      return describeError(Number.isInteger(thrown.code) ? thrown.code : undefined, thrown.message);
    }
    return describeError(fallback.code, thrown.message || thrown);
  }

  return { decodeParam, decodeParams, inflate, inflateRow, quickJSON, inflateUser, fullJSON, toError };
}

// An error in the form of the protocol: {code, message}, and `thrown` where the client gets something else than
// a code and a text.
class Refusal {
  constructor(code, message) {
    this.code = code;
    this.message = message;
  }
}

function describeError(code, value) {
  const error = new Refusal(code, text(value));
  if (code === undefined || (typeof value !== 'string' && !(value instanceof Error))) {
    error.thrown = jsonOf(value, error.message);
  }
  return error;
}

function jsonOf(value, fallback) {
  try {
    const json = JSON.stringify(value);
    return json === undefined ? fallback : JSON.parse(json);
  } catch {
    return fallback;
  }
}

function text(value) {
  if (typeof value === 'string') {
    return value;
  }
  try {
    return String(value);
  } catch {
    return 'Script failed.';
  }
}

const SCRIPT_FAILED = Object.freeze({ code: 141, message: 'Script failed.' });
const TRIGGER_FAILED = Object.freeze({ code: 141, message: 'Script failed. Unknown error.' });
const VALIDATION_FAILED = Object.freeze({ code: 142, message: 'Validation failed.' });

module.exports = { Refusal, createCodec, SCRIPT_FAILED, TRIGGER_FAILED, VALIDATION_FAILED };
