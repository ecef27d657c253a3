// Campaigns of pushes while the services fail, and while installations change under them.
// PUSH_FAULT_OUTAGE: seconds that a service is away.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startPostgres, waitFor } from '../lib/postgres.js';
import { Double } from './faults-double.js';
import { World, many, outage, patience, pause, token, upTo } from './faults-world.js';

const double = await Double.start();
const postgres = await startPostgres();
after(async () => {
  await double.stop();
  await postgres.stop();
});

const options = { timeout: patience + 60000 };
const half = Math.ceil(many / 2);
const unavailable = { status: 503, body: { reason: 'ServiceUnavailable' } };
const unregistered = { status: 410, body: { reason: 'Unregistered', timestamp: 1700000000000 } };
/** What FCM says of a token that is nobody's. */
const notFound = {
  status: 404, body: {
    error: {
      code: 404, status: 'NOT_FOUND', message: 'Requested entity was not found.',
      details: [{ '@type': 'type.googleapis.com/google.firebase.fcm.v1.FcmError', errorCode: 'UNREGISTERED' }],
    },
  },
};

async function world(t, settings) {
  const made = await World.make(postgres, double, settings);
  t.after(() => made.stop());
  return made;
}

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
  const one = await world(t);
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
  const one = await world(t);
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
  const one = await world(t);
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
  const one = await world(t);
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
  const one = await world(t);
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
  const one = await world(t);
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
  const one = await world(t);
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

test('tokens that are dead are removed, new ones stay', options, async t => {
  const one = await world(t);
  const count = 600;
  await one.install(count, { mixed: true });
  // One in three is dead; half of these registers anew between the request and its answer.
  const dead = upTo(count).filter(n => n % 3 === 0);
  const anew = dead.filter(n => Math.floor(n / 6) % 2 === 0);
  assert.ok([0, 1].every(kind => anew.some(n => n % 2 === kind) && dead.some(n => n % 2 === kind && !anew.includes(n))), 'of both services');
  const [deadOnes, anewOnes] = [new Set(dead), new Set(anew)];
  let registering = Promise.resolve();
  const errors = [];
  // Answers wait for the registrations, which are made by the API, as devices do.
  double.answer = ({ host, token: to }) => {
    const n = parseInt(to, 16);
    if (!deadOnes.has(n)) return undefined;
    if (anewOnes.has(n)) registering = registering.then(() => register(n)).catch(error => errors.push(error));
    return host === 'fcm.googleapis.com' ? notFound : unregistered;
  };
  const renewed = n => token(n + 0x1000000);
  async function register(n) {
    const [{ objectId }] = await one.sql('SELECT "objectId" FROM "_Installation" WHERE "installationId" = $1', [`i${n}`]);
    await one.call('PUT', `classes/_Installation/${objectId}`, { deviceToken: renewed(n) });
  }
  double.delay = 3000;
  const id = await one.send();
  await waitFor(() => double.asked.size === count, { what: 'all to be asked', timeout: patience });
  const last = Math.max(...[...double.asked.values()].flat());
  await registering;
  assert.ok(Date.now() < last + double.delay, 'the registrations took longer than the answers');
  assert.deepEqual(errors, []);
  const status = await one.ended(id);
  one.checkLedger(upTo(count).filter(n => !deadOnes.has(n)));
  const report = await one.report(id);
  assert.deepEqual([status.numSent, status.numFailed], [count - dead.length, dead.length]);
  assert.deepEqual(report.reasons, { Unregistered: dead.filter(n => n % 2 === 1).length, UNREGISTERED: dead.filter(n => n % 2 === 0).length });
  const rows = await one.sql('SELECT substr("installationId", 2)::int AS n, "deviceToken" AS token FROM "_Installation" WHERE "installationId" <> $1', ['none']);
  assert.equal(rows.length, count);
  for (const { n, token: has } of rows) {
    const expected = anewOnes.has(n) ? renewed(n) : deadOnes.has(n) ? null : token(n);
    assert.equal(has, expected, `${n}`);
  }
  // The next push goes to whoever has a token: those with a new one among them.
  await double.reset();
  const next = await one.ended(await one.send());
  assert.equal(next.numSent, count - dead.length + anew.length);
  const reachable = upTo(count).filter(n => !deadOnes.has(n));
  one.checkLedger([...reachable, ...anew.map(n => n + 0x1000000)]);
});

test('installations that are deleted while they are sent to', options, async t => {
  const one = await world(t);
  await one.install(many);
  // One in four is to be tried again; half of these are deleted before that, and some that were taken at once.
  const again = upTo(many).filter(n => n % 4 === 0);
  const gone = upTo(many).filter(n => n % 8 === 0 || n % 10 === 1);
  const isAgain = new Set(again);
  const lost = again.filter(n => n % 8 === 0);
  double.answer = ({ token: to, tries }) => (tries === 1 && isAgain.has(parseInt(to, 16)) ? { ...unavailable, headers: { 'retry-after': '6' } } : undefined);
  double.delay = 20;
  const id = await one.send();
  await waitFor(() => double.asked.size === many, { what: 'all to be asked', timeout: patience });
  await one.sql('DELETE FROM "_Installation" WHERE "installationId" = ANY($1)', [gone.map(n => `i${n}`)]);
  const early = lost.filter(n => double.ledger.has(token(n)));
  // The first may have been asked again before the last were asked for the first time.
  assert.ok(early.length < lost.length, 'all had it before they were deleted');
  const status = await one.ended(id);
  const isLost = new Set(lost.filter(n => !double.ledger.has(token(n))));
  one.checkLedger(upTo(many).filter(n => !isLost.has(n)));
  assert.deepEqual([status.numSent, status.numFailed, status.maybeRepeated], [many - isLost.size, isLost.size, undefined]);
  assert.ok(isLost.size > 0);
  assert.deepEqual((await one.report(id)).reasons, { 'the installation is gone': isLost.size });
});
