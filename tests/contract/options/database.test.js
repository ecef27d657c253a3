// Options of the PostgreSQL driver, and of the indexes made at the start: what the database shows of them.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import { after, test } from 'node:test';
import { pg, query, waitFor } from '../lib/postgres.js';
import { asMaster, asked, call, stage } from './calls.js';

const INDEXES = {
  createIndexUserUsername: '_User_unique_username',
  createIndexUserEmail: '_User_unique_email',
  createIndexRoleName: '_Role_unique_name',
  createIndexUserUsernameCaseInsensitive: 'case_insensitive_username',
  createIndexUserEmailCaseInsensitive: 'case_insensitive_email',
  createIndexUserEmailVerifyToken: '_email_verify_token',
  createIndexUserPasswordResetToken: '_perishable_token',
  createIndexAuthDataUniqueness: '_User_unique_authData_anonymous_id',
};

const { server: start, attempt } = await stage();
// The first one's database is the replica of the second.
const plain = await start({});
const changed = await start({
  databaseReadURIs: [plain.databaseURI],
  databaseOptions: {
    ...Object.fromEntries(Object.keys(INDEXES).map(name => [name, false])),
    application_name: 'an app of ours', fallback_application_name: 'not this one', poolSize: 3, keepAlive: false, idleTimeoutMillis: 1000,
    query_timeout: 1500, autoIndex: false, allowPublicExplain: true,
  },
});
const other = await start({ databaseOptions: { fallback_application_name: 'a fallback', max: 3 } });
const both = [plain, changed];
const place = { className: 'Place', fields: { name: { type: 'String' }, location: { type: 'GeoPoint' } } };
for (const server of [...both, other]) {
  assert.equal((await asMaster(server, 'POST', 'schemas/Place', place)).status, 200);
  assert.equal((await asMaster(server, 'POST', 'classes/Place', { name: server === plain ? 'plain' : 'changed' })).status, 201);
}

const sql = (server, text, values) => query(server.databaseURI, text, values).then(({ rows }) => rows);
const indexes = async server => (await sql(server, `SELECT indexname AS name FROM pg_indexes WHERE schemaname = 'public'`)).map(({ name }) => name);
/** The connections of a server, as the database knows them. */
const connections = server => sql(server, `
  SELECT application_name AS name, client_port AS port, wait_event_type = 'Lock' AS waits FROM pg_stat_activity
  WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'`);

/** Does something while nobody gets at the table. */
async function locked(server, work) {
  const client = new pg.Client({ connectionString: server.databaseURI });
  await client.connect();
  try {
    await client.query('BEGIN; LOCK TABLE "Place"');
    return await work(() => client.query('ROLLBACK'));
  } finally {
    await client.end();
  }
}

test('createIndex…: which indexes of system classes are made', async () => {
  // The server's own come last, whatever the options say.
  for (const server of both) {
    const isLast = name => name.startsWith('parsimony_') && !name.includes('spelling');
    await waitFor(async () => (await indexes(server)).some(isLast), { what: 'the last index' });
  }
  const [all, none] = await Promise.all(both.map(indexes));
  for (const [option, name] of Object.entries(INDEXES)) {
    assert.ok(all.includes(name), `${option}: ${all}`);
    assert.ok(!none.includes(name), `${option}: ${none}`);
  }
});

test('application_name and fallback_application_name', async () => {
  const names = async server => [...new Set((await connections(server)).map(({ name }) => name))];
  assert.deepEqual(await names(other), ['a fallback']);
  assert.deepEqual(await names(changed), ['an app of ours']);
  assert.deepEqual((await names(plain)).filter(name => ['an app of ours', 'a fallback'].includes(name)), []);
});

test('poolSize, max and query_timeout: how many wait for a table, and how long', async () => {
  for (const server of [plain, changed, other]) {
    await locked(server, async release => {
      const asking = Array.from({ length: server === changed ? 6 : 12 }, () => asMaster(server, 'GET', 'classes/Place'));
      const waiting = async () => (await connections(server)).filter(({ waits }) => waits).length;
      const seen = [];
      const look = async () => seen.push(await waiting());
      if (server === changed) {
        // Nobody lets them in: their time is over before.
        let answered = false;
        Promise.race(asking).then(() => { answered = true; });
        while (!answered) await look();
      } else {
        // Looked at again and again, for there could be more of them soon.
        const enough = count => count > (server === plain ? 3 : 0);
        await waitFor(async () => (await look(), seen.filter(enough).length > 20), { what: 'connections that wait' });
        await release();
      }
      const most = Math.max(...seen);
      // By default there are ten.
      assert.ok(server === plain ? most > 3 : most > 0 && most <= 3, `${seen}`);
      const statuses = (await Promise.all(asking)).map(({ status }) => status);
      assert.ok(statuses.every(status => (status === 200) === (server !== changed)), `${statuses}`);
    });
    assert.equal((await asMaster(server, 'GET', 'classes/Place')).status, 200);
  }
});

