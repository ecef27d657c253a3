// Options of the MongoDB driver, held against what it sends to the members of a replica set that only seem to be several.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { withMongo } from '../lib/database.js';
import { waitFor } from '../lib/postgres.js';
import { asMaster, asked, stage } from './calls.js';
import { replicaSet } from './members.js';

/** Something to wait for until it is opened. */
function gate() {
  const made = {};
  made.opened = new Promise(resolve => { made.open = resolve; });
  return made;
}

const component = process.env.PARSIMONY_TEST_MONGO_URI;
const { server: start } = await stage();

describe('on MongoDB', { skip: component ? false : 'PARSIMONY_TEST_MONGO_URI is not set' }, () => {
  if (!component) return;
  const name = `options_${randomBytes(6).toString('hex')}`;
  const uri = app => `${component}/${name}_${app}`;
  const OLD = new Date(Date.now() - 600_000);
  // `far` answers late, and `stale` says that its last write is long ago.
  let members, primary, near, far, stale;
  let plain, changed, third;

  before(async () => {
    members = await replicaSet(component, [
      {}, { more: () => ({ tags: { dc: 'ny' } }) }, { delay: 250, more: () => ({ tags: { dc: 'la' } }) },
      { more: ({ lastWrite }) => ({ tags: { dc: 'ny' }, lastWrite: { ...lastWrite, lastWriteDate: OLD, majorityWriteDate: OLD } }) },
    ]);
    [primary, near, far, stale] = members;
    const on = (appName, databaseOptions, more = {}) => start({ databaseOptions: { appName, ...databaseOptions }, ...more }, {
      databaseURI: `mongodb://${primary.address}/${name}_${appName}`,
    });
    [plain, changed, third] = await Promise.all([
      on('plain', {}),
      on('changed', {
        readPreference: 'secondary', readPreferenceTags: [{ dc: 'ny' }], maxStalenessSeconds: 120, localThresholdMS: 5000,
        readConcernLevel: 'majority', batchSize: 7, clientMetadata: { name: 'a client of ours', version: '7.8.9' }, retryReads: false,
        retryWrites: false, minPoolSize: 4, heartbeatFrequencyMS: 700,
        disableIndexFieldValidation: true, logClientEvents: [{ name: 'connectionPoolCreated', keys: ['address'], logLevel: 'warn' }],
      }, { collectionPrefix: 'pre_' }),
      on('third', {
        readPreference: 'secondary', localThresholdMS: 5000, serverMonitoringMode: 'poll', maxPoolSize: 5, maxConnecting: 4, maxIdleTimeMS: 200,
      }),
    ]);
    for (const server of [plain, changed, third]) {
      const made = await asMaster(server, 'POST', 'classes/Seen', { n: 1 });
      assert.equal(made.status, 201, made.text);
    }
  });
  after(async () => {
    await Promise.all((members ?? []).map(member => member.stop()));
    for (const app of ['plain', 'changed', 'third']) await withMongo(uri(app), database => database.dropDatabase());
  });

  const isOfClass = ({ document, name }) => /Seen$/.test(document[name]);
  const all = (app, command) => members.flatMap(member => member.sent(app, command)).filter(isOfClass);
  const find = (server, more = {}) => asMaster(server, 'GET', asked('classes/Seen', more));
  /** Many at a time, so that every member that may be asked is asked: which of them were. */
  async function readers(server, app, more) {
    const before = members.map(member => member.sent(app, 'find').length);
    const answers = await Promise.all(Array.from({ length: 20 }, () => find(server, more)));
    assert.ok(answers.every(({ status }) => status === 200));
    return members.filter((member, at) => member.sent(app, 'find').slice(before[at]).some(isOfClass));
  }

  test('maxConnecting and maxPoolSize: how many connections are opened at a time, and in all', async () => {
    // First of all, for later there are connections enough.
    for (const [server, app, opening, most] of [[plain, 'plain', 2, 10], [third, 'third', 4, 5]]) {
      const gates = { greeting: gate(), find: gate() };
      const [greeted, found] = [new Map(), new Map()];
      const count = (map, member, more) => map.set(member, (map.get(member) ?? 0) + more);
      for (const member of members) {
        member.hold = async command => {
          if (command.app !== app && command.document.client?.application?.name !== app) return;
          if (command.document.client) {
            count(greeted, member, 1);
            await gates.greeting.opened;
            count(greeted, member, -1);
          } else if (command.name === 'find' && isOfClass(command)) {
            count(found, member, 1);
            await gates.find.opened;
          }
        };
      }
      try {
        const asking = Promise.allSettled(Array.from({ length: 36 }, () => find(server)));
        const peaks = { greeted: 0, found: 0 };
        const look = () => {
          peaks.greeted = Math.max(peaks.greeted, ...greeted.values());
          peaks.found = Math.max(peaks.found, ...found.values());
        };
        await waitFor(() => { look(); return peaks.greeted >= opening; }, { what: `${opening} connections being opened, not ${peaks.greeted}` });
        gates.greeting.open();
        // What the change stream of the server holds is not there for others.
        await waitFor(() => { look(); return peaks.found >= Math.min(most, 8); }, { what: 'as many finds as there are connections' });
        gates.find.open();
        assert.ok((await asking).every(({ value }) => value?.status === 200));
        assert.equal(peaks.greeted, opening);
        assert.ok(peaks.found <= most && (app === 'plain') === (peaks.found > 5), `${peaks.found}`);
      } finally {
        gates.greeting.open();
        gates.find.open();
        for (const member of members) member.hold = async () => {};
      }
    }
  });

  test('readPreferenceTags, maxStalenessSeconds and localThresholdMS: which members are read from', async () => {
    assert.deepEqual(await readers(plain, 'plain'), [primary]);
    // Asked for by a request: those within 15 ms of the nearest.
    const ofPlain = await readers(plain, 'plain', { readPreference: 'SECONDARY' });
    assert.ok(ofPlain.length > 0 && !ofPlain.includes(far) && !ofPlain.includes(primary));
    // With the threshold alone all of them.
    const ofThird = new Set();
    await waitFor(async () => {
      for (const member of await readers(third, 'third')) ofThird.add(member);
      return ofThird.size === 3;
    }, { what: 'reads of all secondaries' });
    assert.ok(!ofThird.has(primary));
    // Tags leave out the far one, and age the stale one.
    for (let round = 0; round < 3; round++) assert.deepEqual(await readers(changed, 'changed'), [near]);
    assert.deepEqual(all('changed', 'find').at(-1).document.$readPreference.maxStalenessSeconds.valueOf(), 120);
  });

  test('batchSize: how many documents are fetched at a time', async () => {
    const sizes = [];
    for (const [server, app] of [[plain, 'plain'], [changed, 'changed']]) {
      const requests = Array.from({ length: 20 }, (_, n) => ({ method: 'POST', path: '/parse/classes/Seen', body: { n } }));
      assert.equal((await asMaster(server, 'POST', 'batch', { requests })).status, 200);
      const before = members.flatMap(member => member.sent(app, 'getMore')).filter(({ document }) => /Seen$/.test(document.collection)).length;
      assert.equal((await find(server, { limit: '1000' })).body.results.length, 21);
      const more = members.flatMap(member => member.sent(app, 'getMore')).filter(({ document }) => /Seen$/.test(document.collection)).length - before;
      sizes.push([Number(all(app, 'find').at(-1).document.batchSize ?? 0), more]);
    }
    // Where all fit into the usual thousand nothing is said.
    assert.deepEqual(sizes, [[0, 0], [7, 2]]);
  });

  test('readConcernLevel is said with reads', async () => {
    for (const server of [plain, changed]) await find(server);
    assert.equal(all('plain', 'find').at(-1).document.readConcern, undefined);
    assert.deepEqual(all('changed', 'find').at(-1).document.readConcern, { level: 'majority' });
  });

  test('appName and clientMetadata: how the driver introduces itself', () => {
    // By the first the commands of this file are told apart.
    const { driver } = primary.handshakes('plain')[0].document.client;
    const { name, version } = driver;
    assert.deepEqual(primary.handshakes('changed')[0].document.client.driver, { name: `${name}|a client of ours`, version: `${version}|7.8.9` });
  });

  test('retryReads and retryWrites: what is tried again', async () => {
    /** Fails the next command of this name once. */
    const failing = (app, name) => {
      let left = 1;
      for (const member of members) {
        member.intercept = command => {
          if (command.app !== app || command.name !== name || !isOfClass(command) || left-- <= 0) return undefined;
          return { ok: 0, code: 134, codeName: 'ReadConcernMajorityNotAvailableYet', errmsg: 'once', errorLabels: ['RetryableWriteError'] };
        };
      }
    };
    const outcomes = async (server, app) => {
      failing(app, 'find');
      const read = (await find(server)).status;
      failing(app, 'insert');
      const write = (await asMaster(server, 'POST', 'classes/Seen', { n: 2 })).status;
      for (const member of members) member.intercept = () => undefined;
      return [read < 300, write < 300];
    };
    assert.deepEqual(await outcomes(plain, 'plain'), [true, true]);
    assert.deepEqual(await outcomes(changed, 'changed'), [false, false]);
    // Retried writes are numbered.
    assert.deepEqual(['plain', 'changed'].map(app => all(app, 'insert').at(-1).document.txnNumber !== undefined), [true, false]);
  });

  test('heartbeatFrequencyMS and serverMonitoringMode: how members are watched', async () => {
    /** How long members may keep the greeting's answer back; those that are polled are not asked to. */
    const waits = app => members.flatMap(member => member.greetings(app)).map(({ document }) => Number(document.maxAwaitTimeMS ?? 0)).filter(Boolean);
    assert.deepEqual([...new Set(waits('plain'))], [10_000]);
    assert.deepEqual([...new Set(waits('changed'))], [700]);
    assert.deepEqual(waits('third'), []);
    const before = primary.greetings('changed').length;
    await waitFor(() => primary.greetings('changed').length >= before + 2, { what: 'heartbeats' });
  });

  test('minPoolSize: connections that nobody needs yet', async () => {
    // Neither is ever asked by these two; two connections watch it.
    await waitFor(() => far.open('changed').length >= 6, { what: 'the least connections' });
    assert.ok(far.open('plain').length <= 2, `${far.open('plain').length}`);
  });

  test('maxIdleTimeMS: connections that were not used for that long are not used again', async () => {
    const used = { plain: new Set(), third: new Set() };
    const reused = { plain: 0, third: 0 };
    let rounds = 0;
    await waitFor(async () => {
      for (const [server, app] of [[plain, 'plain'], [third, 'third']]) {
        const before = all(app, 'find');
        await find(server);
        const [{ connection }] = all(app, 'find').filter(command => !before.includes(command));
        if (used[app].has(connection)) reused[app] += 1;
        used[app].add(connection);
      }
      return ++rounds > 3;
    }, { what: 'some rounds', every: 400 });
    assert.equal(reused.third, 0);
    assert.ok(reused.plain > 0);
  });

  test('collectionPrefix and disableIndexFieldValidation: what is in the database', async () => {
    const answers = await Promise.all([plain, changed].map(server => asMaster(server, 'PUT', 'schemas/Seen', { indexes: { own: { elsewhere: 1 } } })));
    assert.deepEqual([answers[0].status, answers[0].body.error, answers[1].status], [400, 'Field elsewhere does not exist, cannot add index.', 200]);
    const content = (app, collection) => withMongo(uri(app), async database => ({
      names: (await database.listCollections().toArray()).map(({ name }) => name),
      indexes: (await database.collection(collection).indexes()).map(({ name }) => name),
    }));
    const bare = await content('plain', 'Seen');
    assert.ok(bare.names.includes('_SCHEMA') && !bare.names.some(name => name.startsWith('pre_')), `${bare.names}`);
    assert.ok(!bare.indexes.includes('own'));
    const prefixed = await content('changed', 'pre_Seen');
    assert.ok(prefixed.names.includes('pre__SCHEMA') && !prefixed.names.includes('Seen'), `${prefixed.names}`);
    assert.ok(prefixed.indexes.includes('own'));
  });

  test('logClientEvents: what the driver does, in the log', () => {
    const line = /WARN.*MongoDB client event connectionPoolCreated: \{"address":"127\.0\.0\.1:\d+"\}/;
    assert.doesNotMatch(plain.log(), /MongoDB client event/);
    // eslint-disable-next-line no-control-regex
    assert.match(changed.log().replaceAll(/\x1b\[[0-9;]*m/g, ''), line);
  });
});
