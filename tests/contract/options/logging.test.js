// Options of the log, and functions that are called at the start and at the end.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, test } from 'node:test';
import { createDatabase, waitFor } from '../lib/postgres.js';
import { asMaster, call, stage } from './calls.js';

const { server: start, attempt, postgres, file, home } = await stage();
const cloud = file('cloud.cjs', `
  Parse.Cloud.define('good', () => 'yes');
  Parse.Cloud.define('bad', () => { throw 'no'; });
  Parse.Cloud.beforeSave('Logged', ({ object }) => { if (object.get('bad')) throw 'no'; });
  Parse.Cloud.afterSave('Logged', () => {});
`);
const notes = file('notes');
const script = file('functions.cjs', `
  const note = text => require('node:fs').appendFileSync(${JSON.stringify(notes)}, text + '\\n');
  module.exports = { serverStartComplete: () => note('started'), serverCloseComplete: () => note('closed') };
`);
const OLD = ['2020-01-01', '2020-01-02', '2020-01-03'];
/** A folder with old logs of both kinds; as a server's own variable, which comes before the file. */
function folder(name) {
  for (const kind of ['info', 'err']) for (const day of OLD) file(`${name}/parse-server.${kind}.${day}`, 'old\n');
  return { prefix: ['env', `PARSE_SERVER_LOGS_FOLDER=${path.join(home, name)}`] };
}

const logLevels = {
  cloudFunctionSuccess: 'warn', cloudFunctionError: 'info', triggerBeforeSuccess: 'error', triggerBeforeError: 'warn', triggerAfter: 'silent',
};
const [text, json, other] = await Promise.all([
  start({}, { outside: folder('all') }),
  start({ jsonLogs: true, cloud }, { outside: folder('days') }),
  start({ logFormat: 'json', cloud, logLevels, maxLogFiles: '2d', databaseOptions: { slowQueryMS: 0 } }, { script, outside: folder('two') }),
]);
const entries = server => server.log().trim().split('\n').map(line => JSON.parse(line));

test('jsonLogs and logFormat: each line an object', () => {
  assert.throws(() => entries(text), SyntaxError);
  for (const server of [json, other]) {
    assert.ok(entries(server).some(({ level, message }) => level === 'INFO' && message.includes('Parsimony serves')), server.log());
  }
});

test('logLevels: at which level functions and triggers are told of', async () => {
  const levels = async server => {
    await call(server, 'POST', 'functions/good', {});
    await call(server, 'POST', 'functions/bad', {});
    await asMaster(server, 'POST', 'classes/Logged', {});
    await asMaster(server, 'POST', 'classes/Logged', { bad: true });
    // The last of it is there, so all is.
    await waitFor(() => server.log().includes('beforeSave failed for Logged'), { what: 'the log' });
    const level = start => entries(server).find(({ message }) => message.startsWith(start))?.level;
    return [
      'Ran cloud function good', 'Failed running cloud function bad', 'beforeSave triggered for Logged', 'beforeSave failed for Logged',
      'afterSave triggered for Logged',
    ].map(level);
  };
  assert.deepEqual(await levels(json), ['INFO', 'ERROR', 'INFO', 'ERROR', 'INFO']);
  assert.deepEqual(await levels(other), ['WARN', 'INFO', 'ERROR', 'WARN', undefined]);
});

test('maxLogFiles: how many files stay', () => {
  const kept = (name, kind) => fs.readdirSync(path.join(home, name)).filter(one => one.startsWith(`parse-server.${kind}.`)).sort();
  for (const kind of ['info', 'err']) {
    assert.equal(kept('all', kind).length, OLD.length + 1);
    // Which of the old ones goes is told by when it was made, and these were made at once.
    const two = kept('two', kind);
    assert.equal(two.length, 2);
    assert.equal(two.filter(one => OLD.some(day => one.endsWith(day))).length, 1, `${two}`);
  }
});

