// A service that takes no connections.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startPostgres, waitFor } from '../lib/postgres.js';
import { Double } from './faults-double.js';
import { World, many, outage, patience, pause, upTo } from './faults-world.js';

const double = await Double.start();
const postgres = await startPostgres();
after(async () => {
  await double.stop();
  await postgres.stop();
});

test('whom no request was sent to has not got it twice', { timeout: patience + 60000 }, async t => {
  const world = await World.make(postgres, double);
  t.after(() => world.stop());
  await world.install(many);
  await double.down();
  const id = await world.send();
  await waitFor(async () => (await world.report(id)).retried > 0, { what: 'it to be tried', timeout: patience });
  await pause(outage * 1000);
  await double.up();
  const status = await world.ended(id);
  world.checkLedger(upTo(many));
  assert.equal(status.maybeRepeated, undefined);
});
