// What the log tells of functions and triggers, as `GET /scriptlog` shows it.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { Parse, master, rest, server } from './app.js';
import { target } from '../lib/servers.js';

const options = { skip: target === 'oracle' ? 'parse-server shows lines of its log files, and has none here' : false };
const unique = label => `${label}${randomBytes(6).toString('hex')}`;

/** The lines whose text has `mark` in it, once there are `count`, oldest first. */
async function lines(mark, count) {
  const headers = { 'X-Parse-Master-Key': server.config.masterKey };
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const { body } = await rest('GET', 'scriptlog?size=200', { headers });
    const found = body.filter(line => line.message.includes(mark)).reverse();
    if (found.length >= count) return found;
    await new Promise(resolve => setTimeout(resolve, 50));
  }
  throw new Error(`no ${count} lines with ${mark}`);
}

test('functions', options, async () => {
  const mark = unique('function');
  await Parse.Cloud.run('echo', { mark, password: 'secret' });
  const input = `{"mark":"${mark}","password":"********"}`;
  const [ran] = await lines(mark, 1);
  assert.equal(ran.message, `Ran cloud function echo for user undefined with:\n  Input: ${input}\n  Result: ${input}`);
  assert.deepEqual([ran.level, ran.functionName], ['info', 'echo']);
  await Parse.Cloud.run('throw', { what: 'custom', mark: `${mark}2` }).catch(() => {});
  const [failed] = await lines(`${mark}2`, 1);
  assert.equal(failed.level, 'error');
  assert.ok(failed.message.startsWith('Failed running cloud function throw for user undefined with:\n  Input: {'));
  assert.ok(failed.message.endsWith('\n  Error: {"message":"own code","code":4711}'), failed.message);
});

test('triggers', options, async () => {
  const user = new Parse.User();
  const name = unique('user');
  await user.signUp({ username: name, password: 'verysecret' });
  const sessionToken = user.getSessionToken();
  const text = unique('note');
  const game = new Parse.Object('Logged', { text });
  await game.save(null, { sessionToken });
  const [before, after, ended] = await lines(text, 3);
  assert.deepEqual(
    [before.message, before.level, before.className, before.triggerType, before.user],
    [
      `beforeSave triggered for Logged for user ${user.id}:\n  Input: {"text":"${text}","by":"code"}\n` +
        `  Result: {"object":{"text":"${text}","by":"code"}}`,
      'info', 'Logged', 'beforeSave', user.id,
    ],
  );
  assert.match(after.message, /^afterSave triggered for Logged for user \w+:\n {2}Input: \{.*\}$/);
  assert.match(ended.message, /\n {2}Result: undefined$/);
  const refused = new Parse.Object('Logged', { text: `${text}2`, refuse: true });
  await assert.rejects(refused.save(null, master), { code: 141 });
  const [failed] = await lines(`${text}2`, 1);
  assert.match(failed.message, /^beforeSave failed for Logged for user undefined:\n {2}Input: .*\n {2}Error: \{"message":"refused","code":141\}$/);
  assert.equal(failed.level, 'error');
});

test('a size of nothing is no size', options, async () => {
  const headers = { 'X-Parse-Master-Key': server.config.masterKey };
  for (let n = 0; n < 12; n += 1) await Parse.Cloud.run('echo', { n });
  for (const size of ['size=0', 'n=0', 'size=x', 'size=-1']) {
    assert.equal((await rest('GET', `scriptlog?${size}`, { headers })).body.length, 10, size);
  }
});
