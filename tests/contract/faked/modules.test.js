// The application's own auth modules, in the old and the new interface: the same requests to Parsimony and to
// parse-server, whose answers and whose calls of the modules are compared.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startPostgres } from '../lib/postgres.js';
import { startServer } from '../lib/servers.js';

const here = path.dirname(fileURLToPath(import.meta.url));
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'contract-modules-'));
const postgres = await startPostgres();
const kinds = (process.env.FAKED_SERVERS ?? 'parsimony,oracle').split(',');
const names = ['legacy', 'modern', 'additional', 'solo', 'wrong', 'deciding', 'incomplete'];
const servers = [];
for (const kind of kinds) {
  const journal = path.join(folder, kind);
  fs.writeFileSync(journal, '');
  const auth = Object.fromEntries(names.map(name => [name, { module: path.join(here, 'modules', `${name}.cjs`), secret: 's', journal }]));
  auth.legacy.appIds = ['a1'];
  auth.off = { module: auth.modern.module, enabled: false };
  const server = await startServer(postgres, kind, 'base', { overrides: { auth } });
  servers.push({ server, journal, ids: new Map() });
}
after(async () => {
  for (const { server } of servers) await server.stop();
  await postgres.stop();
  fs.rmSync(folder, { recursive: true, force: true });
});

/** One user's story on one server; what it answered, and how modules were called meanwhile. */
class Story {
  constructor({ server, journal }) {
    Object.assign(this, { server, journal, told: [], tokens: {}, known: new Map() });
    this.start = fs.readFileSync(journal, 'utf8').length;
  }

  async call(method, at, body, { as, master } = {}) {
    const headers = { 'X-Parse-Application-Id': this.server.config.appId, 'Content-Type': 'application/json', 'X-Parse-Installation-Id': 'i1' };
    if (as) headers['X-Parse-Session-Token'] = this.tokens[as].sessionToken;
    if (master) headers['X-Parse-Master-Key'] = this.server.config.masterKey;
    const response = await fetch(`${this.server.url}/${at}`, { method, headers, body: body && JSON.stringify(body) });
    const json = await response.json();
    const calls = fs.readFileSync(this.journal, 'utf8').slice(this.start).split('\n').filter(Boolean).map(line => JSON.parse(line));
    this.start = fs.readFileSync(this.journal, 'utf8').length;
    this.told.push({ asked: `${method} ${at.replace(/[A-Za-z0-9]{10}$/, '(id)')} ${JSON.stringify(body ?? null)}`, status: response.status, json: this.plain(json), calls: this.plain(calls) });
    return json;
  }

  /** Ids, tokens, dates and journals under names. */
  plain(value, key) {
    if (Array.isArray(value)) return value.map(one => this.plain(one));
    if (value && typeof value === 'object') {
      if (value.__type === 'Date') return '(date)';
      if (key === 'ACL') return Object.fromEntries(Object.entries(value).map(([who, rights]) => [this.known.get(who) ?? who.replace(/^[A-Za-z0-9]{10}$/, '(id)'), rights]));
      const kept = Object.entries(value).filter(([name]) => name !== 'journal').sort(([a], [b]) => (a < b ? -1 : 1));
      return Object.fromEntries(kept.map(([name, one]) => [name, this.plain(one, name)]));
    }
    if (['createdAt', 'updatedAt'].includes(key)) return '(date)';
    if (['objectId', 'sessionToken', 'username', 'user'].includes(key) && typeof value === 'string' && !value.startsWith('(') && !['ann', 'bob'].includes(value)) {
      if (!this.known.has(value)) this.known.set(value, `${key === 'user' ? 'objectId' : key} ${this.known.size}`);
      return this.known.get(value);
    }
    return value;
  }

  async signUp(who, body) {
    this.tokens[who] = await this.call('POST', 'users', body);
    return this.tokens[who];
  }
}

