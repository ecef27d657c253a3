'use strict';
// Connections to the child, each for one request at a time, and as much of HTTP/1.1 as is spoken there: Node's own
// client costs several times as much, and both ends are ours.

const net = require('node:net');

// The server closes connections that were idle for five seconds.
const IDLE_MS = 3000;
const MOST_IDLE = 256;
const MAX_HEAD = 256 * 1024;

const CR = 13;
const LF = 10;

class Connection {
  constructor(pool, path) {
    this.pool = pool;
    this.used = false;
    this.receiver = undefined;
    this.socket = net.connect({ path, onread: undefined });
    this.socket.on('data', chunk => this.take(chunk));
    this.socket.on('drain', () => this.receiver && this.receiver.onDrain());
    this.socket.on('error', () => {});
    this.socket.on('close', () => this.closed());
  }

  begin(receiver) {
    this.receiver = receiver;
    this.head = undefined;
    this.state = 'head';
    this.heard = false;
  }

  closed() {
    this.gone = true;
    this.pool.forget(this);
    const { receiver } = this;
    this.receiver = undefined;
    if (receiver) {
      receiver.onClose(this.state === 'until close', this.used && !this.heard);
    }
  }

  destroy() {
    this.receiver = undefined;
    this.socket.destroy();
  }

  take(chunk) {
    if (!this.receiver) {
      // Nobody asked: an answer to nothing, or the rest of one that was given up.
      this.socket.destroy();
      return;
    }
    this.heard = true;
    if (this.state === 'head') {
      this.takeHead(chunk);
    } else {
      this.takeBody(chunk, 0);
    }
  }

  takeHead(chunk) {
    if (this.head) {
      chunk = Buffer.concat([this.head, chunk]);
      this.head = undefined;
    }
    const end = chunk.indexOf('\r\n\r\n');
    if (end < 0) {
      if (chunk.length > MAX_HEAD) {
        this.socket.destroy();
      } else {
        this.head = chunk;
      }
      return;
    }
    const lines = chunk.latin1Slice(0, end).split('\r\n');
    const status = Number(lines[0].slice(9, 12));
    if (status < 200) {
      this.head = chunk.subarray(end + 4);
      if (this.head.length > 0) {
        const rest = this.head;
        this.head = undefined;
        this.takeHead(rest);
      } else {
        this.head = undefined;
      }
      return;
    }
    this.readHead(status, lines, chunk, end + 4);
  }

  readHead(status, lines, chunk, at) {
    const headers = [];
    let length = -1;
    let chunked = false;
    let unrouted = false;
    this.close = false;
    for (let index = 1; index < lines.length; index++) {
      const line = lines[index];
      const colon = line.indexOf(':');
      const name = line.slice(0, colon);
      const value = line.slice(colon + 1).trim();
      switch (name.toLowerCase()) {
        case 'connection':
          this.close = /close/i.test(value);
          continue;
        case 'keep-alive':
          continue;
        case 'transfer-encoding':
          chunked = /chunked/i.test(value);
          continue;
        case 'content-length':
          length = Number(value);
          break;
        case 'x-parsimony-unrouted':
          unrouted = true;
          continue;
        default:
      }
      headers.push(name, value);
    }
    const { receiver } = this;
    const empty = receiver.isHead || status === 204 || status === 304;
    if (empty || length === 0) {
      receiver.onHead(status, headers, unrouted);
      receiver.onData(undefined, true);
      this.done();
      return;
    }
    this.state = chunked ? 'size' : length > 0 ? 'body' : 'until close';
    this.left = length > 0 ? length : 0;
    this.line = '';
    receiver.onHead(status, headers, unrouted);
    if (at < chunk.length) {
      this.takeBody(chunk, at);
    }
  }

  takeBody(chunk, at) {
    while (at < chunk.length && this.receiver) {
      switch (this.state) {
        case 'until close':
          this.receiver.onData(at === 0 ? chunk : chunk.subarray(at), false);
          return;
        case 'body': {
          const part = chunk.subarray(at, at + this.left);
          at += part.length;
          this.left -= part.length;
          this.receiver.onData(part, this.left === 0);
          if (this.left === 0) {
            this.done();
          }
          break;
        }
        case 'chunk': {
          const part = chunk.subarray(at, at + this.left);
          at += part.length;
          this.left -= part.length;
          this.receiver.onData(part, false);
          if (this.left === 0) {
            this.state = 'chunk end';
          }
          break;
        }
        default:
          // A line: the size of a chunk, the end of one, or what follows the last.
          if (chunk[at] === LF) {
            this.endLine();
          } else if (chunk[at] !== CR) {
            this.line += String.fromCharCode(chunk[at]);
          }
          at += 1;
      }
    }
  }

  endLine() {
    const { line } = this;
    this.line = '';
    if (this.state === 'chunk end') {
      this.state = 'size';
    } else if (this.state === 'size') {
      this.left = parseInt(line, 16);
      if (Number.isNaN(this.left)) {
        this.socket.destroy();
      } else {
        this.state = this.left === 0 ? 'trailer' : 'chunk';
      }
    } else if (line === '') {
      this.receiver.onData(undefined, true);
      this.done();
    }
  }

  // The answer is complete.
  done() {
    const { receiver } = this;
    this.receiver = undefined;
    this.used = true;
    if (this.close || this.gone || !receiver.isSent()) {
      // The rest of a body that nobody reads any more.
      this.socket.destroy();
    } else {
      this.pool.giveBack(this);
    }
  }
}

class Pool {
  constructor() {
    this.idle = [];
    this.path = undefined;
  }

  // A connection to the server there is; undefined when there is none.
  take(path, receiver) {
    if (path !== this.path) {
      this.idle.forEach(connection => connection.destroy());
      this.idle = [];
      this.path = path;
    }
    if (path === undefined) {
      return undefined;
    }
    const oldest = Date.now() - IDLE_MS;
    let connection;
    while ((connection = this.idle.pop())) {
      if (connection.since > oldest && !connection.gone) {
        break;
      }
      connection.destroy();
    }
    connection = connection || new Connection(this, path);
    connection.begin(receiver);
    return connection;
  }

  giveBack(connection) {
    if (this.idle.length < MOST_IDLE && !connection.gone) {
      connection.since = Date.now();
      connection.socket.resume();
      this.idle.push(connection);
    } else {
      connection.destroy();
    }
  }

  forget(connection) {
    const index = this.idle.indexOf(connection);
    if (index >= 0) {
      this.idle.splice(index, 1);
    }
  }

  close() {
    this.idle.forEach(connection => connection.destroy());
    this.idle = [];
  }
}

module.exports = { Pool };
