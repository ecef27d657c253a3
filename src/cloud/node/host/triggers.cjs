'use strict';
// Runs the triggers of objects and queries.

const { runValidator } = require('./validators.cjs');
const { Refusal, TRIGGER_FAILED, VALIDATION_FAILED } = require('./codec.cjs');

const WITH_CONTEXT = new Set([
  'beforeSave',
  'afterSave',
  'beforeDelete',
  'afterDelete',
  'beforeLogin',
  'afterLogin',
  'beforePasswordResetRequest',
  'beforeFind',
  'afterFind',
]);

const HANDS_CONTEXT_ON = new Set(['beforeSave', 'afterSave', 'beforeDelete', 'afterDelete']);

// What a query handler can change of the query it was given.
const QUERY_KEYS = [
  'where',
  'limit',
  'skip',
  'include',
  'excludeKeys',
  'explain',
  'keys',
  'order',
  'hint',
  'comment',
];

// How far behind its end an array is written to by its place, as in the database.
const FARTHEST = 1000;
const TOO_LARGE = 'The object, or a value of an indexed field, is larger than the database can store';

// Refuses a place far behind the end of an array: it would be written out element by element, for a key as short as
// `list.99999999`.
function checkPlaces(container, path) {
  for (const part of path) {
    if (container === null || typeof container !== 'object') {
      return;
    }
    if (Array.isArray(container) && /^[0-9]+$/.test(part) && Number(part) > container.length + FARTHEST) {
      throw new Refusal(116, TOO_LARGE);
    }
    container = container[part];
  }
}