const stories = {
  async 'the old interface'(s) {
    const made = await s.signUp('ann', { authData: { legacy: { id: 'l1', secret: 's', app: 'a1' } } });
    await s.call('GET', `users/${made.objectId}`, undefined, { as: 'ann' });
    await s.call('GET', `users/${made.objectId}`, undefined, { master: true });
    await s.call('GET', 'users/me', undefined, { as: 'ann' });
    await s.call('POST', 'users', { authData: { legacy: { id: 'l1', secret: 's' } } });
    await s.call('POST', 'users', { authData: { legacy: { id: 'l1', secret: 'x' } } });
    await s.call('POST', 'users', { authData: { legacy: { id: 'l1' } } });
    await s.call('POST', 'users', { authData: { legacy: { id: 'l1' } } }, { master: true });
    await s.call('POST', 'users', { authData: { legacy: { id: 'l1', secret: 'x' } } }, { master: true });
    await s.call('POST', 'users', { authData: { legacy: { id: 'l2', secret: 's', app: 'foreign' } } });
    await s.call('PUT', `users/${made.objectId}`, { authData: { legacy: { id: 'l1', secret: 's', app: 'a1' } } }, { as: 'ann' });
    await s.call('PUT', `users/${made.objectId}`, { authData: { legacy: { id: 'l1', secret: 's', more: 1 } } }, { as: 'ann' });
    await s.call('PUT', `users/${made.objectId}`, { authData: { legacy: { id: 'l1', secret: 'x' } } }, { as: 'ann' });
    await s.call('PUT', `users/${made.objectId}`, { authData: { legacy: { id: 'l1', secret: 's', again: 1 } } }, { master: true });
    await s.call('PUT', `users/${made.objectId}`, { authData: { legacy: null } }, { as: 'ann' });
    await s.call('GET', `users/${made.objectId}`, undefined, { master: true });
  },
  async 'what the old interface answers'(s) {
    for (const answer of ['nothing', 'text', 'error', 'code', 'object', 'rejected', 'save', 'do not save', 'both', 'empty', 'true', 'null', 'changes']) {
      const made = await s.call('POST', 'users', { authData: { legacy: { id: `answer ${answer}`, answer } } });
      if (made.objectId) await s.call('GET', `users/${made.objectId}`, undefined, { master: true });
      if (made.objectId) await s.call('POST', 'users', { authData: { legacy: { id: `answer ${answer}`, answer } } });
    }
  },
  async 'a name that stands for an id'(s) {
    await s.call('POST', 'users', { authData: { legacy: { id: 'first', alias: 'real', secret: 's' } } });
    await s.call('POST', 'users', { authData: { legacy: { id: 'second', alias: 'real', secret: 's' } } });
  },
  async 'the three methods'(s) {
    const made = await s.signUp('ann', { authData: { modern: { id: 'm1', secret: 's' } } });
    await s.call('GET', `users/${made.objectId}`, undefined, { as: 'ann' });
    await s.call('GET', 'users', undefined, { as: 'ann' });
    await s.call('POST', 'users', { authData: { modern: { id: 'm1', secret: 's' } } });
    await s.call('POST', 'users', { authData: { modern: { id: 'm1', secret: 'x' } } });
    await s.call('POST', 'users', { authData: { modern: { id: 'm2', refused: true } } });
    await s.call('PUT', `users/${made.objectId}`, { authData: { modern: { id: 'm1', secret: 'new' } } }, { as: 'ann' });
    await s.call('PUT', `users/${made.objectId}`, { authData: { modern: { id: 'm1', refused: true } } }, { as: 'ann' });
    await s.call('PUT', `users/${made.objectId}`, { authData: { modern: { id: 'm1' } } }, { as: 'ann' });
    await s.call('PUT', `users/${made.objectId}`, { authData: { modern: { id: 'm1', secret: 'by master' } } }, { master: true });
    await s.call('PUT', `users/${made.objectId}`, { authData: { modern: { id: 'm1', secret: 'by nobody' } } });
    await s.call('GET', `users/${made.objectId}`, undefined, { master: true });
  },
  async 'a link to a user with a password'(s) {
    const made = await s.signUp('ann', { username: 'ann', password: 'p' });
    await s.call('PUT', `users/${made.objectId}`, { authData: { modern: { id: 'linked', secret: 's' } } }, { as: 'ann' });
    await s.call('PUT', `users/${made.objectId}`, { authData: { modern: { id: 'm1', secret: 's' } } }, { as: 'ann' });
    await s.call('POST', 'login', { username: 'ann', password: 'p' });
    await s.call('POST', 'users', { authData: { modern: { id: 'linked', secret: 's' }, legacy: { id: 'both', secret: 's' } } });
    await s.call('GET', `users/${made.objectId}`, undefined, { master: true });
    await s.call('PUT', `users/${made.objectId}`, { authData: { modern: null, legacy: null } }, { as: 'ann' });
    await s.call('POST', 'users', { authData: { modern: { id: 'linked', secret: 's' } } });
  },
  async 'additional data'(s) {
    const made = await s.signUp('bob', { username: 'bob', password: 'p', authData: { additional: { id: 'x1' } } });
    await s.call('POST', 'login', { username: 'bob', password: 'p' });
    await s.call('POST', 'login', { username: 'bob', password: 'p', authData: { additional: { id: 'x1' } } });
    await s.call('PUT', `users/${made.objectId}`, { authData: { modern: { id: 'with', secret: 's' } } }, { as: 'bob' });
    await s.call('POST', 'users', { authData: { modern: { id: 'with', secret: 's' } } });
    await s.call('POST', 'users', { authData: { modern: { id: 'with', secret: 's' }, additional: { id: 'x1' } } });
    await s.call('POST', 'users', { authData: { additional: { id: 'x1' } } });
    await s.call('PUT', `users/${made.objectId}`, { authData: { solo: { id: 'alone' } } }, { as: 'bob' });
    await s.call('POST', 'users', { authData: { solo: { id: 'alone' } } });
    await s.call('POST', 'login', { username: 'bob', password: 'p', authData: { solo: { id: 'alone' } } });
    await s.call('POST', 'verifyPassword?username=bob&password=p', {});
  },
  async 'a policy that is a function'(s) {
    const made = await s.signUp('carl', { username: 'carl', password: 'p', authData: { deciding: { id: 'd1' } } });
    await s.call('POST', 'login', { username: 'carl', password: 'p' });
    await s.call('PUT', `users/${made.objectId}`, { authData: { deciding: { id: 'd1', strict: true } } }, { as: 'carl' });
    await s.call('POST', 'login', { username: 'carl', password: 'p' });
    await s.call('POST', 'login', { username: 'carl', password: 'p', authData: { deciding: { id: 'd1' } } });
  },
  async 'modules that are none'(s) {
    for (const name of ['wrong', 'incomplete', 'off', 'unknown', 'constructor', '__proto__', 'toString']) {
      await s.call('POST', 'users', JSON.parse(`{"authData": {"${name}": {"id": "x"}}}`));
    }
  },
  async 'challenges'(s) {
    await s.signUp('ann', { authData: { legacy: { id: 'challenged', secret: 's' } } });
    const authData = { legacy: { id: 'challenged', secret: 's' } };
    await s.call('POST', 'challenge', { challengeData: { legacy: { word: 'w' } }, authData });
    await s.call('POST', 'challenge', { challengeData: { legacy: { word: 'w' } } });
    await s.call('POST', 'challenge', { challengeData: { legacy: { fails: true } }, authData });
    await s.call('POST', 'challenge', { challengeData: { legacy: { silent: true } }, authData });
    await s.call('POST', 'challenge', { challengeData: { modern: { word: 'w' } }, authData });
    await s.call('POST', 'challenge', { challengeData: { unknown: { word: 'w' } }, authData });
    await s.call('POST', 'challenge', { challengeData: { legacy: { word: 'w' } }, authData: { legacy: { id: 'challenged', secret: 'x' } } });
    await s.call('POST', 'challenge', { challengeData: { legacy: { word: 'w' } }, authData: { legacy: { id: 'nobody', secret: 's' } } });
    await s.call('POST', 'challenge', { challengeData: { legacy: { word: 'w' } }, username: 'ann', password: 'p' });
    await s.call('POST', 'challenge', { challengeData: { legacy: { word: 'w' } }, username: 'ann', password: 'wrong' });
  },
};

