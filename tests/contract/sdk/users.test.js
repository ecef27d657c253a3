import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Parse, as, logIn, make, master, rejects, rest, server, signUp, uniqueClass, uniqueName } from '../lib/sdk.js';

describe('sign-up and login', () => {
  test('sign up, log in, log out', async () => {
    const username = uniqueName();
    const user = await signUp({ username, email: `${username}@example.com` });
    assert.match(user.getSessionToken(), /^r:[0-9a-f]{32}$/);
    const through = await Parse.User.logIn(username, 'secret!');
    assert.equal(through.id, user.id);
    const [again, third] = [await logIn(username), await logIn(username)];
    assert.equal(again.id, user.id);
    assert.equal(again.get('email'), `${username}@example.com`);
    assert.notEqual(again.getSessionToken(), user.getSessionToken());
    const me = await Parse.User.me(again.getSessionToken());
    assert.equal(me.id, user.id);
    const out = await rest('POST', 'logout', { body: {}, headers: { 'X-Parse-Session-Token': again.getSessionToken() } });
    assert.deepEqual([out.status, out.body], [200, {}]);
    await rejects(Parse.User.me(again.getSessionToken()), 209, 'Invalid session token');
    assert.equal((await Parse.User.me(third.getSessionToken())).id, user.id);
  });
  test('wrong password and unknown user look the same', async () => {
    const user = await signUp();
    const wrong = await rejects(Parse.User.logIn(user.getUsername(), 'nope'), 101, 'Invalid username/password.');
    const unknown = await rejects(Parse.User.logIn(uniqueName(), 'nope'), 101, 'Invalid username/password.');
    assert.equal(wrong.message, unknown.message);
  });
  test('names and mails are taken once, whatever their case', async () => {
    const username = uniqueName();
    await signUp({ username, email: `${username}@example.com` });
    await rejects(signUp({ username }), 202, 'Account already exists for this username.');
    await rejects(signUp({ username: username.toUpperCase() }), 202);
    await rejects(signUp({ email: `${username}@EXAMPLE.com` }), 203, 'Account already exists for this email address.');
    await rejects(signUp({ email: 'nonsense' }), 125, 'Email address format is invalid.');
  });
  test('of many sign-ups with one name at once exactly one wins', async () => {
    const username = uniqueName();
    const results = await Promise.allSettled(Array.from({ length: 10 }, () => rest('POST', 'users', { body: { username, password: 'x' } })));
    const statuses = results.map(result => result.value.status);
    assert.equal(statuses.filter(status => status === 201).length, 1);
    for (const { value } of results) if (value.status !== 201) assert.ok([137, 202].includes(value.body.code), JSON.stringify(value.body));
  });
  test('missing parts', async () => {
    const name = await rest('POST', 'users', { body: { password: 'x' } });
    assert.deepEqual(name.body, { code: 200, error: 'bad or missing username' });
    const password = await rest('POST', 'users', { body: { username: uniqueName() } });
    assert.deepEqual(password.body, { code: 201, error: 'password is required' });
  });
  test('the password is never shown', async () => {
    const user = await signUp();
    const row = await rest('GET', `users/${user.id}`, { key: 'master' });
    assert.equal(JSON.stringify(row.body).includes('password'), false);
  });
  test('verifyPassword makes no session', async () => {
    const user = await signUp();
    const sessions = () => new Parse.Query(Parse.Session).equalTo('user', user).count(master);
    const before = await sessions();
    const checked = await Parse.User.verifyPassword(user.getUsername(), 'secret!');
    assert.equal(checked.objectId, user.id);
    assert.equal(checked.sessionToken, undefined);
    assert.equal(await sessions(), before);
    await rejects(Parse.User.verifyPassword(user.getUsername(), 'nope'), 101);
  });
  test('loginAs with the master key', async () => {
    const user = await signUp();
    const other = await Parse.User.loginAs(user.id);
    assert.equal(other.id, user.id);
    assert.match(other.getSessionToken(), /^r:/);
  });
});

