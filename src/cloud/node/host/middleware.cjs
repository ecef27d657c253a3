'use strict';
// Runs `requestContextMiddleware` as Express would, and keeps what it made of `req.config` for the Cloud
// Code of that request.

// Requests whose changes are kept as they are; those of older ones are known by their JSON alone.
const KEPT = 10000;

function createMiddleware({ Parse, codec, log, options }) {
  const kept = new Map();
  let next = 1;

  function keep(config, before) {
    const changed = {};
    for (const key of Object.keys(config)) {
      if (config[key] !== before[key]) {
        changed[key] = config[key];
      }
    }
    if (Object.keys(changed).length === 0) {
      return {};
    }
    const id = next++;
    kept.set(id, changed);
    if (kept.size > KEPT) {
      kept.delete(kept.keys().next().value);
    }
    let json;
    try {
      json = JSON.parse(JSON.stringify(changed));
    } catch {
      json = {};
    }
    // Another host has the JSON only: functions and instances live in one process.
    return { kept: { pid: process.pid, id, json } };
  }

  // What `request.config` is for code of the request `context` belongs to.
  function configFor(context) {
    if (!context) {
      return options();
    }
    const live = context.pid === process.pid ? kept.get(context.id) : undefined;
    return { ...options(), ...(live || context.json) };
  }

  function createResponse(resolve) {
    const headers = {};
    const end = body => {
      if (!response.headersSent) {
        response.headersSent = true;
        response.finished = true;
        resolve({ response: { status: response.statusCode, headers, body: body === undefined ? '' : String(body) } });
      }
      return response;
    };
    const setHeader = (name, value) => {
      if (typeof name === 'object') {
        Object.keys(name).forEach(key => setHeader(key, name[key]));
      } else {
        headers[String(name).toLowerCase()] = Array.isArray(value) ? value.join(', ') : String(value);
      }
      return response;
    };
    const json = body => {
      headers['content-type'] = headers['content-type'] || 'application/json; charset=utf-8';
      return end(JSON.stringify(body));
    };
    const response = {
      statusCode: 200,
      headersSent: false,
      finished: false,
      locals: {},
      status(code) {
        response.statusCode = code;
        return response;
      },
      sendStatus: code => response.status(code).send(String(code)),
      set: setHeader,
      header: setHeader,
      setHeader,
      get: name => headers[String(name).toLowerCase()],
      getHeader: name => headers[String(name).toLowerCase()],
      removeHeader(name) {
        delete headers[String(name).toLowerCase()];
      },
      type: value => setHeader('content-type', value),
      json,
      send(body) {
        if (body !== null && typeof body === 'object' && !Buffer.isBuffer(body)) {
          return json(body);
        }
        headers['content-type'] = headers['content-type'] || 'text/html; charset=utf-8';
        return end(body);
      },
      redirect(status, url) {
        setHeader('location', url === undefined ? status : url);
        return response.status(url === undefined ? 302 : status).send('');
      },
      end,
      // Nothing is heard of the connection.
      on: () => response,
      once: () => response,
      removeListener: () => response,
    };
    return response;
  }

  // As parse-server's own handler of errors answers.
  function refusal(error) {
    if (error instanceof Parse.Error) {
      throw error;
    }
    if (error && error.status && error.message) {
      return { response: { status: error.status, headers: {}, body: JSON.stringify({ error: error.message }) } };
    }
    log.error('Uncaught internal server error in requestContextMiddleware.', error);
    const body = JSON.stringify({ code: Parse.Error.INTERNAL_SERVER_ERROR, message: 'Internal server error.' });
    return { response: { status: 500, headers: {}, body } };
  }

  async function run(middleware, given) {
    const before = options();
    const config = { ...before };
    const { isMaster, isReadOnly, installationId, user, ...request } = given;
    const get = name => request.headers[String(name).toLowerCase()];
    const req = {
      ...request,
      path: request.url.split('?')[0],
      config,
      get,
      header: get,
      info: { appId: config.appId, installationId, ip: request.ip, sessionToken: user && user.sessionToken },
      auth: { config, isMaster, isReadOnly, installationId, user: codec.inflateUser(user) },
      params: {},
      on: () => req,
      once: () => req,
    };
    try {
      return await new Promise((resolve, reject) => {
        const res = createResponse(resolve);
        Object.assign(req, { res });
        const goOn = error => (error && error !== 'route' ? reject(error) : resolve(keep(req.config || {}, before)));
        Promise.resolve(middleware(req, res, goOn)).catch(reject);
      });
    } catch (error) {
      return refusal(error);
    }
  }

  return { run, configFor };
}

module.exports = { createMiddleware };
