// The outside world, faked at the level of the machine: every host in `hosts` is led to one TLS server of this
// process by an /etc/hosts of the servers' own (a mount namespace), with an authority that they are told to trust
// (SSL_CERT_FILE, NODE_EXTRA_CA_CERTS). Nothing of the machine is changed.
import { execFileSync, spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import fs from 'node:fs';
import http2 from 'node:http2';
import https from 'node:https';
import os from 'node:os';
import path from 'node:path';

export const hosts = [
  'appleid.apple.com', 'static.gc.apple.com', 'cacerts.digicert.com', 'graph.facebook.com', 'www.facebook.com', 'www.googleapis.com',
  'oauth2.googleapis.com', 'github.com', 'api.github.com', 'api.instagram.com', 'graph.instagram.com', 'api.line.me',
  'www.linkedin.com', 'api.linkedin.com', 'login.microsoftonline.com', 'graph.microsoft.com', 'graph.qq.com',
  'accounts.spotify.com', 'api.spotify.com', 'api.weixin.qq.com', 'api.weibo.com', 'api.twitter.com', 'rpxnow.com',
  'api.meetup.com', 'phantauth.net', 'oauth.vk.com', 'api.vk.com', 'capture.example', 'keycloak.example', 'introspect.example',
  'issuer.example', 'elsewhere.example', 'api.push.apple.com', 'api.sandbox.push.apple.com', 'fcm.googleapis.com', 'exp.host',
  'push.example', 'api-manage-broadcast.push.apple.com',
];

const openssl = (...args) => execFileSync('openssl', args, { stdio: ['ignore', 'pipe', 'ignore'] }).toString();

function certificates(folder, selfSigned) {
  const at = name => path.join(folder, name);
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  if (selfSigned) {
    // As openssl makes it by default: it may issue others.
    const names = `subjectAltName=${hosts.map(host => `DNS:${host}`).join(',')}`;
    openssl('req', '-x509', ...key, '-keyout', at('own.key'), '-out', at('own.pem'), '-subj', '/CN=outside', '-days', '2', '-addext', names);
    return { caFile: at('own.pem'), cert: fs.readFileSync(at('own.pem')), key: fs.readFileSync(at('own.key')) };
  }
  openssl('req', '-x509', ...key, '-keyout', at('ca.key'), '-out', at('ca.pem'), '-subj', '/CN=Test CA', '-days', '2');
  openssl('req', ...key, '-keyout', at('leaf.key'), '-out', at('leaf.csr'), '-subj', '/CN=outside');
  fs.writeFileSync(at('leaf.ext'), `subjectAltName=${hosts.map(host => `DNS:${host}`).join(',')}`);
  openssl('x509', '-req', '-in', at('leaf.csr'), '-CA', at('ca.pem'), '-CAkey', at('ca.key'), '-CAcreateserial', '-out', at('leaf.pem'), '-days', '2', '-extfile', at('leaf.ext'));
  return { caFile: at('ca.pem'), cert: fs.readFileSync(at('leaf.pem')), key: fs.readFileSync(at('leaf.key')) };
}

/** What a test says of `skip`: why the outside cannot be faked here, or `false`. */
export const unavailable = (() => {
  const tried = spawnSync('unshare', ['-m', 'mount', '--bind', '/etc/hosts', '/etc/hosts'], { encoding: 'utf8' });
  if (tried.status !== 0) return `no mount namespace of one's own: ${tried.error?.message ?? tried.stderr.trim()}`;
  // Only root, or whom the machine allows it, listens on port 443.
  let lowest = 1024;
  try {
    lowest = Number(fs.readFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', 'utf8'));
  } catch {
    // Not every kernel says.
  }
  return process.getuid() !== 0 && lowest > 443 ? 'port 443 is not to be had' : false;
})();

/** Headers that say something; the rest is the library's. */
const TELLING = ['authorization', 'content-type', 'accept', 'x-li-format', 'x-li-src', 'user-agent'];

function parsed(body, type = '') {
  if (body.length === 0) return undefined;
  if (type.startsWith('application/json')) return JSON.parse(body);
  if (type.startsWith('application/x-www-form-urlencoded')) return [...new URLSearchParams(body.toString())];
  return body.toString('latin1');
}

/**
 * `{address, caFile, seen, prefix, environment, on(url, reply), reset(), stop()}`. `on` says what a URL answers, by a
 * value or a function of the request, or a promise of one: `{status, headers, body, type}`, `'hang'`, `'close'` or `'endless'`.
 */
export async function startOutside({ protocols = ['h2', 'http/1.1'], selfSigned = false } = {}) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'contract-outside-'));
  const { caFile, cert, key } = certificates(folder, selfSigned);
  // An address of its own, so that several of them can do this at once.
  const address = `127.${randomInt(64, 127)}.${randomInt(1, 255)}.${randomInt(1, 255)}`;
  const hostsFile = path.join(folder, 'hosts');
  fs.writeFileSync(hostsFile, `127.0.0.1 localhost\n${hosts.map(host => `${address} ${host}\n`).join('')}`);
  const seen = [];
  let routes = new Map();
  const server = protocols.includes('h2') ? http2.createSecureServer({ cert, key, allowHTTP1: true }) : https.createServer({ cert, key });
  server.on('request', (request, response) => {
    const chunks = [];
    request.on('error', () => {});
    request.on('data', chunk => chunks.push(chunk));
    request.on('end', () => {
      const host = (request.authority ?? request.headers.host ?? '').split(':')[0];
      const { pathname, search, searchParams } = new URL(request.url, `https://${host}`);
      const raw = Buffer.concat(chunks);
      const all = Object.fromEntries(Object.entries(request.headers).filter(([name]) => !name.startsWith(':')));
      const noted = {
        method: request.method, host, path: pathname, search, query: [...searchParams].sort(),
        headers: Object.fromEntries(TELLING.filter(name => all[name] !== undefined).map(name => [name, all[name]])),
        all, raw, version: request.httpVersion,
      };
      try {
        noted.body = parsed(raw, all['content-type']);
      } catch {
        noted.body = raw.toString('latin1');
      }
      seen.push(noted);
      let reply = routes.get(`${host}${pathname}`) ?? routes.get(host);
      if (typeof reply === 'function') reply = reply(noted);
      // In time, where it has to wait for something.
      if (typeof reply?.then === 'function') reply.then(one => answer(request, response, one));
      else answer(request, response, reply);
    });
  });
  server.on('sessionError', () => {});
  const sockets = new Set();
  server.on('secureConnection', socket => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('close', () => sockets.delete(socket));
  });
  await new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(443, address, resolve);
  });
  return {
    address, caFile, seen, folder,
    /** What a program is started with, so that it sees the other outside. */
    prefix: ['unshare', '-m', '--propagation', 'private', 'sh', '-c', `mount --bind ${hostsFile} /etc/hosts && exec "$@"`, 'sh'],
    environment: { SSL_CERT_FILE: caFile, NODE_EXTRA_CA_CERTS: caFile, HTTPS_PROXY: '', https_proxy: '', ALL_PROXY: '', all_proxy: '', NO_PROXY: '*' },
    on(url, reply) {
      routes.set(url.replace(/^https:\/\//, ''), reply);
    },
    reset() {
      routes = new Map();
      seen.length = 0;
    },
    stop() {
      for (const socket of sockets) socket.destroy();
      server.close();
      fs.rmSync(folder, { recursive: true, force: true });
    },
  };
}

function answer(request, response, reply) {
  response.on('error', () => {});
  if (reply === 'hang') return;
  if (reply === 'close') {
    (request.stream?.session ?? request.socket).destroy();
    return;
  }
  if (reply === 'endless') {
    response.writeHead(200, { 'content-type': 'application/json' });
    const piece = Buffer.alloc(64 * 1024, ' ');
    const more = () => {
      while (!response.destroyed && !response.writableEnded && response.write(piece));
    };
    response.on('drain', more);
    more();
    return;
  }
  reply ??= { status: 404, body: { error: 'nothing there' } };
  const { status = 200, headers = {}, body, type } = reply;
  const isText = typeof body === 'string' || Buffer.isBuffer(body);
  const content = body === undefined ? '' : isText ? body : JSON.stringify(body);
  response.writeHead(status, {
    'content-type': type ?? (isText ? 'text/html' : 'application/json'), 'content-length': Buffer.byteLength(content), ...headers,
  });
  response.end(content);
}