describe('what users may do', () => {
  test('a user changes itself only', async () => {
    const [one, two] = [await signUp(), await signUp()];
    one.set('nick', 'x');
    await one.save(null, as(one));
    const stranger = Parse.User.createWithoutData(one.id);
    await rejects(stranger.save({ nick: 'y' }, as(two)), 206);
    await rejects(stranger.save({ nick: 'y' }), 206);
    const row = await new Parse.Query(Parse.User).get(one.id, master);
    assert.equal(row.get('nick'), 'x');
  });
  test('users are private', async () => {
    const [one, two] = [await signUp(), await signUp()];
    await rejects(new Parse.Query(Parse.User).get(one.id, as(two)), 101);
    await rejects(new Parse.Query(Parse.User).get(one.id), 101);
    assert.equal((await new Parse.Query(Parse.User).get(one.id, as(one))).id, one.id);
    assert.deepEqual((await new Parse.Query(Parse.User).find(as(one))).map(user => user.id), [one.id]);
  });
  test('a password change ends the other sessions and gives a new one', async () => {
    const user = await signUp();
    const second = await logIn(user.getUsername());
    const before = user.getSessionToken();
    user.set('password', 'changed!');
    await user.save(null, as(user));
    assert.notEqual(user.getSessionToken(), before);
    await rejects(Parse.User.me(second.getSessionToken()), 209);
    await rejects(Parse.User.logIn(user.getUsername(), 'secret!'), 101);
    assert.equal((await Parse.User.logIn(user.getUsername(), 'changed!')).id, user.id);
  });
  test('a user deletes itself; its tokens end', async () => {
    const user = await signUp();
    const token = user.getSessionToken();
    await user.destroy(as(user));
    await rejects(Parse.User.me(token), 209);
  });
  test('an open ACL shows all but the mail', async () => {
    const username = uniqueName();
    const user = await signUp({ username, email: `${username}@example.com` });
    const acl = new Parse.ACL(user);
    acl.setPublicReadAccess(true);
    user.setACL(acl);
    await user.save(null, as(user));
    const seen = await rest('GET', `users/${user.id}`);
    assert.equal(seen.body.username, username);
    assert.equal('email' in seen.body, false);
    await rejects(new Parse.Query(Parse.User).equalTo('email', `${username}@example.com`).find(), 119);
  });
  test('emailVerified is not for clients', async () => {
    const user = await signUp();
    user.set('emailVerified', true);
    await rejects(user.save(null, as(user)), 119);
  });
});

describe('anonymous users and linking', () => {
  const anonymous = id => ({ anonymous: { id } });
  test('an anonymous user logs in again with the same id and becomes a real one', async () => {
    const id = uniqueName('anon');
    const first = await rest('POST', 'users', { body: { authData: anonymous(id) } });
    assert.equal(first.status, 201);
    const second = await rest('POST', 'users', { body: { authData: anonymous(id) } });
    assert.equal(second.status, 200);
    assert.equal(second.body.objectId, first.body.objectId);
    const username = uniqueName();
    const headers = { 'X-Parse-Session-Token': second.body.sessionToken };
    const converted = await rest('PUT', `users/${first.body.objectId}`, { body: { username, password: 'pw', authData: { anonymous: null } }, headers });
    assert.equal(converted.status, 200);
    assert.equal((await Parse.User.logIn(username, 'pw')).id, first.body.objectId);
  });
  test('through the SDK', async () => {
    const user = await Parse.AnonymousUtils.logIn();
    assert.ok(Parse.AnonymousUtils.isLinked(user));
    assert.ok(user.getSessionToken());
  });
  test('an id that is taken cannot be linked', async () => {
    const id = uniqueName('anon');
    await rest('POST', 'users', { body: { authData: anonymous(id) } });
    const user = await signUp();
    const answer = await rest('PUT', `users/${user.id}`, { body: { authData: anonymous(id) }, headers: { 'X-Parse-Session-Token': user.getSessionToken() } });
    assert.deepEqual([answer.status, answer.body], [400, { code: 208, error: 'this auth is already used' }]);
  });
  test('an unknown provider: 252', async () => {
    const answer = await rest('POST', 'users', { body: { authData: { nonsense: { id: '1' } } } });
    assert.deepEqual(answer.body, { code: 252, error: 'This authentication method is unsupported.' });
  });
});

