// Runs the contract suites: one PostgreSQL for all, one shared server for the SDK suite.
//
//   node tests/contract/run.mjs [--target parsimony|oracle] [--pooler] [sdk|cloud|oracle|layout|pages|dashboard|file …]
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { startPostgres } from './lib/postgres.js';
import { startServer } from './lib/servers.js';

const here = path.dirname(fileURLToPath(import.meta.url));
const args = process.argv.slice(2);
const at = args.indexOf('--target');
if (at >= 0) process.env.TARGET = args.splice(at, 2)[1];
// Through PgBouncer, on request: `--pooler sdk`.
const pooler = process.env.PARSIMONY_TEST_PGBOUNCER_URI;
const pooledOnly = args.includes('--pooler') && args.splice(args.indexOf('--pooler'), 1).length > 0;
if (pooledOnly && !pooler) throw new Error('--pooler: PARSIMONY_TEST_PGBOUNCER_URI is not set');
const target = process.env.TARGET ?? 'parsimony';

/** The test files below a suite's folder, or the file itself. */
function files(name) {
  const full = fs.existsSync(path.join(here, name)) ? path.join(here, name) : path.resolve(name);
  if (fs.statSync(full).isFile()) return [full];
  return fs.readdirSync(full, { recursive: true }).filter(file => file.endsWith('.test.js'))
    .map(file => path.join(full, file)).sort();
}

const suites = ['dashboard', 'pages', 'auth', 'sdk', 'cloud', 'oracle', 'graphql', 'layout', 'live', 'push', 'faked', 'npm'];
const wanted = (args.length > 0 ? args : pooledOnly ? ['sdk'] : suites).flatMap(files);
const postgres = await startPostgres();
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(130));

/** Runs the files; the status of the runner. */
async function run(wanted, options) {
  const server = wanted.some(file => file.includes(`${path.sep}sdk${path.sep}`)) ? await startServer(postgres, target, 'base', options) : null;
  const env = { ...process.env, PARSIMONY_TEST_DATABASE_URI: postgres.uri };
  if (server) {
    const { kind, name, url, config, databaseURI } = server;
    env.CONTRACT_SERVER = JSON.stringify({ kind, name, url, config, databaseURI });
  }
  const flags = ['--test', '--test-timeout=300000', '--test-concurrency=3'];
  if (process.env.CONTRACT_REPORTER) flags.push(`--test-reporter=${process.env.CONTRACT_REPORTER}`);
  const child = spawn(process.execPath, [...flags, ...wanted], { stdio: 'inherit', env });
  const code = await new Promise(resolve => child.once('exit', resolve));
  await server?.stop();
  return code ?? 1;
}

const codes = [await run(wanted, pooledOnly ? { pooler } : {})];
await postgres.stop();
process.exit(Math.max(...codes));
