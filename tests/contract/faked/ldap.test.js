// Logins by a directory, on both servers: who is bound with which password, what is searched, what is answered. The
// directory is npm ldapjs's, so what is compared is what comes out of the wire.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import net from 'node:net';
import { after, test } from 'node:test';
import { request } from '../lib/http.js';
import { freePort, startPostgres } from '../lib/postgres.js';
import { startServer } from '../lib/servers.js';

const ldap = createRequire(createRequire(import.meta.url).resolve('parse-server'))('ldapjs');
const kinds = (process.env.FAKED_SERVERS ?? 'parsimony,oracle').split(',');

/** Takes everybody with the password `secret`, and has groups as the user's name says. */
function directory() {
  const seen = [];
  const server = ldap.createServer();
  server.bind('o=example', (req, res, next) => {
    // However a sign is escaped, it is the same name.
    const plain = text => text.replace(/\\([0-9a-fA-F]{2})/g, (_, code) => `\\${String.fromCharCode(parseInt(code, 16))}`);
    seen.push(['bind', plain(req.dn.toString()).replace(/\\(.)/g, '<$1>').replaceAll('<#>', '#'), req.credentials]);
    const name = req.dn.toString();
    if (name.includes('locked')) return next(new ldap.UnwillingToPerformError('locked'));
    if (req.credentials !== 'secret' && req.credentials !== '') return next(new ldap.InvalidCredentialsError());
    res.end();
    return next();
  });
  server.search('o=example', (req, res, next) => {
    const filter = req.filter.toString();
    seen.push(['search', req.dn.toString(), req.scope, filter]);
    if (filter.includes('broken')) return next(new ldap.OperationsError('broken'));
    const groups = filter.includes('nobody') ? [] : filter.includes('foreign') ? ['others'] : ['others', 'members'];
    for (const group of groups) res.send({ dn: `cn=${group},o=example`, attributes: { objectclass: ['groupOfNames'], cn: [group] } });
    res.end();
    return next();
  });
  return new Promise(resolve => server.listen(0, '127.0.0.1', () => resolve({
    url: server.url, seen, stop: () => new Promise(closed => server.close(closed)),
  })));
}

const one = await directory();
const closing = net.createServer(socket => socket.destroy());
await new Promise(resolve => closing.listen(0, '127.0.0.1', resolve));
const group = { groupCn: 'members', groupFilter: '(&(member=uid={{id}},o=example)(objectClass=groupOfNames))' };
const configurations = {
  'by suffix': { url: one.url, suffix: 'o=example' },
  'by template': { url: one.url, suffix: 'o=example', dn: 'cn={{id}},ou=people,o=example' },
  'with a group': { url: one.url, suffix: 'o=example', ...group },
  'where nobody listens': { url: `ldap://127.0.0.1:${await freePort()}`, suffix: 'o=example' },
  'without a suffix': { url: one.url },
  'with another protocol': { url: one.url.replace('ldap:', 'http:'), suffix: 'o=example' },
  'in TLS without options': { url: one.url.replace('ldap:', 'ldaps:'), suffix: 'o=example' },
};
const postgres = await startPostgres();
after(async () => {
  await postgres.stop();
  await one.stop();
  closing.close();
});

const cases = {
  'a good password': { id: 'ann', password: 'secret' },
  'again': { id: 'ann', password: 'secret' },
  'a wrong password': { id: 'ann', password: 'wrong' },
  'a locked user': { id: 'locked', password: 'secret' },
  'a comma': { id: 'ann,ou=admins', password: 'secret' },
  'signs of names': { id: 'a+b=c<d>e#f;g"h\\i', password: 'secret' },
  'a sign at the start': { id: '#ann', password: 'secret' },
  'spaces around': { id: ' ann ', password: 'secret' },
  'letters of other languages': { id: 'Zoë 李', password: 'secret' },
  'a star': { id: '*', password: 'secret' },
  'a filter': { id: 'x)(uid=*', password: 'secret' },
  'a placeholder': { id: '{{id}}', password: 'secret' },
  'signs of replacements': { id: "a$&b$'c", password: 'secret' },
  'in no group': { id: 'nobody', password: 'secret' },
  'in another group': { id: 'foreign', password: 'secret' },
  'a search that fails': { id: 'broken', password: 'secret' },
  'an id that is a number': { id: 5, password: 'secret' },
  'no id': { password: 'secret' },
  'an empty password': { id: 'bob', password: '' },
  'no password': { id: 'carl' },
  'a password that is a number': { id: 'dora', password: 5 },
};

