// Bad input of every command: one clear line on standard error, exit code 1, nothing on standard output, nothing lost.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createDatabase, startPostgres } from '../lib/postgres.js';
import { program, temporary } from './fixture.js';

const folder = temporary('commands');
const file = (name, text) => {
  fs.writeFileSync(path.join(folder, name), text);
  return name;
};

/** Runs the program in the folder; `env` is all it knows but where programs are. */
function run(args, { env = {}, input = 'ignore' } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd: folder, env: { PATH: process.env.PATH, HOME: folder, ...env }, stdio: [input, 'pipe', 'pipe'] });
    const told = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr']) child[name].on('data', chunk => (told[name] += chunk));
    const timer = setTimeout(() => child.kill('SIGKILL'), 60000);
    child.once('error', reject);
    child.once('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ code: code ?? signal, ...told });
    });
  });
}

async function refuses(args, text, options) {
  const { code, stdout, stderr } = await run(args, options);
  const shown = `${args.join(' ')}: ${code}\n${stdout}\n${stderr}`;
  assert.equal(code, 1, shown);
  const errors = stderr.split('\n').filter(line => line.startsWith('ERROR: '));
  assert.equal(errors.length, 1, shown);
  assert.match(errors[0], text, shown);
  assert.doesNotMatch(stderr + stdout, /panicked|RUST_BACKTRACE/, shown);
  return { stdout, stderr };
}

const nobody = 'postgres://nobody:s3cret@127.0.0.1:9/none';
const given = ['--appId', 'a', '--masterKey', 'm'];

describe('the command line', () => {
  for (const [args, text] of [
    [['--nonsense'], /unexpected argument '--nonsense'/],
    [['nothing.json'], /nothing\.json/],
    [['one.json', 'two.json'], /unexpected argument 'two\.json'/],
    [['--port'], /value is required for '--port/],
    [['--port', 'x', ...given], /Key port has invalid value x/],
    [['--port', '70000', ...given], /port/],
    [['--push', '{', ...given], /Key push has invalid value <redacted>/],
    [['--verbose=perhaps', ...given], /invalid value 'perhaps' for '--verbose/],
    [['--appId', 'a'], /masterKey/],
    [['--masterKey', 'm'], /appId/],
    [['--databaseURI', 'mysql://localhost/x', ...given], /databaseURI/],
    [['files'], /subcommand/],
    [['files', 'burn'], /unrecognized subcommand 'burn'/],
    [['files', 'gc', '--keep-days', 'many'], /invalid value 'many' for '--keep-days/],
    [['files', 'gc', '--keep-days', '-1'], /'-1'|unexpected argument '-1'/],
    [['files', 'rotate-key', '--old-key', 'a', '--old-key-file', 'b'], /cannot be used with/],
    [['migrate'], /not provided: <FROM>, <TO>\. See --help/],
    [['migrate', 'postgres://a/b'], /not provided: <TO>\./],
    [['completions'], /<SHELL>/],
    [['config-docs', 'more'], /unexpected argument 'more'/],
    [['man-page', '--pretty'], /unexpected argument '--pretty'/],
  ]) {
    test(args.join(' '), async () => {
      const { stdout, stderr } = await refuses(args, text);
      assert.equal(stdout, '');
      assert.equal(stderr.trim().split('\n').length, 1, stderr);
    });
  }

  test('a file that is none', async () => {
    fs.mkdirSync(path.join(folder, 'folder.json'));
    for (const [name, text] of [
      [file('broken.json', '{"appId": '), /broken\.json/],
      [file('list.json', '[1]'), /must contain an object of options/],
      [file('empty.json', ''), /empty\.json/],
      [file('bytes.json', Buffer.from([0x7b, 0xff, 0xfe])), /bytes\.json/],
      ['folder.json', /folder\.json/],
      [file('throws.cjs', 'throw new Error("no such thing")'), /throws\.cjs|no such thing/],
      [file('number.cjs', 'module.exports = 7'), /number\.cjs/],
    ]) {
      await refuses([name], text);
      await refuses(['config-check', name].reverse(), text);
    }
  });

  test('variables', async () => {
    await refuses(['config-check'], /PORT|port/, { env: { PORT: 'x', PARSE_SERVER_APPLICATION_ID: 'a', PARSE_SERVER_MASTER_KEY: 'm' } });
    await refuses(['config-check'], /push|PARSE_SERVER_PUSH/, { env: { PARSE_SERVER_PUSH: '{', PARSE_SERVER_APPLICATION_ID: 'a', PARSE_SERVER_MASTER_KEY: 'm' } });
  });

  test('what is right is told too, and a reader that goes away is no fault', async () => {
    const checked = await run([...given, 'config-check']);
    assert.equal(checked.code, 0);
    assert.match(checked.stdout, /^The configuration of a is valid\.\n$/m);
    const child = spawn('sh', ['-c', `"${program}" config-docs | head -1; "${program}" --help | head -1`], { stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    let complaints = '';
    child.stdout.on('data', chunk => (said += chunk));
    child.stderr.on('data', chunk => (complaints += chunk));
    await new Promise(resolve => child.once('close', resolve));
    assert.equal(said.trim().split('\n').length, 2);
    assert.equal(complaints, '');
  });

  test('attached, by hand', async () => {
    await refuses(['attached'], /attached: standard input is not the socket of an application/);
  });
});

describe('with a database', () => {
  let postgres;
  let database;
  before(async () => {
    postgres = await startPostgres();
    database = await createDatabase(postgres, 'commands');
  });
  after(async () => {
    await database.drop();
    await postgres.stop();
  });

  test('a database that is not there', async () => {
    for (const args of [
      [...given, '--databaseURI', nobody, 'files', 'gc'],
      [...given, '--databaseURI', nobody, 'files', 'restore', 'x'],
      [...given, '--databaseURI', nobody, 'files', 'rotate-key'],
      ['migrate', nobody, 'mongodb://127.0.0.1:9/none?serverSelectionTimeoutMS=500'],
      ['migrate', 'mongodb://127.0.0.1:9/none?serverSelectionTimeoutMS=500', nobody],
    ]) {
      const { stdout, stderr } = await refuses(args, /./);
      assert.doesNotMatch(stdout + stderr, /s3cret/, 'no password in a message');
    }
  });

  test('migrate: what it cannot do', async () => {
    await refuses(['migrate', database.uri, database.uri], /those of one database/);
    await refuses(['migrate', 'nonsense', database.uri], /./);
    await refuses(['migrate', database.uri, 'http://example.org/x'], /./);
  });

  test('files: a key that is not there, names that are not there', async () => {
    const own = [...given, '--databaseURI', database.uri];
    await refuses([...own, 'files', 'rotate-key', '--old-key-file', 'nowhere'], /nowhere/);
    for (const command of ['rotate-key', 'restore']) {
      const { code, stdout, stderr } = await run([...own, 'files', command, 'nothing.txt']);
      assert.equal(code, 1, stdout + stderr);
      assert.match(stdout + stderr, /nothing\.txt/);
    }
  });

  test('a port that is taken: the line says so, and the code is parse-server\'s', async () => {
    const taken = net.createServer();
    await new Promise(resolve => taken.listen(0, '127.0.0.1', resolve));
    const { port } = taken.address();
    const { code, stderr } = await run([...given, '--databaseURI', database.uri, '--host', '127.0.0.1', '--port', String(port)]);
    taken.close();
    assert.equal(code, 0);
    assert.match(stderr, new RegExp(`^ERROR: .*${port}`, 'm'));
  });
});
