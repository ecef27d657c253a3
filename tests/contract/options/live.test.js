// Options of live queries.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { connect } from '../lib/live-frames.js';
import { createDatabase, waitFor } from '../lib/postgres.js';
import { asMaster, call, stage } from './calls.js';

const { server: start, postgres } = await stage();

test('liveQueryOnly: nothing else is served', async () => {
  const [plain, only] = await Promise.all([start({}), start({ liveQueryOnly: true })]);
  assert.equal((await call(plain, 'GET', 'classes/Live_A')).status, 200);
  assert.equal((await call(only, 'GET', 'classes/Live_A')).status, 404);
  assert.equal((await call(only, 'POST', 'users', { username: 'a', password: 'b' })).status, 404);
  const client = await connect(only);
  assert.equal((await client.subscribe(1, 'Live_A', {})).op, 'subscribed');
  await client.close();
});

test('liveQueryServerOptions.maxBytes: what all subscriptions may take', async () => {
  const [plain, narrow] = await Promise.all([start({}), start({ liveQueryServerOptions: { maxBytes: 20_000 } })]);
  /** What the first refusal is, of so many subscriptions of two clients. */
  const refusal = async server => {
    const clients = [await connect(server), await connect(server)];
    let refused;
    for (let n = 0; n < 40 && !refused; n++) {
      const answer = await clients[n % 2].subscribe(n, 'Live_A', { text: 'x'.repeat(1000) + n });
      if (answer.op === 'error') refused = { code: answer.code, after: n };
    }
    await Promise.all(clients.map(client => client.close()));
    return refused;
  };
  assert.equal(await refusal(plain), undefined);
  const { code, after } = await refusal(narrow);
  assert.equal(code, 155);
  assert.ok(after > 0, `${after}`);
});

test('liveQuery.eventLogRetention: how old what was missed may be', async () => {
  const database = await createDatabase(postgres, 'retention');
  after(() => database.drop());
  const begin = retention => start({ liveQuery: { classNames: ['Live_.*'], eventLog: true, ...retention } }, { databaseURI: database.uri });
  const first = await begin({});
  // Writing down begins with the first subscription of a class that is there.
  await asMaster(first, 'POST', 'classes/Live_A', { n: 0 });
  const client = await connect(first, { resumeAfter: '' });
  await client.subscribe(1, 'Live_A', {});
  await asMaster(first, 'POST', 'classes/Live_A', { n: 1 });
  const { eventId } = await client.until(frame => frame.object?.n === 1, 'the event');
  client.socket.terminate();
  await first.stop();

  const resumes = async server => {
    const again = await connect(server, { resumeAfter: eventId });
    const { resumed } = await again.subscribe(1, 'Live_A', {});
    await again.close();
    return resumed;
  };
  const same = await begin({});
  assert.equal(await resumes(same), true);
  await same.stop();
  const short = await begin({ eventLogRetention: 1 });
  await waitFor(async () => await resumes(short) === false, { what: 'the event to be too old', every: 100 });
  await short.stop();
});

test('liveQueryServerOptions.appId, masterKey and serverURL: what counts is what the application has', async () => {
  const server = await start({ liveQueryServerOptions: { appId: 'another', masterKey: 'another key', serverURL: 'http://127.0.0.1:9/parse' } });
  const closed = { find: {}, get: {}, create: { '*': true } };
  assert.equal((await asMaster(server, 'POST', 'schemas/Live_Closed', { className: 'Live_Closed', classLevelPermissions: closed })).status, 200);
  const client = await connect(server);
  assert.equal((await client.subscribe(1, 'Live_A', {})).op, 'subscribed');
  await asMaster(server, 'POST', 'classes/Live_A', { n: 1 });
  assert.deepEqual(await client.events(1, 1), [['create', 1]]);
  await client.close();
  const strange = await connect(server, { masterKey: 'another key' });
  assert.equal((await strange.subscribe(1, 'Live_Closed', {})).op, 'error');
  await strange.close();
});
