import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Parse, make, makeAll, master, notOnOracle, rejects, rest, uniqueClass } from '../lib/sdk.js';

describe('saving and fetching', () => {
  test('a save answers id and times, and the object comes back equal', async () => {
    const name = uniqueClass();
    const before = Date.now();
    const saved = await make(name, { score: 1337, playerName: 'Sean', cheat: false });
    assert.match(saved.id, /^[A-Za-z0-9]{10}$/);
    assert.ok(saved.createdAt instanceof Date);
    assert.ok(Math.abs(saved.createdAt.getTime() - before) < 60000);
    assert.equal(saved.createdAt.getTime(), saved.updatedAt.getTime());
    const found = await new Parse.Query(name).get(saved.id);
    assert.equal(found.get('score'), 1337);
    assert.equal(found.get('playerName'), 'Sean');
    assert.equal(found.get('cheat'), false);
    assert.equal(found.createdAt.getTime(), saved.createdAt.getTime());
  });

  test('an update changes only what it names and moves updatedAt', async () => {
    const name = uniqueClass();
    const saved = await make(name, { a: 1, b: 2 });
    const created = saved.createdAt.getTime();
    const other = Parse.Object.createWithoutData(saved.id);
    assert.ok(other);
    const handle = new Parse.Object(name);
    handle.id = saved.id;
    await new Promise(resolve => setTimeout(resolve, 5));
    await handle.save({ a: 10 });
    const found = await new Parse.Query(name).get(saved.id);
    assert.equal(found.get('a'), 10);
    assert.equal(found.get('b'), 2);
    assert.equal(found.createdAt.getTime(), created);
    assert.ok(found.updatedAt.getTime() > created);
    assert.equal(found.updatedAt.getTime(), handle.updatedAt.getTime());
  });

  test('an empty object can be saved', async () => {
    const saved = await make(uniqueClass());
    assert.ok(saved.id);
  });

  test('unset removes a value, null stores nothing readable', async () => {
    const name = uniqueClass();
    const object = await make(name, { a: 1, b: 'x' });
    object.unset('a');
    object.set('b', null);
    await object.save();
    const found = await new Parse.Query(name).get(object.id);
    assert.equal(found.has('a'), false);
    assert.equal(found.get('b') ?? null, null);
  });

  test('destroy removes, a second destroy and a get answer 101', async () => {
    const name = uniqueClass();
    const object = await make(name, { a: 1 });
    await object.destroy();
    await rejects(new Parse.Query(name).get(object.id), 101, 'Object not found.');
    await rejects(object.destroy(), 101, 'Object not found.');
    await rejects(object.save({ a: 2 }), 101, 'Object not found.');
  });

  test('fetch refreshes, fetchWithInclude follows a pointer', async () => {
    const name = uniqueClass();
    const child = await make(`${name}Child`, { n: 7 });
    const object = await make(name, { a: 1, child });
    const handle = new Parse.Object(name);
    handle.id = object.id;
    await handle.fetch();
    assert.equal(handle.get('a'), 1);
    assert.equal(handle.get('child').id, child.id);
    const bare = new Parse.Object(name);
    bare.id = object.id;
    await bare.fetchWithInclude('child');
    assert.equal(bare.get('child').get('n'), 7);
  });

  test('fetchAll, fetchAllIfNeeded and fetchAllWithInclude', async () => {
    const name = uniqueClass();
    const child = await make(`${name}Child`, { n: 7 });
    const objects = await makeAll(name, Array.from({ length: 5 }, (_, i) => ({ i, child })));
    const handles = objects.map(object => Parse.Object.extend(name).createWithoutData(object.id));
    await Parse.Object.fetchAll(handles);
    assert.deepEqual(handles.map(handle => handle.get('i')), [0, 1, 2, 3, 4]);
    await Parse.Object.fetchAllIfNeeded(handles);
    await Parse.Object.fetchAllWithInclude(handles, ['child']);
    assert.equal(handles[0].get('child').get('n'), 7);
    await objects[0].destroy();
    await rejects(Parse.Object.fetchAll(handles), 101);
  });

  test('exists and isDataAvailable', async () => {
    const name = uniqueClass();
    const object = await make(name, { a: 1 });
    assert.equal(await object.exists(), true);
    await object.destroy();
    assert.equal(await object.exists(), false);
  });

  test('an object saves the new objects it points to', async () => {
    const name = uniqueClass();
    const top = new Parse.Object(name);
    top.set('middle', new Parse.Object(`${name}Middle`, { v: 'middle' }));
    top.set('list', [new Parse.Object(`${name}Middle`, { v: 'listed' })]);
    await top.save();
    const found = await new Parse.Query(name).include('middle', 'list').get(top.id);
    assert.equal(found.get('middle').get('v'), 'middle');
    assert.equal(found.get('list')[0].get('v'), 'listed');
  });

  test('an object may point to itself', async () => {
    const name = uniqueClass();
    const object = await make(name, { a: 1 });
    await object.save({ me: object });
    const found = await new Parse.Query(name).include('me').get(object.id);
    assert.equal(found.get('me').id, object.id);
  });

  test('a local id is never accepted from the client', async () => {
    const name = uniqueClass();
    const answer = await rest('POST', `classes/${name}`, { body: { objectId: 'chosenIdXX' } });
    assert.equal(answer.status, 400);
    assert.deepEqual(answer.body, { code: 105, error: 'objectId is an invalid field name.' });
  });

  test('times sent by a client are ignored', async () => {
    const name = uniqueClass();
    const past = { __type: 'Date', iso: '1999-01-01T00:00:00.000Z' };
    const body = { createdAt: past, updatedAt: past, a: 1 };
    const answer = await rest('POST', `classes/${name}`, { body });
    assert.equal(answer.status, 201);
    const found = await new Parse.Query(name).get(answer.body.objectId);
    assert.ok(found.createdAt.getTime() > Date.parse('2020-01-01'));
  });
});

