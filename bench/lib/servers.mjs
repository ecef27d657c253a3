// Starts the servers that are compared, each on its own database with the same configuration, and the floor program.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from '../../tests/contract/lib/postgres.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const require = createRequire(import.meta.url);
const peerCommand = path.join(path.dirname(require.resolve('parse-server')), '..', 'bin', 'parse-server');

export const peerVersion = require('parse-server/package.json').version;
export const binary = process.env.PARSIMONY_BIN ?? path.join(root, 'target', 'release', 'parsimony');
export const floorBinary = process.env.FLOOR_BIN ?? path.join(root, 'bench', 'floor', 'target', 'release', 'floor');
/** An earlier build of Parsimony, which takes the peer's side where two builds are compared. */
export const beforeBinary = process.env.BEFORE_BIN;
/** The servers; the floor program, which knows a few plain requests only, is a third side where it can be. */
export const kinds = [beforeBinary ? 'before' : 'peer', 'ours'];
export const keys = { appId: 'bench', masterKey: 'benchMasterKey', restAPIKey: 'benchRestKey' };

function healthy(port) {
  return new Promise(resolve => {
    const request = http.get({ port, host: '127.0.0.1', path: '/parse/health', headers: { 'X-Parse-Application-Id': keys.appId } }, answer => {
      answer.resume();
      resolve(answer.statusCode === 200);
    });
    request.on('error', () => resolve(false));
  });
}

/**
 * Starts `kind` on `databaseURI`, configured for a group of scenarios ('whole', 'plain', 'cloud', 'live', 'files', 'folder'):
 * `{kind, port, pid, coldStart, log(), stop()}`; `coldStart` is ms from the start to a healthy answer. `more` are options
 * beyond those, `prefix` and `variables` the command and the environment to start it by.
 */
export async function startServer(kind, databaseURI, group, { more, prefix = [], variables } = {}) {
  const home = fs.mkdtempSync(path.join(os.tmpdir(), `bench-${kind}-`));
  const port = await freePort();
  const { restAPIKey, ...others } = keys;
  const config = {
    ...others,
    port,
    host: '127.0.0.1',
    mountPath: '/parse',
    databaseURI,
    serverURL: `http://127.0.0.1:${port}/parse`,
    allowClientClassCreation: false,
    fileUpload: { enableForPublic: true, enableForAnonymousUser: true, enableForAuthenticatedUser: true },
    ...more,
  };
  if (group === 'whole') config.restAPIKey = restAPIKey;
  if (group === 'cloud' || group === 'whole') config.cloud = fileURLToPath(new URL('../cloud/main.js', import.meta.url));
  if (group === 'live' || group === 'whole') {
    config.liveQuery = { classNames: ['Live'] };
    config.startLiveQueryServer = true;
  }
  // The peer has no store in PostgreSQL.
  if (group === 'folder' || (group === 'files' && kind === 'peer')) {
    config.filesAdapter = { module: '@parse/fs-files-adapter', options: { filesSubDirectory: 'stored' } };
  }
  const file = path.join(home, 'config.json');
  fs.writeFileSync(file, JSON.stringify(config));
  const environment = Object.fromEntries(Object.entries(process.env).filter(
    ([name]) => !name.startsWith('PARSE_') && !name.startsWith('PARSIMONY_') && name !== 'PORT' && name !== 'NODE_OPTIONS',
  ));
  // Both without log files: neither's folder is what is measured.
  environment.PARSE_SERVER_LOGS_FOLDER = 'null';
  const logFile = path.join(home, 'log');
  const out = fs.openSync(logFile, 'w');
  Object.assign(environment, variables);
  const [program, given] = {
    peer: [process.execPath, [peerCommand, file]], before: [beforeBinary, [file]], ours: [binary, [file]],
    floor: [floorBinary, [String(port), databaseURI]],
  }[kind];
  const [command, ...args] = [...prefix, program, ...given];
  const began = performance.now();
  const child = spawn(command, args, { cwd: home, stdio: ['ignore', out, out], env: environment });
  fs.closeSync(out);
  let exit = null;
  const ended = new Promise(resolve => {
    child.once('error', error => resolve((exit = error.message)));
    child.once('exit', (code, signal) => resolve((exit = `exit ${code ?? signal}`)));
  });
  const log = () => fs.readFileSync(logFile, 'utf8');
  const abandon = () => child.kill('SIGKILL');
  process.once('exit', abandon);
  const stop = async () => {
    if (exit === null) {
      child.kill('SIGTERM');
      const late = setTimeout(() => child.kill('SIGKILL'), 10_000);
      await ended;
      clearTimeout(late);
    }
    process.removeListener('exit', abandon);
    fs.rmSync(home, { recursive: true, force: true });
  };
  while (!(await healthy(port))) {
    if (exit !== null || performance.now() - began > 90_000) {
      const said = log().slice(-2000);
      await stop();
      throw new Error(`${kind} did not start (${exit ?? '90 s'}): ${said}`);
    }
    await new Promise(resolve => setTimeout(resolve, 4));
  }
  return { kind, group, port, pid: child.pid, coldStart: performance.now() - began, log, stop };
}

/** One request by REST with the master key; answers the parsed body, throws on an error status. */
export async function rest(server, method, route, body, headers = {}) {
  const answer = await fetch(`http://127.0.0.1:${server.port}/parse${route}`, {
    method,
    headers: {
      'X-Parse-Application-Id': keys.appId, 'X-Parse-Master-Key': keys.masterKey, 'Content-Type': 'application/json', ...headers,
    },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${method} ${route}: ${answer.status} ${text.slice(0, 300)}`);
  return text ? JSON.parse(text) : null;
}
