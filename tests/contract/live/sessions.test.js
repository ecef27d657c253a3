// Sessions that npm parse-server begins on the database both servers share count for our subscribers at once.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Socket, rest } from '../lib/live.js';
import { isMongo, startDatabase, withMongo } from '../lib/database.js';
import { query } from '../lib/postgres.js';
import { startServer } from '../lib/servers.js';

let database;
const servers = {};

before(async () => {
  database = await startDatabase();
  const overrides = { liveQuery: { classNames: ['Live_.*', '_Session'] }, cacheTTL: 600000 };
  servers.oracle = await startServer(database, 'oracle', 'base', { overrides });
  servers.parsimony = await startServer(database, 'parsimony', 'base', { overrides, databaseURI: servers.oracle.databaseURI });
});
after(async () => {
  await servers.parsimony?.stop();
  await servers.oracle?.stop();
  await database.stop();
});

const only = user => ({ [user.objectId]: { read: true } });
const signUp = name => rest(servers.oracle, 'POST', '/users', { username: name, password: 'secret!' }, {});

/** Another program gives a session another token. */
function rename(from, to) {
  const uri = servers.oracle.databaseURI;
  if (isMongo) return withMongo(uri, db => db.collection('_Session').updateOne({ _session_token: from }, { $set: { _session_token: to } }));
  return query(uri, 'UPDATE "_Session" SET "sessionToken" = $1 WHERE "sessionToken" = $2', [to, from]);
}

/** What these sockets hear of an object, each until one that all may read. */
async function heard(sockets, ACL) {
  const mine = await rest(servers.parsimony, 'POST', '/classes/Live_own', { ACL });
  const fence = await rest(servers.parsimony, 'POST', '/classes/Live_own', {});
  const all = [];
  for (const socket of sockets) {
    const ids = [];
    do ids.push((await socket.hear(1))[0].object.objectId); while (ids.at(-1) !== fence.objectId);
    all.push(ids.includes(mine.objectId));
  }
  return all;
}

test('the very first session of a database, and the ones after it', async () => {
  const stranger = await Socket.connect(servers.parsimony);
  await stranger.subscribe(1, { className: 'Live_own' });
  for (const name of ['first', 'second']) {
    // A miss: unknown classes have just been looked for.
    await stranger.subscribe(2, { className: `Live_${name}` }, { sessionToken: `r:none of ${name}` });
    const user = await signUp(name);
    const client = await Socket.connect(servers.parsimony, { sessionToken: user.sessionToken });
    await client.subscribe(1, { className: 'Live_own' });
    const subscription = await Socket.connect(servers.parsimony);
    await subscription.subscribe(1, { className: 'Live_own' }, { sessionToken: user.sessionToken });
    assert.deepEqual(await heard([client, subscription, stranger], only(user)), [true, true, false], name);
    const me = await rest(servers.parsimony, 'GET', '/users/me', undefined, { 'X-Parse-Session-Token': user.sessionToken });
    assert.equal(me.objectId, user.objectId);
    client.close();
    subscription.close();
  }
  stranger.close();
});

test('a session that begins after the subscription was made', async () => {
  const [client, late] = [await signUp('client'), await signUp('late')];
  const token = late.sessionToken.replace('r:', 'r:later');
  const alone = await Socket.connect(servers.parsimony);
  await alone.subscribe(1, { className: 'Live_own' }, { sessionToken: token });
  const beside = await Socket.connect(servers.parsimony, { sessionToken: client.sessionToken });
  await beside.subscribe(1, { className: 'Live_own' }, { sessionToken: token });
  assert.deepEqual(await heard([alone, beside], only(late)), [false, false]);
  assert.deepEqual(await heard([alone, beside], only(client)), [false, true]);
  await rename(late.sessionToken, token);
  assert.deepEqual(await heard([alone, beside], only(late)), [true, true]);
  assert.deepEqual(await heard([alone, beside], only(client)), [false, true]);
  alone.close();
  beside.close();
});

test('a field that the other server took away from users leaves sessions as they are', async () => {
  const user = await signUp('fields');
  await rest(servers.oracle, 'PUT', `/classes/_User/${user.objectId}`, { extra: 1 }, { 'X-Parse-Session-Token': user.sessionToken });
  await rest(servers.parsimony, 'GET', '/schemas/_User');
  await rest(servers.oracle, 'PUT', `/classes/_User/${user.objectId}`, { extra: { __op: 'Delete' } });
  await rest(servers.oracle, 'PUT', '/schemas/_User', { className: '_User', fields: { extra: { __op: 'Delete' } } });
  const me = await rest(servers.parsimony, 'GET', '/users/me', undefined, { 'X-Parse-Session-Token': user.sessionToken });
  assert.equal(me.objectId, user.objectId);
});

// parse-server goes on telling of new sessions, with their tokens.
test('whoever lost his session hears of its end, and of no session after it', async () => {
  const server = servers.parsimony;
  const account = { username: 'lost', password: 'secret!' };
  const { sessionToken } = await rest(server, 'POST', '/users', account, {});
  const live = await Socket.connect(server);
  await live.subscribe(1, { className: '_Session' }, { sessionToken });
  const second = await rest(server, 'POST', '/login', account, {});
  const [begun] = await live.hear(1);
  assert.deepEqual([begun.op, begun.object.sessionToken], ['create', second.sessionToken]);
  await rest(server, 'POST', '/logout', {}, { 'X-Parse-Session-Token': sessionToken });
  const [ended] = await live.hear(1);
  assert.deepEqual([ended.op, ended.object.sessionToken], ['delete', sessionToken]);
  await rest(server, 'POST', '/login', account, {});
  await live.subscribe(2, { className: 'Live_own' });
  await rest(server, 'POST', '/classes/Live_own', {});
  assert.equal((await live.hear(1))[0].requestId, 2);
  live.close();
});