describe('saveAll and destroyAll', () => {
  test('60 objects in batches', async () => {
    const name = uniqueClass();
    const objects = await makeAll(name, Array.from({ length: 60 }, (_, i) => ({ i })));
    assert.equal(new Set(objects.map(object => object.id)).size, 60);
    assert.equal(await new Parse.Query(name).count(), 60);
    for (const object of objects) object.set('i', object.get('i') + 1000);
    await Parse.Object.saveAll(objects, { batchSize: 7 });
    assert.equal(await new Parse.Query(name).greaterThanOrEqualTo('i', 1000).count(), 60);
    await Parse.Object.destroyAll(objects);
    assert.equal(await new Parse.Query(name).count(), 0);
  });

  test('objects of several classes that depend on each other', async () => {
    const name = uniqueClass();
    const parent = new Parse.Object(name, { kind: 'parent' });
    const child = new Parse.Object(`${name}Child`, { parent });
    await Parse.Object.saveAll([child, parent]);
    const found = await new Parse.Query(`${name}Child`).include('parent').first();
    assert.equal(found.get('parent').get('kind'), 'parent');
  });

  test('one failing item does not hold up the others', async () => {
    const name = uniqueClass();
    await make(name, { n: 1 });
    const good = new Parse.Object(name, { n: 2 });
    const bad = new Parse.Object(name, { n: 'text' });
    const error = await Parse.Object.saveAll([good, bad]).then(() => null, thrown => thrown);
    assert.equal(error.code, 111);
    assert.equal(await new Parse.Query(name).equalTo('n', 2).count(), 1);
  });

  test('destroyAll gathers item errors under code 600', async () => {
    const name = uniqueClass();
    const objects = await makeAll(name, [{ a: 1 }, { a: 2 }]);
    await objects[0].destroy();
    const error = await rejects(Parse.Object.destroyAll(objects), 600);
    assert.equal(error.errors.length, 1);
    assert.equal(error.errors[0].code, 101);
    assert.equal(await new Parse.Query(name).count(), 0);
  });

  test('transactions that write one object at once all have their turn', notOnOracle('no second try there'), async () => {
    const [shared, name] = [await make(uniqueClass(), { n: 0 }), uniqueClass()];
    await make(name, { k: -1 });
    const batch = k => rest('POST', 'batch', {
      body: {
        transaction: true,
        requests: [
          { method: 'PUT', path: `/parse/classes/${shared.className}/${shared.id}`, body: { n: { __op: 'Increment', amount: 1 } } },
          { method: 'POST', path: `/parse/classes/${name}`, body: { k } },
        ],
      },
    });
    const answers = await Promise.all(Array.from({ length: 12 }, (_, k) => batch(k)));
    assert.deepEqual(answers.filter(answer => answer.status !== 200).map(answer => answer.body), []);
    assert.equal((await rest('GET', `classes/${shared.className}/${shared.id}`)).body.n, 12);
    assert.equal(await new Parse.Query(name).greaterThanOrEqualTo('k', 0).count(), 12);
  });
  test('many who change one object and its relation at once all have their turn', async () => {
    const shared = await make(uniqueClass(), { n: 0 });
    const fans = await makeAll(uniqueClass(), Array.from({ length: 30 }, (_, k) => ({ k })));
    const answers = await Promise.all(fans.map(fan => rest('PUT', `classes/${shared.className}/${shared.id}`, {
      body: { n: { __op: 'Increment', amount: 1 }, fans: { __op: 'AddRelation', objects: [fan.toPointer()] } },
    })));
    assert.deepEqual(answers.filter(answer => answer.status !== 200).map(answer => answer.body), []);
    const found = await new Parse.Query(shared.className).get(shared.id);
    assert.deepEqual([found.get('n'), await found.relation('fans').query().count()], [30, 30]);
  });
  test('a transaction is all or nothing', async () => {
    const name = uniqueClass();
    await make(name, { n: 1 });
    const good = new Parse.Object(name, { n: 2 });
    const bad = new Parse.Object(name, { n: 'text' });
    await assert.rejects(Parse.Object.saveAll([good, bad], { transaction: true }));
    assert.equal(await new Parse.Query(name).count(), 1);
    const both = [new Parse.Object(name, { n: 3 }), new Parse.Object(name, { n: 4 })];
    await Parse.Object.saveAll(both, { transaction: true });
    assert.equal(await new Parse.Query(name).count(), 3);
    await Parse.Object.destroyAll(both, { transaction: true });
    assert.equal(await new Parse.Query(name).count(), 1);
  });
});

