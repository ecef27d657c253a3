// Cloud Code around live queries: both servers call the same handlers with the same things, and do what they say.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { after, before, test } from 'node:test';
import { Socket, rest } from '../lib/live.js';
import { startDatabase } from '../lib/database.js';
import { waitFor } from '../lib/postgres.js';
import { startServer } from '../lib/servers.js';

const code = record => `
const fs = require('fs');
const note = (what, data) => fs.appendFileSync(${JSON.stringify(record)}, JSON.stringify([what, data]) + '\\n');
const shape = request => ({
  event: request.event, clients: request.clients, master: request.useMasterKey,
  installation: request.installationId, token: Boolean(request.sessionToken), user: request.user && request.user.get('username'),
});
Parse.Cloud.beforeConnect(request => {
  note('connect', shape(request));
  if (request.installationId === 'refused') throw new Parse.Error(4242, 'not you');
  if (request.installationId === 'text') throw 'a text';
});
Parse.Cloud.beforeSubscribe('Live_t', request => {
  note('subscribe', { ...shape(request), op: request.op, requestId: request.requestId, query: request.query.toJSON() });
  const where = request.query.toJSON().where;
  if (where.refuse) throw new Parse.Error(4243, 'not this');
  if (where.boom) throw new Error('an error');
  if (where.change) request.query = new Parse.Query('Live_t').equalTo('n', 1).select('n');
  if (where.watch) request.query.watch('n');
});
Parse.Cloud.afterLiveQueryEvent('Live_t', request => {
  const { object, original } = request;
  note('event', {
    ...shape(request), n: object.get('n'), before: original ? original.get('n') : null, send: request.sendEvent,
    types: [object instanceof Parse.Object, object.className, object.id === (original ? original.id : object.id)],
  });
  if (object.get('n') === 13) request.sendEvent = false;
  if (object.get('n') === 14) { object.set('added', 'yes'); if (original) original.set('added', 'before'); }
  if (object.get('n') === 17) { request.object = new Parse.Object('Live_swapped'); request.object.set('n', 18); }
  if (object.get('n') === 19) request.event = 'leave';
  if (object.get('n') === 20) request.event = 'no event';
  if (object.get('n') === 15) throw 'boom';
  if (object.get('n') === 16) throw new Parse.Error(4244, 'not now');
});
Parse.Cloud.onLiveQueryEvent(request => {
  note('seen', { event: request.event, master: Boolean(request.useMasterKey), installation: request.installationId, error: Boolean(request.error) });
});
`;

let database;
const home = fs.mkdtempSync(path.join(os.tmpdir(), 'contract-live-'));
const servers = [];

before(async () => {
  database = await startDatabase();
  const modules = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../../node_modules');
  fs.symlinkSync(modules, path.join(home, 'node_modules'));
  servers.push(...await Promise.all(['oracle', 'parsimony'].map(kind => {
    fs.writeFileSync(path.join(home, `${kind}.js`), code(path.join(home, `${kind}.log`)));
    return startServer(database, kind, 'base', { overrides: { cloud: path.join(home, `${kind}.js`) } });
  })));
});
after(async () => {
  if (process.env.CONTRACT_LOGS) for (const server of servers) console.log(server.log().slice(-6000));
  await Promise.all(servers.map(server => server.stop()));
  await database.stop();
  fs.rmSync(home, { recursive: true });
});

const subscribe = (requestId, where, more = {}) => ({ op: 'subscribe', requestId, query: { className: 'Live_t', where, ...more } });

/** What is heard by each, in the order in which it was said. */
async function run(server) {
  const told = [];
  const socket = async keys => {
    const socket = await Socket.open(server);
    socket.say({ op: 'connect', applicationId: server.config.appId, ...keys });
    told.push(...await socket.hear(1));
    return socket;
  };
  const user = await rest(server, 'POST', '/users', { username: 'ann', password: 'secret!' }, {});
  (await socket({ installationId: 'refused' })).close();
  (await socket({ installationId: 'text' })).close();
  const logged = record => fs.readFileSync(path.join(home, `${server.kind}.log`), 'utf8').trim().split('\n').map(line => JSON.parse(line))
    .filter(([what]) => what === record).map(([, data]) => data);
  await waitFor(() => logged('seen').filter(({ event }) => event === 'ws_disconnect_error').length === 2, { what: 'both to be gone' });
  const live = await socket({ installationId: 'inst', sessionToken: user.sessionToken });
  const frames = [
    subscribe(1, { refuse: true }), subscribe(2, { boom: true }), subscribe(3, { room: 'a' }),
    subscribe(4, { change: true }), subscribe(5, { watch: true }),
  ];
  for (const frame of frames) {
    live.say(frame);
    told.push(...await live.hear(1));
  }
  const write = async (body, id) => (await rest(server, id ? 'PUT' : 'POST', `/classes/Live_t${id ? `/${id}` : ''}`, body)).objectId;
  const id = await write({ n: 1, room: 'a', other: 'x' });
  told.push(...(await live.hear(2)).sort((a, b) => a.requestId - b.requestId));
  for (const n of [13, 14]) await write({ n }, id);
  // One leaves 4 with 13, which is dropped; 14 is only heard by 3.
  told.push(...await live.hear(1));
  for (const n of [15, 16]) await write({ n }, id);
  told.push(...await live.hear(2));
  for (const n of [17, 19]) {
    await write({ n }, id);
    told.push(...await live.hear(1));
  }
  await write({ n: 20 }, id);
  await rest(server, 'DELETE', `/classes/Live_t/${id}`);
  told.push(...await live.hear(1));
  live.say({ op: 'unsubscribe', requestId: 3 });
  told.push(...await live.hear(1));
  live.close();
  await waitFor(() => logged('seen').some(({ event }) => event === 'ws_disconnect'), { what: 'the last to be gone' });
  for (const frame of told) {
    if (frame.clientId) frame.clientId = '<client>';
    for (const state of [frame.object, frame.original].filter(Boolean)) {
      for (const key of ['objectId', 'createdAt', 'updatedAt']) if (state[key]) state[key] = `<${key}>`;
    }
  }
  const sorted = list => list.map(entry => JSON.stringify(entry)).sort();
  return { told, connect: logged('connect'), subscribe: logged('subscribe'), event: sorted(logged('event')), seen: sorted(logged('seen')) };
}

test('handlers are told the same, and the same comes of it', async () => {
  const [theirs, ours] = await Promise.all(servers.map(run));
  // Ours tells a subscription's handler of the client too; parse-server only what the message itself says.
  for (const list of [ours.subscribe, theirs.subscribe]) {
    for (const call of list) for (const key of ['event', 'clients', 'master', 'installation', 'token']) delete call[key];
  }
  for (const what of ['told', 'connect', 'subscribe', 'event', 'seen']) assert.deepEqual(ours[what], theirs[what], what);
});

// parse-server's own handler cannot read the keys that its protocol demands.
test('a handler sees keys and watched fields, and may change them', async () => {
  const server = servers[1];
  const live = await Socket.connect(server);
  live.say(subscribe(1, { room: 'k' }, { keys: ['n', 'm'], watch: ['n'] }));
  assert.equal((await live.hear(1))[0].op, 'subscribed');
  await rest(server, 'POST', '/classes/Live_t', { room: 'k', n: 1, m: 2, other: 'y' });
  const [{ op, object }] = await live.hear(1);
  assert.deepEqual([op, Object.keys(object).sort()], ['create', ['className', 'createdAt', 'm', 'n', 'objectId', 'updatedAt']]);
  live.close();
});
