// A WebSocket that speaks the live-query protocol frame by frame, and a Redis of a suite's own.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import net from 'node:net';
import WebSocket from 'ws';
import { freePort, waitFor } from './postgres.js';
import { request } from './http.js';

const fromServer = createRequire(createRequire(import.meta.url).resolve('parse-server'));
export const redis = fromServer('redis');

export class Socket {
  /** A socket on which nothing was said yet. */
  static async open(server) {
    const socket = new Socket();
    socket.frames = [];
    socket.ws = new WebSocket(server.url.replace(/^http/, 'ws').replace(/\/parse$/, '/'));
    socket.ws.on('message', data => socket.frames.push(JSON.parse(data.toString())));
    await new Promise((resolve, reject) => socket.ws.once('open', resolve).once('error', reject));
    return socket;
  }

  /** One that said `connect` with these keys. */
  static async connect(server, keys = {}) {
    const socket = await Socket.open(server);
    socket.say({ op: 'connect', applicationId: server.config.appId, ...keys });
    const [answer] = await socket.hear(1);
    assert.equal(answer.op, 'connected', JSON.stringify(answer));
    return socket;
  }

  say(frame) {
    this.ws.send(typeof frame === 'string' || Buffer.isBuffer(frame) ? frame : JSON.stringify(frame));
  }

  async subscribe(requestId, query, more = {}) {
    this.say({ op: 'subscribe', requestId, query: { where: {}, ...query }, ...more });
    const [answer] = await this.hear(1);
    assert.equal(answer.op, 'subscribed', JSON.stringify(answer));
  }

  /** The next `count` frames, as long as they go on coming. */
  async hear(count) {
    while (this.frames.length < count) {
      const before = this.frames.length;
      await waitFor(() => this.frames.length > before, { timeout: 20000, what: `${count} frames` })
        .catch(error => { throw new Error(`${error.message}, heard ${JSON.stringify(this.frames).slice(0, 2000)}`); });
    }
    return this.frames.splice(0, count);
  }

  close() {
    this.ws.terminate();
  }
}

/** REST with the master key, or as `headers` say: the body of a success. */
export async function rest(server, method, path, body, headers = { 'X-Parse-Master-Key': server.config.masterKey }) {
  const answer = await request(`${server.url}${path}`, {
    method,
    headers: { 'X-Parse-Application-Id': server.config.appId, 'Content-Type': 'application/json', ...headers },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  assert.ok(answer.status < 300, `${method} ${path}: ${answer.status} ${answer.text}`);
  return JSON.parse(answer.text);
}

/** A Redis on a free port, or on `wanted`, with these arguments more: `{url, port, stop}`. */
export async function startRedis(wanted, ...more) {
  const port = wanted ?? await freePort();
  const child = spawn('redis-server', ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', ...more], { stdio: 'ignore' });
  const abandon = () => child.kill('SIGKILL');
  process.once('exit', abandon);
  const ended = new Promise(resolve => child.once('exit', resolve));
  await waitFor(() => new Promise((resolve, reject) => {
    const probe = net.connect(port, '127.0.0.1', () => resolve(probe.destroy()));
    probe.once('error', reject);
  }).then(() => true), { what: 'Redis' });
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    async stop() {
      child.kill('SIGKILL');
      await ended;
      process.removeListener('exit', abandon);
    },
  };
}
