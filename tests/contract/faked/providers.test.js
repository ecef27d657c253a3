// Each login provider, its server faked at the level of the machine: the same data, good and forged, to Parsimony and
// to parse-server, the outside being well or ill. Answers, what is stored, and every request that goes out are compared.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { request } from '../lib/http.js';
import { startPostgres } from '../lib/postgres.js';
import { startServer } from '../lib/servers.js';
import { differences } from './differences.js';
import { startOutside, unavailable } from './outside.js';
import { faults, providers } from './providers.js';

const kinds = (process.env.FAKED_SERVERS ?? 'parsimony,oracle').split(',');
let number = 1000;

/** `{name, data, routes, id}` of all that is tried on a provider. */
function cases(entry) {
  const all = [];
  const add = (name, make, instead = {}) => {
    const id = `u${++number}`;
    const made = make(id);
    const [data, more] = Array.isArray(made) ? made : [made, {}];
    all.push({ name, id, data, routes: { ...entry.endpoints(id), ...more, ...instead } });
  };
  // Before anything good: keys that were had once are kept.
  for (const url of entry.faulty?.('{id}') ?? Object.keys(entry.endpoints('{id}'))) {
    const [, host] = /^https:\/\/([^/]+)/.exec(url);
    for (const [fault, reply] of Object.entries(faults)) {
      add(`${host} answers ${fault}`, entry.good, { [url]: reply });
      // The place that a redirect leads to says what a good one would.
      const last = all.at(-1);
      last.isDeadly = url === entry.deadly;
      if (url.endsWith('{id}')) {
        delete last.routes[url];
        last.routes[url.replace('{id}', last.id)] = reply;
      }
      last.routes['https://elsewhere.example/take'] = entry.endpoints(last.id)[url.replace('{id}', last.id)];
    }
  }
  add('good data', entry.good);
  for (const [name, make] of Object.entries(entry.cases)) add(name, make);
  return all;
}

async function call(server, method, at, body) {
  const headers = { 'X-Parse-Application-Id': server.config.appId, 'Content-Type': 'application/json' };
  if (method === 'GET') headers['X-Parse-Master-Key'] = server.config.masterKey;
  const response = await request(`${server.url}/${at}`, { method, headers, body: body && JSON.stringify(body) });
  return { status: response.status, json: JSON.parse(response.text) };
}

async function attempt(server, outside, entry, { data, routes }) {
  outside.reset();
  for (const [url, reply] of Object.entries(routes)) outside.on(url, reply);
  const { status, json } = await call(server, 'POST', 'users', { authData: { [entry.provider]: data } });
  const result = { status };
  if (status >= 400) {
    Object.assign(result, json);
  } else {
    result.response = json.authDataResponse;
    result.stored = (await call(server, 'GET', `users/${json.objectId}`)).json.authData;
  }
  result.requests = outside.seen.map(({ method, host, path, query, headers, body }) => {
    const { 'user-agent': agent, accept, ...telling } = headers;
    const isNamed = agent !== undefined && !/^(node|undici|Parsimony)\b/.test(agent);
    return { at: `${method} ${host}${path}`, query, headers: { ...telling, ...accept === '*/*' ? {} : { accept }, ...isNamed ? { agent } : {} }, body };
  });
  return JSON.parse(JSON.stringify(result));
}

const outside = unavailable ? null : await startOutside();
const postgres = unavailable ? null : await startPostgres();
const servers = [];
after(async () => {
  for (const server of servers) await server.stop();
  await postgres?.stop();
  outside?.stop();
});

const used = new Set();
for (const mode of ['secure', 'insecure']) {
  const entries = providers.filter(entry => (entry.mode ?? 'secure') === mode);
  const auth = Object.fromEntries(entries.map(entry => [entry.provider, entry.settings]));
  const overrides = { auth, enableInsecureAuthAdapters: mode === 'insecure' };
  test(`the ${mode} modes`, { skip: unavailable, timeout: 280000 }, async t => {
    const pair = {};
    for (const kind of kinds) servers.push(pair[kind] = await startServer(postgres, kind, 'base', { overrides, outside }));
    for (const entry of entries) {
      const label = entry.label ?? entry.provider;
      if (process.env.FAKED_ONLY && !label.includes(process.env.FAKED_ONLY)) continue;
      await t.test(label, async () => {
        const wrong = [];
        for (const one of cases(entry)) {
          const ours = pair.parsimony && await attempt(pair.parsimony, outside, entry, one);
          if (one.isDeadly) {
            if (ours) assert.ok(ours.status >= 400, `${one.name}: ${JSON.stringify(ours)}`);
            continue;
          }
          let theirs = pair.oracle && await attempt(pair.oracle, outside, entry, one);
          if (process.env.FAKED_SHOW) console.log(label, '|', one.name, '|', JSON.stringify(theirs ?? ours));
          if (!ours || !theirs) continue;
          const original = structuredClone(theirs);
          const same = () => JSON.stringify(sorted(ours)) === JSON.stringify(sorted(theirs));
          for (const [reason, mend] of Object.entries(differences)) {
            if (same()) break;
            const mended = mend({ ...one, entry, mode, label }, structuredClone(theirs), ours);
            if (mended) {
              theirs = mended;
              used.add(reason);
            }
          }
          if (!same()) wrong.push({ name: one.name, data: one.data, ours, theirs: original });
        }
        const told = wrong.map(one => `${label} | ${one.name}\n   sent   ${JSON.stringify(one.data)}\n   ours   ${JSON.stringify(one.ours)}\n   theirs ${JSON.stringify(one.theirs)}`);
        assert.equal(wrong.length, 0, `\n${told.join('\n')}`);
      });
    }
    while (servers.length > 0) await servers.pop().stop();
  });
}

function sorted(value) {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, one]) => [key, sorted(one)]));
}
