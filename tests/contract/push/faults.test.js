// Campaigns of pushes while servers die: every device gets its push, and who may have got it twice is counted.
// PUSH_FAULT_DEVICES: how many devices.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startPostgres, waitFor } from '../lib/postgres.js';
import { Double } from './faults-double.js';
import { IN_HAND, SLOTS, World, many, patience, upTo } from './faults-world.js';

const double = await Double.start();
const postgres = await startPostgres();
after(async () => {
  await double.stop();
  await postgres.stop();
});

const options = { timeout: patience + 60000 };

/** The push is over, everybody has it, and what came twice is no more than what is admitted, and that no more than what was in hand. */
async function check(t, world, id) {
  const status = await world.ended(id);
  const admitted = status.maybeRepeated ?? 0;
  t.diagnostic(`${many} devices, ${double.repeats} repeats, ${admitted} admitted`);
  world.checkLedger(upTo(many), Math.min(admitted, IN_HAND));
  assert.ok(admitted <= IN_HAND, `${admitted} admitted`);
  assert.deepEqual(
    { sent: status.numSent, failed: status.numFailed ?? 0, types: status.sentPerType, count: status.count },
    { sent: many, failed: 0, types: { ios: many }, count: undefined },
  );
  // The report tells the same.
  const report = await world.report(id);
  assert.deepEqual([report.sent, report.failed, report.maybeRepeated], [many, 0, admitted]);
}

/** Waits until so many servers have so many batches in hand, together. */
function inHand(world, id, { batches, servers = 1 }) {
  return waitFor(async () => {
    const holders = await world.sql("SELECT count(*)::int FROM parsimony.work WHERE queue = 'push:' || $1 AND state = 'running' GROUP BY holder", [id]);
    return holders.length >= servers && holders.reduce((sum, { count }) => sum + count, 0) >= batches;
  }, { what: `${servers} servers to have ${batches} batches in hand`, timeout: patience });
}

test('a server is killed in the middle and started again', options, async t => {
  const world = await World.make(postgres, double);
  t.after(() => world.stop());
  await world.install(many);
  const id = await world.send();
  await world.reached(many / 3);
  // Much is under way when it dies.
  double.hold();
  await inHand(world, id, { batches: SLOTS / 2 });
  await world.kill();
  const before = double.reached;
  assert.ok(before < many, 'it was killed too late');
  double.held = null;
  await world.start();
  await check(t, world, id);
  t.diagnostic(`${before} were reached when it died`);
});

test('a server is killed between accepting and sending', options, async t => {
  const world = await World.make(postgres, double);
  t.after(() => world.stop());
  await world.install(many);
  // Nothing can be sent until the next one runs.
  await double.down();
  const id = await world.send();
  await world.kill();
  await double.up();
  await world.start();
  await check(t, world, id);
});

test('two servers share a push, each device gets it once', options, async t => {
  const world = await World.make(postgres, double, { nodes: 2 });
  t.after(() => world.stop());
  await world.install(many);
  // One server alone has more to do than it can, until the other one looks for something to do.
  const release = double.hold();
  const id = await world.send();
  await inHand(world, id, { batches: SLOTS, servers: 2 });
  release();
  const status = await world.ended(id);
  world.checkLedger(upTo(many));
  assert.deepEqual([status.numSent, status.numFailed, status.maybeRepeated], [many, undefined, undefined]);
});

test('one of two servers is killed in the middle, and the other ends it', options, async t => {
  const world = await World.make(postgres, double, { nodes: 2 });
  t.after(() => world.stop());
  await world.install(many);
  const release = double.hold();
  const id = await world.send();
  await inHand(world, id, { batches: SLOTS, servers: 2 });
  await world.kill(world.nodes[1]);
  assert.ok(double.reached < many, 'it was killed too late');
  release();
  await check(t, world, id);
});
