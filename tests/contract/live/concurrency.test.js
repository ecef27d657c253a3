// afterLiveQueryEvent for many subscribers: several calls at a time, never too many, and what each subscription
// hears of one object in order.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { Socket, rest } from '../lib/live.js';
import { startDatabase } from '../lib/database.js';
import { startServer } from '../lib/servers.js';

const SUBSCRIPTIONS = 200;
const SOCKETS = 4;
const OBJECTS = 5;
const UPDATES = 6;
/** As docs/live-queries.md says. */
const MOST_AT_ONCE = 16;

const code = record => `
const fs = require('fs');
let atOnce = 0;
let most = 0;
Parse.Cloud.afterLiveQueryEvent('Live_slow', async request => {
  atOnce += 1;
  most = Math.max(most, atOnce);
  // Later events of an object are quicker than earlier ones.
  await new Promise(resolve => setTimeout(resolve, 5 + (request.object.get('n') === 1 ? 20 : 0)));
  atOnce -= 1;
  fs.writeFileSync(${JSON.stringify(record)}, JSON.stringify({ most, left: atOnce }));
});
Parse.Cloud.afterLiveQueryEvent('Live_stuck', async request => {
  if (request.object.get('room') === 'stuck') await new Promise(() => {});
});
`;

test('many subscribers of slow Cloud Code', { timeout: 120_000 }, async () => {
  const database = await startDatabase();
  const home = fs.mkdtempSync(path.join(os.tmpdir(), 'contract-live-slow-'));
  const record = path.join(home, 'record.json');
  fs.writeFileSync(path.join(home, 'main.js'), code(record));
  const overrides = { cloud: path.join(home, 'main.js'), liveQuery: { classNames: ['Live_.*'] }, startLiveQueryServer: true };
  const server = await startServer(database, 'parsimony', 'base', { overrides });
  try {
    const sockets = await Promise.all(Array.from({ length: SOCKETS }, () => Socket.connect(server)));
    for (let id = 0; id < SUBSCRIPTIONS; id += 1) {
      const socket = sockets[id % SOCKETS];
      // Half of them are the same query, the others each their own.
      const where = id % 2 ? {} : { n: { $lt: 1000 + id } };
      socket.say({ op: 'subscribe', requestId: id, query: { className: 'Live_slow', where } });
      assert.equal((await socket.hear(1))[0].op, 'subscribed');
    }
    const write = async (body, id) =>
      (await rest(server, id ? 'PUT' : 'POST', `/classes/Live_slow${id ? `/${id}` : ''}`, body)).objectId;
    await Promise.all(Array.from({ length: OBJECTS }, async () => {
      const id = await write({ n: 1 });
      for (let n = 2; n <= UPDATES; n += 1) await write({ n }, id);
    }));
    const each = (OBJECTS * UPDATES * SUBSCRIPTIONS) / SOCKETS;
    for (const socket of sockets) {
      const heard = new Map();
      for (const frame of await socket.hear(each)) {
        const key = `${frame.requestId} ${frame.object.objectId}`;
        heard.set(key, [...(heard.get(key) ?? []), frame.object.n]);
      }
      assert.equal(heard.size, (OBJECTS * SUBSCRIPTIONS) / SOCKETS);
      for (const [key, numbers] of heard) assert.deepEqual(numbers, [1, 2, 3, 4, 5, 6], key);
    }
    const { most, left } = JSON.parse(fs.readFileSync(record, 'utf8'));
    assert.equal(left, 0);
    assert.ok(most > MOST_AT_ONCE / 2 && most <= MOST_AT_ONCE, `${most} at a time`);
    for (const socket of sockets) socket.close();
  } finally {
    await server.stop();
    await database.stop();
    fs.rmSync(home, { recursive: true });
  }
});

test('a handler that never answers holds up its own object alone', { timeout: 60_000 }, async () => {
  const database = await startDatabase();
  const home = fs.mkdtempSync(path.join(os.tmpdir(), 'contract-live-stuck-'));
  fs.writeFileSync(path.join(home, 'main.js'), code(path.join(home, 'record.json')));
  const overrides = { cloud: path.join(home, 'main.js'), liveQuery: { classNames: ['Live_.*'] }, startLiveQueryServer: true };
  const server = await startServer(database, 'parsimony', 'base', { overrides });
  try {
    const socket = await Socket.connect(server);
    socket.say({ op: 'subscribe', requestId: 1, query: { className: 'Live_stuck', where: {} } });
    await socket.hear(1);
    await rest(server, 'POST', '/classes/Live_stuck', { room: 'stuck' });
    for (const n of [1, 2, 3]) await rest(server, 'POST', '/classes/Live_stuck', { room: 'free', n });
    assert.deepEqual((await socket.hear(3)).map(frame => frame.object.n).sort(), [1, 2, 3]);
    // Others come and go meanwhile.
    const other = await Socket.connect(server);
    other.say({ op: 'subscribe', requestId: 1, query: { className: 'Live_stuck', where: {} } });
    assert.equal((await other.hear(1))[0].op, 'subscribed');
    other.close();
    socket.close();
  } finally {
    await server.stop();
    await database.stop();
    fs.rmSync(home, { recursive: true });
  }
});
