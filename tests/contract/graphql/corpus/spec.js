// Everyday use in many small steps: users and what they may see, pages, nested writes, installations, roles, sessions.

const cases = [];
const q = (id, query, more = {}) => cases.push({ id, query, ...more });
const rest = (id, method, path, body, capture) => cases.push({ id, as: 'master', rest: [method, path, body], capture: capture && { [capture]: 'objectId' } });
const master = { as: 'master' };

q('make classes', `mutation { a: createClass(input: { name: "SomeClass", schemaFields: { addStrings: [{ name: "someField" }, { name: "pass" }], addNumbers: [{ name: "numberField" }], addPointers: [{ name: "pointerToUser", targetClassName: "_User" }], addRelations: [{ name: "relation", targetClassName: "SomeClass" }], addArrays: [{ name: "arrayField" }], addObjects: [{ name: "objectField" }] } }) { class { name } } }`, { ...master, view: 'status' });
q('make a protected class', 'mutation { createClass(input: { name: "GraphQLClass", schemaFields: { addStrings: [{ name: "someField" }], addPointers: [{ name: "pointerToUser", targetClassName: "_User" }] } }) { clientMutationId class { name } } }', master);
rest('level permissions', 'PUT', '/schemas/GraphQLClass', { classLevelPermissions: { create: { 'role:role': true, '*': false }, get: { 'role:role': true, '*': false }, find: { requiresAuthentication: true }, count: { requiresAuthentication: true }, update: { pointerFields: ['pointerToUser'] }, delete: {}, addField: {} } });
for (const name of ['user1', 'user2', 'user3', 'user4', 'user5']) {
  q(`sign up ${name}`, `mutation { signUp(input: { fields: { username: "${name}", password: "${name}" } }) { viewer { sessionToken user { id objectId } } } }`, { capture: { [name]: 'data.signUp.viewer.sessionToken', [`${name}Id`]: 'data.signUp.viewer.user.objectId', [`${name}Gid`]: 'data.signUp.viewer.user.id' } });
}
q('create a role', 'mutation { createRole(input: { fields: { name: "role", ACL: { public: { read: true } }, users: { add: ["{{user2Id}}", "{{user4Gid}}"] } } }) { role { id name users(order: username_ASC) { count edges { node { username } } } } } }', { ...master, capture: { roleGid: 'data.createRole.role.id' } });
q('create a role without a name', 'mutation { createRole(input: { fields: { ACL: { public: { read: true } } } }) { role { name } } }', master);
q('create a role within a role', 'mutation { createRole(input: { fields: { name: "outer", ACL: { public: { read: true, write: true } }, roles: { createAndAdd: [{ name: "inner", ACL: { public: { read: true } } }] } } }) { role { name roles { edges { node { name } } } } } }', master);
q('roles by users', '{ roles(where: { users: { have: { username: { equalTo: "user2" } } } }) { edges { node { name } } } }');
q('users by roles', '{ users(where: { username: { in: ["user1", "user2"] } }, order: username_ASC) { edges { node { username } } } }', master);
const access = { 1: '{ users: [{ userId: "{{user1Id}}", read: true, write: true }] }', 2: '{ roles: [{ roleName: "role", read: true, write: true }] }', 3: '{ public: { read: true, write: false } }' };
for (const [n, acl] of Object.entries(access)) {
  q(`object ${n}`, `mutation { createSomeClass(input: { fields: { someField: "value${n}", numberField: ${n}, ACL: ${acl}, pointerToUser: { link: "{{user${n}Id}}" } } }) { someClass { id objectId } } }`, { ...master, capture: { [`object${n}`]: 'data.createSomeClass.someClass.objectId', [`gid${n}`]: 'data.createSomeClass.someClass.id' } });
  q(`guarded ${n}`, `mutation { createGraphQLClass(input: { fields: { someField: "guarded${n}", ACL: { public: { read: true, write: true } }, pointerToUser: { link: "{{user${n}Gid}}" } } }) { graphQLClass { objectId } } }`, { ...master, capture: { [`guarded${n}`]: 'data.createGraphQLClass.graphQLClass.objectId' } });
}
for (const who of ['client', '{{user1}}', '{{user2}}', '{{user5}}', 'master', 'readonly']) {
  const as = { as: who };
  for (const n of [1, 2, 3]) {
    q(`${who} gets ${n}`, `{ someClass(id: "{{object${n}}}") { someField createdAt pointerToUser { username objectId } } }`, as);
    q(`${who} gets guarded ${n}`, `{ graphQLClass(id: "{{guarded${n}}}") { someField } }`, as);
    q(`${who} updates ${n}`, `mutation { updateSomeClass(input: { id: "{{object${n}}}", fields: { pass: "by ${who.length}" } }) { someClass { someField updatedAt } } }`, as);
    q(`${who} updates guarded ${n}`, `mutation { updateGraphQLClass(input: { id: "{{guarded${n}}}", fields: { someField: "guarded${n}" } }) { graphQLClass { someField } } }`, as);
  }
  q(`${who} finds`, '{ someClasses(order: someField_ASC) { count edges { node { someField pointerToUser { username } } } } }', as);
  q(`${who} finds guarded`, '{ graphQLClasses(order: someField_ASC) { count edges { node { someField } } } }', as);
  q(`${who} creates guarded`, 'mutation { createGraphQLClass(input: { fields: { someField: "new" } }) { graphQLClass { someField } } }', as);
  q(`${who} deletes guarded`, 'mutation { deleteGraphQLClass(input: { id: "{{guarded1}}" }) { graphQLClass { objectId } } }', who === 'master' ? { as: 'client' } : as);
  q(`${who} sees users`, '{ users(order: username_ASC, where: { username: { notEqualTo: "late" } }) { count edges { node { username email emailVerified authData } } } }', as);
  q(`${who} sees sessions`, '{ sessions(order: createdAt_ASC) { count edges { node { user { username } restricted } } } }', as);
  q(`${who} is the viewer`, '{ viewer { sessionToken user { id objectId username } } }', as);
  q(`${who} sees roles`, '{ roles(order: name_ASC) { count edges { node { name } } } }', as);
  q(`${who} sees installations`, '{ installations { count } }', as);
}
for (const item of cases) if (/^(readonly|client|\{\{user5\}\}) /.test(item.id) && / sees users/.test(item.id)) item.view = item.view ?? undefined;

