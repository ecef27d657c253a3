// Tools' own introspection, typed values inside lists and objects, required fields, installations and sessions, objects
// that change while a document runs.
import { getIntrospectionQuery } from 'graphql';

const cases = [];
const q = (id, query, more = {}) => cases.push({ id, query, ...more });
const rest = (id, method, path, body, capture) => cases.push({ id, as: 'master', rest: [method, path, body], capture: capture && { [capture]: 'objectId' } });
const master = { as: 'master' };
const field = (type, more = {}) => ({ type, ...more });
const pointer = (className, id) => ({ __type: 'Pointer', className, objectId: id });
const typed = { date: { __type: 'Date', iso: '2020-01-02T03:04:05.678Z' }, point: { __type: 'GeoPoint', latitude: 1, longitude: 2 }, file: { __type: 'File', name: 'a.txt', url: 'http://example.org/a.txt' }, bytes: { __type: 'Bytes', base64: 'aGk=' }, area: { __type: 'Polygon', coordinates: [[0, 0], [0, 1], [1, 1], [0, 0]] } };

rest('class Part', 'POST', '/schemas/Part', { className: 'Part', fields: { name: field('String'), size: field('Number') } });
rest('class Thing', 'POST', '/schemas/Thing', { className: 'Thing', fields: {
  text: field('String'), list: field('Array'), object: field('Object'), id: field('String'), type: field('String'), input: field('String'), fields: field('Object'), first: field('Number'), where: field('String'), where_ASC: field('String'), AND: field('String'), options: field('Array'),
  part: field('Pointer', { targetClass: 'Part' }), parts: field('Relation', { targetClass: 'Part' }), user: field('Pointer', { targetClass: '_User' }), role: field('Pointer', { targetClass: '_Role' }), installation: field('Pointer', { targetClass: '_Installation' }), session: field('Pointer', { targetClass: '_Session' }), missing: field('Pointer', { targetClass: 'Missing' }), missings: field('Relation', { targetClass: 'Missing' }), number: field('Number'),
} });
rest('class Strict', 'POST', '/schemas/Strict', { className: 'Strict', fields: { text: field('String', { required: true }), number: field('Number', { required: true }), flag: field('Boolean', { required: true, defaultValue: true }), date: field('Date', { required: true }), part: field('Pointer', { targetClass: 'Part', required: true }), list: field('Array', { required: true }), object: field('Object', { required: true }), point: field('GeoPoint', { required: true }), file: field('File', { required: true }), bytes: field('Bytes'), area: field('Polygon', { required: true }) } });
rest('part 1', 'POST', '/classes/Part', { name: 'p1', size: 1 }, 'part1');
rest('part 2', 'POST', '/classes/Part', { name: 'p2', size: 2 }, 'part2');
rest('typed', 'POST', '/classes/Thing', { text: 'typed', list: [...Object.values(typed), null, [1, [2]], { a: typed.date, b: [pointer('Part', '{{part1}}')] }, pointer('Part', '{{part2}}'), pointer('Missing', 'nothing123'), pointer('Part', 'nothing123'), true, 1.5, ''], object: { ...typed, part: pointer('Part', '{{part1}}'), deep: { list: [typed.date, null] } }, id: 'own', type: 't', fields: { a: 1 }, options: [], part: pointer('Part', '{{part1}}'), number: 9007199254740991 }, 'typed');
rest('a role', 'POST', '/roles', { name: 'r', ACL: { '*': { read: true } } }, 'role');
rest('an installation', 'POST', '/installations', { deviceType: 'ios', installationId: 'abc', channels: ['a', 'b'], badge: 3 }, 'installation');
q('sign up', 'mutation { signUp(input: { fields: { username: "ann", password: "pw", email: "ann@example.org" } }) { viewer { sessionToken user { objectId } } } }', { capture: { ann: 'data.signUp.viewer.sessionToken', annId: 'data.signUp.viewer.user.objectId' } });
rest('pointing', 'POST', '/classes/Thing', { text: 'pointing', user: pointer('_User', '{{annId}}'), role: pointer('_Role', '{{role}}'), installation: pointer('_Installation', '{{installation}}'), missing: pointer('Missing', 'nothing123'), parts: { __op: 'AddRelation', objects: [pointer('Part', '{{part1}}'), pointer('Part', '{{part2}}')] } }, 'pointing');

