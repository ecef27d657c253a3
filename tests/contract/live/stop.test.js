// A server that stops does not wait for sockets, which have no end of their own.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { connect } from '../lib/live-frames.js';
import { startDatabase } from '../lib/database.js';
import { waitFor } from '../lib/postgres.js';
import { startServer } from '../lib/servers.js';

let database;
before(async () => (database = await startDatabase()));
after(() => database.stop());

const isGone = pid => {
  try {
    process.kill(pid, 0);
    return false;
  } catch {
    return true;
  }
};

test('SIGTERM: sockets are closed with 1001, and the server ends', { timeout: 60_000 }, async t => {
  const server = await startServer(database, 'parsimony');
  t.after(() => server.stop());
  const subscriber = await connect(server);
  assert.equal((await subscriber.subscribe(1, 'Live_stop', {})).op, 'subscribed');
  const idle = await connect(server);
  process.kill(server.pid, 'SIGTERM');
  for (const client of [subscriber, idle]) {
    await waitFor(() => client.closed() !== null, { what: 'the end of a socket', timeout: 15_000 });
    assert.equal(client.closed(), 1001);
  }
  // Long before requests that do not end would be cut off (30 s).
  await waitFor(() => isGone(server.pid), { what: 'the end of the server', timeout: 15_000 });
});