// Nodes by global ids.
q('node', '{ node(id: "{{gid3}}") { id ... on SomeClass { objectId someField } __typename } }');
q('node of two types', '{ a: node(id: "{{gid3}}") { ... on SomeClass { someField } ... on User { username } } b: node(id: "{{user1Gid}}") { ... on SomeClass { someField } ... on User { username } } }', { as: '{{user1}}' });
q('node with an object id', '{ node(id: "{{object3}}") { id } }');
q('node hidden', '{ node(id: "{{gid1}}") { id ... on SomeClass { someField } } }');
q('node as a parse object', '{ node(id: "{{gid3}}") { ... on ParseObject { objectId createdAt ACL { public { read } } } } }');
q('node of nothing', '{ node(id: "") { id } }');
q('node of a class that is none', `{ node(id: "${Buffer.from('Nothing:abcdefghij').toString('base64')}") { id } }`);
q('node of a session', `{ node(id: "${Buffer.from('_Session:abcdefghij').toString('base64')}") { id } }`);
q('node of a hidden class', `{ node(id: "${Buffer.from('_Hooks:abcdefghij').toString('base64')}") { id } }`, master);
q('node of a join table', `{ node(id: "${Buffer.from('_Join:users:_Role:abcdefghij').toString('base64')}") { id } }`);
q('node of a path', `{ node(id: "${Buffer.from('SomeClass:../../x').toString('base64')}") { id } }`);
q('id of another class', '{ someClass(id: "{{user1Gid}}") { someField } }', master);