// What tools ask.
for (const options of [{}, { specifiedByUrl: true }, { inputValueDeprecation: true }, { schemaDescription: true }, { directiveIsRepeatable: true }, { descriptions: false }, { oneOf: true }, { specifiedByUrl: true, directiveIsRepeatable: true, schemaDescription: true, inputValueDeprecation: true, oneOf: true }]) q(`introspection ${JSON.stringify(options)}`, getIntrospectionQuery(options), { ...master, view: 'status' });
q('the schema itself', '{ __schema { description queryType { name kind } mutationType { name } subscriptionType { name } directives { name isRepeatable locations args(includeDeprecated: true) { name defaultValue isDeprecated deprecationReason } } } }', master);
q('scalars', '{ a: __type(name: "Date") { kind specifiedByURL description } b: __type(name: "Upload") { kind specifiedByURL } c: __type(name: "EveryThing") { name } d: __type(name: "ID") { kind description } }', master);
q('fields of a type', '{ __type(name: "Thing") { fields { name args { name } type { kind name ofType { kind name } } } } w: __type(name: "ThingWhereInput") { inputFields { name type { kind name } } } o: __type(name: "ThingOrder") { enumValues { name } } c: __type(name: "CreateStrictFieldsInput") { inputFields { name type { kind name ofType { kind name } } } } u: __type(name: "UpdateStrictFieldsInput") { inputFields { name type { kind name ofType { kind name } } } } s: __type(name: "Strict") { fields { name type { kind name ofType { kind name } } } } }', master);
q('introspection by a variable', 'query Q($name: String!) { __type(name: $name) { name kind } }', { ...master, variables: { name: 'Thing' } });
q('typenames everywhere', '{ __typename thing(id: "{{typed}}") { __typename part { __typename name } ACL { __typename public { __typename } } } things(first: 1) { __typename edges { __typename node { __typename } } pageInfo { __typename } } }');

// Values inside of others.
q('typed values of a list', '{ thing(id: "{{typed}}") { list { __typename ... on Element { value } ... on Part { name size } } } }', { view: 'sorted' });
q('typed values of an object', '{ thing(id: "{{typed}}") { object fields options { ... on Element { value } } number type id } }');
q('a field called id', '{ things(where: { id: { equalTo: "{{typed}}" } }) { edges { node { text } } } }');
q('fields called as arguments', '{ things(where: { type: { equalTo: "t" }, AND: [{ text: { exists: true } }] }, order: [where_ASC, type_DESC, first_ASC]) { edges { node { text type } } } }');
q('by a key of an object', '{ things(where: { object: { equalTo: { key: "deep.list", value: 1 } } }) { count } }', { view: 'status' });
q('by two keys of an object', '{ things(where: { fields: { greaterThan: { key: "a", value: 0 }, lessThan: { key: "a", value: 2 } } }) { edges { node { text } } } }');
q('by two fields of objects', '{ things(where: { fields: { equalTo: { key: "a", value: 1 } }, object: { exists: true } }) { edges { node { text } } } }');
q('by an object wholly', '{ things(where: { fields: { equalTo: { a: 1 } } }) { edges { node { text } } } }');
q('pointers to the server\'s own classes', '{ thing(id: "{{pointing}}") { user { username email } role { name } installation { deviceType } session { sessionToken } missing } }');
q('pointers to the server\'s own classes, as master', '{ thing(id: "{{pointing}}") { user { username email } role { name } installation { deviceType badge channels { ... on Element { value } } } missing } }', master);
q('a relation to no class', '{ thing(id: "{{pointing}}") { missings { count } } }');
q('a relation to no class, without a selection', '{ thing(id: "{{typed}}") { text missings } }');
q('relations of a pointer', '{ things(where: { parts: { have: { size: { greaterThan: 1 } } } }) { edges { node { parts(order: [size_DESC], where: { name: { matchesRegex: "^p" } }) { count edges { node { name } cursor } pageInfo { hasNextPage } } } } } }');
q('relations with a number too many', '{ thing(id: "{{pointing}}") { parts(first: 1, skip: 1, order: size_ASC) { count edges { node { name } } pageInfo { startCursor endCursor hasNextPage hasPreviousPage } } } }');
q('relations in aliases', '{ thing(id: "{{pointing}}") { a: parts(where: { size: { equalTo: 1 } }) { edges { node { name } } } b: parts(where: { size: { equalTo: 2 } }) { edges { node { name } } } } }');
q('relations that go wrong', '{ thing(id: "{{pointing}}") { text parts(first: -1) { count } } }');
q('installations', '{ installations(order: deviceType_ASC) { edges { node { deviceType installationId channels { ... on Element { value } } badge } } } }', master);
q('installation of a client', '{ installation(id: "{{installation}}") { deviceType installationId deviceToken } }');
q('update an installation', 'mutation { updateInstallation(input: { id: "{{installation}}", fields: { channels: ["c"], badge: 0, deviceToken: "token" } }) { installation { channels { ... on Element { value } } badge deviceToken } } }');
q('remove an installation', 'mutation { deleteInstallation(input: { id: "{{installation}}" }) { installation { objectId } } }');
q('own sessions', '{ sessions { count edges { node { id sessionToken createdWith restricted expiresAt installationId user { username } } } } }', { as: '{{ann}}', view: 'status' });
q('create a session', 'mutation { createSession(input: { fields: {} }) { session { sessionToken user { username } restricted createdWith } } }', { as: '{{ann}}' });
q('update a session', 'mutation { updateSession(input: { id: "nothing123", fields: { restricted: true } }) { session { restricted } } }', { as: '{{ann}}' });

