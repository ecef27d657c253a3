// What triggers are told, and rules of classes and of the application: protected fields, limits of pages, policies.
import { fileURLToPath } from 'node:url';

const cases = [];
const q = (id, query, more = {}) => cases.push({ id, query, ...more });
const rest = (id, method, path, body, capture, more) => cases.push({ id, as: 'master', rest: [method, path, body], capture: capture && { [capture]: 'objectId' }, ...more });
const file = name => fileURLToPath(new URL(name, import.meta.url));
const master = { as: 'master' };
const text = { type: 'String' };
const user = { type: 'Pointer', targetClass: '_User' };
const notes = (id, sorted = false) => q(`notes of ${id}`, `mutation { callCloudCode(input: { functionName: notes, params: { sorted: ${sorted} } }) { result } }`, master);

rest('class Noted', 'POST', '/schemas/Noted', { className: 'Noted', fields: { text, number: { type: 'Number' }, link: { type: 'Pointer', targetClass: 'Noted' }, many: { type: 'Relation', targetClass: 'Noted' }, file: { type: 'File' }, list: { type: 'Array' } } });
rest('class Fenced', 'POST', '/schemas/Fenced', { className: 'Fenced', fields: { a: text, b: text, c: text, owner: user, inner: { type: 'Pointer', targetClass: 'Fenced' }, all: { type: 'Relation', targetClass: 'Fenced' } }, classLevelPermissions: { find: { '*': true }, get: { '*': true }, count: { '*': true }, create: { '*': true }, update: { '*': true }, delete: { '*': true }, addField: {}, protectedFields: { '*': ['a', 'b', 'owner'], authenticated: ['a'], 'role:readers': [], 'userField:owner': ['b'] } } });
rest('class Guarded', 'POST', '/schemas/Guarded', { className: 'Guarded', fields: { secret: text, open: text } });
rest('class Closed', 'POST', '/schemas/Closed', { className: 'Closed', fields: { text, reader: user }, classLevelPermissions: { find: {}, get: {}, count: {}, create: { requiresAuthentication: true }, update: {}, delete: {}, addField: {}, readUserFields: ['reader'], writeUserFields: ['reader'] } });
rest('class Counted', 'POST', '/schemas/Counted', { className: 'Counted', fields: { text }, classLevelPermissions: { find: { '*': true }, get: { '*': true }, count: {}, create: { '*': true }, update: {}, delete: {}, addField: {} } });
for (const name of ['user_one', 'user_two', 'reader']) {
  q(`sign up ${name}`, `mutation { signUp(input: { fields: { username: "${name}", password: "secret-of-${name.length}", email: "${name}@Example.org" } }) { viewer { sessionToken user { id objectId username email ACL { public { read write } users { read write } } } } } }`, { capture: { [name]: 'data.signUp.viewer.sessionToken', [`${name}Id`]: 'data.signUp.viewer.user.objectId' } });
}
notes('signing up');
q('a role', 'mutation { createRole(input: { fields: { name: "readers", ACL: { public: { read: true, write: false } }, users: { add: ["{{readerId}}"] } } }) { role { name } } }', master);
const context = { headers: { 'X-Parse-Cloud-Context': '{"key":"value"}', 'X-Custom': 'sent', 'X-Parse-Installation-Id': 'an-installation' }, as: '{{user_one}}' };

