// Cloud functions and triggers from the GraphQL API, and a schema of the application's own.
import { fileURLToPath } from 'node:url';

const cases = [];
const q = (id, query, more = {}) => cases.push({ id, query, ...more });
const file = name => fileURLToPath(new URL(name, import.meta.url));
const rest = (id, method, path, body, capture) => cases.push({ id, as: 'master', rest: [method, path, body], capture: capture && { [capture]: 'objectId' } });
const text = { type: 'String' };
for (const name of ['Thing', 'Watched', 'Closed']) rest(`class ${name}`, 'POST', `/schemas/${name}`, { className: name, fields: { text, open: { type: 'Boolean' }, link: { type: 'Pointer', targetClass: 'Watched' }, many: { type: 'Relation', targetClass: 'Watched' } } });
rest('kept', 'POST', '/classes/Thing', { text: 'kept' }, 'kept');
rest('watched 1', 'POST', '/classes/Watched', { text: 'open', open: true }, 'open');
rest('watched 2', 'POST', '/classes/Watched', { text: 'shut', open: false }, 'shut');
rest('closed', 'POST', '/classes/Closed', { text: 'x' }, 'closed');
q('sign up', 'mutation { signUp(input: { fields: { username: "ann", password: "pw" } }) { viewer { sessionToken } } }', { capture: { ann: 'data.signUp.viewer.sessionToken' } });

const call = (id, name, params, more) => q(`call ${id}`, `mutation { callCloudCode(input: { functionName: ${name}${params === undefined ? '' : `, params: ${params}`}, clientMutationId: "m" }) { clientMutationId result } }`, more);
call('hello', 'hello'); call('echo', 'echo', '{ a: 1, b: [true, null], c: { d: "x" } }'); call('echo nothing', 'echo'); call('echo null', 'echo', 'null');
call('who', 'who', undefined, { as: '{{ann}}' }); call('who as nobody', 'who'); call('who as master', 'who', undefined, { as: 'master' });
for (const name of ['fails', 'coded', 'texts', 'nothing', '_under', 'validated', 'forUsers', 'saved', 'list', 'unknown']) call(name, name);
call('validated well', 'validated', '{ a: "x" }'); call('validated badly', 'validated', '{ a: 1 }'); call('a number', '1'); call('a text', '"hello"'); call('params of a text', 'echo', '"x"'); call('params of a list', 'echo', '[1]');
q('call with types', 'mutation C($params: Object) { callCloudCode(input: { functionName: types, params: $params }) { result } }', { variables: { params: { date: { __type: 'Date', iso: '2020-01-01T00:00:00.000Z' }, pointer: { __type: 'Pointer', className: 'Thing', objectId: '{{kept}}' }, geo: { __type: 'GeoPoint', latitude: 1, longitude: 2 }, list: [1, 'a', { __type: 'Date', iso: '2020-01-01T00:00:00.000Z' }], nothing: null, text: 'x', number: 1.5, flag: true, object: { a: 1 } } } });
q('call by a variable', 'mutation C($name: CloudCodeFunction!) { callCloudCode(input: { functionName: $name }) { result } }', { variables: { name: 'hello' } });
q('call by a wrong variable', 'mutation C($name: CloudCodeFunction!) { callCloudCode(input: { functionName: $name }) { result } }', { variables: { name: 'helo' } });
q('call by a wrong variable as master', 'mutation C($name: CloudCodeFunction!) { callCloudCode(input: { functionName: $name }) { result } }', { variables: { name: 'helo' }, as: 'master' });
q('the functions', '{ __type(name: "CloudCodeFunction") { kind enumValues { name } } }', { as: 'master' });

const create = (id, value, more) => q(`create ${id}`, `mutation { createThing(input: { fields: { text: "${value}" } }) { thing { text } } }`, more);
create('refused', 'refused'); create('broken', 'broken'); create('changed', 'changed'); create('well', 'well');
q('create within a refused', 'mutation { createThing(input: { fields: { text: "refused", link: { createAndLink: { text: "made" } } } }) { thing { text } } }');
q('delete refused', 'mutation { deleteThing(input: { id: "{{kept}}" }) { thing { text } } }');
q('delete refused as master', 'mutation { deleteThing(input: { id: "{{kept}}" }) { thing { text } } }', { as: 'master' });
q('update refused', 'mutation { updateThing(input: { id: "{{kept}}", fields: { text: "refused" } }) { thing { text } } }');
for (const as of ['client', 'master']) {
  q(`watched find as ${as}`, '{ watcheds(order: text_ASC) { count edges { node { text open } } } }', { as });
  q(`watched get as ${as}`, '{ a: watched(id: "{{open}}") { text } b: watched(id: "{{shut}}") { text } }', { as });
  q(`closed as ${as}`, '{ closeds { count } }', { as }); q(`closed get as ${as}`, '{ closed(id: "{{closed}}") { text } }', { as });
}
q('relation to watched', 'mutation { createThing(input: { fields: { text: "r", many: { add: ["{{open}}", "{{shut}}"] }, link: { link: "{{open}}" } } }) { thing { text link { text } many(order: text_ASC) { edges { node { text } } } } } }');
q('banned signs up', 'mutation { signUp(input: { fields: { username: "banned", password: "pw" } }) { viewer { user { username } } } }');
q('banned logs in', 'mutation { logIn(input: { username: "banned", password: "pw" }) { viewer { sessionToken } } }');

