// What the files of this suite share: servers with and without an option, and requests to them.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after } from 'node:test';
import { fileURLToPath } from 'node:url';
import { freePort, startPostgres } from '../lib/postgres.js';
import { request } from '../lib/http.js';
import { startServer } from '../lib/servers.js';

// Each server that runs is ended with the process.
process.setMaxListeners(64);

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../..');
const binary = process.env.PARSIMONY_BIN ?? path.join(root, 'target', 'debug', 'parsimony');

/** The PostgreSQL of a file, a folder for what its options name, and servers that end with it. */
export async function stage() {
  const postgres = await startPostgres();
  const home = fs.mkdtempSync(path.join(os.tmpdir(), 'contract-options-'));
  const running = [];
  after(async () => {
    await Promise.all(running.map(server => server.stop()));
    fs.rmSync(home, { recursive: true, force: true });
    await postgres.stop();
  });
  const server = async (overrides, more = {}) => {
    const started = await startServer(postgres, 'parsimony', 'base', { overrides, ...more });
    running.push(started);
    return started;
  };
  let attempts = 0;
  return {
    postgres,
    home,
    server,
    /**
     * A start that may fail, which nobody waits for: `{cwd, port, log(), end()}`. Without `options` there is no file. It ends with the test file.
     */
    async attempt(options, { args = [], prefix = [], environment = {} } = {}) {
      const cwd = path.join(home, `attempt-${++attempts}`);
      fs.mkdirSync(cwd);
      const port = await freePort();
      const file = path.join(cwd, 'config.json');
      const keys = { appId: 'contractApp', masterKey: 'contractMasterKey' };
      if (options) fs.writeFileSync(file, JSON.stringify({ ...keys, host: '127.0.0.1', ...options, port }));
      const own = Object.entries(process.env).filter(([key]) => !/^(PARSE_|PARSIMONY_|NODE_OPTIONS$|PORT$)/.test(key));
      const out = fs.openSync(path.join(cwd, 'log'), 'w');
      const [command, ...rest] = [...prefix, binary, ...args, ...options ? [file] : ['--port', String(port)]];
      const env = { ...Object.fromEntries(own), PARSE_SERVER_LOGS_FOLDER: 'null', ...environment };
      const child = spawn(command, rest, { cwd, stdio: ['ignore', out, out], env });
      const abandon = () => child.kill('SIGKILL');
      process.once('exit', abandon);
      const ended = new Promise(resolve => child.once('exit', code => resolve(code)));
      const stop = async () => {
        child.kill('SIGKILL');
        await ended;
        process.removeListener('exit', abandon);
      };
      running.push({ stop });
      // eslint-disable-next-line no-control-regex
      return { cwd, port, log: () => fs.readFileSync(path.join(cwd, 'log'), 'utf8').replaceAll(/\x1b\[[0-9;]*m/g, ''), stop, ended };
    },
    /** A file in the folder; its path. */
    file(name, text = '') {
      const full = path.join(home, name);
      fs.mkdirSync(path.dirname(full), { recursive: true });
      fs.writeFileSync(full, text);
      return full;
    },
  };
}

/** A request as a client: `{status, body, text, headers}`. A path without a scheme is one of the API. */
export async function call(server, method, at, body, headers = {}) {
  const answer = await request(at.startsWith('http') ? at : `${server.url}/${at}`, {
    method,
    headers: { 'X-Parse-Application-Id': server.config.appId, 'Content-Type': 'application/json', ...headers },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  let parsed;
  try {
    parsed = JSON.parse(answer.text);
  } catch {
    parsed = undefined;
  }
  return { status: answer.status, body: parsed, text: answer.text, headers: answer.headers };
}

/** The same with the master key. */
export const asMaster = (server, method, at, body) => call(server, method, at, body, { 'X-Parse-Master-Key': server.config.masterKey });

export const session = token => ({ 'X-Parse-Session-Token': token });

/** A path with what is asked for. */
export function asked(at, parameters) {
  const pairs = Object.entries(parameters).map(([key, value]) => [key, typeof value === 'string' ? value : JSON.stringify(value)]);
  return `${at}?${new URLSearchParams(pairs)}`;
}
