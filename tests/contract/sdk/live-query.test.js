// Parse.Query.subscribe() with the unmodified SDK: every event, sessions, ACLs and roles while subscribed.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Parse, make, makeAll, master, server, signUp, uniqueClass, uniqueName } from '../lib/sdk.js';

const FENCE = 999_999;
const EVENTS = ['create', 'enter', 'update', 'leave', 'delete'];

before(() => {
  Parse.liveQueryServerURL = server.url.replace(/^http/, 'ws').replace(/\/parse$/, '/');
});
after(async () => {
  (await Parse.CoreManager.getLiveQueryController().getDefaultLiveQueryClient()).close();
});

/** Subscribes and collects `[event, n, original n]`. */
async function listen(query, token) {
  const subscription = await query.subscribe(token);
  const heard = [];
  for (const event of EVENTS) {
    subscription.on(event, (object, original) => {
      heard.push([event, object.get('n'), original instanceof Parse.Object ? original.get('n') : null]);
    });
  }
  return { subscription, heard };
}

/** Waits until that many events were heard. */
async function until(heard, count) {
  const end = Date.now() + 10_000;
  while (heard.length < count) {
    assert.ok(Date.now() < end, `heard only ${JSON.stringify(heard)}`);
    await new Promise(resolve => setTimeout(resolve, 10));
  }
}

/** An event that comes after everything else: nothing is still on its way behind it. */
async function fence(className, heard) {
  const fence = await make(className, { n: FENCE, room: 'a' }, master);
  const end = Date.now() + 10_000;
  while (!heard.some(([, n]) => n === FENCE)) {
    assert.ok(Date.now() < end, 'the fence was not heard');
    await new Promise(resolve => setTimeout(resolve, 10));
  }
  await fence.destroy(master);
  return heard.filter(([, n]) => n !== FENCE);
}

const live = () => uniqueClass('Live');

test('create, update, leave, enter, delete, in order', async () => {
  const name = live();
  const { heard, subscription } = await listen(new Parse.Query(name).equalTo('room', 'a'));
  const object = await make(name, { room: 'a', n: 1 });
  await object.save({ n: 2 });
  await object.save({ room: 'b' });
  await object.save({ room: 'a' });
  await object.destroy();
  await until(heard, 5);
  assert.deepEqual(heard, [['create', 1, null], ['update', 2, 1], ['leave', 2, 2], ['enter', 2, 2], ['delete', 2, null]]);
  await subscription.unsubscribe();
});

test('keys cut the object down, watch passes what changed', async () => {
  const name = live();
  const cut = await new Parse.Query(name).select('n').subscribe();
  const seen = [];
  cut.on('create', object => seen.push(object.toJSON()));
  const watching = await listen(new Parse.Query(name).watch('n'));
  const object = await make(name, { n: 1, hidden: 'x', room: 'a' });
  await object.save({ hidden: 'y' });
  await object.save({ n: 2 });
  await until(seen, 1);
  await until(watching.heard, 2);
  assert.equal(seen[0].n, 1);
  assert.equal(seen[0].hidden, undefined);
  assert.deepEqual(await fence(name, watching.heard), [['create', 1, null], ['update', 2, 1]]);
});

test('an object is heard of by those who may read it, before and after', async () => {
  const name = live();
  const user = await signUp();
  const own = await listen(new Parse.Query(name), user.getSessionToken());
  const everybody = await listen(new Parse.Query(name));
  const object = new Parse.Object(name);
  object.setACL(new Parse.ACL(user));
  await object.save({ n: 1 }, master);
  await object.save({ n: 2 }, master);
  object.setACL(new Parse.ACL());
  await object.save({ n: 3 }, master);
  const open = new Parse.ACL();
  open.setPublicReadAccess(true);
  object.setACL(open);
  await object.save({ n: 4 }, master);
  await object.destroy(master);
  await until(own.heard, 5);
  await until(everybody.heard, 2);
  // What the user may not read is not sent: the leave carries the last state he could see.
  assert.deepEqual(own.heard, [['create', 1, null], ['update', 2, 1], ['leave', 2, 2], ['enter', 4, null], ['delete', 4, null]]);
  assert.deepEqual(everybody.heard, [['enter', 4, null], ['delete', 4, null]]);
});

test('a session that ended, or a role that was lost, hears nothing more', async () => {
  const name = live();
  const user = await signUp();
  const role = new Parse.Role(uniqueName('role'), new Parse.ACL());
  role.getUsers().add(user);
  await role.save(null, master);
  const { heard } = await listen(new Parse.Query(name), user.getSessionToken());
  const forRole = async n => {
    const acl = new Parse.ACL();
    acl.setRoleReadAccess(role.getName(), true);
    const object = new Parse.Object(name);
    object.setACL(acl);
    return object.save({ n }, master);
  };
  await forRole(1);
  await until(heard, 1);
  role.getUsers().remove(user);
  await role.save(null, master);
  await forRole(2);
  assert.deepEqual(await fence(name, heard), [['create', 1, null]]);

  const mine = new Parse.Object(name);
  mine.setACL(new Parse.ACL(user));
  const sessions = await new Parse.Query('_Session').equalTo('user', user).find(master);
  await Parse.Object.destroyAll(sessions, master);
  await mine.save({ n: 3 }, master);
  heard.length = 0;
  assert.deepEqual((await fence(name, heard)).filter(([, n]) => n === 3), []);
});

test('every write is heard of: batches, operators, update by query', async () => {
  const name = live();
  const { heard } = await listen(new Parse.Query(name));
  const objects = await makeAll(name, [{ n: 1 }, { n: 2 }]);
  objects[0].increment('n', 10);
  await objects[0].save();
  await until(heard, 3);
  assert.deepEqual(heard.slice(0, 2).map(([event, n]) => `${event} ${n}`).sort(), ['create 1', 'create 2']);
  assert.deepEqual(heard[2], ['update', 11, 1]);
  await Parse.Object.destroyAll(objects);
  await until(heard, 5);
});

test('a class that is not published is silent, a protected field cannot be asked for', async () => {
  const silent = await listen(new Parse.Query(uniqueClass('Silent')));
  await make(silent.subscription.query.className, { n: 1 });
  const name = live();
  await make(name, { n: 1, secret: 'x' }, master);
  await new Parse.Schema(name).setCLP({ find: { '*': true }, get: { '*': true }, protectedFields: { '*': ['secret'] } }).update();
  // The SDK tells refusals to whoever waits for the subscription.
  await assert.rejects(new Parse.Query(name).equalTo('secret', 'x').subscribe(), /Permission denied/);
  assert.deepEqual(silent.heard, []);
});