for (const query of [
  '{ hello }', '{ a: hello b: hello }', '{ loud(text: "abc") }', '{ loud }', '{ number }', '{ wrong }', '{ missing }', '{ failing }', '{ failingWithCode }', '{ echo(input: { text: "x" }, colour: GREEN) }', '{ echo(input: {}) }', '{ echo(input: { text: "x", times: null }) }',
  '{ mocked { name nested { name note count } note count } }', '{ mockedText mockedList }', '{ getThing(id: "{{kept}}") { text objectId textShouted colour __typename } }', '{ getThing(id: "nothing123") { text } }', '{ kept { text id objectId createdAt textShouted } }', '{ plain }',
  '{ thing(id: "{{kept}}") { text textShouted colour } }', '{ things(where: { text: { equalTo: "kept" } }) { edges { node { text textShouted colour } } } }', 'mutation { sayLoud(text: "abc") }', 'mutation { a: sayLoud(text: "a") b: sayLoud }', '{ hello(a: 1) }', '{ extra { name } }',
]) q(`own ${query}`, query);
q('own echo by variables', 'query Q($input: ExtraInput!, $colour: Colour) { echo(input: $input, colour: $colour) }', { variables: { input: { text: 'v' }, colour: 'RED' } });
q('own echo by wrong variables', 'query Q($input: ExtraInput!, $colour: Colour) { echo(input: $input, colour: $colour) }', { variables: { input: { text: 1 }, colour: 'BLUE' } });
q('own types', '{ __type(name: "Extra") { kind fields { name type { kind name ofType { name } } } } }', { as: 'master' });
q('own roots', '{ __schema { directives { name locations args { name } } } a: __type(name: "Mutation") { fields { name } } b: __type(name: "Thing") { interfaces { name } fields { name } } c: __type(name: "Colour") { enumValues { name } } }', { as: 'master' });

// A provider with a second step.
const viewer = '{ viewer { sessionToken user { username authDataResponse } } }';
q('challenge', 'mutation { challenge(input: { username: "ann", password: "pw", challengeData: { second: { a: 1 } } }) { challengeData } }');
q('challenge without a user', 'mutation { challenge(input: { challengeData: { second: { a: 1 } }, clientMutationId: "c" }) { challengeData clientMutationId } }');
q('challenge of two', 'mutation { challenge(input: { challengeData: { second: { a: 1 }, other: true } }) { challengeData } }');
q('sign up with a second step', `mutation { signUp(input: { fields: { username: "two", password: "pw", authData: { second: { id: "good" } } } }) ${viewer} }`, { capture: { two: 'data.signUp.viewer.sessionToken' } });
q('sign up with a bad second step', `mutation { signUp(input: { fields: { username: "bad", password: "pw", authData: { second: { id: "bad" } } } }) ${viewer} }`);
q('log in without the second step', `mutation { logIn(input: { username: "two", password: "pw" }) ${viewer} }`);
q('log in with a bad second step', `mutation { logIn(input: { username: "two", password: "pw", authData: { second: { code: "no" } } }) ${viewer} }`);
q('log in with the second step', `mutation { logIn(input: { username: "two", password: "pw", authData: { second: { id: "good", code: "secret" } } }) ${viewer} }`);
q('log in with the second step alone', `mutation { logInWith(input: { authData: { second: { id: "good", code: "secret" } } }) ${viewer} }`);
q('challenge of a known user', 'mutation { challenge(input: { username: "two", password: "pw", challengeData: { second: {} } }) { challengeData } }');
q('own auth data', '{ viewer { user { username authData authDataResponse } } }', { as: '{{two}}' });
q('change it', 'mutation { updateUser(input: { id: "x", fields: { authData: { second: { id: "good" } } } }) { user { username } } }', { as: '{{two}}' });

export default { name: 'custom', overrides: { auth: { second: { module: file('auth.cjs') }, anonymous: {} }, cloud: file('cloud.cjs'), graphQLSchema: file('custom.graphql') }, cases };
