// npm parse-server and what it depends on must share one copy of `graphql`: types of another copy are no types.
// Preloaded into the reference server, whose node_modules may hold two.
const Module = require('module');
const path = require('path');
const resolve = Module._resolveFilename;
const server = path.dirname(require.resolve('parse-server/package.json'));
Module._resolveFilename = function (request, parent, ...rest) {
  if (request === 'graphql' || request.startsWith('graphql/')) {
    return resolve.call(this, request, { id: server, filename: path.join(server, 'index.js'), paths: Module._nodeModulePaths(server) }, ...rest);
  }
  return resolve.call(this, request, parent, ...rest);
};