/** What differs, with the reason: `true` when it is this. */
const differences = {
  'parse-server ends: a name is bound in which `$&` and the like were replaced': ({ label }, ours, theirs) => label === 'signs of replacements' && theirs.died !== undefined && ours.status === 201,
  'an id is taken as it is, `$&` and the like in it too': ({ label, name, data }, ours, theirs) =>
    label === 'signs of replacements' && name === 'by template' && ours.seen[0][1] === `cn=${data.id},ou=people,o=example` && theirs.seen[0][1] !== ours.seen[0][1],
  'what the settings lack is told first': ({ data }, ours) => typeof data.id === 'number' && ours.error === 'LDAP auth configuration missing',
  'a bind without a password proves nothing, and directories answer it with a success': ({ data }, ours, theirs) =>
    (data.password === '' || data.password === undefined) && ours.code === 101 && ours.seen.length === 0 && theirs.seen.length <= 2,
  'a password is a text': ({ data }, ours) => typeof data.password === 'number' && ours.error === 'LDAP: Wrong username or password',
  'without an id there is no user': ({ data }, ours) => data.id === undefined && ours.code === 101 && ours.seen.length === 0,
};

test('logins by a directory', { timeout: 250000 }, async t => {
  for (const [name, settings] of Object.entries(configurations)) {
    await t.test(name, async () => {
      const told = {};
      for (const kind of kinds) {
        const start = databaseURI => startServer(postgres, kind, 'base', { overrides: { auth: { ldap: settings } }, databaseURI });
        const first = await start();
        let server = first;
        told[kind] = [];
        for (const [label, data] of Object.entries(cases)) {
          one.seen.length = 0;
          const headers = { 'X-Parse-Application-Id': server.config.appId, 'Content-Type': 'application/json' };
          let made;
          try {
            made = await request(`${server.url}/users`, { method: 'POST', headers, body: JSON.stringify({ authData: { ldap: data } }) });
          } catch (error) {
            told[kind].push({ label, data, result: { died: error.message, seen: [...one.seen] } });
            server = await start(first.databaseURI);
            continue;
          }
          const json = JSON.parse(made.text);
          const result = { status: made.status, seen: [...one.seen] };
          if (made.status >= 400) Object.assign(result, json);
          else {
            const read = await request(`${server.url}/users/${json.objectId}`, { headers: { ...headers, 'X-Parse-Master-Key': server.config.masterKey } });
            result.stored = JSON.parse(read.text).authData;
          }
          told[kind].push({ label, data, result });
        }
        // Open connections to the directory keep parse-server from ending.
        if (server !== first) await server.kill();
        await first.kill();
        await first.stop();
      }
      if (process.env.FAKED_SHOW) for (const { label, result } of told[kinds.at(-1)]) console.log(name, '|', label, '|', JSON.stringify(result));
      if (kinds.length < 2) return;
      const wrong = [];
      for (const [at, { label, data, result: ours }] of told.parsimony.entries()) {
        const theirs = told.oracle[at].result;
        try {
          assert.deepEqual(ours, theirs);
        } catch {
          if (Object.values(differences).some(is => is({ name, label, data }, ours, theirs))) continue;
          wrong.push(`${label}\n   ours   ${JSON.stringify(ours)}\n   theirs ${JSON.stringify(theirs)}`);
        }
      }
      assert.deepEqual(wrong, []);
    });
  }
});
