// Live queries: what a write costs when many listen.
import WebSocket from 'ws';
import { rest, keys } from './servers.mjs';
import { median, percentile } from './load.mjs';
import { measureCpu, residentMegabytes, tree } from './process.mjs';

const SUBSCRIPTIONS = 1000;
const WRITES = { equal: 20, different: 60 };

export const liveScenarios = [
  { name: 'live-equal', title: 'live query: one write to 1,000 equal subscriptions, per event', group: 'live', kind: 'equal', goal: 4 },
  { name: 'live-different', title: 'live query: one write against 1,000 different subscriptions', group: 'live', kind: 'different', goal: 75 },
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

/** One round: CPU µs per event ('equal') or per write ('different'), and ms from the write to its last event. */
export async function runLive(server, scenario, scale) {
  const equal = scenario.kind === 'equal';
  const writes = Math.max(5, Math.round(WRITES[scenario.kind] * scale));
  let events = 0;
  let waiting = null;
  const onEvent = () => {
    events += 1;
    if (waiting && events >= waiting.wanted) waiting.resolve();
  };
  // Equal: a socket each. Different: ten to a socket, on topics of their own.
  const per = equal ? 1 : 10;
  const open = [];
  try {
    for (let at = 0; at < SUBSCRIPTIONS; at += per * 10) {
      const opened = Array.from({ length: Math.min(10, (SUBSCRIPTIONS - at) / per) }, (_, lane) => subscribe(
        server.port, Array.from({ length: per }, (_, n) => ({ topic: equal ? 1 : at + lane * per + n })), onEvent,
      ));
      open.push(...opened);
      await until(Promise.all(opened.map(each => each.ready)), 30_000, 'subscriptions');
    }
    const write = async number => {
      const topic = equal ? 1 : (number * 37) % SUBSCRIPTIONS;
      const wanted = events + (equal ? SUBSCRIPTIONS : 1);
      const arrived = new Promise(resolve => (waiting = { wanted, resolve }));
      const began = performance.now();
      await rest(server, 'POST', '/classes/Live', { name: `event ${number}`, score: number, topic });
      await until(arrived, 20_000, `events (${events} of ${wanted})`);
      return performance.now() - began;
    };
    for (let i = 0; i < 3; i += 1) await write(i);
    const cpu = measureCpu(() => tree(server.pid));
    const times = [];
    const began = performance.now();
    for (let i = 0; i < writes; i += 1) times.push(await write(i));
    const seconds = (performance.now() - began) / 1000;
    const spent = cpu() / 1000;
    times.sort((a, b) => a - b);
    return {
      cpu: spent / (equal ? writes * SUBSCRIPTIONS : writes), rate: writes / seconds, p50: median([...times]),
      p99: percentile(times, 0.99), rss: residentMegabytes(tree(server.pid)),
    };
  } finally {
    for (const { socket } of open) socket.terminate();
  }
}
