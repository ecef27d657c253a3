// Options that tell at the start: where the server keeps its own things, the old behaviour, and jobs that nobody ran meanwhile.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, test } from 'node:test';
import { request } from '../lib/http.js';
import { createDatabase, freePort, query, waitFor } from '../lib/postgres.js';
import { asMaster, asked, call, stage } from './calls.js';

const { server: start, attempt, postgres, home, file } = await stage();

/** A server without a file and without keys. */
async function develop(...options) {
  const database = await createDatabase(postgres, 'options_development');
  after(() => database.drop());
  const { cwd, port, log } = await attempt(null, { args: ['--databaseURI', database.uri, '--dashboard', 'false', ...options] });
  const server = { url: `http://127.0.0.1:${port}/parse`, config: { appId: 'myAppId' } };
  await waitFor(async () => (await call(server, 'GET', 'health')).status === 200, { what: 'a server' }).catch(error => {
    throw new Error(`${error.message}\n${log()}`);
  });
  return { cwd, server };
}

test('dataDir: where the key of a development server is kept', async () => {
  const [plain, changed] = await Promise.all([develop(), develop('--dataDir', path.join(home, 'elsewhere'))]);
  for (const [{ server }, file] of [[plain, path.join(plain.cwd, 'data/master-key')], [changed, path.join(home, 'elsewhere/master-key')]]) {
    const key = fs.readFileSync(file, 'utf8').trim();
    assert.equal((await call(server, 'GET', 'schemas', undefined, { 'X-Parse-Master-Key': key })).status, 200);
  }
  assert.ok(!fs.existsSync(path.join(changed.cwd, 'data')));
});

test('compat: the limits that parse-server does not have', async () => {
  const [plain, old] = await Promise.all([start({}), start({ compat: 'parse-server-9' })]);
  const requests = Array.from({ length: 101 }, () => ({ method: 'GET', path: '/parse/classes/Any' }));
  const nested = depth => (depth === 0 ? { n: 1 } : { $or: [nested(depth - 1)] });
  const answers = async server => [
    (await call(server, 'POST', 'batch', { requests })).status,
    (await call(server, 'GET', asked('classes/Any', { where: nested(12) }))).status,
  ];
  assert.deepEqual(await answers(plain), [400, 400]);
  assert.deepEqual(await answers(old), [200, 200]);
  assert.match(old.log(), /compat gave \d+ options the values of parse-server 9/);
  await assert.rejects(start({ compat: 'parse-server-8' }), /exit 1[^]*compat must be "parse-server-9"/);
});

test('allowIncomplete: options that would protect something', async () => {
  const database = await createDatabase(postgres, 'options_incomplete');
  after(() => database.drop());
  const guarded = more => attempt({ databaseURI: database.uri, middleware: './guard.js', ...more });
  const refused = await guarded({});
  assert.equal(await refused.ended, 1);
  assert.match(refused.log(), /middleware protects something and is not effective yet/);
  const { log } = await guarded({ allowIncomplete: true });
  await waitFor(() => log().includes('Parsimony serves'), { what: 'a server' });
  assert.match(log(), /Accepted, not effective yet: middleware/);
});

test('verifyServerUrl: whether the server looks for itself', async () => {
  const nowhere = `http://127.0.0.1:${await freePort()}/parse`;
  const [looking, trusting] = await Promise.all([{}, { verifyServerUrl: false }].map(async options => {
    const database = await createDatabase(postgres, 'options_verify');
    after(() => database.drop());
    const { log } = await attempt({ databaseURI: database.uri, serverURL: nowhere, ...options });
    await waitFor(() => log().includes('Parsimony serves'), { what: 'a server' });
    return log;
  }));
  const warning = `Unable to connect to '${nowhere}'`;
  await waitFor(() => looking().includes(warning), { what: 'the warning' });
  assert.ok(!trusting().includes(warning));
});

test('metrics.host: where the page with a port of its own is', async () => {
  const [plain, changed] = await Promise.all([{}, { host: '127.0.0.2' }].map(async options => {
    const port = await freePort();
    await start({ metrics: { port, ...options } });
    const reached = host => request(`http://${host}:${port}/metrics`).then(({ status }) => status, ({ code }) => code);
    return Promise.all(['127.0.0.1', '127.0.0.2'].map(reached));
  }));
  assert.deepEqual(plain, [200, 'ECONNREFUSED']);
  assert.deepEqual(changed, ['ECONNREFUSED', 200]);
});

test('jobSchedulesMissed: runs that were due while no server ran', async () => {
  const cloud = file('jobs.cjs', `Parse.Cloud.job('missed', () => {}); Parse.Cloud.job('often', () => {});`);
  const ran = await Promise.all([{}, { jobSchedulesMissed: 'skip' }].map(async options => {
    const database = await createDatabase(postgres, 'options_jobs');
    const before = await start({ jobSchedules: true }, { databaseURI: database.uri });
    // Due every day, the last time an hour ago; and every second.
    const ago = hours => new Date(Date.now() - hours * 3600_000).toISOString();
    for (const schedule of [{ jobName: 'missed', startAfter: ago(25), repeatMinutes: 24 * 60 }, { jobName: 'often', timeOfDay: '* * * * * *' }]) {
      const made = await asMaster(before, 'POST', 'classes/_JobSchedule', schedule);
      assert.equal(made.status, 201, made.text);
    }
    // It has both on its list; then a day goes by.
    const listed = () => query(database.uri, 'SELECT 1 FROM parsimony.work').then(({ rowCount }) => rowCount >= 3, () => false);
    await waitFor(listed, { what: 'the schedules to be seen' });
    await before.stop();
    await query(database.uri, `UPDATE "_JobSchedule" SET "createdAt" = $1, "updatedAt" = $1`, [ago(24)]);
    await query(database.uri, 'UPDATE parsimony.work SET run_at = $1', [ago(24)]);
    const server = await start({ cloud, jobSchedules: true, ...options }, { databaseURI: database.uri });
    const statuses = () => asMaster(server, 'GET', asked('classes/_JobStatus', { limit: '1000' }));
    const names = async () => (await statuses()).body.results.map(({ jobName }) => jobName);
    await waitFor(async () => (await names()).includes('often'), { what: 'a job' });
    const all = new Set(await names());
    await server.stop();
    await database.drop();
    return [...all].sort();
  }));
  assert.deepEqual(ran, [['missed', 'often'], ['often']]);
});