describe('concurrency', () => {
  test('first writes of a class from many clients at once all succeed', async () => {
    const name = uniqueClass();
    await Promise.all(Array.from({ length: 20 }, (_, i) => make(name, { i })));
    assert.equal(await new Parse.Query(name).count(), 20);
  });

  test('first writes of a field from many clients at once all succeed', async () => {
    const name = uniqueClass();
    await make(name, {});
    await Promise.all(Array.from({ length: 20 }, (_, i) => make(name, { [`f${i % 4}`]: i, same: 'x' })));
    assert.equal(await new Parse.Query(name).equalTo('same', 'x').count(), 20);
  });

  test('increments from many clients are all counted', async () => {
    const name = uniqueClass();
    const object = await make(name, { n: 0 });
    await Promise.all(Array.from({ length: 30 }, async () => {
      const body = { n: { __op: 'Increment', amount: 1 } };
      const answer = await rest('PUT', `classes/${name}/${object.id}`, { body });
      assert.equal(answer.status, 200);
    }));
    assert.equal((await new Parse.Query(name).get(object.id)).get('n'), 30);
  });

  test('adds from many clients are all kept', async () => {
    const name = uniqueClass();
    const object = await make(name, { list: [] });
    await Promise.all(Array.from({ length: 20 }, (_, i) => rest('PUT', `classes/${name}/${object.id}`, {
      body: { list: { __op: 'AddUnique', objects: [i] } },
    })));
    const list = (await new Parse.Query(name).get(object.id)).get('list');
    assert.deepEqual([...list].sort((a, b) => a - b), Array.from({ length: 20 }, (_, i) => i));
  });
});

describe('refusals', () => {
  test('a value of another type: 111', async () => {
    const name = uniqueClass();
    await make(name, { n: 1 });
    await rejects(make(name, { n: 'one' }), 111, `schema mismatch for ${name}.n; expected Number but got String`);
  });

  test('bad field and class names', async () => {
    const answer = await rest('POST', `classes/${uniqueClass()}`, { body: { 'bad-name': 1 } });
    assert.equal(answer.body.code, 105);
    assert.equal(answer.body.error, 'Invalid field name: bad-name.');
    const second = await rest('POST', `classes/${uniqueClass()}`, { body: { 'o': { 'a$b': 1 } } });
    assert.equal(second.body.code, 121);
  });

  test('the keyword denylist', async () => {
    const answer = await rest('POST', `classes/${uniqueClass()}`, { body: { o: { _bsontype: 'Code' } } });
    assert.equal(answer.status, 400);
    assert.equal(answer.body.code, 105);
    assert.equal(answer.body.error, 'Prohibited keyword in request data: {"key":"_bsontype","value":"Code"}.');
  });

  test('the master key creates nothing by itself but may do all', async () => {
    const name = uniqueClass();
    const object = await make(name, { a: 1 }, master);
    object.setACL(new Parse.ACL());
    await object.save(null, master);
    await rejects(new Parse.Query(name).get(object.id), 101);
    assert.equal((await new Parse.Query(name).get(object.id, master)).id, object.id);
  });
});
