// Campaigns of pushes while the services fail.
// PUSH_FAULT_OUTAGE: seconds that a service is away.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startPostgres, waitFor } from '../lib/postgres.js';
import { Double } from './faults-double.js';
import { many, outage, patience, pause, shared, token, upTo } from './faults-world.js';

const double = await Double.start();
const postgres = await startPostgres();
const world = shared(postgres, double);
after(async () => {
  await world.stop();
  await double.stop();
  await postgres.stop();
});

const options = { timeout: patience + 60000 };
const half = Math.ceil(many / 2);
const unavailable = { status: 503, body: { reason: 'ServiceUnavailable' } };

/** Everybody has it; nobody failed; what came twice is admitted. */
async function check(t, one, id, count = many) {
  const status = await one.ended(id);
  const admitted = status.maybeRepeated ?? 0;
  t.diagnostic(`${count} devices, ${double.repeats} repeats, ${admitted} admitted, ${(await one.report(id)).retried} retried`);
  one.checkLedger(upTo(count), admitted);
  assert.deepEqual([status.numSent, status.numFailed ?? 0], [count, 0]);
  return status;
}

test('services that refuse connections are waited for', options, async t => {
  const one = await world.get();
  const count = 400;
  await one.install(count, { mixed: true });
  await double.down();
  const id = await one.send();
  await waitFor(async () => (await one.report(id)).retried > 0, { what: 'it to be tried', timeout: patience });
  await pause(outage * 1000);
  assert.equal(double.reached, 0);
  await double.up();
  const status = await check(t, one, id, count);
  // No request had left.
  assert.equal(double.repeats, 0);
  assert.deepEqual(status.sentPerType, { ios: count / 2, android: count / 2 });
});

test('services that refuse connections from the middle on are waited for', options, async t => {
  const one = await world.get();
  await one.install(many, { mixed: true });
  double.delay = 40;
  const id = await one.send();
  await one.reached(many / 3);
  await double.down();
  const before = double.reached;
  assert.ok(before < many, 'too late');
  await pause(outage * 1000);
  assert.equal(double.reached, before);
  await double.up();
  await check(t, one, id);
});

test('503 with Retry-After: nobody is asked again before, everybody gets it', options, async t => {
  const one = await world.get();
  await one.install(many, { mixed: true });
  const seconds = Math.max(2, Math.min(outage, 30));
  // Half of the devices of each service are sent away at first.
  const isSentAway = n => Math.floor(n / 2) % 2 === 0;
  double.answer = ({ token: to, tries }) => (tries === 1 && isSentAway(parseInt(to, 16)) ? { ...unavailable, headers: { 'retry-after': String(seconds) } } : undefined);
  const id = await one.send();
  const status = await check(t, one, id);
  assert.equal(double.repeats, 0);
  assert.equal(status.maybeRepeated, undefined);
  let sentAway = 0;
  for (const n of upTo(many)) {
    const times = double.asked.get(token(n));
    assert.equal(times.length, isSentAway(n) ? 2 : 1);
    if (times.length === 1) continue;
    sentAway += 1;
    assert.ok(times[1] - times[0] >= seconds * 1000, `asked again after ${times[1] - times[0]} ms`);
  }
  assert.equal((await one.report(id)).retried, sentAway);
});

test('a service that says 503 to everybody for a while', options, async t => {
  const one = await world.get();
  await one.install(many);
  let isWell = false;
  double.answer = () => (isWell ? undefined : unavailable);
  const id = await one.send();
  await waitFor(() => double.asked.size > 0, { what: 'it to be tried', timeout: patience });
  await pause(outage * 1000);
  // It waits: not everybody is tried while nobody is taken.
  const asked = [...double.asked.values()].reduce((sum, times) => sum + times.length, 0);
  assert.ok(asked < many * 2, `${asked} requests`);
  isWell = true;
  const status = await check(t, one, id);
  assert.equal(double.repeats, 0);
  assert.equal(status.maybeRepeated, undefined);
});

test('a connection that is told to go, again and again', options, async t => {
  const one = await world.get();
  await one.install(many, { mixed: true });
  double.delay = 40;
  const id = await one.send();
  let times = 0;
  for (const part of [0.1, 0.3, 0.5, 0.7]) {
    await one.reached(many * part);
    times += double.goAway();
  }
  assert.ok(times >= 4, `${times} connections`);
  await check(t, one, id);
});

test('connections that break, before and after the service took it', options, async t => {
  const one = await world.get();
  await one.install(many, { mixed: true });
  double.delay = 10;
  // Every so many devices, once each.
  double.answer = ({ token: to, tries }) => {
    const n = parseInt(to, 16);
    if (tries > 1 || n % Math.floor(many / 6) !== 0) return undefined;
    return n % (2 * Math.floor(many / 6)) === 0 ? 'cut' : 'lost';
  };
  const id = await one.send();
  await one.reached(half);
  double.drop();
  const status = await check(t, one, id);
  // At least those whose answer was lost.
  assert.ok(double.repeats > 0 && status.maybeRepeated > 0);
});

test('a token of the provider that is called expired in the middle', options, async t => {
  const one = await world.get();
  await one.install(many);
  let valid = null;
  let asked = 0;
  double.delay = 5;
  double.answer = ({ headers }) => {
    asked += 1;
    if (asked === half) valid = headers.authorization;
    if (asked > half && headers.authorization === valid) return { status: 403, body: { reason: 'ExpiredProviderToken' } };
    return undefined;
  };
  const id = await one.send();
  await check(t, one, id);
  assert.equal(double.repeats, 0);
});