// Triggers.
q('create', 'mutation { createNoted(input: { fields: { text: "first", number: 1 } }) { noted { id objectId text number } } }', { ...context, capture: { noted: 'data.createNoted.noted.objectId' } });
notes('creating');
q('create what is changed', 'mutation { createNoted(input: { fields: { text: "changed" } }) { noted { text number } } }', context);
notes('creating what is changed');
q('create what is changed, asking for nothing of it', 'mutation { createNoted(input: { fields: { text: "changed" } }) { noted { createdAt text } } }', context);
notes('creating what is changed, asking for nothing of it');
q('create within', 'mutation { createNoted(input: { fields: { text: "outer", link: { createAndLink: { text: "inner" } }, many: { createAndAdd: [{ text: "one" }] } } }) { noted { text link { text } many { edges { node { text } } } } } }', context);
notes('creating within', true);
q('update', 'mutation { updateNoted(input: { id: "{{noted}}", fields: { text: "second" } }) { noted { text number updatedAt } } }', context);
notes('updating');
q('update to what is changed', 'mutation { updateNoted(input: { id: "{{noted}}", fields: { text: "changed" } }) { noted { text number } } }', context);
notes('updating to what is changed');
q('update to what finds show otherwise', 'mutation { updateNoted(input: { id: "{{noted}}", fields: { text: "shown" } }) { noted { text number } } }', context);
notes('updating to what finds show otherwise');
q('get', '{ noted(id: "{{noted}}") { text link { text } list { ... on Element { value } } } }', context);
notes('getting');
q('get with options', '{ noted(id: "{{noted}}", options: { readPreference: SECONDARY, includeReadPreference: NEAREST }) { text } }', context);
notes('getting with options');
q('find', '{ noteds(where: { text: { exists: true } }, order: [text_ASC, number_DESC], first: 2, skip: 1) { count edges { node { text link { text number } } } pageInfo { hasNextPage } } }', context);
notes('finding');
q('find as master', '{ noteds(order: text_ASC) { edges { node { text } } } }', master);
notes('finding as master');
q('count', '{ noteds { count } }', context);
notes('counting');
q('find the last', '{ noteds(last: 1, order: text_ASC) { edges { node { text } } } }', context);
notes('finding the last');
q('find through a relation', '{ noteds(where: { text: { equalTo: "outer" } }) { edges { node { text many { edges { node { text } } } } } } }', context);
notes('finding through a relation');
q('delete', 'mutation { deleteNoted(input: { id: "{{noted}}" }) { noted { text } } }', context);
notes('deleting');
q('delete what is gone', 'mutation { deleteNoted(input: { id: "{{noted}}" }) { noted { objectId } } }', context);
notes('deleting what is gone');
q('call with context', 'mutation { callCloudCode(input: { functionName: context, params: { a: 1 } }) { result } }', context);
q('call with a broken context', 'mutation { callCloudCode(input: { functionName: context }) { result } }', { headers: { 'X-Parse-Cloud-Context': '{"key"' } });
q('call with a context that is none', 'mutation { callCloudCode(input: { functionName: context }) { result } }', { headers: { 'X-Parse-Cloud-Context': '1' } });
q('log in', 'mutation { logIn(input: { username: "user_two", password: "secret-of-8" }) { viewer { sessionToken user { username email } } } }', { headers: { 'X-Parse-Cloud-Context': '{"key":"value"}' }, capture: { again: 'data.logIn.viewer.sessionToken' } });
notes('logging in');
q('log in, asking for the token', 'mutation { logIn(input: { username: "user_two", password: "secret-of-8" }) { viewer { sessionToken } } }', { headers: context.headers });
notes('logging in, asking for the token');
q('log in, asking for nothing', 'mutation { logIn(input: { username: "user_two", password: "secret-of-8" }) { clientMutationId } }');
notes('logging in, asking for nothing');
q('log in by the address', 'mutation { logIn(input: { username: "user_two@example.org", password: "secret-of-8" }) { viewer { user { username } } } }');
q('log in in capitals', 'mutation { logIn(input: { username: "USER_TWO", password: "secret-of-8" }) { viewer { user { username } } } }');
notes('logging in otherwise');
q('viewer', '{ viewer { sessionToken user { username } } }', { ...context });
notes('viewing');
q('viewer, asking for the token', '{ viewer { sessionToken } }', { ...context });
notes('viewing the token');
q('viewer as master with a session', '{ viewer { user { username email } } }', { as: 'master', headers: { 'X-Parse-Session-Token': '{{user_one}}' } });
q('viewer as master', '{ viewer { user { username } } }', master);
notes('viewing as master');
q('users', '{ users(order: username_ASC) { edges { node { username email } } } }', { as: '{{user_one}}' });
notes('finding users');
q('log out', 'mutation { logOut(input: {}) { ok } }', { as: '{{again}}' });
notes('logging out');
q('sign up refused', 'mutation { signUp(input: { fields: { username: "refused", password: "password" } }) { viewer { sessionToken } } }');
q('sign up with a short password', 'mutation { signUp(input: { fields: { username: "short", password: "abc" } }) { viewer { sessionToken } } }');
q('sign up with the name as password', 'mutation { signUp(input: { fields: { username: "namename", password: "namename" } }) { viewer { sessionToken } } }');
q('sign up in other capitals', 'mutation { signUp(input: { fields: { username: "User_One", password: "password" } }) { viewer { sessionToken } } }');
q('sign up with an address in use', 'mutation { signUp(input: { fields: { username: "other", password: "password", email: "USER_one@example.org" } }) { viewer { sessionToken } } }');
q('sign up with an address that is none', 'mutation { signUp(input: { fields: { username: "other", password: "password", email: "nothing" } }) { viewer { sessionToken } } }');
notes('signing up otherwise');
const form = (id, operations, map, files, more = {}) => cases.push({ id, form: [operations, map, files], ...more });
const upload = 'mutation U($f: Upload!) { createFile(input: { upload: $f }) { fileInfo { name url } } }';
form('upload', { query: upload, variables: { f: null } }, { 0: ['variables.f'] }, { 0: ['hello.txt', 'text/plain', 'hello'] }, context);
notes('uploading');
form('upload refused', { query: upload, variables: { f: null } }, { 0: ['variables.f'] }, { 0: ['refused.txt', 'text/plain', 'hello'] }, context);
notes('uploading what is refused');
form('upload within', { query: 'mutation C($f: Upload!) { createNoted(input: { fields: { text: "with a file", file: { upload: $f } } }) { noted { file { name } } } }', variables: { f: null } }, { 0: ['variables.f'] }, { 0: ['within.txt', 'text/plain', 'hello'] }, context);
notes('uploading within');
q('config', 'mutation { updateCloudConfig(input: { paramName: "a", value: "1" }) { cloudConfig { value isMasterKeyOnly } } }', { as: 'master', headers: context.headers });
notes('changing the configuration');
q('config refused', 'mutation { updateCloudConfig(input: { paramName: "refused", value: "1" }) { cloudConfig { value } } }', master);
q('config again', 'mutation { updateCloudConfig(input: { paramName: "b", value: "2" }) { cloudConfig { value isMasterKeyOnly } } }', master);
q('config both', '{ a: cloudConfig(paramName: "a") { value isMasterKeyOnly } b: cloudConfig(paramName: "b") { value isMasterKeyOnly } r: cloudConfig(paramName: "refused") { value } }', master);
q('config read-only', '{ a: cloudConfig(paramName: "a") { value isMasterKeyOnly } }', { as: 'readonly' });

