'use strict';
// The servers of this process by application id.

const Config = require('./Config');
const { servers } = require('./parse');

const AppCache = {
  get: applicationId => Config.get(applicationId) || null,
  get cache() {
    return Object.fromEntries([...servers.keys()].map(applicationId => [applicationId, Config.get(applicationId)]));
  },
};

Object.defineProperty(exports, '__esModule', { value: true });
exports.AppCache = AppCache;
exports.default = AppCache;
