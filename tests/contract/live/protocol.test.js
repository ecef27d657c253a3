// The same frames to both servers: the same answers. What differs on purpose is in `OURS`.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Socket, rest } from '../lib/live.js';
import { startDatabase } from '../lib/database.js';
import { startServer } from '../lib/servers.js';

const connect = { op: 'connect', applicationId: 'contractApp' };
const subscribe = (query = {}, more = {}) => ({ op: 'subscribe', requestId: 1, query: { className: 'Live_a', where: {}, ...query }, ...more });

// Scenario → frames; a frame is [what is said, how many answers it gets].
const scenarios = {
  'not JSON': [['nonsense', 0], ['{"op":', 0], [connect, 1]],
  'no object': [['[]', 1], ['5', 1], ['"text"', 1], ['null', 1], ['true', 1], ['', 1]],
  'binary frames': [[Buffer.from(JSON.stringify(connect)), 1], [Buffer.alloc(0), 1]],
  'op': [['{}', 1], ['{"op":1}', 1], ['{"op":"nope"}', 1], ['{"op":"a\\"b"}', 1], ['{"op":null}', 1], ['{"op":["connect"]}', 1]],
  'connect': [
    [{ op: 'connect' }, 1], [{ op: 'connect', sessionToken: 1 }, 1], [{ op: 'connect', applicationId: 1 }, 1],
    [{ op: 'connect', x: 1, applicationId: 'a' }, 1], [{ op: 'connect', applicationId: 'a', x: 1, sessionToken: 1 }, 1],
    [{ op: 'connect', applicationId: 'a', sessionToken: 1, x: 1 }, 1], [{ op: 'connect', applicationId: 'a', masterKey: {} }, 1],
    [{ op: 'connect', applicationId: 'a', installationId: null }, 1], [{ op: 'connect', applicationId: 'a', sessionToken: ['x'] }, 1],
    [{ op: 'connect', applicationId: 'another app' }, 1],
  ],
  'connected with an installation': [[{ ...connect, installationId: 'inst' }, 1], [subscribe(), 1], [{ op: 'unsubscribe', requestId: 1 }, 1]],
  'before connect': [[subscribe(), 1], [{ op: 'unsubscribe', requestId: 1 }, 1]],
  'subscribe': [
    [connect, 1], [{ op: 'subscribe' }, 1], [{ op: 'subscribe', requestId: 1 }, 1], [{ op: 'subscribe', requestId: '1', query: {} }, 1],
    [{ op: 'subscribe', query: {}, requestId: '1' }, 1], [{ op: 'subscribe', requestId: 1, query: {} }, 1],
    [{ op: 'subscribe', requestId: 1, query: { className: 'Live_a' } }, 1], [{ op: 'subscribe', requestId: 1, query: [] }, 1],
    [{ op: 'subscribe', requestId: 1, query: null }, 1], [subscribe({ className: 5 }), 1], [subscribe({ where: [] }), 1],
    [subscribe({ where: 'x' }), 1], [subscribe({ where: null }), 1], [subscribe({ x: 1 }), 1], [subscribe({}, { x: 1 }), 1],
    [subscribe({}, { sessionToken: 5 }), 1], [subscribe({ keys: [] }), 1], [subscribe({ keys: 'a' }), 1], [subscribe({ keys: [1] }), 1],
    [subscribe({ keys: ['a', 'a'] }), 1], [subscribe({ keys: [1, 1] }), 1], [subscribe({ keys: ['a', 2] }), 1], [subscribe({ watch: [] }), 1],
    [subscribe({ watch: ['a', 'b', 'a'] }), 1], [subscribe({ watch: {} }), 1], [subscribe({ order: 'a' }), 1], [subscribe({ include: ['a'] }), 1],
    [subscribe({ limit: 5 }), 1], [subscribe({}, { requestId: null }), 1], [subscribe({ keys: ['a'], watch: ['b'] }), 1],
    [subscribe({}, { requestId: -7 }), 1], [subscribe({}, { requestId: 1.5 }), 1], [subscribe({}, { requestId: 12345678901 }), 1],
  ],
  'again and again': [
    [connect, 1], [subscribe(), 1], [subscribe({ where: { a: 1 } }), 1], [{ ...subscribe({ where: { a: 2 } }), op: 'update' }, 1],
    [{ op: 'unsubscribe', requestId: 1 }, 1], [{ op: 'unsubscribe', requestId: 1 }, 1], [{ op: 'unsubscribe', requestId: 99 }, 1],
    [{ op: 'unsubscribe' }, 1], [{ op: 'unsubscribe', requestId: 'a' }, 1], [{ op: 'unsubscribe', requestId: 1, x: 1 }, 1],
    [{ ...subscribe({ keys: [] }), op: 'update' }, 1],
  ],
  'conditions': [
    [connect, 1], [subscribe({ where: { $or: { a: 1 } } }), 1], [subscribe({ where: { $and: 'x' } }), 1], [subscribe({ where: { $nor: 5 } }), 1],
    [subscribe({ where: { a: { $regex: 5 } } }), 1], [subscribe({ where: { a: { $regex: '^ok' } } }), 1],
    [subscribe({ where: { a: { $regex: 'x', $options: 'i' } } }), 1], [subscribe({ where: { a: { $nearSphere: { __type: 'GeoPoint', latitude: 1, longitude: 1 } } } }), 1],
    [subscribe({ where: { a: { $inQuery: { className: 'Live_b', where: {} } } } }), 1], [subscribe({ where: { a: null } }), 1],
    [subscribe({ where: { 'a.b': { $exists: true } } }), 1],
  ],
  'classes with permissions': [
    [connect, 1], [subscribe({ className: 'Live_closed' }), 1], [subscribe({ className: 'Live_closed', where: { objectId: 'x' } }), 1],
    [subscribe({ className: 'Live_get' }), 1], [subscribe({ className: 'Live_get', where: { objectId: 'x' } }), 1],
    [subscribe({ className: 'Live_get', where: { objectId: { $in: ['x'] } } }), 1], [subscribe({ className: 'Live_secret', where: { secret: 'x' } }), 1],
    [subscribe({ className: 'Live_secret', where: { 'secret.x': 1 } }), 1], [subscribe({ className: 'Live_secret', where: { $or: [{ secret: 'x' }] } }), 1],
    [subscribe({ className: 'Live_secret', watch: ['secret'] }), 1], [subscribe({ className: 'Live_secret', watch: ['secret.a'] }), 1],
    [subscribe({ className: 'Live_secret', keys: ['secret'] }), 1], [subscribe({ className: '_Session' }), 1],
    [subscribe({ className: '_Session' }, { sessionToken: 'r:nobody' }), 1], [subscribe({ className: 'Live_unheard_of' }), 1],
  ],
};

