'use strict';
// The options of a server of this process, as `Config.get(appId)` tells them. What parse-server also keeps there works
// within its own process, and says so when it is asked for.

const { logger, servers } = require('./parse');

const WITHIN = [
  'database', 'databaseController', 'filesController', 'userController', 'cacheController', 'hooksController',
  'liveQueryController', 'analyticsController', 'parseGraphQLController', 'pushController', 'pushWorker', 'authDataManager',
];

const withoutSlash = text => (text && text.endsWith('/') ? text.slice(0, -1) : text);

class Config {
  static get(applicationId, mount) {
    const server = servers.get(applicationId);
    if (!server) {
      return undefined;
    }
    return Object.assign(new Config(), server.options(), { applicationId, mount: withoutSlash(mount) });
  }

  get loggerController() {
    return logger;
  }

  // When a session that begins now ends.
  generateSessionExpiresAt() {
    if (this.expireInactiveSessions === false) {
      return undefined;
    }
    const { sessionLength = 31536000 } = this;
    return new Date(Date.now() + sessionLength * 1000);
  }
}

for (const name of WITHIN) {
  Object.defineProperty(Config.prototype, name, {
    configurable: true,
    get() {
      throw new Error(`Config has no ${name}: the server is a program of its own. Use the SDK with the master key instead.`);
    },
    set(value) {
      Object.defineProperty(this, name, { value, configurable: true, enumerable: true, writable: true });
    },
  });
}

module.exports = Config;
Object.assign(module.exports, { Config, default: Config });
Object.defineProperty(module.exports, '__esModule', { value: true });
