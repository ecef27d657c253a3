import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Parse, make, rejects, rest, uniqueClass } from '../lib/sdk.js';

test('create, read, change and delete a class', async () => {
  const name = uniqueClass('Schema');
  const schema = new Parse.Schema(name);
  schema.addString('s').addNumber('n').addBoolean('b').addDate('d').addFile('f').addGeoPoint('g').addPolygon('poly')
    .addArray('a').addObject('o').addPointer('p', '_User').addRelation('r', '_User')
    .addString('must', { required: true }).addNumber('given', { defaultValue: 7 });
  await schema.save();
  const read = await schema.get();
  assert.equal(read.className, name);
  assert.deepEqual(read.fields.p, { type: 'Pointer', targetClass: '_User' });
  assert.deepEqual(read.fields.r, { type: 'Relation', targetClass: '_User' });
  assert.deepEqual(read.fields.must, { type: 'String', required: true });
  assert.deepEqual(read.fields.given, { type: 'Number', defaultValue: 7 });
  const change = new Parse.Schema(name);
  change.addString('later').deleteField('s');
  await change.update();
  const after = await schema.get();
  assert.equal(after.fields.s, undefined);
  assert.deepEqual(after.fields.later, { type: 'String' });
  await schema.delete();
  await rejects(schema.get(), 103, `Class ${name} does not exist.`);
});

test('of those who create a class at once one does, and the others are told', async () => {
  const name = uniqueClass('Schema');
  const outcomes = await Promise.allSettled(Array.from({ length: 8 }, (_, n) => new Parse.Schema(name).addString(`f${n}`).save()));
  const made = outcomes.filter(({ status }) => status === 'fulfilled');
  assert.equal(made.length, 1);
  for (const { reason } of outcomes.filter(({ status }) => status === 'rejected')) {
    assert.deepEqual([reason.code, reason.message], [103, `Class ${name} already exists.`]);
  }
  const read = await new Parse.Schema(name).get();
  assert.deepEqual(read.fields, made[0].value.fields);
});

test('of those who add a field at once with different types one does, and the others are told', async () => {
  const name = uniqueClass('Schema');
  await new Parse.Schema(name).save();
  for (let round = 0; round < 5; round++) {
    const field = `f${round}`;
    const types = ['String', 'Number', 'Boolean', 'Date'];
    const outcomes = await Promise.allSettled(types.map(type => new Parse.Schema(name).addField(field, type).update()));
    const { type: made } = (await new Parse.Schema(name).get()).fields[field];
    for (const [n, { status, reason }] of outcomes.entries()) {
      assert.equal(status === 'fulfilled', types[n] === made, `${types[n]} of ${made}`);
      if (reason) assert.ok([107, 111, 255].includes(reason.code), `${reason.code} ${reason.message}`);
    }
  }
});

test('a class whose indexes are refused is not made', async () => {
  const name = uniqueClass('Schema');
  const make = indexes => rest('POST', `schemas/${name}`, { key: 'master', body: { fields: { a: { type: 'String' } }, indexes } });
  assert.notEqual((await make({ by_nothing: {} })).status, 200);
  await rejects(new Parse.Schema(name).get(), 103, `Class ${name} does not exist.`);
  assert.equal((await make({ by_a: { a: 1 } })).status, 200);
});

test('defaults and required fields are enforced', async () => {
  const name = uniqueClass('Schema');
  await new Parse.Schema(name).addString('must', { required: true }).addNumber('given', { defaultValue: 7 }).save();
  await rejects(make(name, {}), 142, 'must is required');
  const object = await make(name, { must: 'x' });
  assert.equal((await new Parse.Query(name).get(object.id)).get('given'), 7);
});

test('a class with objects is purged before it can go', async () => {
  const name = uniqueClass('Schema');
  await make(name, { a: 1 });
  const schema = new Parse.Schema(name);
  await rejects(schema.delete(), 255, `Class ${name} is not empty, contains 1 objects, cannot drop schema.`);
  await schema.purge();
  assert.equal(await new Parse.Query(name).count(), 0);
  await schema.delete();
});

test('all classes are listed', async () => {
  const name = uniqueClass('Schema');
  await new Parse.Schema(name).save();
  const all = await Parse.Schema.all();
  assert.ok(all.some(schema => schema.className === name));
  assert.ok(all.some(schema => schema.className === '_User'));
});

test('indexes', async () => {
  const name = uniqueClass('Schema');
  const schema = new Parse.Schema(name);
  schema.addString('s').addIndex('by_s', { s: 1 });
  await schema.save();
  assert.deepEqual((await schema.get()).indexes.by_s, { s: 1 });
  const drop = new Parse.Schema(name);
  drop.deleteIndex('by_s');
  await drop.update();
  assert.equal((await schema.get()).indexes?.by_s, undefined);
});

test('permissions are stored and shown', async () => {
  const name = uniqueClass('Schema');
  const schema = new Parse.Schema(name);
  const clp = { find: { requiresAuthentication: true }, get: { '*': true }, create: { 'role:admin': true } };
  schema.setCLP(clp);
  await schema.save();
  const read = await schema.get();
  assert.deepEqual(read.classLevelPermissions.find, { requiresAuthentication: true });
  assert.deepEqual(read.classLevelPermissions.create, { 'role:admin': true });
  assert.deepEqual(read.classLevelPermissions.delete, {});
});

test('default permissions', async () => {
  const name = uniqueClass('Schema');
  await make(name, { a: 1 });
  const { body } = await rest('GET', `schemas/${name}`, { key: 'master' });
  const everybody = { '*': true };
  assert.deepEqual(body.classLevelPermissions, {
    ACL: { '*': { read: true, write: true } }, find: everybody, get: everybody, count: everybody, create: everybody,
    update: everybody, delete: everybody, addField: everybody, protectedFields: { '*': [] },
  });
});

test('a type cannot be changed, names are checked', async () => {
  const name = uniqueClass('Schema');
  await new Parse.Schema(name).addString('s').save();
  await rejects(new Parse.Schema(name).addNumber('s').update(), 255, 'Field s exists, cannot update.');
  await rejects(new Parse.Schema('Bad-Name').save(), 103);
  await rejects(new Parse.Schema(name).addString('a-b').update(), 105, 'invalid field name: a-b');
  await rejects(new Parse.Schema(name).save(), 103, `Class ${name} already exists.`);
});

test('clients have no say in schemas', async () => {
  const answer = await rest('GET', 'schemas');
  assert.deepEqual([answer.status, answer.body], [403, { error: 'Permission denied' }]);
});
