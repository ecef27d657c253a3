// Campaigns of pushes while servers die: every device gets its push, and who may have got it twice is counted.
// PUSH_FAULT_DEVICES: how many devices.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startPostgres, waitFor } from '../lib/postgres.js';
import { Double } from './faults-double.js';
import { IN_HAND, World, many, patience, upTo } from './faults-world.js';

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

test('a server is killed in the middle and started again', options, async t => {
  const world = await World.make(postgres, double);
  t.after(() => world.stop());
  await world.install(many);
  double.delay = 400;
  const id = await world.send();
  await world.reached(many / 3);
  await world.kill();
  const before = double.reached;
  assert.ok(before < many, 'it was killed too late');
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

/** Waits until both servers have a part of the push in hand. */
function bothSend(world, id) {
  return waitFor(async () => {
    const holders = await world.sql("SELECT DISTINCT holder FROM parsimony.work WHERE queue = 'push:' || $1 AND state = 'running'", [id]);
    return holders.length === 2;
  }, { what: 'both servers to send', timeout: patience });
}

test('two servers share a push, each device gets it once', options, async t => {
  const world = await World.make(postgres, double, { nodes: 2 });
  t.after(() => world.stop());
  await world.install(many);
  // Slowly: a server that found nothing to do looks again after five seconds.
  double.delay = 2000;
  const id = await world.send();
  await bothSend(world, id);
  double.delay = 20;
  const status = await world.ended(id);
  world.checkLedger(upTo(many));
  assert.deepEqual([status.numSent, status.numFailed, status.maybeRepeated], [many, undefined, undefined]);
});

test('one of two servers is killed in the middle, and the other ends it', options, async t => {
  const world = await World.make(postgres, double, { nodes: 2 });
  t.after(() => world.stop());
  await world.install(many);
  double.delay = 2000;
  const id = await world.send();
  await bothSend(world, id);
  await world.kill(world.nodes[1]);
  assert.ok(double.reached < many, 'it was killed too late');
  double.delay = 20;
  await check(t, world, id);
});
