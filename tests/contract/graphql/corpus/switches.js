// Reading and writing under a document of `/graphql-config`, of classes that it hides, and of classes whose names are
// others' already.
import { setup } from './base.js';

const cases = [];
const q = (id, query, more = {}) => cases.push({ id, query, ...more });
const config = (id, params) => cases.push({ id, as: 'master', rest: ['PUT', '/graphql-config', { params }], keep: true });
const rest = (id, method, path, body, capture) => cases.push({ id, as: 'master', rest: [method, path, body], capture: capture && { [capture]: 'objectId' } });
const text = { type: 'String' };
const pointer = (className, id) => ({ __type: 'Pointer', className, objectId: id });

// Classes whose types have no names of their own.
for (const name of ['Object', 'Element', 'FooConnection', 'user', 'Viewer']) {
  rest(`class ${name}`, 'POST', `/schemas/${name}`, { className: name, fields: { text, link: { type: 'Pointer', targetClass: name }, many: { type: 'Relation', targetClass: name }, place: { type: 'GeoPoint' }, when: { type: 'Date' }, file: { type: 'File' } } });
  rest(`${name} 1`, 'POST', `/classes/${name}`, { text: 'one', place: { __type: 'GeoPoint', latitude: 1, longitude: 2 }, when: { __type: 'Date', iso: '2020-01-01T00:00:00.000Z' }, file: { __type: 'File', name: 'a.txt', url: 'http://example.org/a.txt' } }, `first${name}`);
  rest(`${name} 2`, 'POST', `/classes/${name}`, { text: 'two', link: pointer(name, `{{first${name}}}`), many: { __op: 'AddRelation', objects: [pointer(name, `{{first${name}}}`)] } }, `second${name}`);
}
rest('class Holder', 'POST', '/schemas/Holder', { className: 'Holder', fields: { text, object: { type: 'Pointer', targetClass: 'Object' }, objects: { type: 'Relation', targetClass: 'Object' }, person: { type: 'Pointer', targetClass: 'user' }, list: { type: 'Array' }, country: { type: 'Pointer', targetClass: 'Country' }, countries: { type: 'Relation', targetClass: 'Country' } } });
rest('holder', 'POST', '/classes/Holder', { text: 'h', object: pointer('Object', '{{firstObject}}'), objects: { __op: 'AddRelation', objects: [pointer('Object', '{{firstObject}}')] }, person: pointer('user', '{{firstuser}}'), country: pointer('Country', '{{land}}'), countries: { __op: 'AddRelation', objects: [pointer('Country', '{{land}}'), pointer('Country', '{{island}}')] }, list: [pointer('Object', '{{firstObject}}'), pointer('Country', '{{land}}'), 1] }, 'holder');

q('get of a name in use', '{ object(id: "{{secondObject}}") }', { view: 'sorted' });
q('get of a name in use, with a selection', '{ object(id: "{{secondObject}}") { text } }');
q('find of a name in use', '{ objects { count edges { node { text } } } }');
q('find of a name in use, without a selection', '{ objects }');
q('find of a name in use, by conditions', '{ objects(where: { text: { equalTo: "one" } }) { count } }');
q('create of a name in use', 'mutation { createObject(input: { fields: { text: "new" } }) { object } }', { view: 'sorted' });
q('create of a name in use, with a selection', 'mutation { createObject(input: { fields: { text: "new", link: { link: "{{firstObject}}" } } }) { object { text } } }');
q('element', '{ element(id: "{{secondElement}}") { text link { text } many { count } } }');
q('elements', '{ elements(order: text_ASC) { count edges { node { text } } } }');
q('a connection', '{ fooConnection(id: "{{firstFooConnection}}") }', { view: 'sorted' });
q('connections', '{ fooConnections(order: text_ASC) { count edges { node { text } } } }');
q('two users', '{ user(id: "{{firstuser}}") { username } users { count } }');
q('a viewer that is a class', '{ viewer { sessionToken } viewers { count } }');
q('holder of names in use', '{ holder(id: "{{holder}}") { text object objects } }');
q('holder of another user', '{ holder(id: "{{holder}}") { person { username } } }');
q('holder made', 'mutation { createHolder(input: { fields: { text: "made", object: { __type: "Pointer", className: "Object", objectId: "{{firstObject}}" } } }) { holder { text } } }');
q('holder made by a link', 'mutation { createHolder(input: { fields: { text: "made", object: { link: "{{firstObject}}" } } }) { holder { text } } }');
q('holders by names in use', '{ holders(where: { object: { __type: "Pointer", className: "Object", objectId: "{{firstObject}}" } }, order: text_ASC) { count edges { node { text } } } }');
q('holders by what names in use have', '{ holders(where: { object: { have: { text: { equalTo: "one" } } } }) { count } }');

