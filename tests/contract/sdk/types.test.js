import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Parse, make, rest, uniqueClass } from '../lib/sdk.js';

/** Saves `value` and reads it back through a get and through a find. */
async function roundTrip(value) {
  const name = uniqueClass();
  const saved = await make(name, { value });
  const raw = await rest('GET', `classes/${name}/${saved.id}`);
  const list = await rest('GET', `classes/${name}`);
  assert.deepEqual(list.body.results[0].value, raw.body.value);
  Parse.Object._clearAllState();
  return (await new Parse.Query(name).get(saved.id)).get('value');
}

describe('strings', () => {
  const strings = {
    empty: '',
    space: ' \t\n\r ',
    unicode: 'äöü ß ñ 漢字 العربية עברית ไทย',
    emoji: '😀👩‍👩‍👧‍👦🏳️‍🌈',
    combining: 'e\u0301 vs \u00e9',
    'line separators': 'a\u2028b\u2029c',
    quotes: `'"\\\`$1 ; DROP TABLE "x"; --`,
    controls: '\u0001\u001f\u007f\u0080',
    'json like': '{"__type":"Date"}',
    'private use and beyond': '\ue000\u{10ffff}',
    'number like': '1e309',
  };
  for (const [label, value] of Object.entries(strings)) {
    test(label, async () => assert.equal(await roundTrip(value), value));
  }
  test('one megabyte', async () => {
    const value = 'Ünïcode '.repeat(116509);
    assert.ok(Buffer.byteLength(value) > 1e6);
    assert.equal(await roundTrip(value), value);
  });
  test('unicode survives in keys of objects and in arrays', async () => {
    const value = { 'schlüssel': ['Wert', '漢字'], '😀': { tief: 'ä' } };
    assert.deepEqual(await roundTrip(value), value);
  });
});

describe('numbers', () => {
  const numbers = [
    0, 1, -1, 0.1, -0.1, 1e-7, 123456789.123456, 2 ** 31, -(2 ** 31) - 1, 2 ** 53, -(2 ** 53), 2 ** 53 - 1, 1e21, 1e100,
    Number.MAX_VALUE, -Number.MAX_VALUE, Number.MIN_VALUE, 2.2250738585072014e-308, Number.EPSILON, 0.1 + 0.2,
    4.35, 1 / 3,
  ];
  for (const value of numbers) {
    test(String(value), async () => assert.equal(await roundTrip(value), value));
  }
  test('in arrays and objects', async () => {
    const value = { list: numbers, inner: { max: Number.MAX_VALUE, min: Number.MIN_VALUE } };
    assert.deepEqual(await roundTrip(value), value);
  });
});

describe('booleans', () => {
  for (const value of [true, false]) test(String(value), async () => assert.equal(await roundTrip(value), value));
});

describe('dates', () => {
  const dates = [
    '1970-01-01T00:00:00.000Z', '1969-12-31T23:59:59.999Z', '1900-01-01T00:00:00.001Z', '1600-02-29T12:00:00.000Z',
    '0099-01-01T00:00:00.000Z', '0001-01-01T00:00:00.000Z', '2024-02-29T23:59:59.999Z', '2038-01-19T03:14:08.000Z',
    '9999-12-31T23:59:59.999Z', '2011-11-11T11:11:11.120Z',
  ];
  for (const iso of dates) {
    test(iso, async () => {
      const value = await roundTrip(new Date(iso));
      assert.ok(value instanceof Date);
      assert.equal(value.toISOString(), iso);
    });
  }
  test('in arrays and objects', async () => {
    const value = await roundTrip({ list: [new Date(dates[1])], inner: { when: new Date(dates[2]) } });
    assert.equal(value.list[0].toISOString(), dates[1]);
    assert.equal(value.inner.when.toISOString(), dates[2]);
  });
});

describe('objects and arrays', () => {
  test('deep JSON through the SDK', async () => {
    let value = { end: true };
    for (let i = 0; i < 10; i++) value = i % 2 ? { v: value, i } : { list: [value, i, null] };
    assert.deepEqual(await roundTrip(value), value);
  });
  test('deeper JSON over the wire', async () => {
    // The SDK's own traversal grows too fast with depth to be used here. Ninety levels: bodies nested
    // deeper than 128 are refused.
    const name = uniqueClass();
    let value = { end: true };
    for (let i = 0; i < 60; i++) value = i % 2 ? { v: value, i } : { list: [value, i, null] };
    const saved = await rest('POST', `classes/${name}`, { body: { value } });
    assert.equal(saved.status, 201);
    const raw = await rest('GET', `classes/${name}/${saved.body.objectId}`);
    assert.deepEqual(raw.body.value, value);
  });
  test('empty object and empty array', async () => {
    assert.deepEqual(await roundTrip({}), {});
    assert.deepEqual(await roundTrip([]), []);
  });
  test('arrays of everything', async () => {
    const value = [1, 'two', true, null, [3, [4]], { five: 5 }, '', 0, false];
    assert.deepEqual(await roundTrip(value), value);
  });
  test('nulls inside', async () => {
    const value = { a: null, b: [null, null], c: { d: null } };
    assert.deepEqual(await roundTrip(value), value);
  });
  test('many keys', async () => {
    const value = Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`key${i}`, i]));
    assert.deepEqual(await roundTrip(value), value);
  });
  test('keys that look like paths of other languages', async () => {
    const value = { 'a b': 1, "it's": 2, 'x"y': 3, 'a/b': 4, '-': 5, '0': 6, '': 7 };
    assert.deepEqual(await roundTrip(value), value);
  });
  test('an array of 5000 numbers', async () => {
    const value = Array.from({ length: 5000 }, (_, i) => i);
    assert.deepEqual(await roundTrip(value), value);
  });
});