// Protected fields and permissions, in the words that come unsanitized.
rest('fenced 1', 'POST', '/classes/Fenced', { a: '1a', b: '1b', c: '1c', owner: { __type: 'Pointer', className: '_User', objectId: '{{user_oneId}}' } }, 'fenced1');
rest('fenced 2', 'POST', '/classes/Fenced', { a: '2a', b: '2b', c: '2c', inner: { __type: 'Pointer', className: 'Fenced', objectId: '{{fenced1}}' }, all: { __op: 'AddRelation', objects: [{ __type: 'Pointer', className: 'Fenced', objectId: '{{fenced1}}' }] } }, 'fenced2');
rest('guarded', 'POST', '/classes/Guarded', { secret: 's', open: 'o' }, 'guarded');
rest('closed', 'POST', '/classes/Closed', { text: 'x', reader: { __type: 'Pointer', className: '_User', objectId: '{{user_oneId}}' } }, 'closed');
rest('counted', 'POST', '/classes/Counted', { text: 'x' }, 'counted');
for (const as of ['client', '{{user_one}}', '{{user_two}}', '{{reader}}', 'master', 'readonly']) {
  const who = { as };
  q(`${as} gets fenced`, '{ one: fenced(id: "{{fenced1}}") { a b c owner { username } } two: fenced(id: "{{fenced2}}") { a b c inner { a b c owner { username } } all { edges { node { a b c } } } } }', who);
  q(`${as} finds fenced`, '{ fenceds(where: { c: { exists: true } }, order: c_ASC) { count edges { node { a b c owner { username } inner { a b c } } } } }', who);
  q(`${as} finds by what is hidden`, '{ fenceds(where: { a: { equalTo: "1a" } }) { count } }', who);
  q(`${as} orders by what is hidden`, '{ fenceds(order: b_ASC) { edges { node { c } } } }', who);
  q(`${as} updates fenced`, 'mutation { updateFenced(input: { id: "{{fenced1}}", fields: { c: "1c" } }) { fenced { a b c owner { username } } } }', who);
  q(`${as} creates fenced`, 'mutation { createFenced(input: { fields: { a: "a", b: "b", c: "c" } }) { fenced { objectId a b c } } }', who);
  q(`${as} updates what is hidden`, 'mutation { updateFenced(input: { id: "{{fenced2}}", fields: { a: "2a" } }) { fenced { a } } }', who);
  q(`${as} gets guarded`, '{ guarded(id: "{{guarded}}") { secret open } }', who);
  q(`${as} updates guarded`, 'mutation { updateGuarded(input: { id: "{{guarded}}", fields: { secret: "s" } }) { guarded { secret open } } }', who);
  q(`${as} finds closed`, '{ closeds(where: { text: { exists: true } }) { count edges { node { text } } } }', who);
  q(`${as} gets closed`, '{ closed(id: "{{closed}}") { text reader { username } } }', who);
  q(`${as} updates closed`, 'mutation { updateClosed(input: { id: "{{closed}}", fields: { text: "x" } }) { closed { text } } }', who);
  q(`${as} creates closed`, 'mutation { createClosed(input: { fields: { text: "new" } }) { closed { text } } }', who);
  q(`${as} counts`, '{ counteds(where: { text: { exists: true } }) { count } }', who);
  q(`${as} finds what may not be counted`, '{ counteds { edges { node { text } } } }', who);
  q(`${as} asks whether there is more`, '{ counteds(where: { text: { exists: true } }) { edges { node { text } } pageInfo { hasNextPage } } }', who);
  q(`${as} looks at the last`, '{ counteds(where: { text: { exists: true } }, last: 1) { edges { node { text } } } }', who);
  q(`${as} updates another user`, 'mutation { updateUser(input: { id: "{{user_twoId}}", fields: { email: "user_two@example.org" } }) { user { username email } } }', who);
  q(`${as} makes a class`, `mutation { createClass(input: { name: "By${as.length}" }) { class { name } } }`, who);
  q(`${as} removes a class`, 'mutation { deleteClass(input: { name: "Counted" }) { class { name } } }', as === 'master' ? { as: 'client' } : who);
}