// Pages.
for (let n = 0; n < 12; n += 1) rest(`page object ${n}`, 'POST', '/classes/SomeClass', { numberField: 100 + n, someField: n % 2 ? 'odd' : 'even' });
const cursor = n => Buffer.from(`arrayconnection:${n}`).toString('base64');
const page = (id, args) => q(`page ${id}`, `{ someClasses(where: { numberField: { greaterThanOrEqualTo: 100 } }, order: numberField_ASC, ${args}) { count edges { cursor node { numberField } } pageInfo { startCursor endCursor hasPreviousPage hasNextPage } } }`);
for (const [id, args] of [
  ['first', 'first: 4'], ['first and after', `first: 4, after: "${cursor(3)}"`], ['last', 'last: 4'], ['last and before', `last: 4, before: "${cursor(8)}"`], ['skip and first', 'skip: 2, first: 4'], ['skip, first and after', `skip: 1, first: 4, after: "${cursor(3)}"`],
  ['after the end', `after: "${cursor(100)}"`], ['before the start', `before: "${cursor(0)}"`], ['after and before', `after: "${cursor(2)}", before: "${cursor(8)}"`], ['after, before and first', `after: "${cursor(2)}", before: "${cursor(8)}", first: 2`], ['after, before and last', `after: "${cursor(2)}", before: "${cursor(8)}", last: 2`],
  ['crossed', `after: "${cursor(8)}", before: "${cursor(2)}"`], ['skip too much', 'skip: 100'], ['first and last', 'first: 8, last: 3'], ['negative cursor', `after: "${Buffer.from('arrayconnection:-5').toString('base64')}"`], ['cursor of text', `after: "${Buffer.from('arrayconnection:x').toString('base64')}"`],
  ['other prefix', `after: "${Buffer.from('other:1').toString('base64')}"`], ['first of a thousand', 'first: 1000'], ['first of many', 'first: 2147483647'], ['skip, last', 'skip: 3, last: 2'], ['before and skip', `before: "${cursor(6)}", skip: 2`], ['all nulls', 'first: null, last: null, skip: null, after: null, before: null, options: null'],
]) page(id, args);
q('page of nothing', '{ someClasses(where: { numberField: { greaterThan: 1000 } }) { count edges { cursor } pageInfo { startCursor endCursor hasPreviousPage hasNextPage } } }');
q('page of the second order', '{ someClasses(where: { numberField: { greaterThan: 100 } }, order: [someField_DESC, numberField_DESC], first: 3) { edges { node { someField numberField } } } }');

// Writes within writes.
q('related within', 'mutation { createSomeClass(input: { fields: { someField: "parent", relation: { createAndAdd: [{ someField: "child", relation: { createAndAdd: [{ someField: "grandchild" }] } }] } } }) { someClass { id objectId someField relation { count edges { node { someField relation { edges { node { someField } } } } } } } } }', { capture: { parent: 'data.createSomeClass.someClass.objectId' } });
q('related within, by a variable', 'mutation C($fields: CreateSomeClassFieldsInput) { createSomeClass(input: { fields: $fields }) { someClass { someField relation(order: someField_ASC) { count edges { node { someField } } } pointerToUser { username } } } }', { as: 'master', variables: { fields: { someField: 'v', relation: { createAndAdd: [{ someField: 'v1' }, { someField: 'v2' }], add: ['{{object3}}'] }, pointerToUser: { link: '{{user1Gid}}' } } } });
q('a user within', 'mutation { createSomeClass(input: { fields: { someField: "with user", pointerToUser: { createAndLink: { username: "late", password: "late" } } } }) { someClass { pointerToUser { username } } } }', master);
q('a user within that exists', 'mutation { createSomeClass(input: { fields: { someField: "with user", pointerToUser: { createAndLink: { username: "late", password: "late" } } } }) { someClass { pointerToUser { username } } } }', master);
q('a user within without a name', 'mutation { createSomeClass(input: { fields: { pointerToUser: { createAndLink: { password: "late" } } } }) { someClass { someField } } }');
q('nested relation queries', '{ someClasses(where: { relation: { have: { relation: { have: { someField: { equalTo: "grandchild" } } } } } }) { edges { node { someField } } } }');
q('nested relation without', '{ someClasses(where: { AND: [{ relation: { have: { someField: { equalTo: "child" } } } }, { relation: { haveNot: { someField: { equalTo: "other" } } } }] }) { edges { node { someField } } } }');
q('related page', '{ someClass(id: "{{parent}}") { relation(first: 1, skip: 0, order: someField_ASC) { count edges { cursor node { someField id } } pageInfo { hasNextPage endCursor } } } }');
q('payload with only the id', 'mutation { updateSomeClass(input: { id: "{{parent}}", fields: { someField: "parent2" } }) { someClass { id objectId } clientMutationId } }');
q('payload with a relation only', 'mutation { updateSomeClass(input: { id: "{{parent}}", fields: { someField: "parent" } }) { someClass { relation { count } } } }');
q('payload with dates', 'mutation { updateSomeClass(input: { id: "{{parent}}", fields: { numberField: 1 } }) { someClass { createdAt updatedAt numberField ACL { public { read } } } } }');
q('payload of nothing but typename', 'mutation { updateSomeClass(input: { id: "{{parent}}", fields: {} }) { __typename someClass { __typename } } }');
q('aliases in a payload', 'mutation { x: updateSomeClass(input: { id: "{{parent}}", fields: { numberField: 2 } }) { y: someClass { z: numberField n: numberField } } }');
q('fragments in a payload', 'mutation { updateSomeClass(input: { id: "{{parent}}", fields: { numberField: 3 } }) { someClass { ...A ... on Node { id } ... on ParseObject { objectId } } } } fragment A on SomeClass { numberField }');
q('delete with a relation', 'mutation { deleteSomeClass(input: { id: "{{parent}}" }) { someClass { someField numberField } } }');

