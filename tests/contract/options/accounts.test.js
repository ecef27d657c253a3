// Options of users, sessions and installations: each with its default and changed.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { query, waitFor } from '../lib/postgres.js';
import { asMaster, asked, call, session, stage } from './calls.js';

const mailer = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../pages/mailer.cjs');
const { server: start, file } = await stage();
const cloud = file('triggers.cjs', `
  Parse.Cloud.beforeSave('Guarded', ({ original, object }) => {
    if (original) object.set('seen', String(original.get('hidden')));
  });
`);
const guarded = { _User: { '*': ['email'] }, Guarded: { '*': ['hidden'] } };
// One pair for all of them: none has to do with another.
const [plain, changed] = await Promise.all([
  start({ cloud, protectedFields: guarded }),
  start({
    cloud, protectedFields: guarded, expireInactiveSessions: false, revokeSessionOnPasswordReset: false, protectedFieldsTriggerExempt: true,
    userSensitiveFields: ['phone'], installation: { duplicateDeviceTokenActionEnforceAuth: true },
  }),
]);

let made = 0;
/** A new user: what the sign-up answered, with the name. */
async function signUp(server, more = {}) {
  const username = `user${++made}`;
  const { status, body } = await call(server, 'POST', 'users', { username, password: 'first', ...more });
  assert.equal(status, 201, JSON.stringify(body));
  return { ...body, username };
}

test('expireInactiveSessions: sessions end, or never', async () => {
  const end = async server => {
    const { sessionToken } = await signUp(server);
    return (await call(server, 'GET', 'sessions/me', undefined, session(sessionToken))).body;
  };
  assert.ok(Date.parse((await end(plain)).expiresAt.iso) > Date.now() + 364 * 24 * 3600 * 1000);
  assert.equal((await end(changed)).expiresAt, undefined);
});

test('revokeSessionOnPasswordReset: sessions end with the password, or stay', async () => {
  const later = async server => {
    const { objectId, sessionToken, username } = await signUp(server);
    const other = (await call(server, 'POST', 'login', { username, password: 'first' })).body.sessionToken;
    const put = await call(server, 'PUT', `users/${objectId}`, { password: 'second' }, session(sessionToken));
    assert.equal(put.status, 200, put.text);
    return (await call(server, 'GET', 'users/me', undefined, session(other))).body;
  };
  assert.equal((await later(plain)).code, 209);
  assert.ok((await later(changed)).objectId);
});

test('protectedFieldsTriggerExempt: what triggers see of the stored object', async () => {
  const seen = async server => {
    const { objectId } = (await asMaster(server, 'POST', 'classes/Guarded', { hidden: 'secret' })).body;
    await call(server, 'PUT', `classes/Guarded/${objectId}`, { other: 1 });
    return (await asMaster(server, 'GET', `classes/Guarded/${objectId}`)).body.seen;
  };
  assert.equal(await seen(plain), 'undefined');
  assert.equal(await seen(changed), 'secret');
});

test('userSensitiveFields: fields of users that others do not see', async () => {
  const phone = async server => {
    const { objectId } = await signUp(server, { phone: '1', ACL: { '*': { read: true } } });
    return (await call(server, 'GET', `users/${objectId}`)).body.phone;
  };
  assert.equal(await phone(plain), '1');
  assert.equal(await phone(changed), undefined);
});

test('installation.duplicateDeviceTokenActionEnforceAuth: whose installation is deleted', async () => {
  const left = async server => {
    const first = { deviceType: 'ios', deviceToken: 'one', installationId: 'a', ACL: { nobody: { read: true, write: true } } };
    const { objectId } = (await asMaster(server, 'POST', 'installations', first)).body;
    const second = await call(server, 'POST', 'installations', { deviceType: 'ios', deviceToken: 'one', installationId: 'b' });
    assert.equal(second.status, 201, second.text);
    return (await asMaster(server, 'GET', asked('classes/_Installation', { where: { objectId } }))).body.results.length;
  };
  assert.equal(await left(plain), 0);
  assert.equal(await left(changed), 1);
});

test('preventSignupWithUnverifiedEmail and sendUserEmailVerification', async () => {
  const mails = name => file(`mails-${name}`);
  const verifying = (written, more) => start({
    verifyUserEmails: true, preventLoginWithUnverifiedEmail: true, emailAdapter: { module: mailer, options: { file: written } }, ...more,
  });
  const [first, second] = [mails('first'), mails('second')];
  const [waits, refuses] = await Promise.all([
    verifying(first, {}), verifying(second, { preventSignupWithUnverifiedEmail: true, sendUserEmailVerification: false }),
  ]);
  const ann = { username: 'ann', password: 'first', email: 'ann@example.com' };
  const plainly = await call(waits, 'POST', 'users', ann);
  assert.deepEqual([plainly.status, plainly.body.sessionToken], [201, undefined]);
  const refused = await call(refuses, 'POST', 'users', ann);
  assert.deepEqual([refused.status, refused.body.code], [400, 205]);
  // The user is there all the same.
  assert.equal((await asMaster(refuses, 'GET', 'users')).body.results.length, 1);

  await waitFor(() => fs.readFileSync(first, 'utf8').includes('ann@example.com'), { what: 'the mail' });
  // A mail of another kind is sent later, and alone.
  await call(refuses, 'POST', 'requestPasswordReset', { email: 'ann@example.com' });
  await waitFor(() => fs.readFileSync(second, 'utf8').includes('\n'), { what: 'the reset mail' });
  assert.doesNotMatch(fs.readFileSync(second, 'utf8'), /verify_email/);
});

