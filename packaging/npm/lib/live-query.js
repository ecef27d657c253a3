'use strict';
// `ParseServer.createLiveQueryServer`: sockets of an HTTP server of the application, handed on to the child.

const { handUpgrade } = require('./proxy');

class ParseLiveQueryServer {
  constructor(httpServer, parseServer) {
    this.server = httpServer;
    this.parseServer = parseServer;
    this.sockets = new Set();
    this.onUpgrade = (req, socket, head) => {
      this.sockets.add(socket);
      socket.once('close', () => this.sockets.delete(socket));
      handUpgrade(parseServer, req, socket, head);
    };
  }

  async connect() {
    if (!this.connected) {
      this.connected = true;
      this.server.on('upgrade', this.onUpgrade);
    }
  }

  async shutdown() {
    this.connected = false;
    this.server.removeListener('upgrade', this.onUpgrade);
    for (const socket of this.sockets) {
      socket.destroy();
    }
  }
}

module.exports = { ParseLiveQueryServer };
