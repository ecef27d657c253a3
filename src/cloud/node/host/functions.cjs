'use strict';
// Runs functions and jobs.

const { runValidator } = require('./validators.cjs');
const { Refusal, SCRIPT_FAILED, VALIDATION_FAILED } = require('./codec.cjs');

const SENT_TWICE =
  'after response has already been sent. Make sure to call success() or error() only once per cloud function execution.';

// The second parameter of express-style handlers.
function createResponse(resolve, reject, answer) {
  let sent = false;
  const once = name => {
    if (sent) {
      throw new Error(`Cannot call ${name}() ${SENT_TWICE}`);
    }
    sent = true;
  };
  const response = {
    success(result) {
      once('success');
      resolve(result);
    },
    error(message) {
      once('error');
      reject(message);
    },
    status(code) {
      answer.status = code;
      return response;
    },
    header(name, value) {
      answer.headers[name] = value;
      return response;
    },
    _isResponseSent: () => sent,
  };
  return response;
}

function callHandler(handler, request, answer) {
  if (handler.length < 2) {
    return handler(request);
  }
  return new Promise((resolve, reject) => {
    const response = createResponse(resolve, reject, answer);
    Promise.resolve()
      .then(() => handler(request, response))
      .then(result => {
        if (!response._isResponseSent() && result !== undefined) {
          response.success(result);
        }
      })
      .catch(reject);
  });
}

function createFunctions({ Parse, codec, keeper, registry, log, options, configFor }) {
  function attachUploads(params, uploads) {
    for (const name of Object.keys(uploads || {})) {
      params[name] = { ...params[name], data: Buffer.from(uploads[name], 'base64') };
    }
  }

  async function runFunction(call) {
    const entry = registry.functions.get(call.name);
    if (!entry) {
      throw new Refusal(141, `Invalid function: "${call.name}"`);
    }
    const { caller } = call;
    const params = codec.decodeParams(call.params);
    attachUploads(params, call.uploads);
    const request = {
      params,
      config: configFor(caller.requestContext),
      master: caller.master,
      isReadOnly: caller.isReadOnly,
      user: codec.inflateUser(caller.user),
      installationId: caller.installationId,
      log,
      headers: caller.headers,
      ip: caller.ip,
      functionName: call.name,
      context: call.context && keeper.openPlain(call.context),
    };
    if (entry.validator) {
      try {
        await runValidator(entry.validator, request, caller.roles);
      } catch (thrown) {
        throw codec.toError(thrown, VALIDATION_FAILED);
      }
    }
    const answer = { status: undefined, headers: {} };
    try {
      answer.result = Parse._encode(await callHandler(entry.handler, request, answer));
      return JSON.stringify(answer);
    } catch (thrown) {
      throw codec.toError(thrown, SCRIPT_FAILED);
    }
  }

  async function runJob(call, link) {
    const entry = registry.jobs.get(call.name);
    if (!entry) {
      throw new Refusal(141, 'Invalid job.');
    }
    // A handler need not wait for its messages: the run ends after the last of them is stored.
    const said = [];
    const request = {
      params: codec.decodeParams(call.params),
      log,
      headers: call.headers,
      ip: call.ip,
      jobName: call.name,
      jobId: call.jobId,
      config: options(),
      message(text) {
        const sent = link.request({ kind: 'jobMessage', jobId: call.jobId, message: text });
        said.push(sent.catch(() => {}));
        return sent;
      },
    };
    try {
      const result = await entry.handler(request);
      return JSON.stringify({ message: typeof result === 'string' ? result : undefined });
    } catch (thrown) {
      throw codec.toError(thrown, { code: 141, message: '' });
    } finally {
      await Promise.all(said);
    }
  }

  return { runFunction, runJob };
}

module.exports = { createFunctions };
