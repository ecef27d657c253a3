// What is written to a database by one server and read from it by another: every type, ACLs, relations, indexes, class
// permissions, system classes. Plain REST, so that neither server is asked through anybody's eyes.

import { request } from '../lib/http.js';

/** One request: `as` is 'client', 'master' or a session token. Answers the body; throws on anything but 2xx. */
export async function call(server, method, path, { body, as = 'client' } = {}) {
  const answer = await ask(server, method, path, { body, as });
  if (answer.status >= 300) throw new Error(`${server.kind} ${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
  return answer.body;
}

/** One request, whatever the answer: `{status, body}`. */
export async function ask(server, method, path, { body, as = 'client' } = {}) {
  const headers = { 'X-Parse-Application-Id': server.config.appId, 'Content-Type': 'application/json' };
  if (as === 'master') headers['X-Parse-Master-Key'] = server.config.masterKey;
  else if (as === 'maintenance') headers['X-Parse-Maintenance-Key'] = server.config.maintenanceKey;
  else if (as !== 'client') headers['X-Parse-Session-Token'] = as;
  const response = await request(`${server.url}/${path}`, { method, headers, body: body && JSON.stringify(body) });
  return { status: response.status, body: JSON.parse(response.text) };
}

const open = Object.fromEntries(['find', 'get', 'count', 'create', 'update', 'delete', 'addField'].map(op => [op, { '*': true }]));
export const pointer = (className, objectId) => ({ __type: 'Pointer', className, objectId });
const date = iso => ({ __type: 'Date', iso });

export const values = child => ({
  s: 'text äöü 漢字 😀', empty: '', n: 12.5, big: 1.7976931348623157e308, small: 5e-324, b: true, no: false,
  d: date('2011-11-07T20:58:34.448Z'), old: date('1912-06-23T00:00:00.001Z'),
  o: { a: 1, b: { c: [1, 'two', null] }, when: date('2001-01-01T00:00:00.000Z'), at: pointer('LayoutChild', child) }, eo: {},
  a: [1, 'two', { three: 3 }, null, pointer('LayoutChild', child), date('2001-01-01T00:00:00.000Z')], ea: [],
  g: { __type: 'GeoPoint', latitude: 40.5, longitude: -30.25 },
  poly: { __type: 'Polygon', coordinates: [[0, 0], [0, 1], [1, 1], [1, 0]] },
  y: { __type: 'Bytes', base64: 'AAEC+vv/' }, f: { __type: 'File', name: 'layout.txt' }, p: pointer('LayoutChild', child),
  arr: [pointer('LayoutChild', child), pointer('LayoutChild', child)],
});

/** Fills an empty database; answers the ids and tokens that the readers need. */
export async function write(server) {
  const master = { as: 'master' };
  const alice = await call(server, 'POST', 'users', { body: { username: 'alice', password: 'pwAlice', email: 'alice@example.com', nick: 'Al' } });
  const bob = await call(server, 'POST', 'users', { body: { username: 'bob', password: 'pwBob' } });
  const anonymous = await call(server, 'POST', 'users', { body: { authData: { anonymous: { id: 'layout-anonymous' } } } });
  const child = await call(server, 'POST', 'classes/LayoutChild', { body: { label: 'child' } });
  await call(server, 'POST', 'schemas/Layout', { ...master, body: {
    className: 'Layout',
    fields: {
      s: { type: 'String' }, hidden: { type: 'String' }, must: { type: 'Number', required: true, defaultValue: 3 }, unused: { type: 'Polygon' },
      owner: { type: 'Pointer', targetClass: '_User' },
    },
    classLevelPermissions: { ...open, delete: { requiresAuthentication: true }, protectedFields: { '*': ['hidden'], 'userField:owner': [] } },
    indexes: { by_s: { s: 1 } },
  } });
  const all = await call(server, 'POST', 'classes/Layout', { body: { ...values(child.objectId), label: 'all' } });
  const few = await call(server, 'POST', 'classes/Layout', { body: { label: 'few', s: null } });
  const nobody = await call(server, 'POST', 'classes/Layout', { ...master, body: { label: 'nobody', ACL: {} } });
  const aliceOnly = await call(server, 'POST', 'classes/Layout', {
    as: alice.sessionToken,
    body: { label: 'alice only', hidden: 'h', owner: pointer('_User', alice.objectId), ACL: { [alice.objectId]: { read: true, write: true } } },
  });
  const forRole = await call(server, 'POST', 'classes/Layout', { ...master, body: { label: 'for role', ACL: { 'role:Parents': { read: true }, '*': {} } } });
  const parent = await call(server, 'POST', 'classes/LayoutParent', { body: {
    label: 'parent', kids: { __op: 'AddRelation', objects: [pointer('LayoutChild', child.objectId)] },
  } });
  const children = await call(server, 'POST', 'roles', { ...master, body: { name: 'Children', ACL: { '*': { read: true } }, users: { __op: 'AddRelation', objects: [pointer('_User', bob.objectId)] } } });
  await call(server, 'POST', 'roles', { ...master, body: { name: 'Parents', ACL: {}, roles: { __op: 'AddRelation', objects: [pointer('_Role', children.objectId)] } } });
  const installation = await call(server, 'POST', 'installations', { body: { deviceType: 'ios', deviceToken: 'layout-token', installationId: 'layout-installation', channels: ['x'], badge: 2 } });
  await call(server, 'PUT', 'config', { ...master, body: { params: { greeting: 'hello', secret: 's' }, masterKeyOnly: { secret: true } } });
  await call(server, 'POST', 'push_audiences', { ...master, body: { name: 'Everybody', query: '{"deviceType":"ios"}' } });
  await call(server, 'PUT', `classes/Layout/${all.objectId}`, { body: { n: { __op: 'Increment', amount: 1 }, ea: { __op: 'Add', objects: ['x'] }, 'o.a': 2 } });
  return { alice, bob, anonymous, child, all, few, nobody, aliceOnly, forRole, parent, installation };
}

/** Everything that a database shows to everybody, as one comparable value; the server's own address taken out. */
export async function read(server, made) {
  const { alice, bob, parent } = made;
  const where = value => `where=${encodeURIComponent(JSON.stringify(value))}`;
  const related = where({ $relatedTo: { object: pointer('LayoutParent', parent.objectId), key: 'kids' } });
  const requests = {
    'objects, master': ['classes/Layout?order=createdAt&include=p', 'master'],
    'objects, nobody': ['classes/Layout?order=createdAt', 'client'],
    'objects, alice': ['classes/Layout?order=createdAt', alice.sessionToken],
    'objects, bob through a nested role': ['classes/Layout?order=createdAt', bob.sessionToken],
    'by text': [`classes/Layout?${where({ s: values('').s })}&keys=label`, 'client'],
    'by pointer': [`classes/Layout?${where({ p: pointer('LayoutChild', made.child.objectId) })}&keys=label`, 'client'],
    'by date': [`classes/Layout?${where({ old: { $lt: date('1970-01-01T00:00:00.000Z') } })}&keys=label`, 'client'],
    'by array': [`classes/Layout?${where({ a: { $all: ['two'] } })}&keys=label`, 'client'],
    'by nested value': [`classes/Layout?${where({ 'o.a': 2 })}&keys=label`, 'client'],
    'by box': [`classes/Layout?${where({ g: { $within: { $box: [{ __type: 'GeoPoint', latitude: 40, longitude: -31 }, { __type: 'GeoPoint', latitude: 41, longitude: -30 }] } } })}&keys=label`, 'client'],
    'relation': [`classes/LayoutChild?${related}`, 'client'],
    'relation backwards': [`classes/LayoutParent?${where({ kids: pointer('LayoutChild', made.child.objectId) })}`, 'client'],
    'users, master': ['users?order=createdAt', 'master'],
    'user, self': [`users/${alice.objectId}`, alice.sessionToken],
    'me': ['users/me', alice.sessionToken],
    'session': ['sessions/me', bob.sessionToken],
    'sessions, master': ['sessions?order=createdAt', 'master'],
    'roles': ['roles?order=createdAt', 'master'],
    'role, nobody': ['roles', 'client'],
    'installations': ['installations', 'master'],
    'config': ['config', 'client'],
    'config, master': ['config', 'master'],
    'audiences': ['push_audiences', 'master'],
    'schema': ['schemas/Layout', 'master'],
    'schema of the parent': ['schemas/LayoutParent', 'master'],
    'schema of users': ['schemas/_User', 'master'],
    'schema of roles': ['schemas/_Role', 'master'],
    'schema of installations': ['schemas/_Installation', 'master'],
    'schema of sessions': ['schemas/_Session', 'master'],
  };
  const answers = {};
  for (const [name, [path, as]] of Object.entries(requests)) {
    const answer = await ask(server, 'GET', path, { as });
    answers[name] = JSON.parse(JSON.stringify(answer).split(server.url).join('<server>'));
  }
  return answers;
}

/** What a server that finds a database written by another does with it; all of it must succeed. */
export async function carryOn(server, made) {
  const { alice, all, aliceOnly, parent, forRole, bob } = made;
  const again = await call(server, 'POST', 'login', { body: { username: 'alice', password: 'pwAlice' } });
  if (again.objectId !== alice.objectId) throw new Error('the password of another server was taken for another user');
  await call(server, 'PUT', `users/${alice.objectId}`, { as: alice.sessionToken, body: { nick: `changed by ${server.kind}` } });
  const linked = await call(server, 'POST', 'users', { body: { authData: { anonymous: { id: 'layout-anonymous' } } } });
  if (linked.objectId !== made.anonymous.objectId) throw new Error('the anonymous user was not found again');
  const taken = await ask(server, 'POST', 'users', { body: { username: 'ALICE', password: 'x' } });
  if (taken.body.code !== 202) throw new Error(`the name was not taken: ${JSON.stringify(taken)}`);
  await call(server, 'PUT', `classes/Layout/${all.objectId}`, { body: {
    n: { __op: 'Increment', amount: 1 }, a: { __op: 'AddUnique', objects: [server.kind] }, 'o.by': server.kind, [`by_${server.kind}`]: true,
    s: { __op: 'Delete' }, d: date('2031-01-01T00:00:00.000Z'), poly: { __type: 'Polygon', coordinates: [[5, 5], [5, 6], [6, 6]] },
    g: { __type: 'GeoPoint', latitude: -1, longitude: 2 },
  } });
  await call(server, 'PUT', `classes/Layout/${aliceOnly.objectId}`, { as: alice.sessionToken, body: { hidden: server.kind } });
  const refused = await ask(server, 'PUT', `classes/Layout/${forRole.objectId}`, { as: bob.sessionToken, body: { s: 'x' } });
  if (refused.status !== 404) throw new Error(`a write without the right was answered ${JSON.stringify(refused)}`);
  const kid = await call(server, 'POST', 'classes/LayoutChild', { body: { label: `kid of ${server.kind}` } });
  await call(server, 'PUT', `classes/LayoutParent/${parent.objectId}`, { body: { kids: { __op: 'AddRelation', objects: [pointer('LayoutChild', kid.objectId)] } } });
  await call(server, 'PUT', 'installations/' + made.installation.objectId, { body: { badge: { __op: 'Increment', amount: 1 } } });
  await call(server, 'POST', `classes/New_${server.kind}`, { body: { ...values(made.child.objectId), label: 'new' } });
  await call(server, 'PUT', 'schemas/Layout', { as: 'master', body: { className: 'Layout', fields: { [`added_${server.kind}`]: { type: 'GeoPoint' } } } }).catch(() => {});
  await call(server, 'PUT', 'config', { as: 'master', body: { params: { greeting: `hello from ${server.kind}` } } });
}
