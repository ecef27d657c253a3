// What the files of this suite share: servers with and without an option, and requests to them.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after } from 'node:test';
import { startPostgres } from '../lib/postgres.js';
import { request } from '../lib/http.js';
import { startServer } from '../lib/servers.js';

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
  return {
    postgres,
    home,
    server,
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
export const asMaster = (server, method, at, body, headers = {}) => call(server, method, at, body, { 'X-Parse-Master-Key': server.config.masterKey, ...headers });

export const session = token => ({ 'X-Parse-Session-Token': token });

/** A path with what is asked for. */
export const asked = (at, parameters) => `${at}?${new URLSearchParams(Object.entries(parameters).map(([key, value]) => [key, typeof value === 'string' ? value : JSON.stringify(value)]))}`;