// A class that is hidden is an object like any other.
config('hide Country', { disabledForClasses: ['Country'] });
q('pointer to a hidden class', '{ holder(id: "{{holder}}") { text country } }', { view: 'sorted' });
q('pointer to a hidden class, with a selection', '{ holder(id: "{{holder}}") { country { name } } }');
q('relation to a hidden class', '{ holder(id: "{{holder}}") { countries } }');
q('list with a hidden class', '{ holder(id: "{{holder}}") { list { __typename ... on Element { value } } } }');
q('node of a hidden class', '{ node(id: "{{landGid}}") { id } }');
q('hidden class', '{ country(id: "{{land}}") { name } }');
q('class of the schema', '{ class(name: "Country") { name } }', { as: 'master' });
q('make with a hidden pointer', 'mutation { createHolder(input: { fields: { text: "hidden", country: { __type: "Pointer", className: "Country", objectId: "{{land}}" } } }) { holder { text } } }');
q('make with a link', 'mutation { createHolder(input: { fields: { text: "hidden", country: { link: "{{land}}" } } }) { holder { text } } }');
q('make with a hidden relation', 'mutation { createHolder(input: { fields: { text: "hidden2", countries: { add: ["{{land}}"] } } }) { holder { text } } }');
q('find by a hidden pointer', '{ holders(where: { country: { have: { name: { equalTo: "Land" } } } }) { count edges { node { text } } } }');
q('find by a hidden pointer itself', '{ holders(where: { country: { __type: "Pointer", className: "Country", objectId: "{{land}}" } }, order: text_ASC) { count edges { node { text } } } }');
q('find by a hidden relation', '{ holders(where: { countries: { have: { name: { equalTo: "Land" } } } }) { count edges { node { text } } } }');
q('find that a hidden pointer exists', '{ holders(where: { country: { exists: true } }, order: text_ASC) { edges { node { text } } } }');

// Aliases and what is switched off.
config('aliases', { classConfigs: [
  { className: 'Country', query: { getAlias: 'land', findAlias: 'lands' }, mutation: { createAlias: 'foundLand', updateAlias: 'changeLand', destroyAlias: 'sinkLand' } },
  { className: 'Company', query: { getAlias: 'health', findAlias: 'lands' }, mutation: { createAlias: 'logIn', updateAlias: 'changeLand', destroy: false } },
  { className: 'Holder', query: { get: false }, mutation: { create: false, update: true, destroy: true }, type: { inputFields: { update: ['text'] }, outputFields: ['text', 'country'], constraintFields: ['text'], sortFields: [{ field: 'text', asc: true, desc: true }, { field: 'nothing', asc: true, desc: false }] } },
  { className: 'Every', type: { inputFields: { create: [], update: [] }, outputFields: [], constraintFields: [], sortFields: [] } },
  { className: '_User', type: { inputFields: { create: ['username', 'password'], update: ['email'] }, outputFields: ['username'], constraintFields: ['username'], sortFields: [{ field: 'username', asc: true, desc: false }] }, query: { find: false } },
] });
q('get by its alias', '{ land(id: "{{land}}") { name } }'); q('get by its name', '{ country(id: "{{land}}") { name } }');
q('find by its alias', '{ lands(order: name_ASC) { edges { node { name } } } }');
q('create by its alias', 'mutation { foundLand(input: { fields: { name: "New" } }) { land { name objectId } } }', { capture: { newLand: 'data.foundLand.land.objectId' } });
q('create by its name', 'mutation { createCountry(input: { fields: { name: "New" } }) { land { name } } }');
q('update by its alias', 'mutation { changeLand(input: { id: "{{newLand}}", fields: { name: "Newer" } }) { land { name } } }');
q('delete by its alias', 'mutation { sinkLand(input: { id: "{{newLand}}" }) { land { name } } }');
q('aliases that are others', '{ health lands { count } companies { count } company(id: "{{firm}}") { name } }');
q('log in is what it was', 'mutation { logIn(input: { username: "x", password: "y" }) { viewer { sessionToken } } }');
q('update that is another', 'mutation { updateCompany(input: { id: "{{firm}}", fields: { name: "Firm" } }) { company { name } } }');
q('delete switched off', 'mutation { deleteCompany(input: { id: "{{shop}}" }) { company { name } } }');
q('get switched off', '{ holder(id: "{{holder}}") { text } }');
q('find that stays', '{ holders(order: text_ASC) { edges { node { text country { name } } } } }');
q('order by nothing', '{ holders(order: [nothing_ASC, text_DESC]) { edges { node { text } } } }');
q('order that is gone', '{ holders(order: country_ASC) { count } }');
q('output that is gone', '{ holders { edges { node { list { __typename } } } } }');
q('condition that is gone', '{ holders(where: { country: { exists: true } }) { count } }');
q('condition on an id', '{ holders(where: { id: { equalTo: "{{holder}}" } }) { count } }');
q('condition that stays', '{ holders(where: { text: { equalTo: "h" }, OR: [{ text: { exists: true } }] }) { edges { node { id objectId createdAt text } } } }');
q('create switched off', 'mutation { createHolder(input: { fields: { text: "x" } }) { holder { text } } }');
q('update that stays', 'mutation { updateHolder(input: { id: "{{holder}}", fields: { text: "h2" } }) { holder { text } } }');
q('update of what is gone', 'mutation { updateHolder(input: { id: "{{holder}}", fields: { country: { link: "{{land}}" } } }) { holder { text } } }');
q('nothing of a class', '{ everies(order: id_ASC, first: 1) { edges { node { id objectId createdAt ACL { public { read } } } } } }', { view: 'status' });
q('nothing of a class by anything', '{ everies(where: { text: { equalTo: "one" } }) { count } }');
q('create of nothing', 'mutation { createEvery(input: { fields: { ACL: { public: { read: true, write: true } } } }) { every { objectId } } }');
q('create of something', 'mutation { createEvery(input: { fields: { must: "x" } }) { every { objectId } } }');
q('user signs up', 'mutation { signUp(input: { fields: { username: "ann", password: "pw" } }) { viewer { sessionToken user { objectId username } } } }', { capture: { ann: 'data.signUp.viewer.sessionToken', annId: 'data.signUp.viewer.user.objectId' } });
q('user signs up with an address', 'mutation { signUp(input: { fields: { username: "ann", password: "pw", email: "a@example.org" } }) { viewer { sessionToken } } }');
q('user shows an address', '{ viewer { user { username email } } }', { as: '{{ann}}' });
q('user sets an address', 'mutation { updateUser(input: { id: "{{annId}}", fields: { email: "a@example.org" } }) { user { username } } }', { as: '{{ann}}' });
q('user sets a name', 'mutation { updateUser(input: { id: "{{annId}}", fields: { username: "b" } }) { user { username } } }', { as: '{{ann}}' });
q('users switched off', '{ users { count } }');
q('user that stays', '{ user(id: "{{annId}}") { username } }', { as: '{{ann}}' });
q('user logs in with something', 'mutation { logInWith(input: { authData: { anonymous: { id: "12345678-1234-1234-1234-123456789012" } }, fields: { email: "x@example.org" } }) { viewer { user { username } } } }');

