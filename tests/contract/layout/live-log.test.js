// Changes made directly in SQL, and the log of events that outlives a server: opt-in additions of ours.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { connect } from '../lib/live-frames.js';
import { createDatabase, pg, query, startPostgres, waitFor } from '../lib/postgres.js';
import { startServer } from '../lib/servers.js';

let postgres;
let database;
before(async () => {
  postgres = await startPostgres();
  database = await createDatabase(postgres, 'live_log');
});
after(async () => {
  await database?.drop();
  await postgres.stop();
});

const sql = (text, values) => query(database.uri, text, values);

async function start(liveQuery) {
  return startServer(postgres, 'parsimony', 'base', {
    databaseURI: database.uri, overrides: { liveQuery: { classNames: ['Live_.*'], ...liveQuery } },
  });
}

async function rest(server, method, path, body) {
  const answer = await fetch(`${server.url}/classes/${path}`, {
    method,
    headers: {
      'X-Parse-Application-Id': server.config.appId, 'X-Parse-Master-Key': server.config.masterKey, 'Content-Type': 'application/json',
    },
    body: JSON.stringify(body),
  });
  assert.ok(answer.ok, `${method} ${path}: ${answer.status}`);
  return answer.json();
}

const triggers = async () => (await sql(`SELECT tgrelid::regclass::text AS name FROM pg_trigger WHERE tgname = 'parsimony_live'`)).rows;

test('changes in SQL are events; the server\'s own are told once', async () => {
  const server = await start({ sqlChanges: true });
  const other = await start({ sqlChanges: true });
  try {
    const { objectId } = await rest(server, 'POST', 'Live_Sql', { n: 1, at: { __type: 'Date', iso: '2024-01-02T03:04:05.678Z' }, tags: ['a'], room: 'a' });
    const client = await connect(server);
    const remote = await connect(other);
    assert.equal((await client.subscribe(1, 'Live_Sql', { room: 'a' })).op, 'subscribed');
    assert.equal((await remote.subscribe(1, 'Live_Sql', { room: 'a' })).op, 'subscribed');
    assert.equal((await triggers()).length, 1);
    // Until the servers know of each other's interest.
    let probes = 0;
    await waitFor(async () => {
      await rest(server, 'PUT', `Live_Sql/${objectId}`, { n: (probes += 1) });
      return remote.frames.some(frame => frame.object);
    }, { what: 'the other server to hear', every: 100 });
    await client.events(1, probes);
    await remote.until(frame => frame.object?.n === probes, 'the last of them');
    const [from, there] = [client, remote].map(each => each.frames.length);

    await sql('UPDATE "Live_Sql" SET n = 50 WHERE "objectId" = $1', [objectId]);
    await sql('UPDATE "Live_Sql" SET n = 50 WHERE "objectId" = $1', [objectId]);
    await sql(`UPDATE "Live_Sql" SET room = 'b' WHERE "objectId" = $1`, [objectId]);
    await sql(`UPDATE "Live_Sql" SET room = 'a', n = 51 WHERE "objectId" = $1`, [objectId]);
    await sql(`INSERT INTO "Live_Sql" ("objectId", "createdAt", "updatedAt", n, room, _rperm)
      VALUES ('fromsql', now(), now(), 52, 'a', ARRAY['nobody'])`);
    await sql(`DELETE FROM "Live_Sql" WHERE "objectId" = $1`, [objectId]);
    await rest(server, 'POST', 'Live_Sql', { n: 60, room: 'a' });
    for (const [each, begin] of [[client, from], [remote, there]]) {
      await each.until(frame => frame.object?.n === 60, 'the last event', begin);
      const heard = each.frames.slice(begin).filter(frame => frame.object).map(frame => [frame.op, frame.object.n]);
      // The server's own write takes another way to the other server, so its place there is not certain.
      const last = heard.splice(heard.findIndex(([, n]) => n === 60), 1);
      assert.deepEqual(last, [['create', 60]]);
      await waitFor(() => each.frames.slice(begin).filter(frame => frame.object).length >= 5, { what: 'all events' });
      const rest_ = each.frames.slice(begin).filter(frame => frame.object && frame.object.n !== 60);
      assert.deepEqual(rest_.map(frame => [frame.op, frame.object.n]), [['update', 50], ['leave', 50], ['enter', 51], ['delete', 51]]);
    }
    const update = client.frames.slice(from).find(frame => frame.op === 'update');
    assert.deepEqual(update.object.at, { __type: 'Date', iso: '2024-01-02T03:04:05.678Z' });
    assert.deepEqual(update.object.tags, ['a']);
    assert.equal(update.original.n, probes);
    assert.match(update.object.createdAt, /^\d{4}-.*Z$/);
    await client.close();
    await remote.close();
  } finally {
    await server.stop();
    await other.stop();
  }
});

