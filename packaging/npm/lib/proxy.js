'use strict';
// Hands requests on to the child and its answers back, unparsed. Who the client is goes along in a header that the
// child believes on its private socket alone (src/http/door.rs).

const net = require('node:net');
const { Pool } = require('./pool');

const OVERLOADED = '{"code":1,"error":"Invalid server state: ';

// Between two hops, not from end to end.
const HOP_HEADERS = new Set(['connection', 'keep-alive', 'proxy-connection', 'upgrade', 'http2-settings', 'te', 'trailer', 'expect', 'x-parsimony-client']);

function addressOf(req, server) {
  // Whoever has told Express of its proxies need not tell us again; else the child judges by its own option.
  const app = req.app;
  if (server.config.trustProxy === undefined && app && typeof app.enabled === 'function' && app.enabled('trust proxy')) {
    return req.ip;
  }
  return req.socket.remoteAddress;
}

// Of a client that is gone already nothing is known; only a socket of this machine has no address while it lives.
const unnamed = req => (req.socket.destroyed ? '0.0.0.0' : '127.0.0.1');

function schemeOf(req) {
  return req.protocol || (req.socket.encrypted ? 'https' : 'http');
}

// The mount as the client sees it.
function mountOf(req) {
  const { originalUrl, url } = req;
  if (originalUrl === undefined || originalUrl === url) {
    return '';
  }
  const path = originalUrl.split('?', 1)[0];
  const below = url.split('?', 1)[0];
  const mount = path.endsWith(below) ? path.slice(0, path.length - below.length) : path;
  return mount.endsWith('/') ? mount.slice(0, -1) : mount;
}

const client = (req, server) => `${addressOf(req, server) || unnamed(req)} ${schemeOf(req)} ${mountOf(req).replace(/\s/g, '')}`;

// Only what an application has put there could contain a space or a line end.
const safe = target => (/[\s]/.test(target) ? encodeURI(target) : target);

// What a body parser of the application has made of the body, as a body again.
function readBody(req) {
  const { body } = req;
  if (body === undefined || !req.readableEnded) {
    return undefined;
  }
  if (Buffer.isBuffer(body)) {
    return { body };
  }
  if (typeof body === 'string') {
    return { body: Buffer.from(body) };
  }
  return { body: Buffer.from(JSON.stringify(body)), type: 'application/json' };
}