const shown = { legacy: ({ id }) => ({ shown: id }), modern: ({ secret, ...rest }) => rest };

/**
 * What Parsimony does otherwise on purpose: each makes of what parse-server did in a step what it should have done, or
 * says `false` when this is not the case.
 */
const differences = {
  'a login shows of a user what a read would': (story, at, ours, theirs) => {
    if (!ours.asked.startsWith('POST users ') || ours.status !== 200 || !theirs.json.authData) return false;
    const authData = Object.entries(theirs.json.authData).map(([name, data]) => [name, shown[name] ? shown[name](data) : data]);
    return { ...theirs, json: { ...theirs.json, authData: Object.fromEntries(authData) } };
  },
  'no module is shown the hash of a password, nor the password of a login': (story, at, ours, theirs) => {
    const isSecret = value => /^\$2[aby]\$/.test(value) || ours.asked.startsWith('POST login ');
    const bare = (key, value) => (key === 'password' && isSecret(value) ? undefined : value);
    return { ...theirs, calls: JSON.parse(JSON.stringify(theirs.calls, bare)) };
  },
  'beforeFind decides whose data it is': (story, at, ours) =>
    story === 'a name that stands for an id' && ours.status === [201, 200][at] && ours.calls.every(({ args }) => args.some(({ id }) => id === 'real')) && ours,
  'there is no module by the name of a part of every object': (story, at, ours, theirs) =>
    story === 'modules that are none' && /"(constructor|__proto__|toString)"/.test(ours.asked) && ours.json.code === 252 && theirs.json.code === -1 && ours,
};

for (const [name, story] of Object.entries(stories)) {
  test(name, { timeout: 120000 }, async () => {
    const told = [];
    for (const one of servers) {
      const s = new Story(one);
      await story(s);
      told.push(s.told);
    }
    if (process.env.FAKED_SHOW) console.log(JSON.stringify(told[0], null, 1));
    if (told.length < 2) return;
    const [ours, theirs] = told;
    const wrong = [];
    for (const [at, step] of ours.entries()) {
      // parse-server makes an adapter for each look at one, and asks whom nobody will see.
      let other = theirs[at] ?? { json: {} };
      for (const one of [step, other]) one.calls = (one.calls ?? []).filter(({ method }) => !['validateOptions', 'beforeFind', 'afterFind'].includes(method));
      const differing = () => ['status', 'json', 'calls'].filter(part => JSON.stringify(step[part]) !== JSON.stringify(other[part]));
      for (const mend of Object.values(differences)) {
        if (differing().length > 0) other = mend(name, at, step, other) || other;
      }
      for (const part of differing()) {
        wrong.push(`${step.asked}: ${part}\n   ours   ${JSON.stringify(step[part])}\n   theirs ${JSON.stringify(other[part])}`);
      }
    }
    assert.equal(wrong.length, 0, `\n${wrong.join('\n')}`);
  });
}
