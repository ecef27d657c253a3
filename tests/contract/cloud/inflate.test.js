// Objects of the host's own making behave as the SDK's own do, whatever a handler does to them.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';

const require = createRequire(import.meta.url);
const Parse = require('parse/node');
const { createInflate } = require('../../../src/cloud/node/host/inflate.cjs');
Parse.initialize('app', 'key', 'master');
const { inflate, isUnchanged, quickJSON } = createInflate(Parse);

const at = '2024-01-01T00:00:00.000Z';
const row = () => ({
  className: 'Game', objectId: 'id1', createdAt: at, updatedAt: '2024-01-02T00:00:00.000Z', score: 1, name: 'p',
  tags: ['a', { b: 1 }], at: { __type: 'Date', iso: at }, open: true, info: { a: { b: 1 } }, none: null,
  player: { __type: 'Pointer', className: 'Player', objectId: 'x' },
  included: { __type: 'Object', className: 'Player', objectId: 'y', createdAt: at, updatedAt: at, deep: { a: [1] } },
  geo: { __type: 'GeoPoint', latitude: 1, longitude: 2 },
  area: { __type: 'Polygon', coordinates: [[0, 0], [0, 1], [1, 1], [0, 0]] },
  file: { __type: 'File', name: 'n.txt', url: 'http://localhost/n.txt' },
  fans: { __type: 'Relation', className: 'Player' }, ACL: { '*': { read: true }, u: { write: true, read: true } },
  bytes: { __type: 'Bytes', base64: 'aa==' },
});
const plain = value => JSON.parse(JSON.stringify(value));
const shown = object => plain([object.toJSON(), object.dirty(), object.dirtyKeys().sort(), object._getSaveJSON(), object.existed()]);

// As parse-server encodes what a trigger leaves behind: values that are set go in as they are.
function pendingOf(object) {
  const [pending] = Parse.CoreManager.getObjectStateController().getPendingOps(object);
  return Object.fromEntries(Object.keys(pending).map(key => [key, object.get(key)]));
}

const changes = {
  set: o => o.set('score', 2),
  unset: o => o.unset('name'),
  increment: o => o.increment('score'),
  add: o => o.add('tags', 'z'),
  dotted: o => o.set('info.a.b', 3),
  relation: o => o.relation('fans').add(Parse.Object.fromJSON({ className: 'Player', objectId: 'q' })),
  'inside an array': o => o.get('tags').push(1),
  'deep in an array': o => { o.get('tags')[1].b = 2; },
  'inside an object': o => { o.get('info').a.b = 7; },
  'a key of an object': o => { o.get('info').c = 1; },
  'a date': o => o.get('at').setTime(5),
  'a point': o => { o.get('geo').latitude = 5; },
  'rights': o => o.getACL().setPublicReadAccess(false),
  'the address of a file': o => { o.get('file')._url = 'http://localhost/signed'; },
  'a pointer': o => o.get('player').set('q', 1),
  'an included object': o => o.get('included').set('z', 1),
  'inside an included object': o => o.get('included').get('deep').a.push(2),
  'the id': o => { o.id = 'other'; },
  'fetched again': o => o._finishFetch({ objectId: 'id1', score: 99 }),
};

test('an object nobody touched is the same', () => {
  const source = row();
  const object = inflate(source);
  assert.deepEqual(shown(object), shown(Parse.Object.fromJSON(row())));
  assert.ok(isUnchanged(object, source));
  const never = { className: 'Game', objectId: 'i', createdAt: at };
  assert.ok(isUnchanged(inflate(never), never));
});

for (const [name, change] of Object.entries(changes)) {
  test(`changed: ${name}`, () => {
    const source = row();
    const [ours, theirs] = [inflate(source), Parse.Object.fromJSON(row())];
    change(ours);
    change(theirs);
    assert.ok(!isUnchanged(ours, source));
    const quick = quickJSON(ours, source);
    if (quick) assert.deepEqual(plain(quick), plain({ ...theirs.toJSON(), ...pendingOf(theirs), className: 'Game' }));
    assert.deepEqual(shown(ours), shown(theirs));
    assert.deepEqual(shown(ours.clone()), shown(theirs.clone()));
    for (const object of [ours, theirs]) object._handleSaveResponse({ updatedAt: '2025-01-01T00:00:00.000Z' }, 200);
    assert.deepEqual(shown(ours), shown(theirs), 'after a save');
  });
}

test('classes of the application, and single instances', () => {
  class Hero extends Parse.Object {
    constructor() {
      super('Hero');
    }
  }
  Parse.Object.registerSubclass('Hero', Hero);
  assert.ok(inflate({ className: 'Hero', objectId: '1' }) instanceof Hero);
  assert.ok(inflate({ className: '_User', objectId: '1', username: 'u' }) instanceof Parse.User);
  Parse.Object.enableSingleInstance();
  assert.deepEqual(shown(inflate(row())), shown(Parse.Object.fromJSON(row())));
  Parse.Object.disableSingleInstance();
  const source = row();
  assert.ok(isUnchanged(inflate(source), source));
});
