// Runs the contract suites: one database server for all, one shared server for the SDK suite.
//
//   node tests/contract/run.mjs [--target parsimony|oracle] [--database mongo] [--pooler] [sdk|cloud|oracle|layout|pages|dashboard|file …]
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** Files with failures that are run once more; where more fail, it is not the machine. */
const MAX_AGAIN = 5;

const here = path.dirname(fileURLToPath(import.meta.url));
const args = process.argv.slice(2);
const at = args.indexOf('--target');
if (at >= 0) process.env.TARGET = args.splice(at, 2)[1];
// Through PgBouncer, on request: `--pooler sdk`.
const pooler = process.env.PARSIMONY_TEST_PGBOUNCER_URI;
const pooledOnly = args.includes('--pooler') && args.splice(args.indexOf('--pooler'), 1).length > 0;
if (pooledOnly && !pooler) throw new Error('--pooler: PARSIMONY_TEST_PGBOUNCER_URI is not set');
const target = process.env.TARGET ?? 'parsimony';
const on = args.indexOf('--database');
if (on >= 0) process.env.CONTRACT_DATABASE = args.splice(on, 2)[1];
// They look at the variable.
const { isMongo, startDatabase } = await import('./lib/database.js');
const { startServer } = await import('./lib/servers.js');

/** The test files below a suite's folder, or the file itself. */
function files(name) {
  const full = fs.existsSync(path.join(here, name)) ? path.join(here, name) : path.resolve(name);
  if (fs.statSync(full).isFile()) return [full];
  return fs.readdirSync(full, { recursive: true }).filter(file => file.endsWith('.test.js'))
    .map(file => path.join(full, file)).sort();
}

const suites = ['dashboard', 'pages', 'auth', 'sdk', 'cloud', 'oracle', 'graphql', 'layout', 'live', 'push',
  ...['providers', 'flows', 'push', 'ldap', 'modules', 'secrets', 'limits'].map(name => `faked/${name}.test.js`), 'schema', 'options', 'npm', 'packages'];
/** What runs on either database. */
const onMongo = ['sdk', 'oracle', 'live'];
const wanted = (args.length > 0 ? args : pooledOnly ? ['sdk'] : isMongo ? onMongo : suites).flatMap(files);
const database = await startDatabase();
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(130));

/** Runs the files; the status of the runner. */
async function run(wanted, options) {
  const server = wanted.some(file => file.includes(`${path.sep}sdk${path.sep}`)) ? await startServer(database, target, 'base', options.server) : null;
  const env = { ...process.env, ...(isMongo ? {} : { PARSIMONY_TEST_DATABASE_URI: database.uri }) };
  if (server) {
    const { kind, name, url, config, databaseURI } = server;
    env.CONTRACT_SERVER = JSON.stringify({ kind, name, url, config, databaseURI });
  }
  const reporters = [[process.env.CONTRACT_REPORTER ?? (process.stdout.isTTY ? 'spec' : 'tap'), 'stdout']];
  if (options.failed) reporters.push([path.join(here, 'lib/failed.mjs'), options.failed]);
  const flags = ['--test', '--test-timeout=900000', `--test-concurrency=${options.concurrency ?? 3}`,
    ...reporters.flatMap(([name, to]) => [`--test-reporter=${name}`, `--test-reporter-destination=${to}`])];
  const child = spawn(process.execPath, [...flags, ...wanted], { stdio: 'inherit', env });
  const code = await new Promise(resolve => child.once('exit', resolve));
  await server?.stop();
  return code ?? 1;
}

const own = pooledOnly ? { pooler } : {};
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'contract-'));
const list = path.join(folder, 'failed');
let code = await run(wanted, { server: own, failed: list });
const again = fs.existsSync(list) ? fs.readFileSync(list, 'utf8').split('\n').filter(Boolean) : [];
// A busy machine may be too late for one of thousands of conditions: a few files are run once more, alone. What is
// wrong fails twice; what passes only then is named here.
if (code !== 0 && again.length > 0 && again.length <= MAX_AGAIN) {
  console.log(`\nOnce more, one after another: ${again.map(file => path.relative(here, file)).join(', ')}\n`);
  code = await run(again, { server: own, concurrency: 1 });
}
fs.rmSync(folder, { recursive: true });
await database.stop();
process.exit(code);
