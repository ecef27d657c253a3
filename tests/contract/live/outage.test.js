// What is between servers goes away and comes back: subscribers stay, and the log says so once.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Socket, rest, startRedis } from '../lib/live.js';
import { postgresOnly, startDatabase } from '../lib/database.js';
import { query, waitFor } from '../lib/postgres.js';
import { startServer } from '../lib/servers.js';

let database;
before(async () => (database = await startDatabase()));
after(() => database.stop());

const told = (server, text) => server.log().split(text).length - 1;

/** Writes until this socket hears of it. */
async function heardAgain(writer, socket) {
  socket.frames.length = 0;
  await waitFor(async () => {
    await rest(writer, 'POST', '/classes/Live_out', {});
    return socket.frames.some(frame => frame.object);
  }, { every: 100, what: 'events to come again' });
}

test('Redis goes and comes back: one warning for each server, and one line when it is over', async () => {
  let bus = await startRedis();
  const overrides = {
    liveQuery: { classNames: ['Live_.*'], redisURL: bus.url }, liveQueryServerOptions: { redisURL: bus.url }, startLiveQueryServer: true,
  };
  const near = await startServer(database, 'parsimony', 'base', { overrides });
  const far = await startServer(database, 'parsimony', 'base', { overrides, databaseURI: near.databaseURI });
  try {
    const [here, there] = [await Socket.connect(near), await Socket.connect(far)];
    for (const socket of [here, there]) {
      await socket.subscribe(1, { className: 'Live_out' });
      await heardAgain(near, socket);
    }
    await bus.stop();
    for (const server of [near, far]) await waitFor(() => told(server, 'Redis is away') > 0, { what: 'a warning' });
    here.frames.length = 0;
    for (let n = 0; n < 5; n += 1) await rest(near, 'POST', '/classes/Live_out', { n });
    await waitFor(() => here.frames.length === 5, { what: 'the events of its own server' });
    // More than one attempt to reach it.
    await new Promise(resolve => setTimeout(resolve, 2500));
    bus = await startRedis(bus.port);
    for (const server of [near, far]) await waitFor(() => told(server, 'Redis is back') > 0, { what: 'the end of it' });
    await heardAgain(near, there);
    assert.equal(there.ws.readyState, 1);
    for (const server of [near, far]) {
      assert.deepEqual([told(server, 'Redis is away'), told(server, 'Redis is back')], [1, 1], server.log().slice(-2000));
    }
    here.close();
    there.close();
  } finally {
    await far.stop();
    await near.stop();
    await bus.stop();
  }
});

test('what the URL of Redis does not say is among redisOptions', async () => {
  const bus = await startRedis(undefined, '--requirepass', 'secret');
  const redis = { redisURL: bus.url, redisOptions: { password: 'secret', database: 2 } };
  const overrides = { liveQuery: { classNames: ['Live_.*'], ...redis }, liveQueryServerOptions: redis, startLiveQueryServer: true };
  const near = await startServer(database, 'parsimony', 'base', { overrides });
  const far = await startServer(database, 'parsimony', 'base', { overrides, databaseURI: near.databaseURI });
  try {
    const there = await Socket.connect(far);
    await there.subscribe(1, { className: 'Live_out' });
    await heardAgain(near, there);
    there.close();
  } finally {
    await far.stop();
    await near.stop();
    await bus.stop();
  }
});

test('the listening connection goes and comes back: one warning, and one line when it is over', postgresOnly, async () => {
  const overrides = { liveQuery: { classNames: ['Live_.*'] }, startLiveQueryServer: true };
  const near = await startServer(database, 'parsimony', 'base', { overrides });
  const far = await startServer(database, 'parsimony', 'base', { overrides, databaseURI: near.databaseURI });
  const door = open => query(database.uri, `ALTER DATABASE "${new URL(near.databaseURI).pathname.slice(1)}" ALLOW_CONNECTIONS ${open}`);
  try {
    const there = await Socket.connect(far);
    await there.subscribe(1, { className: 'Live_out' });
    await heardAgain(near, there);
    await door(false);
    const name = new URL(near.databaseURI).pathname.slice(1);
    await query(database.uri, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND query LIKE 'LISTEN%'`, [name]);
    for (const server of [near, far]) await waitFor(() => told(server, 'listening database connection was lost') > 0, { what: 'a warning' });
    await new Promise(resolve => setTimeout(resolve, 1000));
    await door(true);
    for (const server of [near, far]) await waitFor(() => told(server, 'listening database connection is back') > 0, { what: 'the end of it' });
    await heardAgain(near, there);
    for (const server of [near, far]) {
      const lines = ['was lost', 'is back'].map(what => told(server, `listening database connection ${what}`));
      assert.deepEqual(lines, [1, 1], server.log().slice(-2000));
    }
    there.close();
  } finally {
    await door(true);
    await far.stop();
    await near.stop();
  }
});
