#!/usr/bin/env node
// Abuses a server of its own while ordinary clients use it, and tells how they fared.
//
//   node scripts/abuse.mjs                 one minute
//   node scripts/abuse.mjs --minutes 30    by hand, before a release
//   node scripts/abuse.mjs --seconds 10 --only half,includes
//   node scripts/abuse.mjs --url http://127.0.0.1:1337/parse --app-id myAppId [--pid PID]
//                                          a server that runs already; of this machine only
//
// Starts target/release/parsimony, else target/debug/parsimony (PARSIMONY_BIN: another one) with its embedded
// PostgreSQL, or with a database of its own on PARSIMONY_TEST_DATABASE_URI where psql is at hand. Everything stays
// on the loopback interface and is bounded in number and time. Exit code 1 when ordinary requests took more than
// 100 ms at the 99th percentile or failed, the server's memory passed 300 MB, or it did not come back.

import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import http from 'node:http';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';

const ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const MOST_P99_MS = 100;
const MOST_RSS_MB = 300;
const ORDINARY_CLIENTS = 8;

const sleep = ms => new Promise(resolve => setTimeout(resolve, ms));

// One request; resolves to { status, text }, or to status 0 when the connection failed.
function request(target, method, route, body, options = {}) {
  return new Promise(resolve => {
    const text = body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body);
    const headers = { 'X-Parse-Application-Id': target.appId, ...options.headers };
    if (text !== undefined) {
      headers['Content-Type'] = 'application/json';
      headers['Content-Length'] = Buffer.byteLength(text);
    }
    const sent = http.request(
      { host: target.host, port: target.port, path: target.mount + route, method, headers, agent: options.agent },
      response => {
        let answer = '';
        response.setEncoding('utf8');
        // Long answers are read, not kept.
        response.on('data', piece => { if (answer.length < 100_000) answer += piece; });
        response.on('end', () => resolve({ status: response.statusCode, text: answer }));
        response.on('error', () => resolve({ status: 0, text: '' }));
      },
    );
    sent.setTimeout(options.timeout ?? 30_000, () => sent.destroy());
    sent.on('error', error => resolve({ status: 0, text: String(error) }));
    sent.end(text);
  });
}

// ---- Abuse, in a thread of its own: what it costs the script is not counted as the server's time.

// A socket that never fails the script.
function socketTo(target) {
  const socket = net.connect({ host: target.host, port: target.port });
  socket.on('error', () => {});
  return socket;
}

function head(target, method, route, length) {
  return `${method} ${target.mount}${route} HTTP/1.1\r\nHost: x\r\nX-Parse-Application-Id: ${target.appId}\r\n` +
    `Content-Type: application/json\r\nContent-Length: ${length}\r\n\r\n`;
}

// Keeps `count` sockets open; those that the server ends are opened again.
async function keep(state, target, count, begin) {
  const open = new Set();
  while (!state.stopped) {
    for (let n = 0; n < 50 && open.size < count; n++) {
      const socket = socketTo(target);
      open.add(socket);
      state.count('sockets');
      socket.on('close', () => open.delete(socket));
      socket.on('connect', () => begin(socket));
    }
    await sleep(100);
  }
  for (const socket of open) socket.destroy();
}

