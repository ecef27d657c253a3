// Starts and stops the servers under test: Parsimony (the binary) and the oracle (npm parse-server).
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { configurations } from './configurations.js';
import { createDatabase, freePort, provideGeometry, startPostgres, waitFor } from './postgres.js';

const here = path.dirname(fileURLToPath(import.meta.url));
const root = path.resolve(here, '../../..');
const oracleCommand = path.join(
  path.dirname(createRequire(import.meta.url).resolve('parse-server')), '..', 'bin', 'parse-server',
);

/** What `TARGET` chooses for the suites that need one server: `parsimony` (default) or `oracle`. */
export const target = process.env.TARGET ?? 'parsimony';

function command(kind, file) {
  if (kind === 'oracle') return [process.execPath, [oracleCommand, file]];
  const binary = process.env.PARSIMONY_BIN ?? path.join(root, 'target', 'debug', 'parsimony');
  return [binary, [file]];
}

/**
 * Starts one server of `kind` ('parsimony' or 'oracle') with a named configuration on a fresh database, or on
 * `databaseURI` (reached through `pooler`, if given), with what the CommonJS module `script` exports on top; answers once it is healthy: `{url, config, databaseURI, log(), stop()}`.
 * `outside`: the world that it sees (`faked/outside.js`).
 */
export async function startServer(postgres, kind, name = 'base', { databaseURI, overrides = {}, script, port: wanted, pooler, outside } = {}) {
  const database = databaseURI ? null : await createDatabase(postgres, `${kind}_${name}`);
  const uri = databaseURI ?? database.uri;
  if (kind === 'oracle' && database) await provideGeometry(uri);
  const home = fs.mkdtempSync(path.join(os.tmpdir(), `contract-${kind}-`));
  const port = wanted ?? await freePort();
  const origin = `http://127.0.0.1:${port}`;
  const config = {
    ...configurations[name], ...overrides, port, host: '127.0.0.1', databaseURI: uri, serverURL: `${origin}/parse`,
    publicServerURL: `${origin}/parse`,
  };
  if (pooler) {
    // Notices need a connection that stays.
    Object.assign(config, { databaseURI: new URL(new URL(uri).pathname, pooler).toString(), databaseListenURI: uri });
    config.databaseOptions = { ...config.databaseOptions, preparedStatements: false };
  }
  let file = path.join(home, 'config.json');
  fs.writeFileSync(file, JSON.stringify(config));
  if (script) {
    file = path.join(home, 'config.cjs');
    fs.writeFileSync(file, `module.exports = { ...require('./config.json'), ...require(${JSON.stringify(script)}) };`);
  }
  const logFile = path.join(home, 'log');
  const out = fs.openSync(logFile, 'w');
  const [executable, ...args] = [...outside?.prefix ?? [], ...command(kind, file).flat()];
  // Nothing of the caller's own server settings may reach either server.
  const environment = Object.fromEntries(Object.entries(process.env).filter(
    ([key]) => !key.startsWith('PARSE_') && !key.startsWith('PARSIMONY_') && key !== 'PORT' && key !== 'NODE_OPTIONS',
  ));
  const child = spawn(executable, args, {
    cwd: home, stdio: ['ignore', out, out], env: { ...environment, ...outside?.environment, PARSE_SERVER_LOGS_FOLDER: 'null' },
  });
  const log = () => fs.readFileSync(logFile, 'utf8');
  let exit = null;
  const abandon = () => child.kill('SIGKILL');
  process.once('exit', abandon);
  const ended = new Promise(resolve => {
    child.once('error', error => resolve((exit = error.message)));
    child.once('exit', (code, signal) => resolve((exit = `exit ${code ?? signal}`)));
  });
  try {
    await waitFor(async () => {
      if (exit !== null) throw Object.assign(new Error(`${kind} ended (${exit}):\n${log().slice(-4000)}`), { fatal: true });
      const answer = await fetch(`${config.serverURL}/health`);
      return answer.status === 200 && (await answer.json()).status === 'ok';
    }, { what: `${kind} to be healthy`, timeout: 60000 });
  } catch (error) {
    child.kill('SIGKILL');
    throw new Error(`${error.message}\n${log().slice(-4000)}`);
  }
  return {
    kind,
    name,
    url: config.serverURL,
    config,
    databaseURI: uri,
    pid: child.pid,
    log,
    /** Ends it at once, as a crash would. */
    async kill() {
      child.kill('SIGKILL');
      await ended;
    },
    async stop({ keepDatabase = false } = {}) {
      if (exit === null) {
        child.kill('SIGTERM');
        const late = setTimeout(() => child.kill('SIGKILL'), 10000);
        await ended;
        clearTimeout(late);
      }
      process.removeListener('exit', abandon);
      fs.rmSync(home, { recursive: true, force: true });
      if (database && !keepDatabase) await database.drop();
    },
  };
}

/**
 * The single server a suite runs against. The launcher hands one to all files through CONTRACT_SERVER; a file run by
 * hand starts its own.
 */
export async function useServer() {
  if (process.env.CONTRACT_SERVER) return { ...JSON.parse(process.env.CONTRACT_SERVER), stop: async () => {} };
  const postgres = await startPostgres();
  const server = await startServer(postgres, target);
  return {
    ...server,
    async stop() {
      await server.stop();
      await postgres.stop();
    },
  };
}