// Documents in other forms.
for (const [id, params] of Object.entries({
  'null lists': { enabledForClasses: null, disabledForClasses: null, classConfigs: null }, 'empty lists': { disabledForClasses: [], classConfigs: [] }, 'unknown classes': { disabledForClasses: ['Nowhere'], classConfigs: [{ className: 'Nowhere', query: { get: false } }] },
  'null parts': { classConfigs: [{ className: 'Country', type: null, query: null, mutation: null }] }, 'null choices': { classConfigs: [{ className: 'Country', type: { inputFields: null, outputFields: null, constraintFields: null, sortFields: null }, query: { get: null, find: null, getAlias: null, findAlias: null }, mutation: { create: null, update: null, destroy: null, createAlias: null } }] },
  'two of a class': { classConfigs: [{ className: 'Country', query: { get: false } }, { className: 'Country', query: { find: false } }] }, 'blank names': { enabledForClasses: [' '] }, 'blank class': { classConfigs: [{ className: ' ' }] }, 'blank alias': { classConfigs: [{ className: 'Country', query: { getAlias: '', findAlias: '' } }] },
  'half a sort': { classConfigs: [{ className: 'Country', type: { sortFields: [{ field: 'name', asc: true }] } }] }, 'users without a password': { classConfigs: [{ className: '_User', type: { inputFields: { create: ['username'] } } }] },
  'everything off': { enabledForClasses: [] }, 'both': { enabledForClasses: ['_User', 'Country', 'Company'], disabledForClasses: ['Company'] },
})) {
  config(`document of ${id}`, params);
  q(`under ${id}`, '{ country(id: "{{land}}") { name } countries(order: name_ASC, first: 1) { edges { node { name } } } companies(order: name_ASC, first: 1) { edges { node { name } } } }');
  q(`health under ${id}`, '{ health }');
}
cases.push({ id: 'the last document', as: 'master', rest: ['GET', '/graphql-config'], keep: true });

const captures = [{ id: 'gids', query: '{ country(id: "{{land}}") { id } }', capture: { landGid: 'data.country.id' } }];
export default { name: 'switches', cases: [...setup, ...captures, ...cases] };