function createTriggers({ Parse, codec, keeper, registry, log, configFor }) {
  // The fields every trigger request has.
  function baseRequest(call) {
    const { caller } = call;
    const request = {
      triggerName: call.type,
      master: caller.master,
      isReadOnly: caller.isReadOnly,
      log,
      headers: caller.headers,
      ip: caller.ip,
      config: configFor(caller.requestContext),
    };
    if (WITH_CONTEXT.has(call.type)) {
      request.context = keeper.open(call.context);
    }
    if (caller.user) {
      request.user = codec.inflateUser(caller.user);
    }
    if (caller.installationId) {
      request.installationId = caller.installationId;
    }
    return Object.assign(request, call.extra);
  }

  // What adapters are given: it belongs to no trigger, and so has no context.
  function adapterRequest(call) {
    const { context, ...request } = baseRequest({ ...call, extra: undefined });
    return Object.assign(request, { triggerName: undefined }, call.extra);
  }

  async function validate(entry, request, roles) {
    try {
      return await runValidator(entry.validator, request, roles);
    } catch (thrown) {
      throw codec.toError(thrown, VALIDATION_FAILED);
    }
  }

  // Validator and handler; `undefined` where the handler is skipped. Without a validator the handler is
  // called in the same turn, so that the journal names as begun only what really is.
  async function run(entry, request, roles, fallback = TRIGGER_FAILED) {
    if (entry.validator && (await validate(entry, request, roles))) {
      return undefined;
    }
    try {
      const returned = entry.handler(request);
      // Of an object's beforeSave, as parse-server has it, only what a promise brings counts.
      const isThenable = returned && typeof returned.then === 'function';
      const counts = isThenable || entry.type !== 'beforeSave' || entry.className.startsWith('@');
      return counts ? await returned : undefined;
    } catch (thrown) {
      throw codec.toError(thrown, fallback);
    }
  }

  // The object of a write: the stored one with the client's changes pending on it.
  function buildWrite(call) {
    const identity = { className: call.className };
    if (call.objectId) {
      identity.objectId = call.objectId;
    }
    let original;
    let object;
    if (call.original) {
      // Ours alone, so that it need not be copied; both objects are made of it.
      const source = call.original;
      source.className = source.className || call.className;
      source.objectId = source.objectId || call.objectId;
      original = codec.inflateRow(source);
      object = codec.inflateRow(source);
    } else {
      object = codec.inflateRow(identity);
    }
    const readOnly = readOnlyAttributes(object, call);
    if (!call.original && readOnly.length > 0) {
      const seed = { ...identity };
      for (const key of readOnly) {
        seed[key] = call.data[key];
      }
      object = codec.inflateRow(seed);
    }
    const changes = {};
    for (const key of Object.keys(call.data)) {
      if (key.indexOf('.') > 0) {
        setNested(object, key, call.data[key], readOnly);
      } else if (/^[A-Za-z][0-9A-Za-z_]*$/.test(key) && !readOnly.includes(key)) {
        changes[key] = Parse._decode(undefined, call.data[key]);
      }
    }
    object.set(changes);
    return { object, original };
  }

  function readOnlyAttributes({ constructor }, call) {
    const names = constructor.readOnlyAttributes ? [...constructor.readOnlyAttributes()] : [];
    // The SDK refuses a name for a role that has an id already.
    if (call.className === '_Role' && call.response && !call.original && call.data.name) {
      names.push('name');
    }
    return names;
  }

  function setNested(object, key, value, readOnly) {
    const [field, ...path] = key.split('.');
    checkPlaces(object.get(field), path);
    if (value && typeof value.__op === 'string') {
      if (!readOnly.includes(key)) {
        object.set(key, value);
      }
      return;
    }
    object.set(field, withNested(object.get(field), path, value));
  }

  // A copy of `container` with `value` at the path, as the database will have it. Values on the way are
  // copied too, since the stored object holds the same ones.
  function withNested(container, [head, ...rest], value) {
    const isRecord = container !== null && typeof container === 'object' && !(container instanceof Parse.Object);
    const copy = Array.isArray(container) ? [...container] : { ...(isRecord ? container : {}) };
    if (head !== '__proto__') {
      copy[head] = rest.length > 0 ? withNested(copy[head], rest, value) : value;
    }
    return copy;
  }

  // Fields of which the client changed a part are shown as they are stored now.
  function showStoredParts(object, call) {
    const changes = {};
    for (const key of Object.keys(call.data)) {
      const [field, ...path] = key.split('.');
      if (path.length > 0 && call.object) {
        changes[field] = Parse._decode(undefined, call.object[field]);
      }
    }
    if (Object.keys(changes).length > 0) {
      const states = Parse.CoreManager.getObjectStateController();
      states.commitServerChanges(object._getStateIdentifier(), changes);
    }
  }

  // What was taken away comes to the client as an operation; the object just does not have it.
  function withoutDeletes(response) {
    const isDelete = value => value !== null && typeof value === 'object' && value.__op === 'Delete';
    const kept = { ...response };
    for (const key of Object.keys(kept)) {
      if (isDelete(kept[key])) {
        kept[key] = undefined;
      }
    }
    return kept;
  }

  function buildObjects(call) {
    if (call.data) {
      const built = buildWrite(call);
      if (call.response) {
        built.object.id = built.object.id || call.response.objectId;
        built.object._handleSaveResponse(withoutDeletes(call.response), call.original ? 200 : 201);
        showStoredParts(built.object, call);
        built.object._setExisted(Boolean(call.original));
      }
      return built;
    }
    const object = codec.inflate(call.className, call.object || {});
    const original = call.original ? codec.inflate(call.className, call.original) : undefined;
    if (call.type === 'afterSave') {
      object._setExisted(Boolean(original));
    }
    return { object, original };
  }

  function saveAnswer(request, result) {
    // A plain object in `result.object` replaces what would be saved (webhook style).
    if (result && typeof result === 'object' && result.object && !(result.object instanceof Parse.Object)) {
      return { replacement: result.object };
    }
    const object = request.object._getSaveJSON();
    object.objectId = request.object.id;
    return { object };
  }

  function savedAnswer(request, result) {
    if (result && typeof result === 'object') {
      return result._toFullJSON ? { object: result.toJSON() } : { replacement: result };
    }
    return { object: request.object.toJSON() };
  }

  async function runObjectTrigger(entry, call) {
    const { object, original } = buildObjects(call);
    const request = baseRequest(call);
    request.object = object;
    if (original) {
      request.original = original;
    }
    const result = await run(entry, request, call.caller.roles);
    let answer = {};
    if (call.type === 'beforeSave') {
      answer = saveAnswer(request, result);
    } else if (call.type === 'afterSave') {
      answer = savedAnswer(request, result);
    }
    if (HANDS_CONTEXT_ON.has(call.type)) {
      answer.context = keeper.close(request.context);
    }
    return answer;
  }

  async function runBeforeFind(entry, call) {
    const query = new Parse.Query(call.className);
    query.withJSON({ ...call.query, where: (call.query && call.query.where) || {} });
    const request = { ...baseRequest(call), query, count: call.count, isGet: call.isGet };
    const result = await run(entry, request, call.caller.roles);
    const json = (result instanceof Parse.Query ? result : query).toJSON();
    const merged = { ...call.query };
    for (const key of QUERY_KEYS) {
      if (json[key]) {
        merged[key] = json[key];
      }
    }
    const answer = {
      query: merged,
      readPreference: request.readPreference,
      includeReadPreference: request.includeReadPreference,
      subqueryReadPreference: request.subqueryReadPreference,
      context: keeper.close(request.context),
    };
    if (result instanceof Parse.Object) {
      answer.objects = [codec.fullJSON(result)];
    } else if (Array.isArray(result) && result.every(item => item instanceof Parse.Object)) {
      answer.objects = result.map(item => codec.fullJSON(item));
    }
    return answer;
  }

  async function runAfterFind(entry, call) {
    const request = { ...baseRequest(call), object: null, isGet: call.isGet };
    request.query = new Parse.Query(call.className);
    if (call.query && call.query.where) {
      request.query.withJSON(call.query);
    }
    const { className } = call;
    const rows = (call.objects || []).map(row => (row.className ? row : { ...row, className }));
    const given = rows.map(codec.inflateRow);
    // A copy, so that the handler may sort or cut the array.
    request.objects = [...given];
    const result = await run(entry, request, call.caller.roles);
    try {
      const objects = result || request.objects;
      const rowOf = new Map(given.map((object, index) => [object, rows[index]]));
      const answer = objects.map(object => {
        const row = rowOf.get(object);
        return (row && codec.quickJSON(object, row)) || codec.fullJSON(object);
      });
      // The server has what was left alone in the form of its answer.
      const isWhole = answer.length === rows.length && answer.every((json, index) => json === rows[index]);
      return isWhole ? { unchanged: true } : { objects: answer };
    } catch (thrown) {
      throw codec.toError(thrown, TRIGGER_FAILED);
    }
  }

  function runTrigger(entry, call) {
    switch (call.type) {
      case 'beforeFind':
        return runBeforeFind(entry, call);
      case 'afterFind':
        return runAfterFind(entry, call);
      default:
        return runObjectTrigger(entry, call);
    }
  }

  return { runTrigger, baseRequest, adapterRequest, buildObjects, run };
}

module.exports = { createTriggers };
