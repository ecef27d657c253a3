// Campaigns of pushes while the installations change under them.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startPostgres, waitFor } from '../lib/postgres.js';
import { Double } from './faults-double.js';
import { many, patience, shared, token, upTo } from './faults-world.js';

const double = await Double.start();
const postgres = await startPostgres();
const world = shared(postgres, double);
after(async () => {
  await world.stop();
  await double.stop();
  await postgres.stop();
});

const options = { timeout: patience + 60000 };
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

test('tokens that are dead are removed, new ones stay', options, async () => {
  const one = await world.get();
  const count = 240;
  await one.install(count, { mixed: true });
  // One in three is dead; half of these registers anew between the request and its answer.
  const dead = upTo(count).filter(n => n % 3 === 0);
  const anew = dead.filter(n => Math.floor(n / 6) % 2 === 0);
  assert.ok([0, 1].every(kind => anew.some(n => n % 2 === kind) && dead.some(n => n % 2 === kind && !anew.includes(n))), 'of both services');
  const [deadOnes, anewOnes] = [new Set(dead), new Set(anew)];
  // Answers wait for the registrations, which are made by the API, as devices do.
  let registering = Promise.resolve();
  let answer;
  const when = new Promise(resolve => (answer = resolve));
  double.answer = ({ host, token: to }) => {
    const n = parseInt(to, 16);
    if (!deadOnes.has(n)) return undefined;
    if (anewOnes.has(n)) registering = registering.then(() => register(n));
    return { ...host === 'fcm.googleapis.com' ? notFound : unregistered, when };
  };
  const renewed = n => token(n + 0x1000000);
  async function register(n) {
    const [{ objectId }] = await one.sql('SELECT "objectId" FROM "_Installation" WHERE "installationId" = $1', [`i${n}`]);
    await one.call('PUT', `classes/_Installation/${objectId}`, { deviceToken: renewed(n) });
  }
  const id = await one.send();
  await waitFor(() => double.asked.size === count, { what: 'all to be asked', timeout: patience });
  await registering;
  answer();
  const status = await one.ended(id);
  one.checkLedger(upTo(count).filter(n => !deadOnes.has(n)));
  // Once each: had an answer come too late, it would have been asked for again.
  assert.ok([...double.asked.values()].every(times => times.length === 1));
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

test('installations that are deleted while they are sent to', options, async () => {
  const one = await world.get();
  await one.install(many);
  // One in four is to be tried again; half of these are deleted before that, and some that were taken at once.
  const again = upTo(many).filter(n => n % 4 === 0);
  const gone = upTo(many).filter(n => n % 8 === 0 || n % 10 === 1);
  const isAgain = new Set(again);
  const lost = again.filter(n => n % 8 === 0);
  double.answer = ({ token: to, tries }) => (tries === 1 && isAgain.has(parseInt(to, 16)) ? { ...unavailable, headers: { 'retry-after': '4' } } : undefined);
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
