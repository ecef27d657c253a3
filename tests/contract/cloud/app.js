// A server with the sample app of ../cloud-app, and the SDK pointed at it.
import { after } from 'node:test';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import Parse from 'parse/node';
import { startPostgres } from '../lib/postgres.js';
import { startServer, target } from '../lib/servers.js';
import { request } from '../lib/http.js';

const here = path.dirname(fileURLToPath(import.meta.url));
const postgres = await startPostgres();
export const server = await startServer(postgres, target, 'base', {
  overrides: { cloud: path.resolve(here, '../cloud-app/main.js') },
});
after(async () => {
  await server.stop();
  await postgres.stop();
});

Parse.initialize(server.config.appId, undefined, server.config.masterKey);
Parse.serverURL = server.url;
Parse.CoreManager.set('REQUEST_ATTEMPT_LIMIT', 1);

export { Parse };
export const master = { useMasterKey: true };

/** A raw REST call: `{status, headers, body}`. */
export async function rest(method, route, { body, headers = {} } = {}) {
  const answer = await request(`${server.url}/${route}`, {
    method,
    headers: { 'X-Parse-Application-Id': server.config.appId, 'Content-Type': 'application/json', ...headers },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  return { status: answer.status, headers: answer.headers, body: answer.text === '' ? null : JSON.parse(answer.text) };
}

/** The data of the `Note` objects with this text and key, once there are `count`. */
export async function notes(text, key, count = 1) {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const found = await new Parse.Query('Note').equalTo('text', text).ascending('createdAt').find(master);
    const data = found.map(object => object.get('data')).filter(entry => entry.key === key);
    if (data.length >= count) return data;
    await new Promise(resolve => setTimeout(resolve, 50));
  }
  throw new Error(`no note ${text} for ${key}`);
}