// Users.
q('log in', 'mutation { logIn(input: { username: "user1", password: "user1", clientMutationId: "x" }) { clientMutationId viewer { sessionToken user { username ACL { public { read write } } } } } }', { capture: { again: 'data.logIn.viewer.sessionToken' } });
q('log in with a pointer back', 'mutation { logIn(input: { username: "user2", password: "user2" }) { viewer { user { username authData emailVerified createdAt } } } }');
q('log in without a password', 'mutation { logIn(input: { username: "user1" }) { viewer { sessionToken } } }');
q('log in with nothing', 'mutation { logIn(input: { username: "", password: "" }) { viewer { sessionToken } } }');
q('own sessions', '{ sessions(order: createdAt_ASC) { count edges { node { sessionToken restricted createdWith user { username } } } } }', { as: '{{user5}}' });
q('viewer with sessions of a relation', '{ viewer { user { username someNothing } } }', { as: '{{user1}}' });
q('change the password', 'mutation { updateUser(input: { id: "{{user5Id}}", fields: { password: "changed" } }) { user { username } } }', { as: '{{user5}}' });
q('the old session is over', '{ viewer { user { username } } }', { as: '{{user5}}' });
q('log in with the new password', 'mutation { logIn(input: { username: "user5", password: "changed" }) { viewer { user { username } } } }', { capture: {} });
q('two log-ins at once', 'mutation { a: logIn(input: { username: "user1", password: "user1" }) { viewer { user { username } } } b: logIn(input: { username: "user2", password: "user2" }) { viewer { user { username } } } }');
q('log in with anonymous', 'mutation { logInWith(input: { authData: { anonymous: { id: "uniqueId-1234" } }, fields: { email: "lw@example.org" } }) { viewer { sessionToken user { username email authData authDataResponse } } } }', { view: 'errors' });
q('log in with the same', 'mutation { logInWith(input: { authData: { anonymous: { id: "uniqueId-1234" } } }) { viewer { user { email } } } }');
q('log in with nothing given', 'mutation { logInWith(input: { authData: {} }) { viewer { user { email } } } }');
q('log in with null', 'mutation { logInWith(input: { authData: null }) { viewer { user { email } } } }');
q('log in with two', 'mutation { logInWith(input: { authData: { anonymous: { id: "a-1" }, other: { id: "x" } } }) { viewer { user { email } } } }');
q('reset an unknown address', 'mutation { resetPassword(input: { email: "nobody@example.org" }) { clientMutationId ok } }');
q('reset an address that is none', 'mutation { resetPassword(input: { email: "" }) { ok } }');
q('verify an unknown address', 'mutation { sendVerificationEmail(input: { email: "nobody@example.org" }) { ok } }');
q('confirm with a wrong token', 'mutation { confirmResetPassword(input: { username: "user1", password: "n", token: "wrong" }) { ok } }');
q('confirm without a name', 'mutation { confirmResetPassword(input: { username: "", password: "n", token: "wrong" }) { ok } }');
q('challenge of an unknown provider', 'mutation { challenge(input: { username: "user1", password: "user1", challengeData: { other: { a: 1 } } }) { challengeData } }');
q('challenge with a wrong password', 'mutation { challenge(input: { username: "user1", password: "no", challengeData: { other: { a: 1 } } }) { challengeData } }');
q('challenge with a name only', 'mutation { challenge(input: { username: "user1", challengeData: { other: { a: 1 } } }) { challengeData } }');
q('challenge with auth data of two', 'mutation { challenge(input: { authData: { a: { id: "1" }, b: { id: "2" } }, challengeData: { other: { a: 1 } } }) { challengeData } }');
q('log out everywhere', 'mutation { logOut(input: { clientMutationId: "o" }) { clientMutationId ok } }', { as: '{{user3}}' });
q('after logging out', '{ viewer { user { username } } }', { as: '{{user3}}' });
q('delete oneself', 'mutation { deleteUser(input: { id: "{{user4Id}}" }) { user { username } } }', { as: '{{user4}}' });
q('delete another', 'mutation { deleteUser(input: { id: "{{user1Id}}" }) { user { username } } }', { as: '{{user2}}' });
q('create a session', 'mutation { createSession(input: { fields: { sessionToken: "x", user: { link: "{{user1Id}}" } } }) { session { sessionToken } } }');
q('create an installation', 'mutation { createInstallation(input: { fields: { deviceType: "ios", installationId: "abc", channels: ["a"] } }) { installation { deviceType installationId channels { ... on Element { value } } } } }');
q('create an installation without a type', 'mutation { createInstallation(input: { fields: { installationId: "abd" } }) { installation { deviceType } } }');
q('create a product', 'mutation { createProduct(input: { fields: { title: "Product" } }) { product { title } } }');
q('audience', '{ audiences { count } jobStatuses { count } pushStatuses { count } }', master);
q('audience without master', '{ audiences { count } }');
q('jobs without master', '{ jobStatuses { count } }');

