// Depth and fields of documents against limits: fragments, aliases, operations beside the one that runs, who is free.

const cases = [];
const q = (id, query, more = {}) => cases.push({ id, query, ...more });
const text = { type: 'String' };
cases.push({ id: 'class Item', as: 'master', rest: ['POST', '/schemas/Item', { className: 'Item', fields: { text, parent: { type: 'Pointer', targetClass: 'Item' }, list: { type: 'Array' }, many: { type: 'Relation', targetClass: 'Item' } } }] });
cases.push({ id: 'item', as: 'master', rest: ['POST', '/classes/Item', { text: 'a' }], capture: { item: 'objectId' } });

const deep = n => `{ item(id: "{{item}}") { ${'parent { '.repeat(n)}text${' }'.repeat(n)} } }`;
const wide = n => `{ ${Array.from({ length: n }, (_, i) => `a${i}: health`).join(' ')} }`;
for (const as of ['client', 'master', 'readonly']) {
  for (const n of [2, 3, 4]) q(`${as} goes ${n} deep`, deep(n), { as });
  for (const n of [9, 10, 11, 40]) q(`${as} asks for ${n} fields`, wide(n), { as });
}
const maintenance = { as: 'client', headers: { 'X-Parse-Maintenance-Key': 'contractMaintenanceKey' } };
q('maintenance goes deep', deep(8), maintenance);
q('maintenance asks for much', wide(30), maintenance);
q('maintenance introspects', '{ __type(name: "Item") { name } }', maintenance);
q('maintenance sees classes', '{ class(name: "Item") { name } }', maintenance);
q('fragments add depth', '{ item(id: "{{item}}") { ...A } } fragment A on Item { parent { ...B } } fragment B on Item { parent { parent { text } } }');
q('fragments within depth', '{ item(id: "{{item}}") { ...A } } fragment A on Item { parent { ...B } } fragment B on Item { parent { text } }');
q('fragments of many fields', `{ ...A ...B ...C } ${['A', 'B', 'C'].map(name => `fragment ${name} on Query { ${Array.from({ length: 4 }, (_, i) => `${name}${i}: health`).join(' ')} }`).join(' ')}`);
q('a fragment several times', `{ ${'...A '.repeat(6)}} fragment A on Query { x: health y: health }`);
q('a fragment several times, at several depths', '{ item(id: "{{item}}") { ...A parent { ...A parent { ...A } } } } fragment A on Item { parent { text } }');
q('inline fragments add none', '{ ... { ... on Query { ... { item(id: "{{item}}") { ... on Item { parent { text } } } } } } }');
q('typenames count', `{ health ${Array.from({ length: 10 }, (_, i) => `t${i}: __typename`).join(' ')} }`);
q('skipped fields count', `{ health ${Array.from({ length: 10 }, (_, i) => `t${i}: health @skip(if: true)`).join(' ')} }`);
q('the other operation is deep', `query A { health } query B ${deep(6)}`, { operationName: 'A' });
q('the other operation is shallow', `query A { health } query B ${deep(6)}`, { operationName: 'B' });
q('both too deep and too wide', `{ item(id: "{{item}}") { ${'parent { '.repeat(6)}${Array.from({ length: 12 }, (_, i) => `a${i}: text`).join(' ')}${' }'.repeat(6)} } }`);
q('deep mutation', `mutation { createItem(input: { fields: { text: "x" } }) { item { ${'parent { '.repeat(4)}text${' }'.repeat(4)} } } }`);
q('nothing was made', '{ items(where: { text: { equalTo: "x" } }) { count } }');
q('wide mutation', `mutation { ${Array.from({ length: 11 }, (_, i) => `a${i}: createItem(input: { fields: { text: "y" } }) { clientMutationId }`).join(' ')} }`);
q('mutation within', 'mutation { createItem(input: { fields: { text: "z" } }) { item { parent { parent { text } } } } }');
q('wrong and deep', `{ item(id: "{{item}}") { nothing ${'parent { '.repeat(6)}text${' }'.repeat(6)} } }`);
q('deep introspection of a client', '{ __schema { types { fields { type { ofType { ofType { name } } } } } } }');
q('deep introspection', '{ __schema { types { fields { type { ofType { ofType { kind } } } } } } }', { as: 'master', view: 'status' });
q('by GET', deep(6), { method: 'GET' });
q('many operations', `${Array.from({ length: 20 }, (_, i) => `query Q${i} { health }`).join(' ')}`, { operationName: 'Q3' });
q('deep variables', 'query Q($where: ItemWhereInput) { items(where: $where) { count } }', { variables: { where: { parent: { have: { parent: { have: { parent: { have: { text: { equalTo: 'a' } } } } } } } } } });

export default { name: 'complexity', overrides: { requestComplexity: { graphQLDepth: 5, graphQLFields: 10 } }, cases };