test('what was changed while nobody listened to the database is told afterwards, once', async () => {
  const server = await start({ sqlChanges: true });
  const admin = new pg.Client({ connectionString: database.uri });
  await admin.connect();
  const listening = async () => (await admin.query(
    `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'`)).rows;
  const door = open => query(postgres.uri, `ALTER DATABASE "${database.name}" ALLOW_CONNECTIONS ${open}`);
  try {
    const { objectId } = await rest(server, 'POST', 'Live_Gap', { n: 0, room: 'a' });
    const client = await connect(server);
    await client.subscribe(1, 'Live_Gap', { room: 'a' });
    await admin.query('UPDATE "Live_Gap" SET n = 1 WHERE "objectId" = $1', [objectId]);
    await client.events(1, 1);
    for (const round of [1, 2]) {
      const told = round * 4 - 3;
      await door(false);
      await admin.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'`);
      await waitFor(async () => (await listening()).length === 0, { what: 'the connection to end' });
      for (const n of [10, 11]) await admin.query('UPDATE "Live_Gap" SET n = $2 WHERE "objectId" = $1', [objectId, round * 100 + n]);
      // The server's own writes do not wait for that.
      await rest(server, 'PUT', `Live_Gap/${objectId}`, { n: round * 100 + 12 });
      await client.until(frame => frame.object?.n === round * 100 + 12, 'the own write');
      assert.equal(client.frames.filter(frame => frame.object).length, told + 1, 'nobody listens');
      await door(true);
      await waitFor(async () => (await listening()).length === 1, { what: 'the connection to be back', timeout: 15000 });
      await admin.query('UPDATE "Live_Gap" SET n = $2 WHERE "objectId" = $1', [objectId, round * 100 + 13]);
      await client.until(frame => frame.object?.n === round * 100 + 13, 'the next change');
      const all = await client.events(1, told + 4);
      // What came late is told as the step from its own state to the newest one.
      assert.deepEqual(all.slice(told).map(([op]) => op), Array(4).fill('update'));
      const before = client.frames.filter(frame => frame.object).slice(told).map(frame => frame.original.n).sort((a, b) => a - b);
      assert.deepEqual(before, [told === 1 ? 1 : 113, round * 100 + 10, round * 100 + 11, round * 100 + 12]);
      assert.equal(all.at(-1)[1], round * 100 + 13);
    }
    await client.close();
  } finally {
    await door(true);
    await admin.end();
    await server.stop();
  }
});

test('a class that is published before its first object is captured too', async () => {
  const server = await start({ sqlChanges: true });
  try {
    const client = await connect(server);
    await client.subscribe(1, 'Live_Later', {});
    const { objectId } = await rest(server, 'POST', 'Live_Later', { n: 1 });
    await client.events(1, 1);
    await waitFor(async () => (await triggers()).some(({ name }) => name === '"Live_Later"'), { what: 'the trigger' });
    await sql('UPDATE "Live_Later" SET n = 2 WHERE "objectId" = $1', [objectId]);
    assert.deepEqual(await client.events(1, 2), [['create', 1], ['update', 2]]);
    await client.close();
  } finally {
    await server.stop();
  }
});

test('with the log a client resumes on another server, after a restart', async () => {
  const first = await start({ eventLog: true });
  const client = await connect(first, { resumeAfter: '' });
  await rest(first, 'POST', 'Live_Log', { n: 0 });
  await client.subscribe(1, 'Live_Log', {});
  const { objectId } = await rest(first, 'POST', 'Live_Log', { n: 1 });
  const { eventId } = await client.until(frame => frame.object?.n === 1, 'the event');
  client.socket.terminate();
  await rest(first, 'PUT', `Live_Log/${objectId}`, { n: 2 });
  await first.stop();

  const second = await start({ eventLog: true });
  try {
    const again = await connect(second, { resumeAfter: eventId });
    const subscribed = await again.subscribe(1, 'Live_Log', {});
    assert.equal(subscribed.resumed, true);
    await again.until(frame => frame.op === 'update' && frame.object.n === 2, 'what happened meanwhile');
    // What happened shortly before may come again; nothing older, and in order.
    const heard = again.frames.filter(frame => frame.object).map(frame => frame.object.n);
    assert.deepEqual(heard, [0, 1, 2].slice(-heard.length));
    const from = again.frames.length;
    await rest(second, 'PUT', `Live_Log/${objectId}`, { n: 3 });
    await again.until(frame => frame.object?.n === 3, 'the next event', from);
    await again.close();
  } finally {
    await second.stop();
  }
});

test('without the options nothing is left', async () => {
  assert.ok((await triggers()).length > 0);
  const server = await start({});
  try {
    await waitFor(async () => (await triggers()).length === 0, { what: 'the triggers to go' });
    const { rows } = await sql('SELECT count(*)::int AS count FROM parsimony.live_log');
    assert.equal(rows[0].count, 0);
  } finally {
    await server.stop();
  }
});
