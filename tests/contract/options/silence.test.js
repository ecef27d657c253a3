// A database that says nothing any more, on connections that nobody closes: as behind a firewall that forgot them, or
// after a failover without a word. Whoever waits is answered, and new connections take the place of the old ones.
import assert from 'node:assert/strict';
import net from 'node:net';
import { after, test } from 'node:test';
import { request } from '../lib/http.js';
import { createDatabase, waitFor } from '../lib/postgres.js';
import { stage } from './calls.js';

const { server: start, postgres } = await stage();

/** Longer than a read takes that meets three such connections. */
const PATIENCE = 60_000;

async function asMaster(server, method, at, body) {
  const headers = { 'X-Parse-Application-Id': server.config.appId, 'X-Parse-Master-Key': server.config.masterKey, 'Content-Type': 'application/json' };
  const answer = await request(`${server.url}/${at}`, { method, headers, body: body && JSON.stringify(body), timeout: PATIENCE });
  return { status: answer.status, body: JSON.parse(answer.text) };
}

/** Leads to `uri`; `lose()`: connections that are open go on being open, and nothing passes through them. */
async function passage(uri) {
  const target = new URL(uri);
  const open = new Set();
  const door = net.createServer(near => {
    const far = net.connect(Number(target.port), target.hostname);
    const connection = { near, far, isLost: false };
    open.add(connection);
    for (const [from, to] of [[near, far], [far, near]]) {
      from.on('data', data => connection.isLost || to.write(data));
      from.on('error', () => {});
      from.on('close', () => connection.isLost || to.destroy());
    }
    near.on('close', () => open.delete(connection));
  });
  await new Promise(resolve => door.listen(0, '127.0.0.1', resolve));
  const url = new URL(uri);
  url.hostname = '127.0.0.1';
  url.port = door.address().port;
  after(() => {
    for (const { near, far } of open) [near, far].forEach(socket => socket.destroy());
    door.close();
  });
  return {
    uri: url.toString(),
    lose() {
      for (const connection of open) connection.isLost = true;
      return open.size;
    },
    left: () => [...open].filter(({ isLost }) => isLost).length,
  };
}

test('connections that say nothing are given up, and those who wait are answered', { timeout: 200_000 }, async () => {
  const database = await createDatabase(postgres, 'options_silence');
  after(() => database.drop());
  const way = await passage(database.uri);
  // 1 s, and 10 s more than that.
  const server = await start({ databaseOptions: { statementTimeout: 1000 } }, { databaseURI: way.uri });
  const write = n => asMaster(server, 'POST', 'classes/Said', { n });
  const read = () => asMaster(server, 'GET', 'classes/Said');
  const both = n => Promise.all([write(n), read(), asMaster(server, 'POST', 'batch', {
    transaction: true, requests: [0, 1].map(part => ({ method: 'POST', path: '/parse/classes/Said', body: { n, part } })),
  })]);
  assert.deepEqual((await both(0)).map(({ status }) => status), [201, 200, 200]);
  // As many connections as there will be.
  await Promise.all(Array.from({ length: 20 }, (_, n) => both(n)));
  const lost = way.lose();
  assert.ok(lost > 1);
  const answers = (await Promise.all(Array.from({ length: 20 }, (_, n) => both(n)))).flat();
  // Nothing is said of what nobody knows.
  for (const { status, body } of answers) assert.ok(status === 200 || status === 201 || status >= 500, JSON.stringify(body));
  await waitFor(async () => (await both(1)).every(({ status }) => status < 300), { what: 'new connections', timeout: PATIENCE });
  // On others nobody waits for anything; the system's own probes find those.
  await waitFor(() => way.left() < lost, { what: 'those that were waited on to be closed', timeout: PATIENCE });
});
