'use strict';
// The package: the names that parse-server exports.

const { ParseServer: Server } = require('./ParseServer');
const { ParseGraphQLServer } = require('./graphql');
const { BUILT_IN, CACHES, ...adapters } = require('./adapters');
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
Object.assign(exports, adapters, {
  ParseGraphQLServer,
  ParseServer,
  SchemaMigrations: require('./schema'),
  TestUtils: require('./test-utils'),
  default: Server,
  logger,
});
