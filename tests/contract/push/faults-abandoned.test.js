// A batch that was given up while the server had other things to do.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startPostgres, waitFor } from '../lib/postgres.js';
import { Double } from './faults-double.js';
import { World, pause, upTo } from './faults-world.js';

const double = await Double.start();
const postgres = await startPostgres();
after(async () => {
  await double.stop();
  await postgres.stop();
});

test('a push that could not be noted for some time is sent while the server is busy with another', { timeout: 180000 }, async t => {
  const world = await World.make(postgres, double);
  t.after(() => world.stop());
  await world.install(4000);
  // Another push keeps the server busy, before and afterwards: slowly, to one device after the other.
  await world.install(400, { from: 100001 });
  await world.sql(`UPDATE "_Installation" SET "deviceType" = 'android' WHERE length("installationId") = 7`);
  double.delay = 1500;
  const slow = await world.send({ where: { deviceType: 'android' }, rate: 2 });
  await world.reached(2);
  await world.sql(`CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$`);
  // It fills up: pages cannot be noted, are given back a second later, and then cannot be given back either.
  await world.sql(`CREATE TRIGGER full_disk BEFORE UPDATE ON parsimony.push FOR EACH ROW WHEN (NEW.open > OLD.open AND NEW.id <> '${slow}') EXECUTE FUNCTION full_disk()`);
  const id = await world.send({ where: { deviceType: 'ios' } });
  const running = async () => (await world.sql("SELECT 1 FROM parsimony.work WHERE queue = 'push:' || $1 AND state = 'running'", [id])).length > 0;
  await waitFor(async () => {
    if (!(await running())) return false;
    await world.sql('CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON parsimony.work EXECUTE FUNCTION full_disk()');
    // It may have been given back just before.
    if (await running()) return true;
    await world.sql('DROP TRIGGER full_disk ON parsimony.work');
    return false;
  }, { what: 'a page that cannot be given back', timeout: 60000 });
  // Longer than a batch that could not begin is offered to the database (10 times, a second apart), shorter than a lease.
  await pause(13000);
  await world.sql('DROP TRIGGER full_disk ON parsimony.work');
  await world.sql('DROP TRIGGER full_disk ON parsimony.push');
  try {
    // A lease of 20 s, and some time to send.
    await waitFor(async () => (await world.status(id)).status === 'succeeded', { what: 'the push to be sent', timeout: 60000, every: 200 });
  } catch (error) {
    const other = await world.status(slow);
    const work = await world.sql("SELECT queue, state, attempts, lease_until - now() AS lease, progress FROM parsimony.work WHERE state IN ('running', 'waiting')");
    throw new Error(`${error.message}: ${double.reached} reached, the other one ${other.status} ${other.numSent}, ${JSON.stringify(work)}`);
  }
  world.checkLedger([...upTo(4000), ...upTo(400, 100001)].filter(n => double.ledger.has(n.toString(16).padStart(64, '0')) || n <= 4000), 0);
});