describe('sessions', () => {
  test('current session, list, delete', async () => {
    const user = await signUp();
    const other = await logIn(user.getUsername());
    const me = await rest('GET', 'sessions/me', { headers: { 'X-Parse-Session-Token': user.getSessionToken() } });
    assert.equal(me.body.user.objectId, user.id);
    assert.deepEqual(me.body.createdWith, { action: 'signup', authProvider: 'password' });
    const list = await new Parse.Query(Parse.Session).find(as(user));
    assert.equal(list.length, 2);
    const session = list.find(row => row.get('sessionToken') === other.getSessionToken());
    await session.destroy(as(user));
    await rejects(Parse.User.me(other.getSessionToken()), 209);
  });
  test('sessions of others are not there', async () => {
    const [one, two] = [await signUp(), await signUp()];
    const me = await rest('GET', 'sessions/me', { headers: { 'X-Parse-Session-Token': one.getSessionToken() } });
    await rejects(new Parse.Query(Parse.Session).get(me.body.objectId, as(two)), 101);
    await rejects(new Parse.Query(Parse.Session).find(), 209);
  });
  test('a made-up token is refused everywhere', async () => {
    const bad = { sessionToken: 'r:deadbeefdeadbeefdeadbeefdeadbeef' };
    await rejects(new Parse.Query(uniqueClass()).find(bad), 209, 'Invalid session token');
    await rejects(make(uniqueClass(), { a: 1 }, bad), 209);
  });
});

describe('roles and ACLs', () => {
  const readers = name => {
    const acl = new Parse.ACL();
    acl.setRoleReadAccess(name, true);
    return acl;
  };
  async function role(name, users = [], roles = []) {
    const object = new Parse.Role(name, new Parse.ACL());
    if (users.length > 0) object.getUsers().add(users);
    if (roles.length > 0) object.getRoles().add(roles);
    return object.save(null, master);
  }
  test('members of a nested role inherit', async () => {
    const [insider, outsider] = [await signUp(), await signUp()];
    const base = uniqueName('role');
    const child = await role(`${base}c`, [insider]);
    const middle = await role(`${base}m`, [], [child]);
    await role(`${base}p`, [], [middle]);
    const name = uniqueClass();
    const object = await make(name, { ACL: readers(`${base}p`) }, master);
    assert.equal((await new Parse.Query(name).get(object.id, as(insider))).id, object.id);
    await rejects(new Parse.Query(name).get(object.id, as(outsider)), 101);
    await rejects(new Parse.Query(name).get(object.id), 101);
  });
  test('a role change is seen at once', async () => {
    const user = await signUp();
    const name = uniqueName('role');
    const object = await role(name);
    const thing = await make(uniqueClass(), { ACL: readers(name) }, master);
    const query = () => new Parse.Query(thing.className).count(as(user));
    assert.equal(await query(), 0);
    object.getUsers().add(user);
    await object.save(null, master);
    assert.equal(await query(), 1);
    object.getUsers().remove(user);
    await object.save(null, master);
    assert.equal(await query(), 0);
  });
  test('role names are unique, name and ACL needed', async () => {
    const name = uniqueName('role');
    await role(name);
    await rejects(role(name), 137);
    assert.equal((await rest('POST', 'roles', { body: { name: uniqueName() } })).body.code, 111);
  });
  test('ACL: own, public read, nobody', async () => {
    const [owner, other] = [await signUp(), await signUp()];
    const name = uniqueClass();
    const mine = await make(name, { label: 'mine', ACL: new Parse.ACL(owner) }, as(owner));
    const shown = new Parse.ACL(owner);
    shown.setPublicReadAccess(true);
    const open = await make(name, { label: 'shown', ACL: shown }, as(owner));
    await make(name, { label: 'hidden', ACL: new Parse.ACL() }, master);
    const seen = async options => (await new Parse.Query(name).ascending('label').find(options)).map(row => row.get('label'));
    assert.deepEqual(await seen(as(owner)), ['mine', 'shown']);
    assert.deepEqual(await seen(as(other)), ['shown']);
    assert.deepEqual(await seen(), ['shown']);
    assert.deepEqual(await seen(master), ['hidden', 'mine', 'shown']);
    await rejects(open.save({ x: 1 }, as(other)), 101);
    await rejects(open.destroy(as(other)), 101);
    await rejects(mine.save({ x: 1 }), 101);
    await open.save({ x: 1 }, as(owner));
    assert.equal(await new Parse.Query(name).count(as(other)), 1);
  });
  test('included objects obey their ACL', async () => {
    const owner = await signUp();
    const name = uniqueClass();
    const child = await make(`${name}Child`, { secret: 1, ACL: new Parse.ACL(owner) }, as(owner));
    const parent = await make(name, { child });
    const asOther = await rest('GET', `classes/${name}/${parent.id}?include=child`);
    assert.equal(asOther.body.child, undefined);
    const asOwner = await rest('GET', `classes/${name}/${parent.id}?include=child`, { headers: { 'X-Parse-Session-Token': owner.getSessionToken() } });
    assert.equal(asOwner.body.child.secret, 1);
  });
});

