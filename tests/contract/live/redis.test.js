// One Redis, one database, both servers: subscribers of either hear what the other writes.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Socket, redis, rest, startRedis } from '../lib/live.js';
import { startDatabase } from '../lib/database.js';
import { waitFor } from '../lib/postgres.js';
import { startServer } from '../lib/servers.js';

let bus;
let database;
const servers = {};

before(async () => {
  [database, bus] = await Promise.all([startDatabase(), startRedis()]);
  const overrides = {
    liveQuery: { classNames: ['Live_.*', '_Role'], redisURL: bus.url },
    liveQueryServerOptions: { redisURL: bus.url, cacheTimeout: 600000 },
    // Nothing is forgotten by itself.
    cacheTTL: 600000,
  };
  servers.oracle = await startServer(database, 'oracle', 'base', { overrides });
  servers.parsimony = await startServer(database, 'parsimony', 'base', { overrides, databaseURI: servers.oracle.databaseURI });
});
after(async () => {
  await servers.parsimony?.stop();
  await servers.oracle?.stop();
  await bus.stop();
  await database.stop();
});

const readers = (...who) => Object.fromEntries(who.map(id => [id, { read: true }]));

/** Another frame than the bus' first is proof that both listen. */
async function warmUp(socket, writer, className) {
  const { objectId } = await rest(writer, 'POST', `/classes/${className}`, { warm: 0 });
  await waitFor(async () => {
    await rest(writer, 'PUT', `/classes/${className}/${objectId}`, { warm: 1 });
    return socket.frames.length > 0;
  }, { every: 100, what: `${writer.kind} to be heard` });
  const last = await rest(writer, 'POST', `/classes/${className}`, { last: true });
  await waitFor(() => socket.frames.some(frame => frame.object?.objectId === last.objectId), { what: 'the last warm frame' });
  socket.frames.length = 0;
}

for (const [from, to] of [['oracle', 'parsimony'], ['parsimony', 'oracle']]) {
  describe(`${from} writes, ${to} tells`, () => {
    test('every event, with every type of value', async () => {
      const [writer, listener] = [servers[from], servers[to]];
      const className = `Live_${from}`;
      const socket = await Socket.connect(listener);
      await socket.subscribe(1, { className });
      await warmUp(socket, writer, className);
      await socket.subscribe(2, { className, where: { room: 'a' } });
      await socket.subscribe(3, { className, where: { room: 'a' }, keys: ['n'], watch: ['n'] });
      const body = {
        room: 'a', n: 1, at: { __type: 'Date', iso: '2024-02-03T04:05:06.789Z' }, list: [1, { a: null }], o: { k: 'v' },
        place: { __type: 'GeoPoint', latitude: 1, longitude: 2 },
        area: { __type: 'Polygon', coordinates: [[0, 0], [0, 1], [1, 1]] },
        nested: { file: { __type: 'File', name: 'b.txt', url: 'http://127.0.0.1/b.txt' } },
        other: { __type: 'Pointer', className: 'Live_other', objectId: 'abc' },
        file: { __type: 'File', name: 'a.txt', url: 'http://127.0.0.1/a.txt' },
      };
      const { objectId } = await rest(writer, 'POST', `/classes/${className}`, body);
      const path = `/classes/${className}/${objectId}`;
      await rest(writer, 'PUT', path, { n: 2 });
      await rest(writer, 'PUT', path, { room: 'b' });
      await rest(writer, 'PUT', path, { room: 'a' });
      await rest(writer, 'DELETE', path);
      const frames = await socket.hear(3 * 5);
      const told = id => frames.filter(frame => frame.requestId === id).map(({ op, object, original }) => [op, object.n, original?.n ?? null]);
      assert.deepEqual(told(1), [['create', 1, null], ['update', 2, 1], ['update', 2, 2], ['update', 2, 2], ['delete', 2, null]]);
      assert.deepEqual(told(2), [['create', 1, null], ['update', 2, 1], ['leave', 2, 2], ['enter', 2, 2], ['delete', 2, null]]);
      assert.deepEqual(told(3), told(2));
      const { object } = frames.find(frame => frame.requestId === 2);
      // As it is stored: closed.
      body.area.coordinates.push([0, 0]);
      for (const [field, value] of Object.entries(body)) {
        const { url, ...rest_ } = object[field] ?? {};
        assert.deepEqual(field === 'file' ? rest_ : object[field], field === 'file' ? { __type: 'File', name: 'a.txt' } : value, field);
      }
      assert.equal(object.className, className);
      assert.match(object.createdAt, /^\d{4}-.*Z$/);
      const cut = frames.find(frame => frame.requestId === 3).object;
      assert.deepEqual(Object.keys(cut).sort(), ['className', 'createdAt', 'n', 'objectId', 'updatedAt']);
      socket.close();
    });

    test('ACLs, class permissions and protected fields hold for what came from elsewhere', async () => {
      const [writer, listener] = [servers[from], servers[to]];
      const className = `Live_guarded_${from}`;
      const user = await rest(writer, 'POST', '/users', { username: `u_${from}`, password: 'secret!' }, {});
      await rest(writer, 'POST', `/schemas/${className}`, {
        className, fields: { secret: { type: 'String' }, n: { type: 'Number' } },
        classLevelPermissions: { find: { '*': true }, get: { '*': true }, create: {}, update: {}, delete: {}, addField: {}, protectedFields: { '*': ['secret'] } },
      });
      const own = await Socket.connect(listener, {});
      await own.subscribe(1, { className }, { sessionToken: user.sessionToken });
      const nobody = await Socket.connect(listener);
      await nobody.subscribe(1, { className });
      for (const socket of [own, nobody]) await warmUp(socket, writer, className);
      own.frames.length = nobody.frames.length = 0;
      const { objectId } = await rest(writer, 'POST', `/classes/${className}`, { n: 1, secret: 'x', ACL: readers(user.objectId) });
      await rest(writer, 'PUT', `/classes/${className}/${objectId}`, { n: 2, ACL: readers('*') });
      await rest(writer, 'PUT', `/classes/${className}/${objectId}`, { n: 3, ACL: readers('nobody') });
      const frames = (await own.hear(3)).map(({ op, object, original }) => [op, object.n, original?.n ?? null, object.secret ?? original?.secret]);
      assert.deepEqual(frames, [['create', 1, null, undefined], ['update', 2, 1, undefined], ['leave', 2, 2, undefined]]);
      const others = (await nobody.hear(2)).map(({ op, object, original }) => [op, object.n, original?.n ?? null]);
      assert.deepEqual(others, [['enter', 2, null], ['leave', 2, 2]]);
      own.close();
      nobody.close();
    });
  });
}