// Sends one request after another, `lanes` at a time.
async function repeat(state, lanes, pause, one) {
  const lane = async () => {
    while (!state.stopped) {
      const { status } = await one();
      state.count(status === 0 ? 'cut off' : `answered ${status}`);
      await sleep(pause);
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
}

const DEEP = 'links.links.links.links.links.links';

const ABUSES = {
  // Half a body on every door.
  half: (state, target) => {
    const routes = ['/classes/Half', '/batch', '/files/half.txt', '/functions/half', '/users'];
    let next = 0;
    return keep(state, target, 600, socket => {
      socket.write(head(target, 'POST', routes[next++ % routes.length], 100_000) + '{"a":"');
    });
  },
  // Half a head, or nothing at all.
  flood: (state, target) => keep(state, target, 400, socket => { if (Math.random() < 0.5) socket.write('GET /'); }),
  // Long answers that nobody reads.
  readers: (state, target) => keep(state, target, 50, socket => {
    socket.pause();
    socket.write(head(target, 'GET', '/classes/Long', 0));
  }),
  // A shared object shown again and again.
  includes: (state, target) => repeat(state, 2, 200, () =>
    request(target, 'GET', `/classes/Node?include=${DEEP}&where=${encodeURIComponent('{"level":0}')}`)),
  // Expressions that go back and forth.
  regex: (state, target) => repeat(state, 2, 200, () => {
    const where = { text: { $regex: '^(a+)+$' }, $or: [{ text: { $regex: '(.*a){25}' } }, { text: 'x' }] };
    return request(target, 'GET', `/classes/Node?where=${encodeURIComponent(JSON.stringify(where))}`);
  }),
  // Objects with many keys, and deep ones.
  keys: (state, target) => {
    const wide = Object.fromEntries(Array.from({ length: 20_000 }, (_, n) => [`k${n}`, n]));
    const deep = `{"a":${'['.repeat(50_000)}${']'.repeat(50_000)}}`;
    const bodies = [JSON.stringify(wide), JSON.stringify({ where: wide, _method: 'GET' }), deep, `{"a":"${'\\u0000'.repeat(50_000)}"}`];
    let next = 0;
    return repeat(state, 2, 300, () => request(target, 'POST', '/classes/Wide', bodies[next++ % bodies.length]));
  },
  // Batches of costly items, and of too many.
  batches: (state, target) => {
    const item = { method: 'GET', path: `${target.mount}/classes/Node`, body: { include: DEEP, where: { level: 0 } } };
    const long = { method: 'GET', path: `${target.mount}/classes/Long`, body: {} };
    const bodies = [Array(100).fill(item), Array(100).fill(long), Array(5000).fill(item)];
    let next = 0;
    return repeat(state, 2, 300, () => request(target, 'POST', '/batch', { requests: bodies[next++ % bodies.length] }));
  },
  // Live-query sockets that talk nonsense.
  sockets: async (state, target) => {
    const WebSocket = createRequire(import.meta.url)('ws');
    const frames = ['{', '[]', '{"op":"connect"}', `{"op":"subscribe","requestId":1,"query":${'['.repeat(2000)}${']'.repeat(2000)}}`, 'x'.repeat(100_000)];
    const open = new Set();
    while (!state.stopped) {
      while (open.size < 100) {
        const socket = new WebSocket(`ws://${target.host}:${target.port}${target.mount}`);
        open.add(socket);
        state.count('web sockets');
        socket.on('error', () => {});
        socket.on('close', () => open.delete(socket));
        socket.on('open', () => frames.forEach(frame => socket.send(frame, () => {})));
      }
      await sleep(500);
      for (const socket of [...open].slice(0, 20)) socket.terminate();
    }
    for (const socket of open) socket.terminate();
  },
};

async function abuse({ target, names }) {
  const counts = {};
  const state = { stopped: false, count: what => { counts[what] = (counts[what] ?? 0) + 1; } };
  parentPort.on('message', () => { state.stopped = true; });
  await Promise.all(names.map(name => ABUSES[name](state, target).catch(error => state.count(`${name} failed: ${error}`))));
  parentPort.postMessage(counts);
  parentPort.close();
}

// ---- The server.

function option(name) {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? undefined : process.argv[at + 1];
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = net.createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

// A database of its own, dropped in the end; nothing where that is not possible.
function database() {
  const uri = process.env.PARSIMONY_TEST_DATABASE_URI;
  if (!uri) return undefined;
  const name = `abuse_${process.pid}`;
  const psql = sql => spawnSync('psql', [uri, '-qc', sql]).status === 0;
  if (!psql(`CREATE DATABASE ${name}`)) return undefined;
  const own = new URL(uri);
  own.pathname = `/${name}`;
  return { uri: own.toString(), drop: () => psql(`DROP DATABASE ${name} WITH (FORCE)`) };
}

async function start() {
  const built = ['release', 'debug'].map(kind => path.join(ROOT, 'target', kind, 'parsimony')).find(existsSync);
  const binary = process.env.PARSIMONY_BIN ?? built;
  if (!binary) throw new Error('There is no target/release/parsimony: cargo build --release first.');
  const folder = mkdtempSync(path.join(os.tmpdir(), 'parsimony-abuse-'));
  const port = await freePort();
  const own = database();
  const config = {
    appId: 'abuse', masterKey: 'abuse-master', host: '127.0.0.1', port, logsFolder: null, verifyServerUrl: false,
    allowClientClassCreation: true, allowCustomObjectId: true, liveQuery: { classNames: ['Ordinary'] },
    ...(own ? { databaseURI: own.uri } : { dataDir: path.join(folder, 'data') }),
  };
  const file = path.join(folder, 'config.json');
  writeFileSync(file, JSON.stringify(config));
  const env = { PATH: process.env.PATH, HOME: process.env.HOME };
  const child = spawn(binary, [file], { cwd: folder, env, stdio: ['ignore', 'ignore', 'pipe'] });
  let complaints = '';
  child.stderr.on('data', piece => { if (complaints.length < 10_000) complaints += piece; });
  child.on('exit', (code, signal) => { child.ended = `${code ?? signal}`; });
  const stop = async () => {
    if (child.ended === undefined) child.kill('SIGTERM');
    for (let n = 0; n < 450 && child.ended === undefined; n++) await sleep(100);
    if (child.ended === undefined) child.kill('SIGKILL');
    own?.drop();
    rmSync(folder, { recursive: true, force: true });
  };
  const target = { host: '127.0.0.1', port, mount: '/parse', appId: 'abuse', masterKey: 'abuse-master' };
  return { target, pid: child.pid, stop, ended: () => child.ended, complaints: () => complaints, binary };
}

function running(url) {
  const { hostname, port, pathname } = new URL(url);
  if (!['127.0.0.1', 'localhost', '[::1]'].includes(hostname)) throw new Error('Only a server of this machine.');
  const target = { host: hostname.replace(/[[\]]/g, ''), port: Number(port || 80), mount: pathname.replace(/\/$/, ''), appId: option('app-id') ?? 'myAppId' };
  const pid = Number(option('pid')) || undefined;
  return { target, pid, stop: async () => {}, ended: () => undefined, complaints: () => '', binary: url };
}

function memoryMb(pid) {
  try {
    const line = readFileSync(`/proc/${pid}/status`, 'utf8').split('\n').find(line => line.startsWith('VmRSS:'));
    return Number(line.match(/\d+/)[0]) / 1024;
  } catch {
    return 0;
  }
}

// ---- Ordinary use.

async function prepare(target) {
  for (let level = 0; level < 7; level++) {
    const next = { __type: 'Pointer', className: 'Node', objectId: `n${level + 1}` };
    const node = { objectId: `n${level}`, level, text: `${'a'.repeat(40)}!`, links: level < 6 ? Array(18).fill(next) : [] };
    await request(target, 'POST', '/classes/Node', node);
  }
  // Or the ordinary finds grow with what a long run stores.
  const schema = { className: 'Ordinary', fields: { n: { type: 'Number' } }, indexes: { by_n: { n: 1 } } };
  if (target.masterKey) await request(target, 'POST', '/schemas/Ordinary', schema, { headers: { 'X-Parse-Master-Key': target.masterKey } });
  for (let n = 0; n < 20; n++) await request(target, 'POST', '/classes/Long', { n, text: 'x'.repeat(1_000_000) });
}

async function ordinary(target, state, times, errors) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  const timed = async (method, route, body) => {
    const begun = performance.now();
    const answer = await request(target, method, route, body, { agent, timeout: 10_000 });
    times.push(performance.now() - begun);
    if (answer.status < 200 || answer.status > 299) {
      const what = `${method} ${answer.status} ${answer.text.slice(0, 80)}`;
      errors.set(what, (errors.get(what) ?? 0) + 1);
    }
    return answer;
  };
  for (let n = 0; !state.stopped; n++) {
    const made = await timed('POST', '/classes/Ordinary', { n, name: `name ${n}` });
    const id = made.status === 201 ? JSON.parse(made.text).objectId : 'none';
    await timed('GET', `/classes/Ordinary/${id}`);
    await timed('PUT', `/classes/Ordinary/${id}`, { n: { __op: 'Increment', amount: 1 } });
    await timed('GET', `/classes/Ordinary?limit=10&where=${encodeURIComponent(JSON.stringify({ n }))}`);
    if (n % 10 === 0) await timed('GET', '/health');
    await sleep(20);
  }
  agent.destroy();
}

const percentile = (sorted, part) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? NaN;

async function until(what, seconds) {
  const deadline = Date.now() + seconds * 1000;
  while (Date.now() < deadline) {
    if (await what()) return true;
    await sleep(100);
  }
  return false;
}

async function main() {
  if (process.argv.includes('--help')) {
    const source = readFileSync(fileURLToPath(import.meta.url), 'utf8').split('\n');
    const end = source.findIndex((line, n) => n > 0 && !line.startsWith('//'));
    console.log(source.slice(1, end).map(line => line.slice(3)).join('\n'));
    console.log(`\nKinds of abuse for --only: ${Object.keys(ABUSES).join(', ')}`);
    return 0;
  }
  const seconds = Number(option('minutes') ?? 0) * 60 || Number(option('seconds') ?? 60);
  if (!(seconds > 0 && seconds <= 7200)) throw new Error('--minutes takes a number up to 120.');
  const names = option('only')?.split(',') ?? Object.keys(ABUSES);
  const unknown = names.filter(name => !(name in ABUSES));
  if (unknown.length > 0) throw new Error(`There is no abuse called ${unknown.join(', ')}.`);
  const server = option('url') ? running(option('url')) : await start();
  const { target, pid } = server;
  const healthy = async () => (await request(target, 'GET', '/health', undefined, { timeout: 5000 })).status === 200;
  try {
    if (!(await until(healthy, 60))) throw new Error(`The server did not start. ${server.complaints()}`);
    await prepare(target);
    const calm = memoryMb(pid);
    console.log(`${server.binary}: ${seconds} s of ${names.join(', ')}`);

    const state = { stopped: false };
    const [times, errors] = [[], new Map()];
    let most = 0;
    const watch = setInterval(() => { most = Math.max(most, memoryMb(pid)); }, 100);
    const clients = Array.from({ length: ORDINARY_CLIENTS }, () => ordinary(target, state, times, errors));
    const worker = new Worker(new URL(import.meta.url), { workerData: { target, names } });
    const told = new Promise((resolve, reject) => { worker.on('message', resolve); worker.on('error', reject); });
    const deadline = Date.now() + seconds * 1000;
    while (Date.now() < deadline && server.ended() === undefined) await sleep(100);
    state.stopped = true;
    await Promise.all(clients);
    worker.postMessage('stop');
    const counts = await Promise.race([told, sleep(60_000).then(() => ({ 'abuse that did not end': 1 }))]);
    await worker.terminate();
    const isBack = await until(async () => {
      const begun = Date.now();
      const found = await request(target, 'GET', '/classes/Ordinary?limit=1', undefined, { timeout: 2000 });
      return found.status === 200 && Date.now() - begun < 1000 && (await healthy());
    }, 30);
    clearInterval(watch);

    times.sort((a, b) => a - b);
    const failed = [...errors.values()].reduce((sum, count) => sum + count, 0);
    const [p50, p99] = [percentile(times, 0.5), percentile(times, 0.99)];
    console.log(`abuse:     ${Object.entries(counts).map(([what, count]) => `${count} ${what}`).join(', ')}`);
    console.log(`ordinary:  ${times.length} requests, p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms, ${failed} failed`);
    for (const [what, count] of errors) console.log(`           ${count} × ${what}`);
    if (pid) console.log(`memory:    ${calm.toFixed(0)} MB before, ${most.toFixed(0)} MB at most, ${memoryMb(pid).toFixed(0)} MB after`);
    const faults = [];
    if (!(p99 <= MOST_P99_MS)) faults.push(`p99 is above ${MOST_P99_MS} ms`);
    if (failed > 0) faults.push('ordinary requests failed');
    if (most > MOST_RSS_MB) faults.push(`memory is above ${MOST_RSS_MB} MB`);
    if (!isBack) faults.push(`the server did not come back (ended: ${server.ended() ?? 'no'}) ${server.complaints()}`);
    console.log(faults.length === 0 ? 'fine' : `NOT FINE: ${faults.join('; ')}`);
    return faults.length === 0 ? 0 : 1;
  } finally {
    await server.stop();
  }
}

if (isMainThread) {
  main().then(code => process.exit(code), error => {
    console.error(error.message);
    process.exit(1);
  });
} else {
  await abuse(workerData);
}
