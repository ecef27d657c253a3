// Live queries: what a write costs when many listen.
import WebSocket from 'ws';
import { rest, keys } from './servers.mjs';
import { encode, load, median, percentile } from './load.mjs';
import { measureCpu, residentMegabytes, tree } from './process.mjs';

// Equal: a socket each. Different: many to a socket, each on a topic of its own.
const KINDS = {
  equal: { subscriptions: 1000, perSocket: 1, writes: 20 },
  different: { subscriptions: 1000, perSocket: 10, writes: 60 },
  many: { subscriptions: 100_000, perSocket: 1000, writes: 60 },
};
const IDLE = 10_000;
// As for plain requests.
const CONCURRENCY = 32;

export const liveScenarios = [
  // First: what others made the server keep would be reused.
  { name: 'live-idle', title: 'live query: 10,000 idle connections, one subscription each', group: 'live', kind: 'idle' },
  { name: 'live-equal', title: 'live query: one write to 1,000 equal subscriptions, per event', group: 'live', kind: 'equal', goal: 4 },
  { name: 'live-different', title: 'live query: one write against 1,000 different subscriptions', group: 'live', kind: 'different', goal: 75 },
  // The peer looks at each of them for every write, which takes it about a second.
  { name: 'live-many', title: 'live query: one write against 100,000 different subscriptions', group: 'live', kind: 'many', only: 'ours' },
];

function until(promise, milliseconds, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`timed out waiting for ${what}`)), milliseconds);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Opens a socket with `wheres.length` subscriptions; answers once all are confirmed. */
function subscribe(port, wheres, onEvent) {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/parse`);
  let confirmed = 0;
  const ready = new Promise((resolve, reject) => {
    socket.on('open', () => socket.send(JSON.stringify({ op: 'connect', applicationId: keys.appId })));
    socket.on('error', reject);
    socket.on('close', () => reject(new Error('the socket was closed')));
    socket.on('message', data => {
      const text = data.toString();
      // Cheap: a thousand of these arrive for each write.
      if (text.includes('"op":"create"')) return onEvent();
      const { op, error } = JSON.parse(text);
      if (op === 'error') reject(new Error(`subscription refused: ${error}`));
      if (op === 'connected') {
        wheres.forEach((where, n) => socket.send(JSON.stringify({ op: 'subscribe', requestId: n + 1, query: { className: 'Live', where } })));
      }
      if (op === 'subscribed' && (confirmed += 1) === wheres.length) resolve(socket);
    });
  });
  return { socket, ready };
}

/** Opens sockets in lots, so that neither side's backlog overflows. */
async function openAll(server, sockets, wheresOf, onEvent, open) {
  const lot = 50;
  for (let at = 0; at < sockets; at += lot) {
    const opened = Array.from({ length: Math.min(lot, sockets - at) }, (_, n) => subscribe(server.port, wheresOf(at + n), onEvent));
    open.push(...opened);
    await until(Promise.all(opened.map(each => each.ready)), 60_000, 'subscriptions');
  }
}

const settle = () => new Promise(resolve => setTimeout(resolve, 1500));

/** KiB of resident memory for each of many connections that only listen. */
async function runIdle(server, scale) {
  const count = Math.round(IDLE * Math.min(1, scale));
  const open = [];
  try {
    // What the first ones make the server load is not what a connection costs.
    await openAll(server, 100, () => [{ topic: 1 }], () => {}, open);
    await settle();
    const before = residentMegabytes(tree(server.pid));
    const began = performance.now();
    await openAll(server, count, n => [{ topic: n }], () => {}, open);
    const seconds = (performance.now() - began) / 1000;
    await settle();
    const after = residentMegabytes(tree(server.pid));
    return { connections: count, perConnection: (after - before) * 1024 / count, connectRate: count / seconds, rss: after };
  } finally {
    for (const { socket } of open) socket.terminate();
    await settle();
  }
}

/**
 * One round: CPU µs per event ('equal') or per write (others, 32 at a time; `one`: one at a time), and ms from the
 * write to its last event.
 */
export async function runLive(server, scenario, scale) {
  if (scenario.kind === 'idle') return runIdle(server, scale);
  const equal = scenario.kind === 'equal';
  const { subscriptions, perSocket, writes: most } = KINDS[scenario.kind];
  const writes = Math.max(5, Math.round(most * scale));
  let events = 0;
  let waiting = null;
  const onEvent = () => {
    events += 1;
    if (waiting && events >= waiting.wanted) waiting.resolve();
  };
  const open = [];
  try {
    const wheresOf = socket => Array.from({ length: perSocket }, (_, n) => ({ topic: equal ? 1 : socket * perSocket + n }));
    await openAll(server, subscriptions / perSocket, wheresOf, onEvent, open);
    await settle();
    const write = async number => {
      const topic = equal ? 1 : (number * 37) % subscriptions;
      const wanted = events + (equal ? subscriptions : 1);
      const arrived = new Promise(resolve => (waiting = { wanted, resolve }));
      const began = performance.now();
      await rest(server, 'POST', '/classes/Live', { name: `event ${number}`, score: number, topic });
      await until(arrived, 20_000, `events (${events} of ${wanted})`);
      return performance.now() - began;
    };
    for (let i = 0; i < 3; i += 1) await write(i);
    let cpu = measureCpu(() => tree(server.pid));
    const times = [];
    const began = performance.now();
    for (let i = 0; i < writes; i += 1) times.push(await write(i));
    const seconds = (performance.now() - began) / 1000;
    let spent = cpu() / 1000 / writes;
    times.sort((a, b) => a - b);
    const result = { rate: writes / seconds, p50: median([...times]), p99: percentile(times, 0.99) };
    if (equal) return { ...result, cpu: spent / subscriptions, rss: residentMegabytes(tree(server.pid)) };
    // What waking an idle server costs is not what a write costs, and fetch is slower than what is measured.
    const alone = spent;
    const count = writes * CONCURRENCY;
    const wanted = events + count;
    const arrived = new Promise(resolve => (waiting = { wanted, resolve }));
    const request = i => encode({
      method: 'POST', path: '/parse/classes/Live',
      headers: { 'X-Parse-Application-Id': keys.appId, 'X-Parse-Master-Key': keys.masterKey },
      body: { name: `event ${i}`, score: i, topic: (i * 37) % subscriptions },
    });
    const check = ({ status }) => {
      if (status !== 201) throw new Error(`a write was answered with ${status}`);
    };
    cpu = measureCpu(() => tree(server.pid));
    await load({ port: server.port, count, concurrency: CONCURRENCY, check, request });
    await until(arrived, 60_000, `events (${events} of ${wanted})`);
    spent = cpu() / 1000 / count;
    return { ...result, cpu: spent, one: { cpu: alone, p50: result.p50, p99: result.p99 }, rss: residentMegabytes(tree(server.pid)) };
  } finally {
    for (const { socket } of open) socket.terminate();
  }
}
