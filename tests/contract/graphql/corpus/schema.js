// The schema itself, sorted and printed, over a database with every field type, reserved and colliding names; and
// what `/graphql-config` makes of it.
import { classes } from './base.js';

const schema = (name, fields) => ({ id: `schema ${name}`, as: 'master', rest: ['POST', `/schemas/${name}`, { className: name, fields }] });
// Not among them: CloudConfig and SchemaField, with which npm parse-server can make no schema at all.
const text = { type: 'String' };
const more = [
  'Object', 'Query', 'Mutation', 'Viewer', 'Health', 'Class', 'File', 'Node', 'Element', 'PageInfo', 'UserConnection', 'FooConnection', 'Connection', 'user', 'Role', 'ACL', 'Date', 'health', 'viewer',
  'Post', 'post', 'Data', 'News', 'Status', 'Child', 'box', 'CreateUserInput', 'UserPointerInput', 'CountryEdge', 'Country_', 'A', 'Subscription', 'LogIn', 'Config', 'Users',
].map(name => schema(name, { f: text, p: { type: 'Pointer', targetClass: name }, r: { type: 'Relation', targetClass: name } }));
const odd = schema('Odd', { OR: text, AND: text, NOR: text, count: { type: 'Number' }, edges: text, id_: text, clientMutationId: text, node: { type: 'Pointer', targetClass: 'Node' }, toObject: { type: 'Relation', targetClass: 'Object' }, where: { type: 'Object' } });
const full = `query I { __schema { queryType { name } mutationType { name } subscriptionType { name } directives { name description isRepeatable locations args { ...V } } types { ...T } } }
fragment T on __Type { kind name description fields(includeDeprecated: true) { name description args { ...V } type { ...R } isDeprecated deprecationReason } inputFields { ...V } interfaces { ...R } enumValues(includeDeprecated: true) { name description isDeprecated } possibleTypes { ...R } }
fragment V on __InputValue { name description type { ...R } defaultValue }
fragment R on __Type { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name } } } } }`;
const master = { as: 'master' };
const introspect = id => ({ id, query: full, ...master, sdl: true });
const config = (id, params) => ({ id, as: 'master', rest: ['PUT', '/graphql-config', { params }], keep: true });
const fieldsConfig = { classConfigs: [
    { className: 'Every', type: { inputFields: { create: ['text', 'must', 'number'], update: ['text'] }, outputFields: ['text', 'company', 'number'], constraintFields: ['text', 'number'], sortFields: [{ field: 'text', asc: true, desc: false }, { field: 'number', asc: false, desc: true }] } },
    { className: 'Country', query: { get: false, find: true, findAlias: 'lands' }, mutation: { create: true, update: false, destroy: false, createAlias: 'addLand' } },
    { className: 'Company', query: { get: true, find: false, getAlias: 'firm' }, mutation: { create: false, update: true, destroy: true, updateAlias: 'changeFirm', destroyAlias: 'closeFirm' }, type: { sortFields: [] } },
] };
const type = name => ({ id: `type ${name}`, query: `{ __type(name: "${name}") { kind name description fields { name } inputFields { name } enumValues { name } possibleTypes { name } interfaces { name } ofType { name } } }`, ...master });

export default {
  name: 'schema',
  cases: [
    ...classes, ...more, odd,
    introspect('everything'),
    ...['Every', 'EveryWhereInput', 'Query', 'ArrayResult', 'Node', 'ParseObject', 'Date', 'EveryOrder', 'Nothing', '__Type', 'CreateEveryFieldsInput'].map(type),
    { id: 'introspection without master', query: full }, { id: 'type without master', query: '{ __type(name: "Every") { name } }' },
    { id: 'typename without master', query: '{ __typename }' }, { id: 'schema by alias', query: '{ a: __schema { queryType { name } } }' },
    { id: 'schema in a fragment', query: '{ ...A } fragment A on Query { __schema { queryType { name } } }' }, { id: 'type in a fragment', query: '{ ...A } fragment A on Query { x: __type(name: "Every") { name } }' },
    { id: 'deep introspection', query: '{ __schema { types { fields { type { fields { type { fields { name } } } } } } } }', ...master },
    { id: 'two levels', query: '{ __type(name: "Country") { fields { name type { name kind fields { name } } } } }', ...master },
    { id: 'config of nothing', as: 'master', rest: ['GET', '/graphql-config'], keep: true },
    { id: 'config without master', rest: ['GET', '/graphql-config'] },
    // npm parse-server never forgets that users were disabled, so this comes before.
    config('config fields', fieldsConfig), introspect('fields'),
    config('config disables', { disabledForClasses: ['Country', 'Post'] }), introspect('disabled'),
    config('config enables', { enabledForClasses: ['_User', 'Every', 'Company'] }), introspect('enabled'),
    config('config without users', { enabledForClasses: ['Every'] }), introspect('without users'),
    ...[[], 'x', { a: 1 }, { enabledForClasses: 'x' }, { disabledForClasses: [1] }, { classConfigs: {} }, { classConfigs: [1] }, { classConfigs: [{ className: 'A', query: { get: 1 } }] }].map((params, index) => config(`bad config ${index}`, params)),
    { id: 'read-only config', as: 'readonly', rest: ['PUT', '/graphql-config', { params: {} }], keep: true },
    // Reading objects changes the schema there (`_rperm`, `_wperm`), so this comes last.
    config('config fields again', fieldsConfig),
    { id: 'alias in use', query: 'mutation { addLand(input: { fields: { name: "L" } }) { country { name } } }' }, { id: 'find alias', query: '{ lands { count } }' }, { id: 'gone', query: '{ countries { count } }' }, { id: 'order left', query: '{ everies(order: text_ASC) { count edges { node { text } } } }' }, { id: 'order gone', query: '{ everies(order: text_DESC) { count } }' },
    { id: 'schema in a text', query: '{ every(id: "__schema") { text } }' }, { id: 'type in a text', query: '{ every(id: "__type") { text } }' },
  ],
};