test('roles that one server changes count on the other: clearCache', async () => {
  for (const [from, to] of [['oracle', 'parsimony'], ['parsimony', 'oracle']]) {
    const [writer, listener] = [servers[from], servers[to]];
    const className = `Live_role_${from}`;
    const user = await rest(writer, 'POST', '/users', { username: `r_${from}`, password: 'secret!' }, {});
    const pointer = { __type: 'Pointer', className: '_User', objectId: user.objectId };
    const name = `role_${from}`;
    const role = await rest(writer, 'POST', '/roles', {
      name, ACL: { '*': { read: true }, [user.objectId]: { read: true, write: true } }, users: { __op: 'AddRelation', objects: [pointer] },
    });
    const socket = await Socket.connect(listener);
    await socket.subscribe(1, { className }, { sessionToken: user.sessionToken });
    await warmUp(socket, writer, className);
    const forRole = n => rest(writer, 'POST', `/classes/${className}`, { n, ACL: readers(`role:${name}`) });
    await forRole(1);
    assert.equal((await socket.hear(1))[0].object.n, 1);
    const said = [];
    const spy = redis.createClient({ url: bus.url });
    await spy.connect();
    await spy.subscribe(`${writer.config.appId}clearCache`, message => said.push(JSON.parse(message).userId));
    // The user takes himself out of the role.
    await rest(writer, 'PUT', `/roles/${role.objectId}`, { users: { __op: 'RemoveRelation', objects: [pointer] } }, { 'X-Parse-Session-Token': user.sessionToken });
    await waitFor(() => said.includes(user.objectId), { what: `clearCache from ${from}` });
    await spy.close();
    // The message is heard by all at the same time, but each looks roles up again for itself.
    await waitFor(async () => {
      await forRole(2);
      const { objectId } = await rest(writer, 'POST', `/classes/${className}`, { n: 3 });
      await waitFor(() => socket.frames.some(frame => frame.object?.objectId === objectId), { what: 'the fence' });
      const heard = socket.frames.splice(0).map(frame => frame.object.n);
      return !heard.includes(2);
    }, { what: `${to} to forget the role` });
    socket.close();
  }
});
