'use strict';
// The package: the names that parse-server exports, written out so that `import { … }` finds them.

const { ParseServer: Server } = require('./ParseServer');
const adapters = require('./adapters');
const { logger } = require('./parse');

// With or without `new`, as ever.
function ParseServer(options) {
  return new Server(options);
}
for (const name of ['app', 'createLiveQueryServer', 'startApp', 'verifyServerUrl']) {
  ParseServer[name] = Server[name];
}
ParseServer.default = Server;

Object.defineProperty(exports, '__esModule', { value: true });
exports.AuthAdapter = adapters.AuthAdapter;
exports.FileSystemAdapter = adapters.FileSystemAdapter;
exports.GCSAdapter = adapters.GCSAdapter;
exports.InMemoryCacheAdapter = adapters.InMemoryCacheAdapter;
exports.LRUCacheAdapter = adapters.LRUCacheAdapter;
exports.NullCacheAdapter = adapters.NullCacheAdapter;
exports.ParseGraphQLServer = require('./graphql').ParseGraphQLServer;
exports.ParseServer = ParseServer;
exports.PushWorker = adapters.PushWorker;
exports.RedisCacheAdapter = adapters.RedisCacheAdapter;
exports.S3Adapter = adapters.S3Adapter;
exports.SchemaMigrations = require('./SchemaMigrations/Migrations');
exports.TestUtils = require('./TestUtils');
exports.default = Server;
exports.logger = logger;