// Pages where there is a most.
for (let n = 0; n < 8; n += 1) rest(`page object ${n}`, 'POST', '/classes/Guarded', { open: `p${n}` });
const page = args => q(`page ${args}`, `{ guardeds(where: { open: { matchesRegex: "^p" } }, order: open_ASC${args && `, ${args}`}) { count edges { cursor node { open } } pageInfo { startCursor endCursor hasPreviousPage hasNextPage } } }`);
const cursor = n => `"${Buffer.from(`arrayconnection:${n}`).toString('base64')}"`;
for (const args of ['', 'first: 3', 'first: 5', 'first: 7', 'first: 100', 'skip: 2', 'skip: 6', 'last: 2', 'last: 5', 'last: 7', 'last: 7, skip: 2', `before: ${cursor(7)}`, `before: ${cursor(7)}, last: 2`, `after: ${cursor(1)}`, `after: ${cursor(4)}, first: 100`, 'first: 7, last: 6', 'first: 7, last: 2', 'first: 0', 'last: 0']) page(args);

export default { name: 'rules', config: 'strict', overrides: { objectIdSize: 10, requestComplexity: { graphQLDepth: -1, graphQLFields: -1 }, cloud: file('rules.cjs'), filesAdapter: { module: '@parse/fs-files-adapter', options: { filesSubDirectory: 'contract' } }, accountLockout: undefined }, cases };
