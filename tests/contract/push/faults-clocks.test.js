// Clocks of servers and of the database that do not agree.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Clocks, noClocks } from './faults-clock.js';
import { Cluster, noCluster } from './faults-cluster.js';
import { Double } from './faults-double.js';
import { World, many, patience, upTo } from './faults-world.js';

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

test('all clocks are set an hour back in the middle', options, async t => {
  const world = await make(t);
  await world.install(many);
  double.delay = 40;
  const id = await world.send();
  await world.reached(many / 4);
  set('both', -HOUR);
  const status = await world.ended(id, { timeout: 40000 });
  world.checkLedger(upTo(many));
  assert.equal(status.numSent, many);
});

for (const seconds of [HOUR, -HOUR]) {
  test(`a server whose clock differs from the database's by ${seconds} s tries again when it was told to`, options, async t => {
    const world = await make(t);
    await world.install(1000);
    set('server', seconds);
    // Every second one: a service that takes nothing is left alone anyway.
    double.answer = ({ token: to, tries }) => (tries === 1 && parseInt(to, 16) % 2 === 0 ? { status: 503, body: { reason: 'ServiceUnavailable' }, headers: { 'retry-after': '4' } } : undefined);
    const id = await world.send();
    const status = await world.ended(id, { timeout: 40000 });
    world.checkLedger(upTo(1000));
    assert.equal(status.numSent, 1000);
    for (const [first, second] of [...double.asked.values()].filter(times => times.length > 1)) assert.ok(second - first >= 4000, `asked again after ${second - first} ms`);
  });
}
