// Pushes and time: many that are due at one moment, schedules whose times are changed, clocks that are set.
// PUSH_FAULT_SCHEDULES=1000: how many.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { waitFor } from '../lib/postgres.js';
import { Clocks, noClocks } from './faults-clock.js';
import { Cluster, noCluster } from './faults-cluster.js';
import { Double } from './faults-double.js';
import { IN_HAND, World, many, patience, token, upTo } from './faults-world.js';

const skip = noCluster || noClocks;
const clocks = skip ? null : new Clocks();
// Certificates of yesterday, for clocks that are set back.
const yesterday = clocks?.make('yesterday');
yesterday?.set(-86400);
const double = skip ? null : await Double.start({ environment: yesterday.environment });
const [ofServer, ofDatabase] = [clocks?.make('server'), clocks?.make('database')];
const cluster = skip ? null : await Cluster.start({ environment: ofDatabase.environment });
after(async () => {
  await double?.stop();
  await cluster?.stop();
  clocks?.stop();
});

const options = { skip, timeout: patience + 60000 };
const schedules = Number(process.env.PUSH_FAULT_SCHEDULES ?? 250);
const HOUR = 3600;

function set(clock, seconds) {
  if (clock !== 'database') ofServer.set(seconds);
  if (clock !== 'server') ofDatabase.set(seconds);
}

async function make(t, settings) {
  set('both', 0);
  const world = await World.make(cluster, double, { environment: ofServer.environment, ...settings });
  t.after(() => world.stop());
  return world;
}

/** Does so many things, some at a time. */
async function each(count, work) {
  let next = 1;
  await Promise.all(Array.from({ length: 16 }, async () => {
    while (next <= count) await work(next++);
  }));
}

test('schedules that are all due at one moment, on two servers, are sent once', options, async t => {
  const world = await make(t, { nodes: 2 });
  await world.install(schedules);
  const later = new Date(Date.now() + HOUR * 1000).toISOString();
  const ids = [];
  await each(schedules, async n => {
    const node = world.nodes[n % 2];
    ids[n] = (await world.call('POST', 'push', { where: { installationId: `i${n}` }, push_time: later, data: { alert: `${n}` } }, node)).id;
  });
  assert.equal(double.reached, 0);
  // The hour is over for all of them at once.
  const began = Date.now();
  await world.sql(`WITH due AS (UPDATE parsimony.push SET due_at = now()) UPDATE parsimony.work SET run_at = now() WHERE queue LIKE 'push:%'`);
  const left = () => world.sql(`SELECT count(*)::int FROM "_PushStatus" WHERE status <> 'succeeded'`);
  await waitFor(async () => (await left())[0].count === 0, { what: 'all of them to be sent', timeout: patience, every: 100 });
  t.diagnostic(`${schedules} schedules within ${Date.now() - began} ms`);
  world.checkLedger(upTo(schedules));
  // Each said its own.
  for (const { token: to, alert } of double.taken) assert.equal(token(Number(alert)), to);
  const rows = await world.sql('SELECT "objectId" AS id, "numSent" AS sent, "numFailed" AS failed, "maybeRepeated" AS admitted FROM "_PushStatus"');
  assert.deepEqual(rows.map(row => row.id).sort(), ids.slice(1).sort());
  for (const { sent, failed, admitted } of rows) assert.deepEqual([sent, failed, admitted], [1, null, null]);
});

test('recurring pushes that are due at one moment, on two servers, each make one', options, async t => {
  const world = await make(t, { nodes: 2 });
  const count = Math.ceil(schedules / 4);
  await world.install(count);
  await each(count, n => world.call('POST', 'push', { where: { installationId: `i${n}` }, cron: '0 0 29 2 *', data: { alert: `${n}` } }, world.nodes[n % 2]));
  await world.sql("UPDATE parsimony.push SET due_at = now() WHERE state = 'recurring'");
  const made = () => world.sql(`SELECT status, count(*)::int FROM "_PushStatus" WHERE source = 'schedule' GROUP BY 1`);
  await waitFor(async () => (await made()).some(row => row.status === 'succeeded' && row.count >= count), { what: 'all of them to be sent', timeout: patience, every: 100 });
  assert.deepEqual(await made(), [{ status: 'succeeded', count }]);
  world.checkLedger(upTo(count));
  // All are due again, and none before its time.
  const [{ next }] = await world.sql("SELECT count(*)::int AS next FROM parsimony.push WHERE state = 'recurring' AND extract(day FROM due_at AT TIME ZONE 'UTC') = 29 AND due_at > now()");
  assert.equal(next, count);
});

test('a schedule that is put off, or drawn near, in the database', options, async t => {
  const world = await make(t);
  await world.install(3);
  const at = seconds => new Date(Date.now() + seconds * 1000).toISOString();
  const send = (n, seconds) => world.send({ where: { installationId: `i${n}` }, push_time: at(seconds), data: { alert: `${n}` } });
  const [near, off, kept] = [await send(1, HOUR), await send(2, 3), await send(3, 4)];
  const move = (id, interval) => world.sql(`WITH due AS (UPDATE parsimony.push SET due_at = now() + $2::interval WHERE id = $1)
    UPDATE parsimony.work SET run_at = now() + $2::interval WHERE queue = 'push:' || $1`, [id, interval]);
  await move(near, '-1 second');
  await move(off, '1 hour');
  await world.ended(near);
  await world.ended(kept);
  world.checkLedger([1, 3]);
  assert.equal((await world.status(off)).status, 'scheduled');
});

/** In the middle of a campaign the clocks are set; `most`: what may be repeated. */
async function jump(t, clock, seconds, { most = 0 } = {}) {
  const world = await make(t);
  await world.install(many);
  double.delay = 400;
  const id = await world.send();
  await world.reached(many / 4);
  set(clock, seconds);
  assert.ok(double.reached < many, 'too late');
  // The clocks are what they were set to.
  const { json } = await world.call('POST', 'classes/Clock', {});
  const [{ now }] = await world.sql('SELECT now()');
  const near = (is, by) => assert.ok(Math.abs(is - Date.now() - by * 1000) < 20000, `${is}`);
  near(Date.parse(json.createdAt), clock === 'database' ? 0 : seconds);
  near(now.getTime(), clock === 'server' ? 0 : seconds);
  const status = await world.ended(id);
  const admitted = status.maybeRepeated ?? 0;
  t.diagnostic(`${many} devices, ${double.repeats} repeats, ${admitted} admitted`);
  world.checkLedger(upTo(many), Math.min(admitted, most));
  assert.ok(admitted <= most, `${admitted} admitted`);
  assert.deepEqual([status.numSent, status.numFailed ?? 0], [many, 0]);
}

test('the clock of the server is set an hour forward in the middle', options, t => jump(t, 'server', HOUR));
test('the clock of the server is set an hour back in the middle', options, t => jump(t, 'server', -HOUR));
// To the database all leases are over.
test('all clocks are set an hour forward in the middle', options, t => jump(t, 'both', HOUR, { most: IN_HAND }));
test('all clocks are set three seconds back in the middle', options, t => jump(t, 'both', -3));
