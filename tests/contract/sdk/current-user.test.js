// The current user of the SDK: one per process, so these tests have a file of their own.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { Parse, make, rejects, signUp, uniqueClass, uniqueName } from '../lib/sdk.js';

before(() => Parse.User.enableUnsafeCurrentUser());

test('sign up, save as oneself, log out', async () => {
  const user = await signUp();
  assert.equal(Parse.User.current().id, user.id);
  const name = uniqueClass();
  const acl = new Parse.ACL(user);
  const object = await make(name, { ACL: acl });
  assert.equal((await new Parse.Query(name).get(object.id)).id, object.id);
  const session = await Parse.Session.current();
  assert.equal(session.get('user').id, user.id);
  await Parse.User.logOut();
  assert.equal(Parse.User.current(), null);
  await rejects(new Parse.Query(name).get(object.id), 101);
});

test('become another user with a session token', async () => {
  const user = await signUp();
  const token = user.getSessionToken();
  const become = await Parse.User.become(token);
  assert.equal(become.id, user.id);
  assert.equal(Parse.User.current().getSessionToken(), token);
  await rejects(Parse.User.become('r:00000000000000000000000000000000'), 209);
  await Parse.User.logOut();
});

test('an anonymous user becomes a real one', async () => {
  const user = await Parse.AnonymousUtils.logIn();
  assert.ok(Parse.AnonymousUtils.isLinked(user));
  const username = uniqueName();
  user.setUsername(username);
  user.setPassword('secret!');
  await user.signUp();
  await Parse.User.logOut();
  assert.equal((await Parse.User.logIn(username, 'secret!')).id, user.id);
  await Parse.User.logOut();
});

test('fetch and save of the current user', async () => {
  const user = await signUp({ nick: 'a' });
  await Parse.User.current().save({ nick: 'b' });
  await user.fetch();
  assert.equal(user.get('nick'), 'b');
  assert.ok(user.authenticated());
  await user.destroy();
});
