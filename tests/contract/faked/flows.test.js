// Accounts around the built-in login providers: policies of their entries, second factors, data of odd kinds, own data
// seen through includes. The same stories to Parsimony and to parse-server; answers and what goes out are compared.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { request } from '../lib/http.js';
import { startPostgres } from '../lib/postgres.js';
import { startServer } from '../lib/servers.js';
import { startOutside, unavailable } from './outside.js';
import { jwk, tokens } from './tokens.js';

const kinds = (process.env.FAKED_SERVERS ?? 'parsimony,oracle').split(',');
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'contract-flows-'));
const script = path.join(folder, 'auth.cjs');
fs.writeFileSync(script, `
module.exports = { auth: {
  facebook: { appIds: ['a1'], policy: 'additional' },
  google: { clientId: 'the client', policy: 'solo' },
  meetup: { enableInsecureAuth: true, policy: 'lenient' },
  phantauth: { enableInsecureAuth: true, policy: (request, data) => (data.id.startsWith('strict') ? 'additional' : 'default') },
  microsoft: { clientId: 'c', clientSecret: 's', challenge: data => ({ answer: data.word }) },
  mfa: { options: ['TOTP'], digits: 0, period: 0, algorithm: '' },
  gogle: { clientId: 'the client' },
  off: { clientId: 'the client', enabled: false },
} };`);

const made = new Map();
/** The same token each time, so that both servers are sent the same. */
function idToken(id) {
  if (!made.has(id)) made.set(id, tokens(sub => ({ iss: 'https://accounts.google.com', aud: 'the client', sub }))['a good token'](id));
  return made.get(id);
}
const facebook = id => ({ id, access_token: id });
const google = id => ({ id, id_token: idToken(id) });

const outside = unavailable ? null : await startOutside();
const postgres = unavailable ? null : await startPostgres();
const servers = [];
after(async () => {
  for (const server of servers) await server.stop();
  await postgres?.stop();
  outside?.stop();
  fs.rmSync(folder, { recursive: true, force: true });
});

function answerWell() {
  outside.reset();
  const bearer = ({ headers }) => headers.authorization.split(' ')[1];
  outside.on('https://www.googleapis.com/oauth2/v3/certs', { body: { keys: [jwk('k1')] } });
  outside.on('https://graph.facebook.com/app', { body: { id: 'a1' } });
  outside.on('https://graph.facebook.com/me', ({ query }) => ({ body: { id: query.find(([name]) => name === 'access_token')[1] } }));
  outside.on('https://api.meetup.com/2/member/self', made => ({ body: { id: bearer(made) } }));
  outside.on('https://phantauth.net/auth/userinfo', made => ({ body: { sub: bearer(made) } }));
}

/** One story on one server: what it answered, ids and dates under names. */
class Story {
  constructor(server) {
    Object.assign(this, { server, told: [], known: new Map() });
  }

  async call(method, at, body, { as, master, raw } = {}) {
    const headers = { 'X-Parse-Application-Id': this.server.config.appId, 'Content-Type': 'application/json' };
    if (as) headers['X-Parse-Session-Token'] = as.sessionToken;
    if (master) headers['X-Parse-Master-Key'] = this.server.config.masterKey;
    const before = outside.seen.length;
    const response = await request(`${this.server.url}/${at}`, { method, headers, body: raw ?? (body && JSON.stringify(body)) });
    const json = JSON.parse(response.text);
    const sent = outside.seen.slice(before).filter(({ host }) => host !== 'www.googleapis.com');
    this.told.push({
      asked: `${method} ${at.replace(/\b[A-Za-z0-9]{10}\b/g, '(id)')} ${(raw ?? JSON.stringify(body) ?? '').slice(0, 300)}`,
      status: response.status, json: this.plain(json), sent: sent.map(({ method, host, path, query }) => ({ at: `${method} ${host}${path}`, query })),
    });
    return json;
  }

  plain(value, key) {
    if (Array.isArray(value)) return value.map(one => this.plain(one));
    if (value && typeof value === 'object') {
      if (key === 'ACL') return Object.keys(value).length;
      return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, one]) => [name, this.plain(one, name)]));
    }
    if (['createdAt', 'updatedAt', 'recovery', 'iso', 'sessionToken'].includes(key)) return `(${key})`;
    if (['objectId', 'username'].includes(key)) {
      if (!this.known.has(value)) this.known.set(value, `${key} ${this.known.size}`);
      return this.known.get(value);
    }
    return value;
  }
}

const pointer = ({ objectId }) => ({ __type: 'Pointer', className: '_User', objectId });