// Users with more: fields of their own, pointers and relations made on the way.
rest('user fields', 'PUT', '/schemas/_User', { fields: { someField: { type: 'String' }, aPointer: { type: 'Pointer', targetClass: '_User' }, aRelation: { type: 'Relation', targetClass: 'SomeClass' }, avatar: { type: 'File' } } });
q('sign up with a pointer', 'mutation { signUp(input: { fields: { username: "rich", password: "rich", email: "rich@example.org", someField: "x", aPointer: { createAndLink: { username: "poor", password: "poor", email: "poor@example.org", ACL: { public: { read: true } } } }, aRelation: { createAndAdd: [{ someField: "r1" }] } } }) { viewer { sessionToken user { id someField aPointer { id username email } aRelation { count edges { node { someField } } } } } } }', { capture: { rich: 'data.signUp.viewer.sessionToken', richId: 'data.signUp.viewer.user.id' } });
q('log in with a pointer', 'mutation { logIn(input: { username: "rich", password: "rich" }) { viewer { user { someField aPointer { username } aRelation { edges { node { someField } } } } } } }');
q('viewer with a pointer', '{ viewer { user { id someField email aPointer { username email } aRelation { count } } } }', { as: '{{rich}}' });
q('log in with anonymous and a pointer', 'mutation { logInWith(input: { authData: { anonymous: { id: "with-a-pointer" } }, fields: { someField: "y", aPointer: { link: "{{richId}}" } } }) { viewer { user { someField aPointer { username } } } } }');
q('users by pointers', '{ users(where: { aPointer: { have: { username: { equalTo: "poor" } } } }) { edges { node { username } } } }', { as: '{{rich}}' });
q('users by related objects', '{ users(where: { aRelation: { have: { someField: { equalTo: "r1" } } } }) { edges { node { username } } } }', { as: '{{rich}}' });
q('users by their address', '{ users(where: { email: { equalTo: "rich@example.org" } }) { edges { node { username } } } }', { as: '{{rich}}' });
q('users by authData', '{ users(where: { authData: { exists: true } }) { count } }', { as: '{{rich}}' });
q('order by authData', '{ users(order: authData_ASC) { edges { node { username } } } }');
q('order by the password', '{ users(order: password_ASC) { edges { node { username } } } }');
q('change oneself', 'mutation { updateUser(input: { id: "{{richId}}", fields: { someField: "z", aPointer: null } }) { user { someField aPointer { username } } } }', { as: '{{rich}}' });

// Arrays of objects within arrays of objects.
for (const [name, fields] of Object.entries({ Leaf: { name: { type: 'String' } }, Branch: { name: { type: 'String' }, leaves: { type: 'Array' }, main: { type: 'Pointer', targetClass: 'Leaf' } }, Tree: { branches: { type: 'Array' }, mixed: { type: 'Array' } } })) rest(`class ${name}`, 'POST', `/schemas/${name}`, { className: name, fields });
const to = (className, name) => ({ __type: 'Pointer', className, objectId: `{{${name}}}` });
for (const n of [1, 2, 3]) rest(`leaf ${n}`, 'POST', '/classes/Leaf', { name: `leaf ${n}` }, `leaf${n}`);
rest('branch 1', 'POST', '/classes/Branch', { name: 'b1', leaves: [to('Leaf', 'leaf1'), to('Leaf', 'leaf2')], main: to('Leaf', 'leaf3') }, 'branch1');
rest('branch 2', 'POST', '/classes/Branch', { name: 'b2', leaves: [] }, 'branch2');
rest('tree', 'POST', '/classes/Tree', { branches: [to('Branch', 'branch1'), to('Branch', 'branch2')], mixed: [1, to('Leaf', 'leaf1'), { a: 'b' }, to('Branch', 'branch1')] }, 'tree');
q('objects in an array', '{ tree(id: "{{tree}}") { branches { __typename ... on Branch { name objectId } } } }');
q('objects in arrays of arrays', '{ tree(id: "{{tree}}") { branches { ... on Branch { name leaves { ... on Leaf { name } } main { name } } } } }');
q('mixed arrays', '{ tree(id: "{{tree}}") { mixed { __typename ... on Element { value } ... on Leaf { name id } ... on Branch { name main { name } leaves { ... on Leaf { name } } } } } }');
q('arrays in a list', '{ trees { count edges { node { branches { ... on Branch { name leaves { ... on Leaf { name } } } } } } } }');
q('arrays as nodes', '{ tree(id: "{{tree}}") { branches { ... on Node { id } ... on ParseObject { objectId } } } }');
q('arrays of ids alone', '{ tree(id: "{{tree}}") { branches { __typename } } }');
q('arrays by what they hold', '{ trees(where: { mixed: { in: [1] } }) { count } }');