// Fields that have to be there.
const point = '{ latitude: 1, longitude: 2 }';
const all = { text: '"a"', number: '1', date: '"2020-01-01T00:00:00.000Z"', part: '{ link: "{{part1}}" }', list: '[1]', object: '{ a: 1 }', point, file: '{ file: "a.txt" }', area: `[${point}, { latitude: 2, longitude: 2 }, { latitude: 2, longitude: 3 }]`, flag: 'false' };
const strict = fields => Object.entries(fields).map(([name, value]) => `${name}: ${value}`).join(', ');
q('strict with everything', `mutation { createStrict(input: { fields: { ${strict(all)} } }) { strict { objectId text number flag date part { name } list { ... on Element { value } } object point { latitude } file { name } area { latitude } bytes } } }`, { capture: { strict: 'data.createStrict.strict.objectId' } });
for (const name of Object.keys(all)) {
  const { [name]: left, ...others } = all;
  q(`strict without ${name}`, `mutation { createStrict(input: { fields: { ${strict(others)} } }) { strict { text } } }`);
  q(`strict with ${name} null`, `mutation { createStrict(input: { fields: { ${strict({ ...all, [name]: 'null' })} } }) { strict { text } } }`);
  q(`strict loses ${name}`, `mutation { updateStrict(input: { id: "{{strict}}", fields: { ${name}: null } }) { strict { text } } }`);
}
for (const [name, value] of Object.entries({ text: '""', list: '[]', object: '{}', number: '0', file: '{}', part: '{ link: "" }', part2: '{}' })) q(`strict with an empty ${name}`, `mutation { createStrict(input: { fields: { ${strict({ ...all, [name.replace('2', '')]: value })} } }) { strict { text } } }`);
q('strict by a variable', 'mutation M($fields: CreateStrictFieldsInput!) { createStrict(input: { fields: $fields }) { strict { text } } }', { variables: { fields: { text: 'a' } } });
q('strict read without fields', '{ strict(id: "{{strict}}") { createdAt } stricts { edges { node { flag } } } }');

// One document, several steps.
q('steps in order', 'mutation { a: createThing(input: { fields: { text: "step" } }) { thing { text } } b: createThing(input: { fields: { text: "step", number: 1 } }) { thing { number } } c: updateThing(input: { id: "{{typed}}", fields: { number: 1 } }) { thing { number } } d: updateThing(input: { id: "{{typed}}", fields: { number: 2 } }) { thing { number text } } }');
q('a class while it runs', 'mutation { a: createClass(input: { name: "Later", schemaFields: { addStrings: [{ name: "s" }] } }) { class { name } } b: deleteClass(input: { name: "Later" }) { class { name schemaFields { name } } } c: createClass(input: { name: "Later" }) { class { schemaFields { name } } } }', master);
q('classes', '{ classes { name } }', { ...master, view: 'status' });
q('unset and set', 'mutation { a: updateThing(input: { id: "{{typed}}", fields: { text: null } }) { thing { text } } b: updateThing(input: { id: "{{typed}}", fields: { text: "again" } }) { thing { text } } }');
q('a pointer to itself', 'mutation { updateThing(input: { id: "{{pointing}}", fields: { part: { createAndLink: { name: "p3", size: 3 } }, parts: { remove: ["{{part1}}"], createAndAdd: [{ name: "p4" }] } } }) { thing { part { name size } parts(order: name_ASC) { edges { node { name } } } } } }');
q('objects of a class without fields', 'mutation { createLater(input: {}) { later { objectId } } }');
q('delete with a pointer', 'mutation { deleteThing(input: { id: "{{pointing}}" }) { thing { text part { name } user { username } } } }');
q('delete with a relation', 'mutation { deleteThing(input: { id: "{{typed}}" }) { thing { text parts { count } } } }');

export default { name: 'more', cases };
