// A live-query client without an SDK: the frames as they are.
import assert from 'node:assert/strict';
import { after } from 'node:test';
import WebSocket from 'ws';
import { waitFor } from './postgres.js';

// A test that failed has not closed its own; open ones would keep the process from ending.
const open = new Set();
after(() => open.forEach(socket => socket.terminate()));

/** Connects to `server`; `search` goes behind the URL. Answers once the server said `connected`. */
export async function connect(server, { search = '', ...keys } = {}) {
  const socket = new WebSocket(`${server.url.replace(/^http/, 'ws')}${search}`);
  open.add(socket);
  const frames = [];
  let closed = null;
  socket.on('message', data => frames.push(JSON.parse(data.toString())));
  socket.on('close', code => {
    open.delete(socket);
    closed = code;
  });
  socket.on('error', () => {});
  await new Promise((resolve, reject) => {
    socket.once('open', resolve);
    socket.once('error', reject);
  });
  const client = {
    socket,
    frames,
    closed: () => closed,
    send: message => socket.send(JSON.stringify(message)),
    /** The first frame, from the one `after` on, that `test` accepts. */
    async until(test, what, after = 0) {
      let found;
      await waitFor(() => (found = frames.slice(after).find(test)) !== undefined, {
        what: `${what}; heard ${JSON.stringify(frames).slice(-2000)}`, timeout: 15_000,
      });
      return found;
    },
    /** Opens a subscription; answers what the server answers, an error included. */
    async subscribe(requestId, className, where, more = {}) {
      const after = frames.length;
      const { keys: fields, watch, ...rest } = more;
      client.send({ op: 'subscribe', requestId, query: { className, where, keys: fields, watch }, ...rest });
      return client.until(
        frame => frame.requestId === requestId && ['subscribed', 'error'].includes(frame.op), `an answer to ${requestId}`, after,
      );
    },
    /** Waits for so many events of a subscription; answers `[op, n]` of each, and checks that there are no more. */
    async events(requestId, count) {
      return (await client.heard(requestId, count)).map(frame => [frame.op, frame.object.n]);
    },
    /** The same, of each object by itself: events have an order among those of one object only. */
    async eventsByObject(requestId, count) {
      const objects = new Map();
      for (const { op, object } of await client.heard(requestId, count)) {
        objects.set(object.objectId, [...objects.get(object.objectId) ?? [], [op, object.n]]);
      }
      return Object.fromEntries(objects);
    },
    async heard(requestId, count) {
      const mine = () => frames.filter(frame => frame.requestId === requestId && frame.object);
      await waitFor(() => mine().length >= count, {
        what: `${count} events, not ${JSON.stringify(frames).slice(-2000)}`, timeout: 15_000,
      });
      assert.equal(mine().length, count, JSON.stringify(mine()));
      return mine();
    },
    close: () => new Promise(resolve => {
      if (closed !== null) return resolve();
      socket.once('close', resolve);
      socket.close();
    }),
  };
  client.send({ op: 'connect', applicationId: server.config.appId, ...keys });
  await client.until(frame => frame.op === 'connected', 'connected');
  return client;
}