// Classes and configuration.
q('a class as it is', '{ class(name: "SomeClass") { name schemaFields { __typename name ... on SchemaPointerField { targetClassName } } } }', { ...master, view: 'status' });
q('system class', '{ class(name: "_User") { name } }', master);
q('class with an empty name', '{ class(name: "") { name } }', master);
q('create a class with a pointer to nowhere', 'mutation { createClass(input: { name: "P", schemaFields: { addPointers: [{ name: "p", targetClassName: "Nowhere" }] } }) { class { name } } }', master);
q('create a class with a reserved field', 'mutation { createClass(input: { name: "R", schemaFields: { addStrings: [{ name: "objectId" }] } }) { class { name } } }', master);
q('create a class with a bad field', 'mutation { createClass(input: { name: "R", schemaFields: { addStrings: [{ name: "_bad" }] } }) { class { name } } }', master);
q('create a class with two places', 'mutation { createClass(input: { name: "TwoGeo", schemaFields: { addGeoPoint: { name: "a" } } }) { class { name } } updateClass(input: { name: "TwoGeo", schemaFields: { addGeoPoint: { name: "b" } } }) { class { name } } }', master);
q('update a class with a client', 'mutation { updateClass(input: { name: "TwoGeo", schemaFields: {} }) { class { name } } }');
q('delete a class with a client', 'mutation { deleteClass(input: { name: "TwoGeo" }) { class { name } } }');
q('delete a system class', 'mutation { deleteClass(input: { name: "_User" }) { class { name } } }', master);
q('update a system class', 'mutation { updateClass(input: { name: "_User", schemaFields: { addStrings: [{ name: "phone" }] } }) { class { name } } }', master);
q('remove a default field', 'mutation { updateClass(input: { name: "_User", schemaFields: { remove: [{ name: "username" }] } }) { class { name } } }', master);
q('classes as read-only', '{ class(name: "TwoGeo") { name } }', { as: 'readonly' });
for (const [id, value] of Object.entries({ number: '1', object: '{ a: { b: 1 } }', list: '[1, "a"]', null: 'null', boolean: 'false' })) {
  q(`config of a ${id}`, `mutation { updateCloudConfig(input: { paramName: "c_${id}", value: ${id === 'null' ? '"x"' : value} }) { cloudConfig { value isMasterKeyOnly } } }`, master);
  q(`config read of a ${id}`, `{ cloudConfig(paramName: "c_${id}") { value isMasterKeyOnly } }`);
}
q('secret config', 'mutation { updateCloudConfig(input: { paramName: "hidden", value: 1, isMasterKeyOnly: true, clientMutationId: "c" }) { clientMutationId cloudConfig { value isMasterKeyOnly } } }', master);
q('secret config for clients', '{ cloudConfig(paramName: "hidden") { value isMasterKeyOnly } }');
q('config as read-only', 'mutation { updateCloudConfig(input: { paramName: "hidden", value: 2 }) { cloudConfig { value } } }', { as: 'readonly' });
q('config with a bad name', 'mutation { updateCloudConfig(input: { paramName: "a.b", value: 2 }) { cloudConfig { value } } }', master);
q('no mutation name', 'mutation { createNothing(input: {}) { clientMutationId } }', master);
q('everything at once', '{ health viewer { user { username } } someClasses(first: 1, order: numberField_ASC) { edges { node { numberField } } } node(id: "{{gid3}}") { id } }', { as: '{{user1}}' });

export default { name: 'spec', cases };