const stories = {
  async 'additional data'(s) {
    const ann = await s.call('POST', 'users', { username: 'ann', password: 'p', authData: { facebook: facebook('f1') } });
    await s.call('POST', 'login', { username: 'ann', password: 'p' });
    for (const data of [null, 0, false, '']) await s.call('POST', 'login', { username: 'ann', password: 'p', authData: { facebook: data } });
    await s.call('POST', 'login', { username: 'ann', password: 'p', authData: { facebook: { id: 'f1', access_token: 'wrong' } } });
    await s.call('POST', 'login', { username: 'ann', password: 'p', authData: { facebook: facebook('f1') } });
    await s.call('PUT', `users/${ann.objectId}`, { authData: { google: google('g1') } }, { as: ann });
    await s.call('POST', 'users', { authData: { facebook: facebook('f1') } });
    // Solo: enough on its own.
    await s.call('POST', 'users', { authData: { google: google('g1') } });
    await s.call('POST', 'login', { username: 'ann', password: 'p', authData: { google: google('g1') } });
    await s.call('PUT', `users/${ann.objectId}`, { authData: { facebook: null } }, { as: ann });
    await s.call('POST', 'login', { username: 'ann', password: 'p' });
  },
  async 'a policy that is a function, and one that is none'(s) {
    const data = id => ({ phantauth: { id, access_token: id } });
    await s.call('POST', 'users', { username: 'strict', password: 'p', authData: data('strict1') });
    await s.call('POST', 'users', { username: 'lax', password: 'p', authData: data('lax1') });
    await s.call('POST', 'login', { username: 'strict', password: 'p' });
    await s.call('POST', 'login', { username: 'strict', password: 'p', authData: data('strict1') });
    await s.call('POST', 'login', { username: 'lax', password: 'p' });
    await s.call('POST', 'users', { authData: { meetup: { id: 'm1', access_token: 'm1' } } });
  },
  async 'a challenge of the application’s own'(s) {
    await s.call('POST', 'challenge', { challengeData: { microsoft: { word: 'w' }, facebook: {} } });
  },
  async 'entries that name no provider'(s) {
    for (const name of ['gogle', 'off', 'unknown']) await s.call('POST', 'users', { authData: { [name]: { id: 'x' } } });
    await s.call('POST', 'users', { username: 'typo', password: 'p', authData: { gogle: null } });
  },
  async 'data of other kinds at a login by password'(s) {
    const bob = await s.call('POST', 'users', { username: 'bob', password: 'p' });
    for (const data of ['[]', '[null]', '{}', 'true', '5', '0', '""', 'null', '"x"', '[{}]', '["facebook"]', '{"facebook":null}']) {
      await s.call('POST', 'login', undefined, { raw: `{"username":"bob","password":"p","authData":${data}}` });
    }
    await s.call('PUT', `users/${bob.objectId}`, { authData: { facebook: facebook('f2') } }, { as: bob });
    for (const data of ['[]', '"x"', 'true']) {
      await s.call('POST', 'login', undefined, { raw: `{"username":"bob","password":"p","authData":${data}}` });
    }
  },
  async 'data of other kinds at a sign-up and a change'(s) {
    const carl = await s.call('POST', 'users', { username: 'carl', password: 'p' });
    for (const [at, data] of ['[]', 'true', '5', '0', '""', '"x"', '[{}]', '["facebook"]', 'null', '{}'].entries()) {
      await s.call('POST', 'users', undefined, { raw: `{"username":"odd${at}","password":"p","authData":${data}}` });
      for (const who of [{ as: carl }, { master: true }]) await s.call('PUT', `users/${carl.objectId}`, undefined, { ...who, raw: `{"authData":${data}}` });
    }
    for (const mfa of [{ secret: 'JBSWY3DPEHPK3PXPJBSWY3DP', token: 5 }, { secret: 'JBSWY3DPEHPK3PXPJBSWY3DP', token: '12345' }, { secret: 'JBSWY3DPEHPK3PXPJBSWY3DP' }]) {
      await s.call('PUT', `users/${carl.objectId}`, { authData: { mfa } }, { as: carl });
    }
  },
  async 'own data through includes'(s) {
    const ann = await s.call('POST', 'users', { authData: { google: google('g2') } });
    const bob = await s.call('POST', 'users', { authData: { google: google('g3') } });
    const all = { '*': { read: true } };
    for (const one of [ann, bob]) await s.call('PUT', `users/${one.objectId}`, { ACL: { ...all, [one.objectId]: { read: true, write: true } } }, { as: one });
    const thing = await s.call('POST', 'classes/Thing', { owner: pointer(ann), other: pointer(bob), both: [pointer(ann), pointer(bob)] });
    for (const who of [{ as: ann }, { as: bob }, {}, { master: true }]) {
      await s.call('GET', `classes/Thing/${thing.objectId}?include=owner,other,both`, undefined, who);
      await s.call('GET', 'classes/Thing?include=owner,other,both', undefined, who);
      await s.call('GET', 'classes/Thing?include=owner&keys=owner.authData', undefined, who);
    }
    await s.call('GET', 'sessions?include=user', undefined, { as: ann });
  },
};

for (const [name, story] of Object.entries(stories)) {
  test(name, { skip: unavailable, timeout: 120000 }, async () => {
    if (servers.length === 0) {
      for (const kind of kinds) servers.push(await startServer(postgres, kind, 'base', { script, outside }));
    }
    const told = [];
    for (const server of servers) {
      answerWell();
      const s = new Story(server);
      await story(s);
      told.push(s.told);
    }
    if (process.env.FAKED_SHOW) for (const step of told.at(-1)) console.log(JSON.stringify(step));
    if (told.length < 2) return;
    const [ours, theirs] = told;
    const wrong = [];
    for (const [at, step] of ours.entries()) {
      const other = theirs[at] ?? {};
      for (const part of ['status', 'json', 'sent'].filter(one => JSON.stringify(step[one]) !== JSON.stringify(other[one]))) {
        wrong.push(`${step.asked}: ${part}\n   ours   ${JSON.stringify(step[part])}\n   theirs ${JSON.stringify(other[part])}`);
      }
    }
    assert.equal(wrong.length, 0, `\n${wrong.join('\n')}`);
  });
}