test('databaseOptions.slowQueryMS: operations that take that long are told of', async () => {
  for (const server of [json, other]) assert.equal((await asMaster(server, 'GET', 'classes/Logged')).status, 200);
  const isSlow = entry => entry.level === 'WARN' && /^slow .* \d+ ms$/.test(entry.message) && entry.class === 'Logged';
  await waitFor(() => entries(other).some(isSlow), { what: 'a slow query' });
  assert.ok(!entries(json).some(({ message }) => message.startsWith('slow ')));
});

test('serverStartComplete and serverCloseComplete are called', async () => {
  await waitFor(() => fs.readFileSync(notes, 'utf8') === 'started\n', { what: 'the start' });
  await other.stop();
  assert.equal(fs.readFileSync(notes, 'utf8'), 'started\nclosed\n');
});

test('logLevel, verbose, silent and logsFolder: what is written, and where', async () => {
  const variants = {
    plain: {}, errors: { logLevel: 'error' }, verbose: { verbose: true }, silent: { silent: true, logsFolder: path.join(home, 'own') },
    none: { logsFolder: null },
  };
  const found = Object.fromEntries(await Promise.all(Object.entries(variants).map(async ([name, options]) => {
    const database = await createDatabase(postgres, 'options_logging');
    after(() => database.drop());
    const { cwd, port, log, stop } = await attempt({ databaseURI: database.uri, ...options }, { environment: { PARSE_SERVER_LOGS_FOLDER: undefined } });
    const server = { url: `http://127.0.0.1:${port}/parse`, config: { appId: 'contractApp', masterKey: 'contractMasterKey' } };
    await waitFor(async () => (await call(server, 'GET', 'health')).status === 200, { what: 'a server' });
    const looked = async level => (await asMaster(server, 'GET', `scriptlog?level=${level}&size=500`)).body.map(({ message }) => message).join('\n');
    await call(server, 'GET', 'classes/Looked?where=%7B%7D');
    // Files are written by a thread of their own.
    const folder = options.logsFolder === undefined ? path.join(cwd, 'logs') : options.logsFolder;
    const files = () => fs.readdirSync(folder).map(one => fs.readFileSync(path.join(folder, one), 'utf8')).join('');
    if (folder && name !== 'errors') await waitFor(() => files().includes('Parsimony serves'), { what: 'a file' });
    const seen = { console: log(), kept: await looked('verbose'), isThere: fs.existsSync(path.join(cwd, 'logs')) };
    await stop();
    return [name, seen];
  })));
  const { plain, errors, verbose, silent, none } = found;
  assert.match(plain.console, /INFO.*Parsimony serves/);
  assert.doesNotMatch(plain.console, /REQUEST/);
  assert.match(verbose.console, /REQUEST for \[GET\] \/parse\/classes\/Looked/);
  assert.doesNotMatch(errors.console, /INFO|WARN/);
  assert.equal(silent.console, '');
  assert.match(silent.kept, /Parsimony serves/);
  assert.deepEqual([plain.isThere, silent.isThere, none.isThere], [true, false, false]);
});

test('log files on a full disk: said once, and nothing else is the matter', async () => {
  const folder = path.join(home, 'full');
  fs.mkdirSync(folder);
  for (const day of [0, 1]) {
    const date = new Date(Date.now() + day * 86_400_000).toISOString().slice(0, 10);
    for (const kind of ['info', 'err']) fs.symlinkSync('/dev/full', path.join(folder, `parse-server.${kind}.${date}`));
  }
  const server = await start({}, { outside: { prefix: ['env', `PARSE_SERVER_LOGS_FOLDER=${folder}`] } });
  const lines = () => server.log().split('\n').filter(line => line.includes('cannot be written: No space left'));
  await waitFor(() => lines().length > 0, { what: 'a warning' });
  for (let n = 0; n < 5; n += 1) assert.equal((await asMaster(server, 'POST', 'classes/Full', { n })).status, 201);
  assert.equal(lines().length, 1, lines().join('\n'));
});