describe('Parse types', () => {
  test('GeoPoint', async () => {
    for (const [latitude, longitude] of [[0, 0], [90, 180], [-90, -180], [40.7128, -74.006], [1e-9, -1e-9]]) {
      const value = await roundTrip(new Parse.GeoPoint(latitude, longitude));
      assert.ok(value instanceof Parse.GeoPoint);
      assert.deepEqual([value.latitude, value.longitude], [latitude, longitude]);
    }
  });
  test('Polygon is closed on the way back', async () => {
    const name = uniqueClass();
    const saved = await make(name, { value: new Parse.Polygon([[0, 0], [0, 1], [1, 1], [1, 0]]) });
    const raw = await rest('GET', `classes/${name}/${saved.id}`);
    assert.deepEqual(raw.body.value, {
      __type: 'Polygon', coordinates: [[0, 0], [0, 1], [1, 1], [1, 0], [0, 0]],
    });
  });
  test('Bytes', async () => {
    const name = uniqueClass();
    const value = { __type: 'Bytes', base64: Buffer.from([0, 1, 2, 250, 255]).toString('base64') };
    const saved = await rest('POST', `classes/${name}`, { body: { value } });
    const raw = await rest('GET', `classes/${name}/${saved.body.objectId}`);
    assert.deepEqual(raw.body.value, value);
    const schema = await rest('GET', `schemas/${name}`, { key: 'master' });
    assert.deepEqual(schema.body.fields.value, { type: 'Bytes' });
  });
  test('File reference', async () => {
    const name = uniqueClass();
    const value = { __type: 'File', name: 'hello.txt', url: 'http://example.com/hello.txt' };
    const saved = await rest('POST', `classes/${name}`, { body: { value } });
    const raw = await rest('GET', `classes/${name}/${saved.body.objectId}`);
    assert.equal(raw.body.value.__type, 'File');
    assert.equal(raw.body.value.name, 'hello.txt');
    assert.match(raw.body.value.url, /\/hello\.txt$/);
  });
  test('Pointer, also inside arrays and objects', async () => {
    const child = await make(uniqueClass('Child'), { n: 1 });
    const value = await roundTrip(child);
    assert.equal(value.id, child.id);
    assert.equal(value.className, child.className);
    const nested = await roundTrip({ list: [child], inner: { child } });
    assert.equal(nested.list[0].id, child.id);
    assert.equal(nested.inner.child.id, child.id);
  });
  test('GeoPoint and others nested keep their type', async () => {
    const value = await roundTrip({ where: new Parse.GeoPoint(1, 2), list: [new Parse.GeoPoint(3, 4)] });
    assert.ok(value.where instanceof Parse.GeoPoint);
    assert.equal(value.list[0].longitude, 4);
  });
  test('ACL', async () => {
    const name = uniqueClass();
    const acl = new Parse.ACL();
    acl.setPublicReadAccess(true);
    acl.setRoleWriteAccess('Admins', true);
    acl.setWriteAccess('someUserId', true);
    const object = await make(name, { ACL: acl });
    const raw = await rest('GET', `classes/${name}/${object.id}`);
    assert.deepEqual(raw.body.ACL, { '*': { read: true }, 'role:Admins': { write: true }, someUserId: { write: true } });
  });
  test('inferred types', async () => {
    const name = uniqueClass();
    const child = await make(uniqueClass('Child'), { n: 1 });
    await make(name, {
      s: 'x', n: 1, b: true, d: new Date(), o: {}, a: [], g: new Parse.GeoPoint(0, 0),
      poly: new Parse.Polygon([[0, 0], [0, 1], [1, 1]]), p: child,
    });
    const { body } = await rest('GET', `schemas/${name}`, { key: 'master' });
    const types = Object.fromEntries(Object.entries(body.fields).map(([key, field]) => [key, field.type]));
    assert.deepEqual(types, {
      objectId: 'String', createdAt: 'Date', updatedAt: 'Date', ACL: 'ACL', s: 'String', n: 'Number', b: 'Boolean',
      d: 'Date', o: 'Object', a: 'Array', g: 'GeoPoint', poly: 'Polygon', p: 'Pointer',
    });
    assert.equal(body.fields.p.targetClass, child.className);
  });
});
