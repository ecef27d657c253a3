'use strict';
// Makes SDK objects of the server's JSON, and tells whether a handler changed one.
//
// The SDK keeps, beside each value, its encoding, to notice changes inside it; that costs more than all
// the rest, and few handlers look. Objects made here have it only once it is needed: until something is
// committed to an object, the JSON it came from says what it was.

function createInflate(Parse) {
  const states = Parse.CoreManager.getObjectStateController();
  // On an object's state: the JSON it came from.
  const SOURCE = Symbol('source');
  const isLazy = install();

  function install() {
    const prototype = Parse.Object.prototype;
    const { commitServerChanges, setServerData, duplicateState, getObjectCache, getState } = states;
    const needed = [commitServerChanges, setServerData, duplicateState, getObjectCache, getState];
    const isWritable = Object.getOwnPropertyDescriptor(states, 'commitServerChanges')?.writable;
    const noticeChanges = prototype._getDirtyObjectAttributes;
    if (!isWritable || typeof noticeChanges !== 'function' || needed.some(part => typeof part !== 'function')) {
      return false;
    }
    // Whatever is about to rely on the encodings gets them.
    const settle = object => {
      const source = sourceOf(object);
      if (source !== undefined) {
        getState(object)[SOURCE] = undefined;
        const full = Parse.Object.fromJSON(source);
        Object.assign(getObjectCache(object), getObjectCache(full));
      }
    };
    for (const name of ['commitServerChanges', 'setServerData', 'duplicateState', 'getObjectCache']) {
      const plain = states[name];
      states[name] = (object, ...rest) => {
        settle(object);
        return plain(object, ...rest);
      };
    }
    prototype._getDirtyObjectAttributes = function () {
      const source = sourceOf(this);
      return source === undefined ? noticeChanges.call(this) : dirtyAttributes(this, source);
    };
    return true;
  }

  // Without a state, or where one state is shared by all instances, there is none.
  function sourceOf(object) {
    const state = states.getState(object);
    return state ? state[SOURCE] : undefined;
  }

  // As the SDK has it: attributes with values that could be, and were, changed inside.
  function dirtyAttributes(object, source) {
    const { attributes } = object;
    const dirty = {};
    for (const key in attributes) {
      const value = attributes[key];
      const isDeep = value && typeof value === 'object' && !(value instanceof Parse.Object);
      if (isDeep && !(value instanceof Parse.File) && !(value instanceof Parse.Relation)) {
        if (!isSameValue(value, valueIn(source, key), false)) {
          dirty[key] = value;
        }
      }
    }
    return dirty;
  }

  // Objects that were never updated have no such time in the SDK's eyes.
  function valueIn(source, key) {
    const value = source[key];
    return key === 'updatedAt' && value === undefined ? source.createdAt : value;
  }

  function decode(key, value, object) {
    if (value === null || typeof value !== 'object') {
      const isTime = (key === 'createdAt' || key === 'updatedAt') && typeof value === 'string';
      return isTime ? new Date(value) : value;
    }
    if (key === 'ACL') {
      return new Parse.ACL(value);
    }
    if (value.__type === 'Object' && value.className) {
      return inflate(value);
    }
    const decoded = Parse._decode(undefined, value);
    if (decoded instanceof Parse.Relation) {
      decoded._ensureParentAndKey(object, key);
    }
    return decoded;
  }

  // `json` has its `className`, and must not be changed afterwards.
  function inflate(json) {
    if (!isLazy || typeof json.objectId !== 'string') {
      return Parse.Object.fromJSON(json);
    }
    const object = Parse.Object.fromJSON({ className: json.className });
    if (object._getStateIdentifier() !== object) {
      return Parse.Object.fromJSON(json);
    }
    object.id = json.objectId;
    const state = states.getState(object);
    const data = state.serverData;
    for (const key in json) {
      if (key !== 'className' && key !== '__type' && key !== 'objectId' && key !== 'constructor' && key !== 'prototype') {
        data[key] = decode(key, json[key], object);
      }
    }
    if (!data.updatedAt && data.createdAt) {
      data.updatedAt = data.createdAt;
    }
    state.existed = true;
    state[SOURCE] = json;
    return object;
  }

  // Whether `value` still is what `json` says. `deep`: objects count with all that they hold.
  function isSameValue(value, json, deep) {
    if (value === null || typeof value !== 'object') {
      return value === json;
    }
    if (json === null || json === undefined) {
      return false;
    }
    if (value instanceof Date) {
      return value.getTime() === Date.parse(typeof json === 'string' ? json : json.iso);
    }
    if (typeof json !== 'object') {
      return false;
    }
    if (Array.isArray(value)) {
      return Array.isArray(json) && value.length === json.length && value.every((item, n) => isSameValue(item, json[n], deep));
    }
    if (value instanceof Parse.Object) {
      const isThat = value.id === json.objectId && value.className === json.className;
      return isThat && (!deep || isSamePointer(value, json));
    }
    if (value instanceof Parse.File) {
      return value._name === json.name && value._url === json.url;
    }
    if (value instanceof Parse.GeoPoint) {
      return value.latitude === json.latitude && value.longitude === json.longitude;
    }
    if (value instanceof Parse.ACL) {
      return isSameValue(value.permissionsById, json, deep);
    }
    if (value instanceof Parse.Polygon) {
      return isSameValue(value._coordinates, json.coordinates, deep);
    }
    if (value instanceof Parse.Relation) {
      return value.targetClassName === json.className;
    }
    return isSameRecord(value, json, deep);
  }

  function isSameRecord(value, json, deep) {
    const keys = Object.keys(value);
    return (
      keys.length === Object.keys(json).length &&
      keys.every(key => Object.prototype.hasOwnProperty.call(json, key) && isSameValue(value[key], json[key], deep))
    );
  }

  function isSamePointer(value, json) {
    if (json.__type === 'Object') {
      return isUnchanged(value, json);
    }
    return !hasPending(value) && Object.keys(value._getServerData()).length === 0;
  }

  function hasPending(object) {
    const pending = states.getPendingOps(object._getStateIdentifier());
    return pending.length > 1 || Object.keys(pending[0]).length > 0;
  }

  // Whether what the server had of the object still is `json`, which it was made of.
  function isIntact(object, json) {
    if (sourceOf(object) !== json || object.id !== json.objectId || object.className !== json.className) {
      return false;
    }
    const data = object._getServerData();
    for (const key in data) {
      if (!isSameValue(data[key], valueIn(json, key), true)) {
        return false;
      }
    }
    return true;
  }

  function isUnchanged(object, json) {
    return !hasPending(object) && isIntact(object, json);
  }

  // The object's JSON, where it can be told without encoding it anew: `json` itself when nothing
  // changed, or with what was set and unset.
  function quickJSON(object, json) {
    if (!isIntact(object, json)) {
      return undefined;
    }
    const pending = states.getPendingOps(object._getStateIdentifier());
    const keys = Object.keys(pending[0]);
    if (pending.length > 1 || keys.some(key => key.includes('.'))) {
      return undefined;
    }
    if (keys.length === 0) {
      return json;
    }
    const changed = { ...json };
    for (const key of keys) {
      const value = object.get(key);
      changed[key] = value && value._toFullJSON ? value._toFullJSON() : value;
    }
    return changed;
  }

  return { inflate, isUnchanged, quickJSON };
}

module.exports = { createInflate };
