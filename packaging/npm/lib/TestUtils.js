'use strict';
// Helpers for tests of applications.

const { ParseServer } = require('./ParseServer');

// Removes every object, and every class that is none of the server's own.
async function destroyAllDataPermanently() {
  if (!process.env.TESTING) {
    throw 'Only supported in test environment';
  }
  for (const server of ParseServer.servers) {
    const { results } = await server.ask('GET', '/schemas', {});
    for (const { className } of results) {
      await server.ask('DELETE', `/purge/${className}`, {});
      if (!className.startsWith('_')) {
        await server.ask('DELETE', `/schemas/${className}`, {});
      }
    }
  }
}

function resolvingPromise() {
  let settle;
  const promise = new Promise((resolve, reject) => (settle = { resolve, reject }));
  return Object.assign(promise, settle);
}

const sleep = ms => new Promise(resolve => setTimeout(resolve, ms));

const getConnectionsCount = server =>
  new Promise((resolve, reject) => server.getConnections((error, count) => (error ? reject(error) : resolve(count))));

class Connections {
  constructor() {
    this.sockets = new Set();
  }

  track(server) {
    server.on('connection', socket => {
      this.sockets.add(socket);
      socket.on('close', () => this.sockets.delete(socket));
    });
  }

  destroyAll() {
    this.sockets.forEach(socket => socket.destroy());
    this.sockets.clear();
  }

  count() {
    return this.sockets.size;
  }
}

module.exports = { Connections, destroyAllDataPermanently, getConnectionsCount, resolvingPromise, sleep };