test('keepAlive: whether the kernel asks after the peer', { skip: !fs.existsSync('/proc/net/tcp') && 'no /proc/net/tcp' }, async () => {
  /** Timers of the connections to the database, as the kernel shows them: 2 is keep-alive. */
  const timers = async server => {
    const ports = new Set((await connections(server)).map(({ port }) => port));
    return fs.readFileSync('/proc/net/tcp', 'utf8').split('\n').slice(1).map(line => line.trim().split(/\s+/))
      .filter(fields => fields[1] && ports.has(Number.parseInt(fields[1].split(':')[1], 16)))
      .map(fields => Number(fields[5].split(':')[0]));
  };
  await waitFor(async () => (await timers(plain)).includes(2), { what: 'a keep-alive timer' });
  const none = await timers(changed);
  assert.ok(none.length > 0 && !none.includes(2), `${none}`);
});

test('ssl: what is said first', async () => {
  const said = async databaseOptions => {
    let heard;
    const listener = net.createServer(socket => {
      socket.on('error', () => {});
      socket.once('data', data => {
        heard ??= data.readInt32BE(4);
        socket.destroy();
      });
    });
    await new Promise(resolve => listener.listen(0, '127.0.0.1', resolve));
    after(() => listener.close());
    await attempt({ databaseURI: `postgres://somebody@127.0.0.1:${listener.address().port}/some`, databaseOptions });
    return waitFor(() => heard, { what: 'the first words' });
  };
  // The version of the protocol, or that TLS is wanted.
  assert.deepEqual(await Promise.all([said({}), said({ ssl: true })]), [3 << 16, 80877103]);
});

test('databaseReadURIs: who answers queries that may be answered by a replica', async () => {
  const first = { order: 'createdAt', limit: '1' };
  const names = async (server, more) => (await call(server, 'GET', asked('classes/Place', { ...first, ...more }))).body.results.map(({ name }) => name);
  assert.deepEqual([await names(plain, {}), await names(plain, { readPreference: 'SECONDARY' })], [['plain'], ['plain']]);
  assert.deepEqual([await names(changed, {}), await names(changed, { readPreference: 'SECONDARY' })], [['changed'], ['plain']]);
});

test('allowPublicExplain: who may see plans', async () => {
  const answers = await Promise.all(both.map(server => call(server, 'GET', asked('classes/Place', { explain: 'true' }))));
  assert.deepEqual(answers.map(({ status, body }) => [status, body.code]), [[400, 102], [200, undefined]]);
});

test('autoIndex: whether the index that a query misses is made', async () => {
  const near = { location: { $nearSphere: { __type: 'GeoPoint', latitude: 1, longitude: 1 }, $maxDistance: 0.1 } };
  const made = async server => (await indexes(server)).filter(name => name.startsWith('parsimony_near'));
  // The one without is asked first, so it has had its time.
  for (const server of [changed, plain]) {
    await sql(server, `
      INSERT INTO "Place" ("objectId", "createdAt", "updatedAt", name, location)
      SELECT 'o' || i, now(), now(), repeat('x', 100), point(i % 360 - 180, i % 180 - 90) FROM generate_series(1, 20000) i`);
    assert.equal((await call(server, 'GET', asked('classes/Place', { where: near, limit: '5' }))).status, 200);
  }
  await waitFor(async () => (await made(plain)).length > 0, { what: 'the index' });
  assert.deepEqual(await made(changed), []);
});

test('idleTimeoutMillis: connections that nobody uses are closed, sooner or later', { timeout: 60000 }, async () => {
  const backends = async server => sql(server, 'SELECT pid, query FROM pg_stat_activity WHERE datname = current_database()');
  const requests = Array.from({ length: 4 }, (_, n) => ({ method: 'POST', path: '/parse/classes/Place', body: { name: `${n}` } }));
  /** Those that a transaction ended on: the ones for all purposes. */
  const used = async server => {
    await Promise.all(Array.from({ length: 6 }, () => asMaster(server, 'POST', 'batch', { requests, transaction: true })));
    return (await backends(server)).filter(({ query }) => query === 'COMMIT').map(({ pid }) => pid);
  };
  const left = async (server, pids) => (await backends(server)).filter(({ pid }) => pids.includes(pid)).length;
  const [kept, closed] = await Promise.all(both.map(used));
  assert.ok(kept.length > 0 && closed.length > 0, `${kept}, ${closed}`);
  await waitFor(async () => await left(changed, closed) < closed.length, { what: 'connections to be closed', timeout: 45000, every: 200 });
  assert.equal(await left(plain, kept), kept.length);
});