// Names as Node gives them; others that an application has put there are found by nobody.
const NAME = /^[!#$%&'*+.^_`|~0-9a-z-]+$/;

// A header as it may stand in a head: what came in is Latin-1 already, an application may have put anything there.
function line(name, value) {
  const text = typeof value === 'string' ? value : String(value);
  const plain = /[\0\r\n]|[^\0-\xff]/.test(text) ? Buffer.from(text.replace(/[\0\r\n]+/g, ' ')).toString('latin1') : text;
  return `${name}: ${plain}\r\n`;
}

// Whether the header is one of a body that is written anew, or of the length of a body that comes in pieces.
function isOfBody(name, exchange) {
  const { chunked, read } = exchange;
  switch (name) {
    case 'content-length':
      return Boolean(read) || chunked;
    case 'transfer-encoding':
    case 'content-encoding':
      return Boolean(read);
    case 'content-type':
      return Boolean(read && read.type);
    default:
      return false;
  }
}

// The headers are those of `req.headers`, which middleware in front may have changed: what it took away does not count.
function headOf(exchange) {
  const { read, req, server, target } = exchange;
  const { headers } = req;
  let head = `${req.method} ${target} HTTP/1.1\r\n`;
  if (headers.host === undefined && headers[':authority'] !== undefined) {
    // Of a client that speaks HTTP/2 to the application.
    head += line('host', headers[':authority']);
  }
  for (const name of Object.keys(headers)) {
    const value = headers[name];
    if (value === undefined || value === null || HOP_HEADERS.has(name) || isOfBody(name, exchange) || !NAME.test(name)) {
      continue;
    }
    head += line(name, Array.isArray(value) ? value.join(', ') : value);
  }
  if (read) {
    head += `Content-Length: ${read.body.length}\r\n`;
    if (read.type) {
      head += `Content-Type: ${read.type}\r\n`;
    }
  }
  return `${head}X-Parsimony-Client: ${client(req, server)}\r\n\r\n`;
}

// One by one: what wraps `writeHead` in middleware (compression, sessions, loggers) mostly takes lists for something else.
function setHeaders(res, headers) {
  const values = new Map();
  for (let index = 0; index < headers.length; index += 2) {
    const name = headers[index];
    const former = values.get(name);
    values.set(name, former === undefined ? headers[index + 1] : [].concat(former, headers[index + 1]));
  }
  for (const [name, value] of values) {
    res.setHeader(name, value);
  }
}

class Exchange {
  constructor(pool, server, req, res, next, target) {
    this.pool = pool;
    this.server = server;
    this.req = req;
    this.res = res;
    this.next = next;
    this.target = target;
    this.isHead = req.method === 'HEAD';
    this.sent = false;
    this.passedOn = false;
  }

  run() {
    const { req, res } = this;
    this.read = readBody(req);
    this.chunked = !this.read && req.headers['transfer-encoding'] !== undefined;
    this.hasBody = !this.read && (this.chunked || Number(req.headers['content-length']) > 0);
    res.once('close', () => this.onClientClose());
    this.send();
  }

  send() {
    const { req } = this;
    const path = this.server.socketPath;
    const connection = this.pool.take(path, this);
    if (!connection) {
      refuse(this.server, this.req, this.res);
      return;
    }
    this.connection = connection;
    const { socket } = connection;
    const head = headOf(this);
    if (this.read) {
      socket.cork();
      socket.write(head, 'latin1');
      socket.end === undefined || socket.write(this.read.body);
      socket.uncork();
      this.sent = true;
    } else if (!this.hasBody) {
      socket.write(head, 'latin1');
      this.sent = true;
    } else {
      this.sendBody(head);
    }
  }

  // The head leaves with the first part of the body, which mostly is the whole.
  sendBody(head) {
    const { req, connection } = this;
    const { socket } = connection;
    socket.cork();
    socket.write(head, 'latin1');
    let corked = true;
    const uncork = () => {
      if (corked) {
        corked = false;
        socket.uncork();
      }
    };
    setImmediate(uncork);
    const onData = chunk => {
      if (this.connection !== connection || connection.receiver !== this) {
        return;
      }
      let room;
      if (this.chunked) {
        socket.write(`${chunk.length.toString(16)}\r\n`, 'latin1');
        socket.write(chunk);
        room = socket.write('\r\n', 'latin1');
      } else {
        room = socket.write(chunk);
      }
      if (!room && !corked) {
        req.pause();
      }
    };
    req.on('data', onData);
    req.once('end', () => {
      this.sent = true;
      if (this.connection === connection && connection.receiver === this) {
        if (this.chunked) {
          socket.write('0\r\n\r\n', 'latin1');
        }
        uncork();
      }
    });
    this.begun = true;
  }

  isSent() {
    return this.sent;
  }

  onDrain() {
    this.req.resume();
  }

  onHead(status, headers, unrouted) {
    if (unrouted && this.next) {
      this.passedOn = true;
      return;
    }
    const { res } = this;
    if (res.headersSent) {
      // Somebody in front of us answered meanwhile, by a timeout for one.
      this.connection.destroy();
      return;
    }
    setHeaders(res, headers);
    res.writeHead(status);
  }

  onData(chunk, last) {
    if (this.passedOn) {
      if (last) {
        this.connection = undefined;
        setImmediate(this.next);
      }
      return;
    }
    const { res, connection } = this;
    if (last) {
      this.connection = undefined;
      res.end(chunk);
    } else if (!res.write(chunk)) {
      connection.socket.pause();
      res.once('drain', () => connection.socket.resume());
    }
  }

  // The child is gone, or has closed an idle connection just when it was used.
  onClose(isEnd, isStale) {
    this.connection = undefined;
    const { res } = this;
    if (isEnd) {
      res.end();
    } else if (res.headersSent) {
      res.destroy();
    } else if (isStale && !this.begun && !this.again) {
      this.again = true;
      this.send();
    } else {
      refuse(this.server, this.req, this.res);
    }
  }

  onClientClose() {
    const { connection } = this;
    if (connection && connection.receiver === this) {
      this.connection = undefined;
      connection.destroy();
    }
  }
}

// There is no server: it has not started, is starting again, or has been stopped.
function refuse(server, req, res) {
  if (res.headersSent) {
    res.destroy();
    return;
  }
  const { state } = server.config;
  // A server that is there and does not serve yet answers 500, as parse-server does; one that was lost is soon back.
  const lost = state === 'ok' || server.wasOk;
  const shown = lost ? 'starting' : state;
  const isHealth = /^\/?health\/?(\?|$)/.test(req.url);
  const body = isHealth ? `{"status":"${shown}"}` : `${OVERLOADED}${shown}"}`;
  const headers = { 'Content-Type': 'application/json; charset=utf-8', 'Access-Control-Allow-Origin': '*', 'Content-Length': Buffer.byteLength(body) };
  if (shown === 'starting') {
    headers['Retry-After'] = '1';
  }
  res.writeHead(isHealth || lost ? 503 : 500, headers);
  res.end(req.method === 'HEAD' ? undefined : body);
}

// A handler for Express, or for `http.createServer`. `prefix` is where the child serves what the handler stands for.
function createHandler(server, prefix) {
  const pool = server.pool || (server.pool = new Pool());
  return function parseServer(req, res, next) {
    const below = req.url;
    const target = safe(prefix === '' ? below : below === '/' ? prefix + '/' : prefix + below);
    new Exchange(pool, server, req, res, next, target).run();
  };
}

// Hands a WebSocket on, with everything that comes and goes over it.
function handUpgrade(server, req, socket, head) {
  const path = server.socketPath;
  socket.on('error', () => socket.destroy());
  if (path === undefined) {
    socket.end('HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
    return;
  }
  const upstream = net.connect(path);
  const raw = req.rawHeaders;
  let text = `${req.method} ${safe(req.url)} HTTP/1.1\r\n`;
  for (let index = 0; index < raw.length; index += 2) {
    if (raw[index].toLowerCase() !== 'x-parsimony-client') {
      text += `${raw[index]}: ${raw[index + 1]}\r\n`;
    }
  }
  upstream.write(`${text}X-Parsimony-Client: ${client(req, server)}\r\n\r\n`, 'latin1');
  if (head.length > 0) {
    upstream.write(head);
  }
  socket.setNoDelay(true);
  socket.setTimeout(0);
  upstream.on('error', () => socket.destroy());
  upstream.on('close', () => socket.destroy());
  socket.on('close', () => upstream.destroy());
  upstream.pipe(socket);
  socket.pipe(upstream);
}

module.exports = { createHandler, handUpgrade };
