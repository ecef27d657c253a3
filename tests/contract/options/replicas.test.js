// databaseReadURIs while a replica is away: who merely prefers it reads from the primary, and the log says so once.
import assert from 'node:assert/strict';
import net from 'node:net';
import { after, test } from 'node:test';
import { createDatabase, freePort, waitFor } from '../lib/postgres.js';
import { asMaster, stage } from './calls.js';

const { server: start, postgres } = await stage();

/** The database once more, at this port: `{used(), stop()}`. */
async function replica(uri, port) {
  const target = new URL(uri);
  const sockets = new Set();
  let used = 0;
  const door = net.createServer(near => {
    const far = net.connect(Number(target.port), target.hostname);
    near.on('data', data => {
      if (data.includes('"Said"')) used += 1;
    });
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => [near, far].forEach(one => one.destroy()));
    }
    near.pipe(far).pipe(near);
  });
  await new Promise(resolve => door.listen(port, '127.0.0.1', resolve));
  return {
    used: () => used,
    stop() {
      for (const socket of sockets) socket.destroy();
      return new Promise(resolve => door.close(resolve));
    },
  };
}

test('a replica that is away is done without, until it is back', { timeout: 120_000 }, async () => {
  const database = await createDatabase(postgres, 'options_replicas');
  after(() => database.drop());
  const port = await freePort();
  const uri = new URL(database.uri);
  uri.hostname = '127.0.0.1';
  uri.port = port;
  const server = await start({ databaseReadURIs: [uri.toString()] }, { databaseURI: database.uri });
  assert.equal((await asMaster(server, 'POST', 'classes/Said', { n: 1 })).status, 201);
  const read = preference => asMaster(server, 'GET', `classes/Said?where={"n":1}&readPreference=${preference}`);
  const told = text => server.log().split(text).length - 1;
  for (const preference of ['SECONDARY_PREFERRED', 'NEAREST', 'SECONDARY_PREFERRED']) {
    const { status, body } = await read(preference);
    assert.deepEqual([status, body.results?.length], [200, 1], preference);
  }
  // Who reads from replicas alone is told that there is none.
  assert.equal((await read('SECONDARY')).status, 503);
  assert.equal(told('A read replica is away'), 1);
  let there = await replica(database.uri, port);
  after(() => there.stop());
  await waitFor(async () => {
    assert.equal((await read('SECONDARY_PREFERRED')).status, 200);
    return there.used() > 0;
  }, { what: 'reads from the replica', timeout: 60_000, every: 200 });
  assert.equal((await read('SECONDARY')).status, 200);
  await waitFor(() => told('A read replica is back') === 1, { what: 'the end of it' });
  await there.stop();
  assert.equal((await read('NEAREST')).status, 200);
  await waitFor(() => told(`The database at 127.0.0.1:${port} cannot be reached: `) === 1, { what: 'the reason' });
  there = await replica(database.uri, port);
  await waitFor(async () => (await read('SECONDARY')).status === 200, { what: 'it to be back', timeout: 60_000 });
  await there.stop();
});
