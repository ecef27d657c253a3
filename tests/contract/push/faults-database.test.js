// Campaigns of pushes while the database is away, stands still, or takes nothing: nothing is lost, and who may have got
// it twice is counted. PUSH_FAULT_OUTAGE: seconds that it is away.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Cluster, noCluster } from './faults-cluster.js';
import { Double } from './faults-double.js';
import { IN_HAND, World, many, outage, patience, pause, shared, upTo } from './faults-world.js';

const double = noCluster ? null : await Double.start();
const cluster = noCluster ? null : await Cluster.start();
const servers = shared(cluster, double);
after(async () => {
  await servers.stop();
  await double?.stop();
  await cluster?.stop();
});

const options = { skip: noCluster, timeout: patience + 60000 };

async function begin(world) {
  await world.install(many);
  double.delay = 400;
  const id = await world.send();
  await world.reached(many / 4);
  return id;
}

/** `repeats` and `admitted`: at most so many. */
async function check(t, world, id, { repeats = 0, admitted: most = repeats } = {}) {
  const status = await world.ended(id);
  const admitted = status.maybeRepeated ?? 0;
  t.diagnostic(`${many} devices, ${double.repeats} repeats, ${admitted} admitted`);
  world.checkLedger(upTo(many), Math.min(admitted, repeats));
  assert.ok(admitted <= most, `${admitted} admitted`);
  assert.deepEqual([status.numSent, status.numFailed ?? 0, status.sentPerType], [many, 0, { ios: many }]);
}

test('the database stands still in the middle', options, async t => {
  const world = await servers.get();
  const id = await begin(world);
  cluster.freeze();
  t.after(() => cluster.thaw());
  const before = double.reached;
  assert.ok(before < many, 'too late');
  await pause(outage * 1000);
  cluster.thaw();
  // Shorter than a lease: what the server had in hand is still its own.
  await check(t, world, id, outage < 15 ? {} : { repeats: IN_HAND });
});

// A claim whose answer was lost is nobody's until its lease runs out, and then nobody knows what became of it.
test('the database crashes in the middle and comes back later', options, async t => {
  const world = await servers.get();
  const id = await begin(world);
  await cluster.crash();
  assert.ok(double.reached < many, 'too late');
  await pause(outage * 1000);
  await cluster.up();
  // What was sent is offered to the database until it takes it.
  await check(t, world, id, { repeats: outage < 15 ? 0 : IN_HAND, admitted: IN_HAND });
});

test('the database crashes with two servers at it', options, async t => {
  const world = await World.make(cluster, double, { nodes: 2 });
  t.after(() => world.stop());
  const id = await begin(world);
  await cluster.crash();
  assert.ok(double.reached < many, 'too late');
  await pause(outage * 1000);
  await cluster.up();
  await check(t, world, id, { repeats: outage < 15 ? 0 : 2 * IN_HAND, admitted: 2 * IN_HAND });
});

test('connections to the database are ended again and again', options, async t => {
  const world = await servers.get();
  const id = await begin(world);
  for (let n = 0; n < 5; n += 1) {
    await world.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'");
    await pause(300);
  }
  await check(t, world, id, { admitted: IN_HAND });
});

/** Until it is ended, what is written to the tables fails as on a full disk. */
async function fill(world, tables) {
  await world.sql(`CREATE OR REPLACE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$`);
  await world.sql(tables.map(table => `CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON ${table} EXECUTE FUNCTION full_disk();`).join('\n'));
  return () => world.sql(tables.map(table => `DROP TRIGGER full_disk ON ${table};`).join('\n'));
}

test('the disk is full: nothing of the queue can be written for a while', options, async t => {
  const world = await servers.get();
  const id = await begin(world);
  const empty = await fill(world, ['parsimony.work', 'parsimony.push', '"_PushStatus"']);
  assert.ok(double.reached < many, 'too late');
  await pause(outage * 1000);
  // Nobody is sent to whom nobody could note.
  assert.ok(double.reached < many);
  await empty();
  await check(t, world, id);
});

test('the disk is full for results alone: they are kept until it is not', options, async t => {
  const world = await servers.get();
  const id = await begin(world);
  const empty = await fill(world, ['"_PushStatus"']);
  await pause(outage * 1000);
  assert.notEqual((await world.status(id)).status, 'succeeded');
  await empty();
  await check(t, world, id);
});

test('the disk is full for what comes next alone', options, async t => {
  const world = await servers.get();
  const id = await begin(world);
  const empty = await fill(world, ['parsimony.push']);
  await pause(outage * 1000);
  await empty();
  await check(t, world, id);
});