test('masterKeyTtl, sessionLength and extendSessionOnUse', async context => {
  const key = file('key', 'one');
  const script = file('key.cjs', `module.exports = { masterKey: () => require('node:fs').readFileSync(${JSON.stringify(key)}, 'utf8') };`);
  const more = file('more.cjs', `module.exports = { ...require('./key.cjs'), masterKeyTtl: 1, sessionLength: 7200, extendSessionOnUse: true };`);
  const [keeps, asks] = await Promise.all([start({}, { script }), start({}, { script: more })]);

  await context.test('a key that is a function is asked for again', async () => {
    const accepted = async (server, masterKey) => (await call(server, 'GET', 'schemas', undefined, { 'X-Parse-Master-Key': masterKey })).status === 200;
    for (const server of [keeps, asks]) assert.ok(await accepted(server, 'one'));
    fs.writeFileSync(key, 'two');
    await waitFor(() => accepted(asks, 'two'), { what: 'the new key', every: 100 });
    assert.ok(!await accepted(asks, 'one'));
    assert.deepEqual([await accepted(keeps, 'one'), await accepted(keeps, 'two')], [true, false]);
  });

  await context.test('sessions last that long, and longer when they are used', async () => {
    const HOUR = 3600_000;
    const [long, short] = await Promise.all([keeps, asks].map(async server => {
      const { sessionToken } = await signUp(server);
      const left = async () => {
        const { rows } = await query(server.databaseURI, 'SELECT "expiresAt" AS at FROM "_Session" WHERE "sessionToken" = $1', [sessionToken]);
        return rows[0].at - Date.now();
      };
      const use = async () => assert.equal((await call(server, 'GET', 'users/me', undefined, session(sessionToken))).status, 200);
      const whole = await left();
      // As if most of it had gone by.
      await query(server.databaseURI, `UPDATE "_Session" SET "expiresAt" = now() + interval '5 minutes', "updatedAt" = now() - interval '300 days'`);
      await use();
      return { whole, left, use };
    }));
    assert.ok(long.whole > 364 * 24 * HOUR && short.whole > HOUR && short.whole <= 2 * HOUR, `${long.whole} ${short.whole}`);
    await waitFor(async () => {
      for (const { use } of [long, short]) await use();
      return await short.left() > HOUR;
    }, { what: 'the session to be longer' });
    assert.ok(await long.left() < HOUR);
  });
});

test('passwordPolicy in JavaScript: an expression with flags, and a function that answers something true', async () => {
  const script = file('policy.cjs', `
    module.exports = {
      // In a class, a bracket is a character of its own.
      passwordPolicy: { validatorPattern: /^[a-z!#[&&]{4,}$/i, validatorCallback: password => password.match(/e/), validationError: 'No.' },
    };
  `);
  const server = await start({}, { script });
  const tried = async password => {
    const { status, body } = await call(server, 'POST', 'users', { username: `policy ${password}`, password });
    return body.error ?? status;
  };
  assert.deepEqual([await tried('SEcret!'), await tried('secret['), await tried('secr&t')], [201, 201, 201]);
  assert.deepEqual([await tried('sec'), await tried('secret12'), await tried('SECRET')], ['No.', 'No.', 'No.']);
});

test('auth: what afterFind leaves of the data it is given is what is shown', async () => {
  const script = file('shown.cjs', `
    module.exports = { auth: { own: { validateAuthData() {}, afterFind(authData) { delete authData.secret; } } } };
  `);
  const server = await start({}, { script });
  const made = await call(server, 'POST', 'users', { authData: { own: { id: 'one', secret: 'hush' } } });
  assert.equal(made.status, 201, made.text);
  const shown = await call(server, 'GET', `users/${made.body.objectId}`, undefined, session(made.body.sessionToken));
  assert.deepEqual(shown.body.authData, { own: { id: 'one' } });
});

test('auth: a module on the base class of parse-server, with the three methods', async () => {
  const base = createRequire(import.meta.url).resolve('parse-server');
  const script = file('three.cjs', `
    const { AuthAdapter } = require(${JSON.stringify(base)});
    const check = ({ secret }) => {
      if (secret !== 'right') throw new Error('Wrong secret.');
      return {};
    };
    class Three extends AuthAdapter {}
    for (const name of ['validateSetUp', 'validateLogin', 'validateUpdate']) Three.prototype[name] = check;
    class Half extends AuthAdapter {}
    Half.prototype.validateSetUp = check;
    module.exports = { auth: { three: { module: new Three() }, half: { module: new Half() } } };
  `);
  const server = await start({}, { script });
  const tried = async (provider, id, secret) => {
    const { status, body } = await call(server, 'POST', 'users', { authData: { [provider]: { id, secret } } });
    return body.error ?? status;
  };
  assert.deepEqual([await tried('three', 'one', 'wrong'), await tried('three', 'one', 'right')], ['Wrong secret.', 201]);
  assert.deepEqual([await tried('three', 'one', 'wrong'), await tried('three', 'one', 'right')], ['Wrong secret.', 200]);
  assert.match(await tried('half', 'one', 'right'), /^Adapter is not configured/);
});