describe('class-level permissions', () => {
  const everybody = { '*': true };
  const open = Object.fromEntries(['find', 'get', 'count', 'create', 'update', 'delete', 'addField'].map(op => [op, everybody]));
  async function guarded(clp, fields = {}) {
    const name = uniqueClass('Clp');
    const answer = await rest('POST', `schemas/${name}`, { key: 'master', body: { className: name, fields, classLevelPermissions: clp } });
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    return name;
  }
  test('each operation can be closed', async () => {
    const object = await make(await guarded({ ...open, find: {}, count: {} }, { a: { type: 'Number' } }), { a: 1 });
    await rejects(new Parse.Query(object.className).find(), 119);
    await rejects(new Parse.Query(object.className).count(), 119);
    assert.equal((await new Parse.Query(object.className).get(object.id)).id, object.id);
    assert.equal((await new Parse.Query(object.className).find(master)).length, 1);
    const shut = await guarded({ ...open, create: {} }, { a: { type: 'Number' } });
    await rejects(make(shut, { a: 1 }), 119);
    const still = await make(await guarded({ ...open, update: {}, delete: {} }, { a: { type: 'Number' } }), { a: 1 });
    await rejects(still.save({ a: 2 }), 119);
    await rejects(still.destroy(), 119);
    await rejects(make(await guarded({ ...open, addField: {} }), { fresh: 1 }), 119);
  });
  test('requiresAuthentication', async () => {
    const name = await guarded({ ...open, find: { requiresAuthentication: true } });
    const user = await signUp();
    await rejects(new Parse.Query(name).find(), 101);
    assert.deepEqual(await new Parse.Query(name).find(as(user)), []);
  });
  test('pointer permissions', async () => {
    const name = await guarded({ ...open, find: { pointerFields: ['owner'] }, update: { pointerFields: ['owner'] } }, { owner: { type: 'Pointer', targetClass: '_User' }, a: { type: 'Number' } });
    const [owner, other] = [await signUp(), await signUp()];
    const object = await make(name, { owner, a: 1 }, master);
    assert.equal((await new Parse.Query(name).find(as(owner))).length, 1);
    assert.equal((await new Parse.Query(name).find(as(other))).length, 0);
    await rejects(object.save({ a: 2 }, as(other)), 101);
    await object.save({ a: 3 }, as(owner));
  });
  test('protected fields', async () => {
    const name = await guarded({ ...open, protectedFields: { '*': ['secret'], 'userField:owner': [] } }, { owner: { type: 'Pointer', targetClass: '_User' }, secret: { type: 'String' } });
    const [owner, other] = [await signUp(), await signUp()];
    await make(name, { owner, secret: 's' }, master);
    const see = async options => (await new Parse.Query(name).find({ ...options, json: true }))[0].secret;
    assert.equal(await see(as(owner)), 's');
    assert.equal(await see(as(other)), undefined);
    assert.equal(await see(), undefined);
    assert.equal(await see(master), 's');
    await rejects(new Parse.Query(name).equalTo('secret', 's').find(as(other)), 119);
    await rejects(new Parse.Query(name).ascending('secret').find(as(other)), 119);
  });
  test('a default ACL for new objects', async () => {
    const name = await guarded({ ...open, ACL: { currentUser: { read: true, write: true } } }, { a: { type: 'Number' } });
    const [owner, other] = [await signUp(), await signUp()];
    const object = await make(name, { a: 1 }, as(owner));
    assert.equal((await new Parse.Query(name).find(as(owner)))[0].id, object.id);
    assert.deepEqual(await new Parse.Query(name).find(as(other)), []);
  });
});

