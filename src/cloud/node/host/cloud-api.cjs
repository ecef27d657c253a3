'use strict';
// `Parse.Cloud` as Cloud Code sees it, and `Parse.Server`.

const { toParseError } = require('./sdk.cjs');
const { checkValidator } = require('./validators.cjs');

const RATE_LIMIT_KEYS = new Set([
  'requestPath',
  'requestTimeWindow',
  'requestCount',
  'errorResponseMessage',
  'requestMethods',
  'includeMasterKey',
  'includeInternalRequests',
  'redisUrl',
  'zone',
]);

// What the server's own mail adapter reads.
const MAIL_TEXTS = ['to', 'subject', 'text', 'html'];

const RATE_LIMIT_ZONE = Object.freeze({ global: 'global', session: 'session', user: 'user', ip: 'ip' });

function isObjectClass(value) {
  return typeof value === 'function' && Object.prototype.hasOwnProperty.call(value, 'className');
}

function checkClass(type, className) {
  if (type === 'beforeSave' && className === '_PushStatus') {
    throw 'Only afterSave is allowed on _PushStatus';
  }
  const ofUsers = type === 'beforeLogin' || type === 'afterLogin' || type === 'beforePasswordResetRequest';
  if (ofUsers && className !== '_User') {
    throw 'Only the _User class is allowed for the beforeLogin, afterLogin, and beforePasswordResetRequest triggers';
  }
  if (type === 'afterLogout' && className !== '_Session') {
    throw 'Only the _Session class is allowed for the afterLogout trigger.';
  }
  if (className === '_Session' && type !== 'afterLogout') {
    throw 'Only the afterLogout trigger is allowed for the _Session class.';
  }
}

// The route a class is reached by, in the path syntax of the rateLimit option.
function routeOf(className) {
  switch (className) {
    case '_User':
      return '/users/_User{/*id}';
    case '_Session':
      return '/sessions/_Session{/*id}';
    case '@File':
      return '/files{/*id}';
    case '@Config':
      return '/config';
    default:
      return `/classes/${className}{/*id}`;
  }
}

function createCloud(Parse, registry, link, log, keeper) {
  function nameOf(parseClass) {
    if (parseClass === Parse.File) {
      return '@File';
    }
    if (parseClass === Parse.Config) {
      return '@Config';
    }
    if (parseClass && parseClass.className) {
      return parseClass.className;
    }
    if (parseClass && parseClass.name) {
      return parseClass.name.replace('Parse', '@');
    }
    return parseClass;
  }

  function limit(validator, requestPath, requestMethods) {
    const rule = validator && validator.rateLimit;
    if (!rule) {
      return;
    }
    for (const key in rule) {
      if (!RATE_LIMIT_KEYS.has(key)) {
        throw `Invalid rate limit option "${key}"`;
      }
    }
    registry.limit({ requestPath, ...(requestMethods ? { requestMethods } : {}), ...rule });
  }

  // A trigger of any class; `methods` are those its rate limit counts.
  function onClass(type, methods) {
    return (parseClass, handler, validator) => {
      const className = nameOf(parseClass);
      checkValidator(validator);
      checkClass(type, className);
      registry.trigger(type, className, handler, validator);
      if (methods) {
        limit(validator, routeOf(className), methods);
      }
    };
  }

  // A trigger of one system class, which may be named in front of the handler. Validators of these
  // count for their rate limit only.
  function onSystemClass(type, ownClass, route, methods) {
    return (...args) => {
      let className = ownClass;
      if (typeof args[0] === 'string' || isObjectClass(args[0])) {
        className = nameOf(args.shift());
      }
      checkClass(type, className);
      registry.trigger(type, className, args[0]);
      if (route) {
        limit(args[1], route, methods);
      }
    };
  }

  return {
    define(name, handler, validator) {
      checkValidator(validator);
      registry.define(name, handler, validator);
      limit(validator, `/functions/${name}`);
    },
    job(name, handler) {
      registry.job(name, handler);
    },
    beforeSave: onClass('beforeSave', ['POST', 'PUT']),
    afterSave: onClass('afterSave'),
    beforeDelete: onClass('beforeDelete', 'DELETE'),
    afterDelete: onClass('afterDelete'),
    beforeFind: onClass('beforeFind', 'GET'),
    afterFind: onClass('afterFind'),
    beforeSubscribe: onClass('beforeSubscribe'),
    afterLiveQueryEvent: onClass('afterEvent'),
    beforeLogin: onSystemClass('beforeLogin', '_User', '/login', ['POST', 'GET']),
    afterLogin: onSystemClass('afterLogin', '_User'),
    afterLogout: onSystemClass('afterLogout', '_Session'),
    beforePasswordResetRequest: onSystemClass(
      'beforePasswordResetRequest',
      '_User',
      '/requestPasswordReset',
      'POST'
    ),
    beforeConnect(handler, validator) {
      checkValidator(validator);
      registry.trigger('beforeConnect', '@Connect', handler, validator);
    },
    // Ours: code around pushes, under names that no client can call.
    beforePushSend(handler) {
      registry.define('@beforePushSend', handler);
    },
    afterPushSend(handler) {
      registry.define('@afterPushSend', handler);
    },
    onLiveQueryEvent(handler) {
      registry.onLiveQuery(handler);
    },
    async sendEmail(data) {
      let answer;
      try {
        answer = await link.request({ kind: 'mail', data: keeper.wrap(data, MAIL_TEXTS) });
      } catch (error) {
        throw toParseError(Parse, error);
      }
      if (!answer.configured) {
        log.error('Failed to send email because no mail adapter is configured for Parse Server.');
        return undefined;
      }
      if (!keeper.isWrapped(answer.result)) {
        return undefined;
      }
      const { thrown, returned } = keeper.unwrap(answer.result);
      if (thrown) {
        throw thrown.error;
      }
      return returned;
    },
    useMasterKey() {
      console.warn(
        'Parse.Cloud.useMasterKey is deprecated (and has no effect anymore) on parse-server, please refer to the cloud code migration notes: http://docs.parseplatform.org/parse-server/guide/#master-key-must-be-passed-explicitly'
      );
    },
    _removeAllHooks() {
      registry.clear();
    },
  };
}

// The current options of an application; what is assigned to them is read from then on in this process, and told
// to the server.
function createOptions(link, log, config) {
  const complete = options => ({
    ...options,
    appId: config.appId,
    applicationId: config.appId,
    RateLimitZone: RATE_LIMIT_ZONE,
  });
  let current = complete(config);
  // Handed out as it is: requests would otherwise pay for a copy each.
  const read = () => current;
  return {
    read,
    assign(options) {
      const before = current;
      current = complete(options);
      const changed = {};
      for (const key of Object.keys(current)) {
        if (current[key] !== before[key]) {
          changed[key] = current[key];
        }
      }
      if (Object.keys(changed).length > 0) {
        link
          .request({ kind: 'config', data: changed })
          .catch(error => log.warn(`Parse.Server could not be changed: ${error.message}`));
      }
    },
  };
}

// `Parse.Server` reads as those options.
function installServer(Parse, { read, assign }) {
  Object.defineProperty(Parse, 'Server', { configurable: true, get: () => ({ ...read() }), set: assign });
}

module.exports = { createCloud, createOptions, installServer };