// Deliberately other than parse-server's answers: frame → ours.
const OURS = new Map([
  // parse-server looks for `find` when such a query is opened, and for `get` when something happens.
  [JSON.stringify(subscribe({ className: 'Live_get', where: { objectId: 'x' } })), [{ op: 'subscribed', clientId: '<client>', requestId: 1 }]],
]);

let database;
const servers = [];

before(async () => {
  database = await startDatabase();
  servers.push(...await Promise.all(['oracle', 'parsimony'].map(kind => startServer(database, kind, 'base'))));
  const open = { '*': true };
  const all = { find: open, get: open, count: open, create: open, update: open, delete: open, addField: open };
  for (const server of servers) {
    for (const [name, permissions] of [['closed', { find: {}, get: {} }], ['get', { find: {} }], ['secret', { protectedFields: { '*': ['secret'] } }]]) {
      const className = `Live_${name}`;
      await rest(server, 'POST', `/schemas/${className}`, {
        className, fields: { secret: { type: 'Object' } }, classLevelPermissions: { ...all, ...permissions },
      });
    }
  }
});
after(async () => {
  await Promise.all(servers.map(server => server.stop()));
  await database.stop();
});

/** Each frame with its answers. */
async function converse(server, frames) {
  const socket = await Socket.open(server);
  const heard = [];
  const clients = [];
  for (const [frame, count] of frames) {
    socket.say(frame);
    const answers = await socket.hear(count);
    clients.push(...answers.map(answer => answer.clientId).filter(Boolean));
    const text = clients.reduce((text, id) => text.replaceAll(id, '<client>'), JSON.stringify(answers));
    heard.push({ frame: Buffer.isBuffer(frame) ? frame.toString('latin1') : frame, answers: JSON.parse(text) });
  }
  // Nothing else is on its way.
  socket.say('{"op":"the end"}');
  const [end] = await socket.hear(1);
  heard.push({ frame: 'the end', answers: [end] });
  socket.close();
  return heard;
}

describe('answers', () => {
  for (const [name, frames] of Object.entries(scenarios)) {
    test(name, async () => {
      const [theirs, ours] = await Promise.all(servers.map(server => converse(server, frames)));
      const expected = theirs.map(({ frame, answers }) => ({ frame, answers: OURS.get(JSON.stringify(frame)) ?? answers }));
      assert.deepEqual(ours, expected);
    });
  }
});
