// APNs and FCM as one TLS server on loopback that keeps a ledger of what each device got, and that can fail in the
// ways services fail. The server under test reaches it through a proxy, as every host of theirs.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { hosts } from './services.js';

/** `environment`: for openssl, so that a test of clocks can have certificates from before. */
function certificates(folder, environment) {
  const at = name => path.join(folder, name);
  const openssl = (...args) => execFileSync('openssl', args, { stdio: 'ignore', env: { ...process.env, ...environment } });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  openssl('req', '-x509', ...key, '-keyout', at('ca.key'), '-out', at('ca.pem'), '-subj', '/CN=Test CA', '-days', '9');
  openssl('req', ...key, '-keyout', at('leaf.key'), '-out', at('leaf.csr'), '-subj', '/CN=push');
  fs.writeFileSync(at('leaf.ext'), `subjectAltName=${hosts.map(host => `DNS:${host}`).join(',')}`);
  openssl('x509', '-req', '-in', at('leaf.csr'), '-CA', at('ca.pem'), '-CAkey', at('ca.key'), '-CAcreateserial', '-out', at('leaf.pem'), '-days', '9', '-extfile', at('leaf.ext'));
  return { caFile: at('ca.pem'), cert: fs.readFileSync(at('leaf.pem')), key: fs.readFileSync(at('leaf.key')) };
}

/** Which device a request is for, and what it says. */
function read(host, at, text) {
  const body = text === '' ? {} : JSON.parse(text);
  if (host === 'fcm.googleapis.com') return { token: body.message.token };
  return { token: at.slice('/3/device/'.length), alert: body.aps?.alert };
}

export class Double {
  /** Milliseconds until an answer: as long, what was taken is under way. */
  delay = 0;

  /**
   * What becomes of a request `{host, token, alert, headers, tries}`: nothing (it is taken), `{status, body, headers,
   * when}` (not before the promise `when`), `'cut'` (the connection is dropped, nothing was taken) or `'lost'` (taken, and dropped unanswered).
   */
  answer = () => undefined;

  /** How often each device got something. */
  ledger = new Map();

  /** `{token, alert, at}` of everything taken, in order. */
  taken = [];

  /** The moments of each device's requests, whatever was answered. */
  asked = new Map();

  #sessions = new Set();
  #sockets = new Set();
  #proxy = null;

  static async start({ environment } = {}) {
    const double = new Double();
    double.folder = fs.mkdtempSync(path.join(os.tmpdir(), 'contract-push-faults-'));
    const { caFile, cert, key } = certificates(double.folder, environment);
    const server = http2.createSecureServer({ cert, key, settings: { maxConcurrentStreams: 1000 } });
    server.on('session', session => {
      double.#sessions.add(session);
      session.on('error', () => {});
      session.once('close', () => double.#sessions.delete(session));
    });
    server.on('sessionError', () => {});
    server.on('stream', (stream, headers) => double.#hear(stream, headers));
    await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
    double.server = server;
    await double.up();
    double.environment = { HTTPS_PROXY: `http://127.0.0.1:${double.port}`, SSL_CERT_FILE: caFile };
    return double;
  }

  /** As new. */
  async reset() {
    this.delay = 0;
    this.held = null;
    this.answer = () => undefined;
    this.ledger = new Map();
    this.taken = [];
    this.asked = new Map();
    await this.up();
  }

  /** Devices that got something. */
  get reached() {
    return this.ledger.size;
  }

  /** How often devices got it again. */
  get repeats() {
    return this.taken.length - this.ledger.size;
  }

  #hear(stream, headers) {
    const chunks = [];
    stream.on('error', () => {});
    stream.on('data', chunk => chunks.push(chunk));
    stream.on('end', () => {
      // The rest of a connection that was told to go is not looked at.
      const { session } = stream;
      if (!session || session.leaving || stream.destroyed) return;
      session.last = Math.max(session.last ?? 0, stream.id);
      const host = headers[':authority'].split(':')[0];
      const text = Buffer.concat(chunks).toString();
      if (host === 'oauth2.googleapis.com') return this.#say(stream, { body: { access_token: 'token', expires_in: 3600, token_type: 'Bearer' } });
      const one = { host, headers, ...read(host, headers[':path'], text) };
      const times = this.asked.get(one.token) ?? [];
      this.asked.set(one.token, [...times, Date.now()]);
      one.tries = times.length + 1;
      const reply = this.answer(one);
      if (reply === undefined || reply === 'lost') {
        this.ledger.set(one.token, (this.ledger.get(one.token) ?? 0) + 1);
        this.taken.push({ token: one.token, alert: one.alert, at: Date.now() });
      }
      if (reply === 'cut' || reply === 'lost') return session.destroy();
      const said = reply ?? { status: 200, body: host === 'fcm.googleapis.com' ? { name: 'projects/project/messages/1' } : undefined };
      const when = said.when ?? this.held;
      if (when) return when.then(() => this.#say(stream, said));
      if (this.delay === 0) return this.#say(stream, said);
      setTimeout(() => this.#say(stream, said), this.delay);
    });
  }

  #say(stream, { status = 200, body, headers = {} }) {
    if (stream.destroyed || stream.session?.destroyed) return;
    stream.respond({ ':status': status, 'content-type': 'application/json', ...headers });
    stream.end(body === undefined ? '' : JSON.stringify(body));
  }

  /** From now on nobody is answered, until what this answers is called. */
  hold() {
    let release;
    this.held = new Promise(resolve => (release = resolve));
    return () => {
      this.held = null;
      release();
    };
  }

  /** Every connection is told to go: what came last counts, what comes after is not looked at. */
  goAway() {
    const sessions = [...this.#sessions].filter(session => session.last && !session.leaving);
    for (const session of sessions) {
      session.leaving = true;
      session.goaway(http2.constants.NGHTTP2_NO_ERROR, session.last);
      // Answers that are under way still come.
      setTimeout(() => session.destroy(), this.delay + 200);
    }
    return sessions.length;
  }

  /** Connections are refused, and those that there are end. */
  async down() {
    const proxy = this.#proxy;
    this.#proxy = null;
    const closed = new Promise(resolve => proxy.close(resolve));
    this.drop();
    await closed;
  }

  /** All connections end in the middle of what they carry. */
  drop() {
    for (const socket of this.#sockets) socket.destroy();
    for (const session of this.#sessions) session.destroy();
  }

  async up() {
    if (this.#proxy) return;
    const proxy = http.createServer();
    const keep = socket => {
      this.#sockets.add(socket);
      socket.on('error', () => {});
      socket.once('close', () => this.#sockets.delete(socket));
    };
    proxy.on('connection', keep);
    proxy.on('connect', (request, client, head) => {
      const upstream = net.connect(this.server.address().port, '127.0.0.1', () => {
        client.write('HTTP/1.1 200 OK\r\n\r\n');
        upstream.write(head);
        upstream.pipe(client).pipe(upstream);
      });
      keep(upstream);
      upstream.once('close', () => client.destroy());
      client.once('close', () => upstream.destroy());
    });
    // The same port as before, for that is the one it was told of.
    await new Promise((resolve, reject) => {
      proxy.once('error', reject);
      proxy.listen(this.port ?? 0, '127.0.0.1', resolve);
    });
    this.port = proxy.address().port;
    this.#proxy = proxy;
  }

  async stop() {
    if (this.#proxy) await this.down();
    this.drop();
    this.server.close();
    fs.rmSync(this.folder, { recursive: true, force: true });
  }
}
