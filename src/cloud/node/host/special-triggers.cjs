'use strict';
// Runs the triggers of files, of the config and of live queries.

const { SCRIPT_FAILED } = require('./codec.cjs');

// What an error means that says nothing about itself, by the kind of file trigger.
function fileFailure(type, name) {
  switch (type) {
    case 'beforeSave':
    case 'afterSave':
      return { code: 130, message: `Could not store file: ${name}.` };
    case 'beforeDelete':
    case 'afterDelete':
      return { code: 153, message: 'Could not delete file.' };
    default:
      return { code: 141, message: `Could not find file: ${name}.` };
  }
}

function createSpecialTriggers({ Parse, codec, keeper, registry, triggers }) {
  function buildFile(json) {
    const file =
      json.data === undefined
        ? new Parse.File(json.name, { base64: '' }, json.contentType)
        : new Parse.File(json.name, { base64: json.data }, json.contentType);
    if (json.url) {
      file._url = json.url;
    }
    file.setMetadata(json.metadata || {});
    file.setTags(json.tags || {});
    if (json.directory && typeof file.setDirectory === 'function') {
      file.setDirectory(json.directory);
    }
    return file;
  }

  function base64Of(file) {
    const source = file._source || {};
    if (source.format === 'buffer') {
      return source.buffer.toString('base64');
    }
    return typeof file._data === 'string' ? file._data : undefined;
  }

  async function runFileTrigger(entry, call) {
    const { file: json } = call;
    const request = triggers.baseRequest(call);
    delete request.context;
    const given = buildFile(json);
    request.file = given;
    if (call.type !== 'beforeFind' && call.type !== 'afterFind') {
      request.fileSize = json.fileSize === undefined ? null : json.fileSize;
    }
    if (json.stream) {
      request.stream = true;
    }
    if (call.type === 'afterFind') {
      request.forceDownload = json.forceDownload;
      request.responseHeaders = json.responseHeaders;
    }
    const failure = fileFailure(call.type, json.name);
    const result = await triggers.run(entry, request, call.caller.roles, failure);
    let file = given;
    if (result instanceof Parse.File) {
      file = result;
    } else if (result && result.file instanceof Parse.File) {
      file = result.file;
    }
    const data = base64Of(file);
    // A handler may set how a download is sent on the request, or return it beside the file.
    const settings = result && !(result instanceof Parse.File) ? result : {};
    return {
      file: {
        name: file._name,
        // A file that was saved elsewhere already skips the store.
        url: file === given && call.type === 'beforeSave' ? undefined : file._url,
        data: data === json.data ? undefined : data,
        contentType: (file._source && file._source.type) || json.contentType,
        metadata: file._metadata || {},
        tags: file._tags || {},
        directory: file._directory,
        fileSize: json.fileSize,
        stream: json.stream,
        forceDownload: Boolean(settings.forceDownload || request.forceDownload),
        responseHeaders: settings.responseHeaders || request.responseHeaders || {},
      },
    };
  }

  function buildConfig(params) {
    const config = new Parse.Config();
    for (const key of Object.keys(params || {})) {
      config.attributes[key] = Parse._decode(undefined, params[key]);
    }
    return config;
  }

  async function runConfigTrigger(entry, call) {
    const request = triggers.baseRequest(call);
    request.object = buildConfig(call.object);
    if (call.original) {
      request.original = buildConfig(call.original);
    }
    await triggers.run(entry, request, call.caller.roles);
    return { context: keeper.close(request.context) };
  }

  // The fields of live-query requests, which differ from those of other triggers.
  function liveRequest(call) {
    const live = call.live || {};
    const request = { ...live, ...call.extra };
    if (call.caller.user) {
      request.user = codec.inflateUser(call.caller.user);
    }
    if (request.installationId === undefined) {
      request.installationId = call.caller.installationId;
    }
    return request;
  }

  async function runSubscribe(entry, call) {
    const request = liveRequest(call);
    if (call.type === 'beforeConnect') {
      await triggers.run(entry, request, call.caller.roles, SCRIPT_FAILED);
      return {};
    }
    request.op = request.op || 'subscribe';
    request.query = new Parse.Query(call.className);
    // The SDK reads lists as REST sends them; the protocol has arrays.
    const list = value => (Array.isArray(value) ? value.join(',') : value);
    const { keys, watch, ...query } = call.query || {};
    request.query.withJSON({ ...query, ...(keys && { keys: list(keys) }), ...(watch && { watch: list(watch) }) });
    await triggers.run(entry, request, call.caller.roles, SCRIPT_FAILED);
    return { query: { ...query, ...request.query.toJSON() } };
  }

  async function runEvent(entry, call) {
    const request = { ...liveRequest(call), sendEvent: true };
    if (call.object) {
      request.object = codec.inflate(call.className, call.object);
    }
    if (call.original) {
      request.original = codec.inflate(call.className, call.original);
    }
    await triggers.run(entry, request, call.caller.roles, SCRIPT_FAILED);
    const toJSON = object =>
      object && typeof object.toJSON === 'function'
        ? codec.fullJSON(object, object.className || call.className)
        : undefined;
    return {
      sendEvent: Boolean(request.sendEvent),
      event: typeof request.event === 'string' ? request.event : undefined,
      object: toJSON(request.object),
      original: toJSON(request.original),
    };
  }

  function observe(call) {
    const request = liveRequest(call);
    for (const handler of registry.liveQuery) {
      handler(request);
    }
    return {};
  }

  // The runner for a call, or undefined where it is an ordinary trigger.
  function find(call) {
    if (call.className === '@File') {
      return runFileTrigger;
    }
    if (call.className === '@Config') {
      return runConfigTrigger;
    }
    switch (call.type) {
      case 'beforeConnect':
      case 'beforeSubscribe':
        return runSubscribe;
      case 'afterEvent':
        return runEvent;
      default:
        return undefined;
    }
  }

  return { find, observe };
}

module.exports = { createSpecialTriggers };
