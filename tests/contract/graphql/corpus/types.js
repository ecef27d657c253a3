// A schema of the application's own with every kind of definition, and what its functions may answer.
import { fileURLToPath } from 'node:url';

const cases = [];
const q = (query, more = {}) => cases.push({ id: `${cases.length} ${query.slice(0, 70)}`, query, ...more });
const file = name => fileURLToPath(new URL(name, import.meta.url));
const rest = (id, method, path, body, capture) => cases.push({ id, as: 'master', rest: [method, path, body], capture: capture && { [capture]: 'objectId' } });
const text = { type: 'String' };
rest('class Item', 'POST', '/schemas/Item', { className: 'Item', fields: { text, number: { type: 'Number' }, when: { type: 'Date' }, place: { type: 'GeoPoint' }, link: { type: 'Pointer', targetClass: 'Item' }, many: { type: 'Relation', targetClass: 'Item' }, list: { type: 'Array' }, object: { type: 'Object' }, area: { type: 'Polygon' }, bytes: { type: 'Bytes' }, file: { type: 'File' } } });
rest('item 1', 'POST', '/classes/Item', { text: 'one', number: 1 }, 'one');
rest('item 2', 'POST', '/classes/Item', { text: 'two', number: 2, when: { __type: 'Date', iso: '2020-01-01T00:00:00.000Z' }, place: { __type: 'GeoPoint', latitude: 1, longitude: 2 }, list: [1, 'a', { __type: 'Pointer', className: 'Item', objectId: '{{one}}' }], object: { a: { b: 1 } }, area: { __type: 'Polygon', coordinates: [[0, 0], [0, 1], [1, 1], [0, 0]] }, bytes: { __type: 'Bytes', base64: 'aGk=' }, file: { __type: 'File', name: 'a.txt', url: 'http://example.org/a.txt' }, ACL: { '*': { read: true }, 'role:x': { write: true } } }, 'two');
rest('item 3', 'POST', '/classes/Item', { text: 'three', number: 3, link: { __type: 'Pointer', className: 'Item', objectId: '{{two}}' }, many: { __op: 'AddRelation', objects: [{ __type: 'Pointer', className: 'Item', objectId: '{{one}}' }] } }, 'three');
cases.push({ id: 'sign up', query: 'mutation { signUp(input: { fields: { username: "ann", password: "pw" } }) { viewer { sessionToken user { username greeting } } } }', capture: { ann: 'data.signUp.viewer.sessionToken' } });

