// What a client may try: the schema by detours, documents that cost more than they look, uploads that are none,
// hidden fields and objects by every door. Nothing of it is an internal error, and the server stands afterwards.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { startPostgres } from '../lib/postgres.js';
import { startServer } from '../lib/servers.js';

describe('attacks', () => {
  let postgres;
  let server;
  let uri;
  const ids = {};

  before(async () => {
    postgres = await startPostgres();
    server = await startServer(postgres, 'parsimony', 'files', {
      overrides: {
        mountGraphQL: true, protectedFields: { Secretive: { '*': ['secret', 'hiddenPointer', 'hiddenPlace'] }, _User: { '*': ['email', 'phone'] } },
        rateLimit: [{ requestPath: '/classes/Limited', requestTimeWindow: 600_000, requestCount: 5, errorResponseMessage: 'Enough.', includeInternalRequests: true }],
      },
    });
    uri = server.url.replace(/\/parse$/, '/graphql');
    const field = (type, targetClass) => ({ type, targetClass });
    await rest('POST', '/schemas/TopSecretClass', { className: 'TopSecretClass', fields: { code: field('String') } });
    await rest('POST', '/schemas/Secretive', {
      className: 'Secretive', fields: { shown: field('String'), secret: field('String'), hiddenPlace: field('GeoPoint'), hiddenPointer: field('Pointer', 'TopSecretClass'), itself: field('Pointer', 'Secretive'), many: field('Relation', 'Secretive') },
    });
    await rest('POST', '/schemas/Locked', { className: 'Locked', fields: { a: field('String') }, classLevelPermissions: { find: {}, get: {} } });
    await rest('POST', '/schemas/Limited', { className: 'Limited', fields: { a: field('String') } });
    ids.locked = (await rest('POST', '/classes/Locked', { a: 'x' })).objectId;
    ids.own = (await rest('POST', '/classes/Secretive', { shown: 'a', secret: 'b', ACL: {} })).objectId;
    ids.open = (await rest('POST', '/classes/Secretive', { shown: 'open', secret: 'b' })).objectId;
    await rest('POST', '/classes/Secretive', { shown: 'b' });
    ids.user = (await rest('POST', '/users', { username: 'u', password: 'p', email: 'u@example.org', phone: '1' })).objectId;
    await rest('POST', '/login', { username: 'u', password: 'p' });
    const sessions = await rest('GET', '/sessions');
    ids.session = sessions.results[0].objectId;
  });
  after(async () => {
    await server.stop();
    await postgres.stop?.();
  });

  async function rest(method, path, body) {
    const headers = { 'Content-Type': 'application/json', 'X-Parse-Application-Id': server.config.appId, 'X-Parse-Master-Key': server.config.masterKey };
    const answer = await fetch(server.url + path, { method, headers, body: body && JSON.stringify(body) });
    assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${await answer.clone().text()}`);
    return answer.json();
  }

  /** The answer to a document, never an internal error. */
  async function ask(query, variables, { headers = {}, raw, method = 'POST', url = uri, may = [] } = {}) {
    const body = raw ?? JSON.stringify({ query, variables });
    const answer = await fetch(url, {
      method, headers: { 'X-Parse-Application-Id': server.config.appId, ...(body instanceof FormData || method === 'GET' ? {} : { 'Content-Type': 'application/json' }), ...headers }, body: method === 'GET' ? undefined : body,
    }).catch(error => { throw new Error(`${error.cause ?? error} at ${String(query ?? raw).slice(0, 200)}\n${server.log().slice(-800)}`); });
    const text = await answer.text();
    const about = `${String(query ?? raw).slice(0, 200)}\n${text.slice(0, 500)}`;
    assert.ok(answer.status < 500, `${answer.status}: ${about}`);
    assert.doesNotMatch(text, /internal server error(?!_)/i, about);
    assert.doesNotMatch(text, /TopSecretClass/, about);
    const json = text.startsWith('{') ? JSON.parse(text) : null;
    return { status: answer.status, ...json, may };
  }
  const refused = async (...args) => {
    const { status, errors, error, data } = await ask(...args);
    assert.ok(errors?.length > 0 || error, `${String(args[0]).slice(0, 300)}: ${JSON.stringify(data)}`);
    return { status, errors };
  };

  test('the schema by detours', async () => {
    for (const query of [
      '{ __schema { types { name } } }', '{ a: __schema { types { name } } }', 'query Q { ...A } fragment A on Query { __schema { types { name } } }', '{ ... { __schema { types { name } } } }', '{ ... on Query { b: __schema { types { name } } } }', '{ health ... @include(if: true) { __type(name: "Query") { name } } }',
      '{ __type(name: "TopSecretClass") { name } }', 'query Q($n: String!) { __type(name: $n) { fields { name } } }', '{ ...A } fragment A on Query { ...B } fragment B on Query { x: __type(name: "Query") { name } }', '{ health, __schema { types { name } } }', '{ __schema @skip(if: true) { types { name } } }', '{ __schema\n{ types { name } } }',
      'query A { health } query B { __schema { types { name } } }',
    ]) assert.equal((await refused(query, { n: 'TopSecretClass' })).status, 403, query);
    const url = `${uri}?query=${encodeURIComponent('{ __schema { types { name } } }')}`;
    assert.equal((await refused('GET', undefined, { method: 'GET', url })).status, 403);
    for (const query of [
      'mutation { __schema { types { name } } }', '{ \\u005f_schema { types { name } } }', '{ __Schema { types } }', 'subscription { __schema { types { name } } }', '{ secretives { __schema { types { name } } } }', '{ secretives { edges { node { __type(name: "x") { name } } } } }',
    ]) await refused(query);
    // Names that nobody wrote, by mistakes near them.
    for (const query of [
      '{ topSecretClas(id: "x") { code } }', '{ topSecretClasse { count } }', '{ secretive(id: "x") { secre } }', '{ secretive(id: "x") { hiddenPointer } }', '{ secretive(id: "x") { hiddenPointer { cod } } }', '{ secretive(id: "x") { hiddenPointer { ... on User { username } } } }', '{ secretives(where: { hiddenPointer: 1 }) { count } }',
      '{ secretives(where: { hiddenPointer: { has: {} } }) { count } }', '{ secretives(where: { hiddenPointer: { have: { x: 1 } } }) { count } }', '{ secretives(where: { hiddenPointer: { have: 1 } }) { count } }', 'mutation { createSecretive(input: { fields: { hiddenPointer: { lnk: "x" } } }) { clientMutationId } }',
      'mutation { createSecretive(input: { fields: { hiddenPointer: { createAndLink: { x: 1 } } } }) { clientMutationId } }', 'mutation { createSecretive(input: { fields: { hiddenPointer: 1 } }) { clientMutationId } }', 'query Q($a: Strin) { health }', '{ ...A } fragment A on TopSecretClas { code }', '{ secretives(order: secrt_ASC) { count } }', '{ secretives(frst: 1) { count } }',
      'query Q($p: String) { secretives(where: { hiddenPointer: $p }) { count } }', 'mutation { creatSecretive(input: {}) { clientMutationId } }', '{ health @skp(if: true) }', '{ node(id: "x") { code } }', '{ secretive(id: "x") { many } }',
    ]) {
      const { errors } = await refused(query);
      for (const { message } of errors) assert.doesNotMatch(message, /Did you mean/, query);
    }
    for (const v of [1, { x: 1 }, { createAndLink: 1 }, { createAndLink: { x: 1 } }, { createAndLink: { code: 1 } }]) {
      await refused('mutation M($f: CreateSecretiveFieldsInput) { createSecretive(input: { fields: $f }) { clientMutationId } }', { f: { hiddenPointer: v } });
    }
  });

  test('documents that cost more than they look', async () => {
    const bomb = (levels, type, leaf) => `{ ...F0 } ${Array.from({ length: levels }, (_, n) => `fragment F${n} on ${type} { ${n + 1 === levels ? leaf : `...F${n + 1} ...F${n + 1}`} }`).join(' ')}`;
    for (const levels of [2, 10, 30, 60]) await (levels > 7 ? refused : ask)(bomb(levels, 'Query', 'health'));
    const times = (count, one) => Array.from({ length: count }, (_, n) => one(n)).join(' ');
    for (const query of [
      `{ ${times(1000, n => `a${n}: health`)} }`, `{ ${times(1000, () => 'health')} }`, `{ ${times(1000, () => '__typename')} }`, `{ ${times(300, n => `a${n}: secretives { count }`)} }`, `{ secretives { edges { node { ${times(300, n => `a${n}: shown`)} } } } }`,
      `{ secretives { edges { node { ${'itself { '.repeat(50)}shown${' }'.repeat(50)} } } } }`, `{ secretives { edges { node { ${'many { edges { node { '.repeat(15)}shown${' } } }'.repeat(15)} } } } }`,
      '{ ...A } fragment A on Query { ...A }', '{ ...A } fragment A on Query { ...B } fragment B on Query { ...C } fragment C on Query { ...A }', '{ secretives { ...A } } fragment A on SecretiveConnection { edges { node { many { ...A } } } }', 'fragment A on Query { health ...A } { health }',
      `{ ${'{ '.repeat(3000)} }`, '{ a'.repeat(5000), `{ secretives(where: ${'{ OR: [ '.repeat(300)}{}${' ] }'.repeat(300)}) { count } }`, `{ x(a: ${'['.repeat(3000)}`, `{ health ${'@skip(if: false) '.repeat(500)} }`, `query Q(${times(1000, n => `$a${n}: Int`)}) { health }`,
      `{ secretives(where: { shown: { in: ${JSON.stringify(Array(3000).fill('x'))} }, ${times(200, () => 'shown: { equalTo: "a" },')} }) { count } }`, `${'# '.padEnd(50_000, 'x')}`, `{ ${'...A '.repeat(2000)} } ${times(50, n => `fragment A${n} on Query { health }`)}`,
    ]) await refused(query);
    // Allowed, and answered.
    assert.equal((await ask(`{ health${' '.repeat(50_000)} }`)).data.health, true);
    assert.equal((await ask(`{ secretives(where: ${'{ AND: [ '.repeat(5)}{}${' ] }'.repeat(5)}) { __typename } }`)).status, 200);
    const alike = `{ secretives { edges { node { ${times(60, () => 'itself { shown }')} } } } }`;
    assert.equal((await ask(alike)).status, 200);
  });

  test('variables', async () => {
    const where = 'query Q($w: SecretiveWhereInput) { secretives(where: $w) { count } }';
    const nested = (depth, inner = {}) => { let value = inner; for (let n = 0; n < depth; n += 1) value = { OR: [value] }; return value; };
    for (const depth of [50, 500, 2000]) await ask(where, { w: nested(depth) });
    await refused(where, undefined, { raw: `{"query":${JSON.stringify(where)},"variables":{"w":${'{"OR":['.repeat(20_000)}` });
    assert.equal((await ask(where, { w: { shown: { in: ['x'.repeat(200_000)] } } })).status, 413);
    for (const w of [{ __proto__: { shown: 1 } }, JSON.parse('{"__proto__":{"a":1}}'), { constructor: 1 }, { shown: { $eq: 'x' } }, { shown: { equalTo: { $ne: 1 } } }, { $where: 'x' }, { 'shown.x': { equalTo: 1 } }, { ACL: { exists: true } }, { _rperm: { contains: ['*'] } }, { shown: { matchesRegex: '(a+)+$', options: 'zz' } }, { shown: { matchesRegex: '\u0000' } }, { shown: { equalTo: '\u0000' } }, { id: { in: [null, 1, 'x'] } }]) await ask(where, { w });
    for (const raw of ['{"query":"{ health }","variables":{"a":1e999}}', '{"query":"{ health }","variables":{"a":"\\ud800"}}', `{"query":"{ health }","variables":${'['.repeat(5000)}`, '{"query":{"a":1}}', '{"query":"{ health }","operationName":{}}', '{"query":"query A { health }","operationName":"__proto__"}', '[]', '"x"', 'null', '1', '']) await ask(undefined, undefined, { raw });
    for (const id of ['\u0000', 'a'.repeat(50_000), '../x', "' OR 1=1 --", '%00', '{}', '🙂', Buffer.from('Secretive:\u0000').toString('base64'), Buffer.from(':').toString('base64'), Buffer.from('Secretive:').toString('base64'), Buffer.from('a:b:c').toString('base64')]) {
      await refused('query Q($id: ID!) { secretive(id: $id) { shown } }', { id });
      await refused('query Q($id: ID!) { node(id: $id) { id } }', { id });
      await refused('mutation M($id: ID!) { deleteSecretive(input: { id: $id }) { clientMutationId } }', { id });
    }
    for (const cursor of ['\u0000', 'x', Buffer.from('arrayconnection:99999999999999999999').toString('base64'), Buffer.from('arrayconnection:-1').toString('base64'), Buffer.from('arrayconnection:1e9').toString('base64')]) await ask('query Q($c: String) { secretives(after: $c) { count edges { cursor } } }', { c: cursor });
    for (const n of [2147483647, -2147483648]) for (const name of ['first', 'last', 'skip']) await ask(`query Q($n: Int) { secretives(${name}: $n) { count edges { cursor } pageInfo { hasNextPage hasPreviousPage } } }`, { n });
  });

  test('forms', async () => {
    const upload = 'mutation U($f: Upload!) { createFile(input: { upload: $f }) { fileInfo { name } } }';
    const send = (operations, map, files = { 0: 'x' }) => {
      const form = new FormData();
      const text = value => (typeof value === 'string' ? value : JSON.stringify(value));
      if (operations !== undefined) form.append('operations', text(operations));
      if (map !== undefined) form.append('map', text(map));
      for (const [name, content] of Object.entries(files)) form.append(name, new Blob([content], { type: 'text/plain' }), `${name}.txt`);
      return ask(undefined, undefined, { raw: form });
    };
    const one = { query: upload, variables: { f: null } };
    for (const [operations, map, files] of [
      [one, { 0: Array.from({ length: 2000 }, () => 'variables.f') }], [one, Object.fromEntries(Array.from({ length: 500 }, (_, n) => [n, [`variables.f${n}`]]))], [one, { 0: [`variables.${'a.'.repeat(2000)}f`] }], [one, { 0: ['__proto__.x', 'constructor.prototype.x', 'variables.__proto__.f'] }], [one, { 0: ['query'] }], [one, { 0: [''] }], [one, { 0: [1] }], [one, { 0: 'variables.f' }], [one, []], [one, 1],
      [[one, one], { 0: ['0.variables.f', '1.variables.f'] }], ['{'.repeat(10_000), {}], [one, '['.repeat(10_000)], [one, { 0: ['variables.f'] }, { 0: 'x'.repeat(40_000) }], [{ query: upload, variables: { f: 'x'.repeat(500_000) } }, {}], [{ query: upload, variables: { f: { __upload: 0, promise: 1, file: 'x' } } }, {}],
      [{ query: upload, variables: { f: 1 } }, {}], [undefined, undefined], [one, { 1: ['variables.f'] }, {}],
    ]) {
      const { status, errors, error } = await send(operations, map, files);
      assert.ok(status >= 400 || errors?.length > 0 || error, JSON.stringify(map)?.slice(0, 200));
    }
    await refused(undefined, undefined, { raw: '--x\r\nContent-Disposition: form-data; name="operations"\r\n\r\n{}', headers: { 'Content-Type': 'multipart/form-data; boundary=x' } });
    await refused(undefined, undefined, { raw: 'x', headers: { 'Content-Type': 'multipart/form-data' } });
    // Files that nothing asks for are nobody's.
    assert.ok((await send(one, { 0: ['variables.f'] }, Object.fromEntries(Array.from({ length: 100 }, (_, n) => [n, 'x'])))).data.createFile);
    const good = await send(one, { 0: ['variables.f'] });
    assert.match(good.data.createFile.fileInfo.name, /_0\.txt$/);
  });

  test('hidden fields by every condition and order', async () => {
    const operand = { exists: 'true', equalTo: '"b"', notEqualTo: '"b"', lessThan: '"z"', lessThanOrEqualTo: '"z"', greaterThan: '"a"', greaterThanOrEqualTo: '"a"', in: '["b"]', notIn: '["b"]', matchesRegex: '"^b"', text: '{ search: { term: "b" } }' };
    const key = '{ query: { className: "Secretive", where: { secret: { equalTo: "b" } } }, key: "shown" }';
    const conditions = [
      ...Object.entries(operand).map(([name, value]) => `secret: { ${name}: ${value} }`), 'hiddenPointer: { exists: true }', 'hiddenPointer: { have: { code: { exists: true } } }', 'hiddenPointer: { haveNot: { code: { exists: true } } }',
      'hiddenPlace: { exists: true }', 'hiddenPlace: { nearSphere: { latitude: 1, longitude: 1 } }', `shown: { inQueryKey: ${key} }`, `shown: { notInQueryKey: ${key} }`, 'itself: { have: { secret: { equalTo: "b" } } }', 'many: { have: { secret: { equalTo: "b" } } }', 'many: { haveNot: { itself: { have: { secret: { equalTo: "b" } } } } }',
      'shown: { inQueryKey: { query: { className: "Secretive", where: {} }, key: "secret" } }', 'shown: { notInQueryKey: { query: { className: "Secretive", where: {} }, key: "secret" } }',
    ];
    for (const condition of conditions) {
      for (const where of [condition, `OR: [{ ${condition} }, { shown: { exists: true } }]`, `AND: [{ OR: [{ ${condition} }] }]`, `NOR: [{ ${condition} }]`]) {
        const { data, errors } = await ask(`{ secretives(where: { ${where} }) { count edges { node { shown } } } }`);
        if (!errors) {
          // A subquery has no values for a hidden key: nothing is among them, not even what is there.
          assert.match(where, /key: "secret"/, `${where}: ${JSON.stringify(data)}`);
          const among = / inQueryKey/.test(condition) !== /^NOR/.test(where) && !/^OR/.test(where);
          assert.equal(data.secretives.count, among ? 0 : 2, where);
        } else {
          assert.ok([119, 107, 102].includes(errors[0].extensions.code), `${where}: ${JSON.stringify(errors)}`);
        }
      }
    }
    for (const order of ['secret_ASC', 'secret_DESC', '[shown_ASC, secret_DESC]', 'hiddenPointer_ASC']) assert.equal((await refused(`{ secretives(order: ${order}) { count edges { node { shown } } } }`)).errors[0].extensions.code, 119);
    await refused(`{ secretive(id: "${ids.open}") { many(where: { secret: { equalTo: "b" } }) { count } } }`);
    await refused(`{ secretive(id: "${ids.open}") { many(order: secret_ASC) { count edges { node { shown } } } } }`);
    await refused('{ users(where: { email: { equalTo: "u@example.org" } }) { count } }');
    const { data } = await ask(`{ secretive(id: "${ids.open}") { shown secret hiddenPointer { code } hiddenPlace { latitude } } }`);
    assert.deepEqual(data.secretive, { shown: 'open', secret: null, hiddenPointer: null, hiddenPlace: null });
    const made = await ask(`mutation { updateSecretive(input: { id: "${ids.open}", fields: { shown: "open" } }) { secretive { shown secret } } }`);
    assert.deepEqual(made.data.updateSecretive.secretive, { shown: 'open', secret: null });
  });

  test('objects of others', async () => {
    const global = (name, id) => Buffer.from(`${name}:${id}`).toString('base64');
    for (const [name, id] of [['Locked', ids.locked], ['Secretive', ids.own], ['_Session', ids.session], ['_Hooks', 'x'], ['_GlobalConfig', '1'], ['_GraphQLConfig', '1'], ['_SCHEMA', 'Locked'], ['_Join:users:_Role', ids.user], ['_PushStatus', 'x'], ['_Audience', 'x'], ['Secretive', ids.locked], ['Nothing', 'x']]) {
      await refused(`{ node(id: "${global(name, id)}") { id ... on Secretive { shown } } }`);
      await refused(`{ secretive(id: "${global(name, id)}") { shown } }`);
    }
    const { data } = await ask(`{ node(id: "${global('_User', ids.user)}") { ... on User { username email authData sessions: username } } }`);
    assert.ok(data === null || data.node === null || data.node.email === null);
    await refused('{ lockeds { count } }');
    await refused('{ sessions { edges { node { sessionToken } } } }');
    assert.equal((await ask(`{ secretives(where: { objectId: { equalTo: "${ids.own}" } }) { count } }`)).data.secretives.count, 0);
    for (const name of ['createRole', 'createUser', 'createSession', 'createInstallation', 'createJobStatus', 'createPushStatus', 'createAudience']) await ask(`mutation { ${name}(input: {}) { clientMutationId } }`);
    await refused('mutation { createClass(input: { name: "Mine" }) { class { name } } }');
    await refused('mutation { updateCloudConfig(input: { paramName: "a", value: 1 }) { cloudConfig { value } } }');
  });

  test('aliases past rate limits', async () => {
    const aliases = Array.from({ length: 20 }, (_, n) => `a${n}: limiteds { __typename }`).join(' ');
    const { errors } = await refused(`{ ${aliases} }`);
    assert.equal(errors.filter(({ message }) => message === 'Enough.').length, 15);
    assert.ok((await ask('{ limiteds { count } }')).errors?.[0].message === 'Enough.' || (await ask('{ limiteds { count } }')).status === 429);
    await refused(undefined, undefined, { raw: JSON.stringify(Array.from({ length: 10 }, () => ({ query: '{ health }' }))) });
  });

  test('the server stands', async () => {
    assert.equal((await ask('{ health }')).data.health, true);
    assert.doesNotMatch(server.log(), /panicked/);
  });
});
