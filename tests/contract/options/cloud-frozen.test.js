// A Cloud Code process that stands still as a whole, its own watchdog included, is replaced.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { waitFor } from '../lib/postgres.js';
import { call, stage } from './calls.js';

const { server: start, file } = await stage();
const cloud = file('cloud.cjs', `Parse.Cloud.define('pid', () => process.pid);`);

test('a process that is stopped is replaced', { timeout: 120_000 }, async t => {
  const server = await start({ cloud, cloudTimeout: 4000, cloudStallTimeout: 1000 });
  const pid = async () => (await call(server, 'POST', 'functions/pid', {})).body.result;
  const first = await pid();
  assert.equal(typeof first, 'number');
  process.kill(first, 'SIGSTOP');
  t.after(() => {
    try {
      process.kill(first, 'SIGKILL');
    } catch { /* as it should be */ }
  });
  // Calls that began there fail; the next ones work.
  const next = await waitFor(async () => {
    const now = await pid();
    return now !== first && now;
  }, { what: `another process than ${first}`, timeout: 60_000 });
  assert.equal(typeof next, 'number');
  assert.throws(() => process.kill(first, 0), { code: 'ESRCH' });
  assert.match(server.log(), /a Cloud Code host was lost: the process stood still for \d+ s/);
});