describe('installations and config', () => {
  test('an installation is saved, merged and found with the master key', async () => {
    const installationId = uniqueName('inst');
    const first = await rest('POST', 'classes/_Installation', { body: { installationId, deviceType: 'ios', channels: ['a'] } });
    assert.equal(first.status, 201);
    const second = await rest('POST', 'installations', { body: { installationId, deviceType: 'ios', badge: 3 } });
    assert.equal(second.status, 200);
    await rejects(new Parse.Query(Parse.Installation).find(), 119);
    const rows = await new Parse.Query(Parse.Installation).equalTo('installationId', installationId).find(master);
    assert.equal(rows.length, 1);
    assert.equal(rows[0].get('badge'), 3);
    const bad = await rest('POST', 'installations', { body: { deviceType: 'ios' } });
    assert.equal(bad.body.code, 135);
  });
  test('an installation through the SDK', async () => {
    const installation = new Parse.Installation();
    installation.set('deviceType', 'web');
    installation.set('installationId', uniqueName('inst'));
    await installation.save();
    assert.ok(installation.id);
  });
  test('config', async () => {
    const key = `k${uniqueName('').replace(/\W/g, '')}`;
    await Parse.Config.save({ [key]: { list: [1], when: new Date('2001-01-01T00:00:00Z') }, [`${key}secret`]: 's' }, { [`${key}secret`]: true });
    const config = await Parse.Config.get();
    assert.deepEqual(config.get(key).list, [1]);
    assert.ok(config.get(key).when instanceof Date);
    assert.equal(config.get(`${key}secret`), undefined);
    assert.equal((await Parse.Config.get(master)).get(`${key}secret`), 's');
    const refused = await rest('PUT', 'config', { body: { params: { x: 1 } } });
    assert.equal(refused.status, 403);
  });
});

test('the read-only master key reads everything and writes nothing', async () => {
  const name = uniqueClass();
  const object = await make(name, { a: 1, ACL: new Parse.ACL() }, master);
  const headers = { 'X-Parse-Master-Key': server.config.readOnlyMasterKey };
  assert.equal((await rest('GET', `classes/${name}/${object.id}`, { headers })).body.a, 1);
  for (const [method, path, body] of [['POST', `classes/${name}`, {}], ['PUT', `classes/${name}/${object.id}`, { a: 2 }], ['DELETE', `classes/${name}/${object.id}`], ['POST', `schemas/${uniqueClass()}`, {}], ['PUT', 'config', { params: {} }], ['DELETE', `purge/${name}`]]) {
    const answer = await rest(method, path, { headers, body });
    assert.ok(answer.status === 400 || answer.status === 403, `${method} ${path}: ${answer.status}`);
  }
});