const everything = 'id objectId text number when createdAt place { latitude longitude } link { id text number when } list { ... on Element { value } ... on Item { text number } } object area { latitude longitude } bytes file { name url } ACL { public { read write } roles { roleName write } } __typename';
for (const query of [
  '{ hello hello2 hello3 hello4 { username id objectId } }', '{ hello4 { id } }', '{ hello4 { username email greeting createdAt } }', '{ userEcho(user: { username: "somefolk", password: "x" }) { username } }', '{ userEcho(user: { username: "somefolk", password: "x", ACL: { public: { read: true, write: false } } }) { username ACL { public { read write } } } }',
  '{ itemsOf { number text } }', '{ itemsOf(first: 1) { id number upper secret } }', '{ itemsOf(filter: { kinds: [SQUARE], inner: { size: 2 } }, ids: ["a", 1], order: [text_ASC]) { number } }', '{ itemsOf(order: [custom_ASC]) { number } }', '{ itemsOf(order: [nothing_ASC]) { number } }', '{ itemsOf(filter: { item: { custom: "a", text: { equalTo: "b" } } }) { number } }', '{ itemsOf(filter: { size: null }) { number } }',
  '{ echo }', '{ echo(filter: {}) }', '{ echo(filter: { any: { a: [1, null, "x", true, 1.5, ENUM] } }) }', '{ echo(when: "2020-01-01T00:00:00.000Z", bytes: "aGk=", any: [1, { a: null }], object: { a: 1 }) }', '{ echo(acl: { users: [{ userId: "u", read: true, write: true }] }, geo: { latitude: 1, longitude: 2 }) }', '{ echo(filter: { kinds: ROUND, item: { OR: [{ text: { in: ["a"] } }], custom: "x" } }) }',
  `{ page { total items { number } first { ${everything} } when place { latitude longitude } data any bytes } }`, '{ page { list { __typename ... on Element { value } ... on Item { number } } roles { name } owner { username } acl { public { read } } } }', '{ page { connection { count } file { name } } }',
  '{ shape { area kind __typename ... on Circle { radius } ... on Named { name } } }', '{ shape { ... on Circle { area } } }', '{ kind kinds numbers json }', '{ nothing }', '{ hello nothing }', `{ item2 { ${everything} } }`, `{ itemPlain { ${everything.replace('createdAt ', '')} } }`, '{ itemPlain { createdAt } }', '{ itemPlain { ACL { public { read } } } }', `{ itemJson { ${everything} } }`, `{ itemNested { ${everything} } }`, '{ item2 { many { count edges { node { text } } } } }', '{ itemNested { many { count edges { node { number } } } link { link { number } many { count } } } }',
  '{ flag }', '{ id }', '{ int }', '{ intOfFloat }', '{ float }', '{ text }', '{ textOfBoolean }', '{ textOfObject }', '{ listOfOne }', '{ date }', '{ dated }', '{ dated2 }', '{ place { latitude longitude } }', '{ old }',
  'mutation { double(number: 2) }', 'mutation { double(number: 2.5) }', 'mutation { double }', 'mutation { keep(item: { number: 9, text: "x" }) { number text upper } }', 'mutation { createItem(input: { fields: { number: 10 } }) { note item { number text upper secret parents { number } } } }',
  '{ item(id: "{{two}}") { text upper secret number parents(first: 1) { number } } }', '{ item(id: "{{two}}") { upper } }', '{ item(id: "{{two}}") { secret } }', '{ item(id: "{{two}}") { when } }', '{ item(id: "{{three}}") { link { upper text number } many { edges { node { upper number } } } } }', '{ items(order: number_ASC, first: 2) { edges { node { upper number parents { number } } } } }', '{ items(where: { custom: "a" }) { count } }', '{ items(order: custom_ASC) { edges { node { number } } } }', '{ items(where: { text: { equalTo: "two" } }) { edges { node { number text } } } }',
  '{ node(id: "SXRlbTo=") { ... on Item { upper } } }', '{ users { edges { node { greeting(word: "Yo") } } } }', 'fragment F on Found { __typename ... on Item { text } } { hello }', 'fragment F on Shape { area } { shape { ...F } }', 'fragment F on Page { total } { shape { ...F } }',
]) q(query);
q('{ viewer { user { username greeting } } page { owner { username greeting } } }', { as: '{{ann}}' });
q('query Q($filter: Filter) { echo(filter: $filter) }', { variables: { filter: { kinds: ['SQUARE'], inner: { inner: { size: 3 } }, any: { a: 1 } } } });
q('query Q($filter: Filter) { echo(filter: $filter) }', { variables: { filter: { kinds: ['OTHER'] } } });
q('query Q($any: Json) { echo(filter: { any: $any }) }', { variables: { any: [1, { a: null }] } });
q('query Q($first: Int) { itemsOf(first: $first) { number } }');
q('query Q($first: Int) { itemsOf(first: $first) { number } }', { variables: { first: null } });
q('query Q($kinds: [Kind!] = [SQUARE]) { echo(filter: { kinds: $kinds }) }');
const type = name => q(`{ __type(name: "${name}") { kind name description fields(includeDeprecated: true) { name args { name defaultValue type { kind name ofType { kind name } } } isDeprecated deprecationReason type { kind name ofType { kind name ofType { kind name } } } } inputFields { name defaultValue type { kind name ofType { kind name } } } enumValues(includeDeprecated: true) { name isDeprecated deprecationReason } possibleTypes { name } interfaces { name } } }`, { as: 'master' });
for (const name of ['Json', 'Named', 'Shape', 'Circle', 'Found', 'Kind', 'Filter', 'Page', 'Item', 'ItemOrder', 'CreateItemPayload']) type(name);
for (const query of ['{ defaults }', '{ defaults(filter: {}) }', '{ defaults(kinds: SQUARE, id: "x", list: 2) }', 'query Q($filter: Filter = { inner: {} }) { defaults(filter: $filter) }']) q(query);

export default { name: 'types', overrides: { cloud: file('types.cjs'), graphQLSchema: file('types.graphql') }, cases };