test('logins by authData: in Cloud Code, with the addresses of files, and what sessions say of them', async () => {
  const code = file('logins.cjs', `
    const seen = {};
    for (const name of ['beforeLogin', 'afterLogin', 'beforePasswordResetRequest']) {
      Parse.Cloud[name](({ object, user }) => { seen[name] = [object, user].map(one => one && one.toJSON().file.url); });
    }
    Parse.Cloud.define('seen', () => seen);
    Parse.Cloud.define('social', async ({ params: { id } }) => {
      const user = await Parse.User.logInWith('anonymous', { authData: { id } });
      return [user.id, user.getSessionToken()];
    });
  `);
  const server = await start({ cloud: code, emailAdapter: { module: mailer, options: { file: file('mails-logins') } } });
  const headers = { 'X-Parse-Application-Id': server.config.appId, 'Content-Type': 'text/plain' };
  const { name, url } = await (await fetch(`${server.url}/files/a.txt`, { method: 'POST', headers, body: 'hello' })).json();
  const fields = { file: { __type: 'File', name, url }, email: 'social@example.com' };
  const data = { authData: { anonymous: { id: 'social' } } };
  const made = await call(server, 'POST', 'users', { ...data, ...fields });
  assert.equal(made.status, 201, made.text);
  const own = await call(server, 'GET', 'sessions/me', undefined, session(made.body.sessionToken));
  assert.deepEqual(own.body.createdWith, { action: 'login', authProvider: 'anonymous' });

  const again = await call(server, 'POST', 'users', data);
  assert.deepEqual([again.status, again.body.file], [200, { __type: 'File', name, url }]);
  await asMaster(server, 'PUT', `users/${made.body.objectId}`, { username: 'social', password: 'secret' });
  await call(server, 'POST', 'login', { username: 'social', password: 'secret' });
  await call(server, 'POST', 'requestPasswordReset', { email: fields.email });
  const seen = (await call(server, 'POST', 'functions/seen', {})).body.result;
  assert.deepEqual(seen, { beforeLogin: [url, null], afterLogin: [url, url], beforePasswordResetRequest: [url, null] });

  const inside = await call(server, 'POST', 'functions/social', { id: 'social' });
  assert.deepEqual(inside.body, { result: [made.body.objectId, null] });
});

test('triggers and functions are shown files with their addresses', async () => {
  const code = file('files.cjs', `
    const seen = [];
    const address = one => one && one.toJSON().file.url;
    for (const name of ['beforeSave', 'afterSave', 'beforeDelete', 'afterDelete']) {
      Parse.Cloud[name]('Filed', ({ object, original, user }) => { if (user) seen.push([name, ...[object, original, user].map(address)]); });
    }
    Parse.Cloud.define('seen', ({ user }) => [...seen, ['function', address(user)]]);
  `);
  const server = await start({ cloud: code });
  const headers = { 'X-Parse-Application-Id': server.config.appId, 'Content-Type': 'text/plain' };
  const { name, url } = await (await fetch(`${server.url}/files/a.txt`, { method: 'POST', headers, body: 'hello' })).json();
  const holder = { file: { __type: 'File', name, url } };
  const as = session((await signUp(server, holder)).sessionToken);
  const { objectId } = (await call(server, 'POST', 'classes/Filed', holder)).body;
  assert.equal((await call(server, 'PUT', `classes/Filed/${objectId}`, { other: 1 }, as)).status, 200);
  assert.equal((await call(server, 'DELETE', `classes/Filed/${objectId}`, undefined, as)).status, 200);
  const { result } = (await call(server, 'POST', 'functions/seen', {}, as)).body;
  assert.deepEqual(result, [
    ['beforeSave', url, url, url], ['afterSave', url, url, url], ['beforeDelete', url, null, url], ['afterDelete', url, null, url],
    ['function', url],
  ]);
});

test('fileUpload.fileExtensions in JavaScript: an expression with flags', async () => {
  const script = file('extensions.cjs', 'module.exports = { fileUpload: { enableForPublic: true, fileExtensions: [/^TXT$/i] } };');
  const server = await start({}, { script });
  const headers = { 'X-Parse-Application-Id': server.config.appId, 'Content-Type': 'text/plain' };
  const upload = async name => (await fetch(`${server.url}/files/${name}`, { method: 'POST', headers, body: 'hello' })).status;
  assert.deepEqual([await upload('a.txt'), await upload('a.csv')], [201, 400]);
});
