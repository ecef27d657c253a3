// Every constraint of every where input, with operands that fit and that do not, and every input of every field type.
import { setup } from './base.js';

const cases = [];
const q = (id, query, more = {}) => cases.push({ id, query, ...more });
const where = (id, condition, more) => q(id, `{ everies(where: { ${condition} }, order: text_ASC) { count edges { node { text } } } }`, more);

const common = ['equalTo', 'notEqualTo', 'lessThan', 'lessThanOrEqualTo', 'greaterThan', 'greaterThanOrEqualTo'];
const types = {
  text: { value: '"one"', others: ['""', '1', 'null', 'true', '{}'], more: { options: '"i"', matchesRegex: '"^o"' } },
  number: { value: '1.5', others: ['2', '"a"', 'null', '-1e3', '99999999999'] },
  flag: { value: 'true', operators: ['equalTo', 'notEqualTo'], others: ['false', '1', 'null', '"true"'] },
  createdAt: { value: '"2020-01-01T00:00:00.000Z"', others: ['"x"', 'null', '1', '{ iso: "2020-01-01T00:00:00.000Z" }', '{ __type: "Date", iso: "2020-01-01T00:00:00.000Z" }'] },
  bytes: { value: '"aGk="', others: ['"x"', 'null', '1', '{ __type: "Bytes", base64: "aGk=" }'] },
  file: { value: '"a.txt"', others: ['null', '1', '{ __type: "File", name: "a.txt" }'], more: { matchesRegex: '"^a"', options: '"i"' } },
  object: { value: '{ key: "a", value: 1 }', others: ['null', '1', '{ key: "a" }', '{ key: 1, value: 1 }'] },
  list: { value: '1', others: ['null', '"two"', '[1]', '{ three: 3 }'], more: { contains: '[1, "two"]', containedBy: '[1, "two", 3]' } },
  id: { value: '"{{one}}"', others: ['1', 'null', '{{landGid}}'] },
};
for (const [field, { value, others, operators = common, more = {} }] of Object.entries(types)) {
  // Ids are drawn: their order is chance.
  for (const operator of field === 'id' ? ['equalTo', 'notEqualTo'] : operators) where(`${field} ${operator}`, `${field}: { ${operator}: ${value} }`);
  for (const other of others) where(`${field} equalTo ${other}`, `${field}: { equalTo: ${other.replace('{{landGid}}', '"{{landGid}}"')} }`);
  if (operators === common) {
    for (const list of [`[${value}]`, '[]', 'null', '[null]', value]) {
      where(`${field} in ${list}`, `${field}: { in: ${list} }`);
      where(`${field} notIn ${list}`, `${field}: { notIn: ${list} }`);
    }
  }
  for (const [operator, operand] of Object.entries(more)) where(`${field} ${operator}`, `${field}: { ${operator}: ${operand} }`);
  for (const operand of ['true', 'false', 'null', '1']) where(`${field} exists ${operand}`, `${field}: { exists: ${operand} }`);
  for (const operator of ['inQueryKey', 'notInQueryKey']) {
    const key = field === 'id' ? 'objectId' : field;
    where(`${field} ${operator}`, `${field}: { ${operator}: { query: { className: "Every", where: { text: { equalTo: "one" } } }, key: "${key}" } }`);
  }
  where(`${field} nothing`, `${field}: {}`);
  where(`${field} null`, `${field}: null`);
}

for (const [id, condition] of Object.entries({
  'nearSphere': '{ nearSphere: { latitude: 10, longitude: 20 } }',
  'nearSphere without a longitude': '{ nearSphere: { latitude: 10 } }',
  'nearSphere out of range': '{ nearSphere: { latitude: 100, longitude: 20 } }',
  'maxDistance': '{ nearSphere: { latitude: 10, longitude: 20 }, maxDistance: 1 }',
  'maxDistance alone': '{ maxDistance: 1 }',
  'maxDistanceInRadians': '{ nearSphere: { latitude: 10, longitude: 20 }, maxDistanceInRadians: 1 }',
  'maxDistanceInMiles': '{ nearSphere: { latitude: 10, longitude: 20 }, maxDistanceInMiles: 10 }',
  'geoWithin nothing': '{ geoWithin: {} }',
  'geoWithin two corners': '{ geoWithin: { polygon: [{ latitude: 0, longitude: 0 }, { latitude: 0, longitude: 1 }] } }',
  'geoWithin no corner': '{ geoWithin: { polygon: [] } }',
  'centerSphere without a distance': '{ geoWithin: { centerSphere: { center: { latitude: 10, longitude: 20 } } } }',
  'centerSphere negative': '{ geoWithin: { centerSphere: { center: { latitude: 10, longitude: 20 }, distance: -1 } } }',
  'within': '{ within: { box: { bottomLeft: { latitude: 0, longitude: 0 }, upperRight: { latitude: 20, longitude: 30 } } } }',
  'within without a corner': '{ within: { box: { bottomLeft: { latitude: 0, longitude: 0 } } } }',
  'exists': '{ exists: true }', 'exists not': '{ exists: false }', 'equalTo': '{ equalTo: { latitude: 10, longitude: 20 } }', 'nothing': '{}', 'null': 'null',
})) where(`place ${id}`, `place: ${condition}`);
for (const [id, condition] of Object.entries({
  'inside': '{ geoIntersects: { point: { latitude: 1, longitude: 5 } } }', 'outside': '{ geoIntersects: { point: { latitude: 80, longitude: 5 } } }',
  'no point': '{ geoIntersects: {} }', 'half a point': '{ geoIntersects: { point: { latitude: 1 } } }', 'out of range': '{ geoIntersects: { point: { latitude: 100, longitude: 5 } } }',
  'exists': '{ exists: true }', 'exists not': '{ exists: false }', 'null': 'null', 'nothing': '{}',
})) where(`area ${id}`, `area: ${condition}`);
for (const field of ['company', 'countries']) {
  for (const [id, condition] of Object.entries({
    'exists': '{ exists: true }', 'exists not': '{ exists: false }', 'exists null': '{ exists: null }', 'have all': '{ have: {} }', 'haveNot all': '{ haveNot: {} }', 'have null': '{ have: null }',
    'have a name': '{ have: { name: { exists: true } } }', 'haveNot a name': '{ haveNot: { name: { exists: true } } }', 'have an id': '{ have: { objectId: { in: ["{{firm}}", "{{land}}"] } } }',
    'have a global id': '{ have: { id: { in: ["{{firmGid}}", "{{landGid}}"] } } }', 'have or': '{ have: { OR: [{ name: { equalTo: "Firm" } }, { name: { equalTo: "Land" } }] } }',
    'both': '{ have: { name: { exists: true } }, haveNot: { name: { equalTo: "Shop" } } }', 'nothing': '{}', 'null': 'null', 'equalTo': '{ equalTo: "x" }', 'link': '{ link: "{{firm}}" }',
  })) where(`${field} ${id}`, `${field}: ${condition}`);
}
where('pointer of a pointer', 'company: { have: { country: { haveNot: { name: { equalTo: "Island" } } } } }');
where('itself', 'itself: { have: { itself: { exists: false } } }');
where('two fields', 'text: { equalTo: "one" }, number: { greaterThan: 1 }');
where('or with and within', 'OR: [{ AND: [{ text: { equalTo: "one" } }, { number: { equalTo: 1.5 } }] }, { NOR: [{ flag: { exists: true } }] }]');
for (const list of ['[]', 'null', '[{}]', '{ text: { equalTo: "one" } }', '[{ text: null }]']) for (const operator of ['OR', 'AND', 'NOR']) where(`${operator} ${list}`, `${operator}: ${list}`);
where('text search of two words', 'text: { text: { search: { term: "one two" } } }');
where('text search with everything', 'text: { text: { search: { term: "One", language: "english", caseSensitive: false, diacriticSensitive: true } } }');
where('text search without a term', 'text: { text: { search: {} } }');
where('text search of nothing', 'text: { text: { search: { term: "" } } }');
where('key of another class', 'text: { inQueryKey: { query: { className: "Country", where: { population: { greaterThan: 1 } } }, key: "name" } }');
where('key of no class', 'text: { inQueryKey: { query: { className: "Nothing", where: {} }, key: "name" } }');
where('key without conditions', 'text: { inQueryKey: { query: { className: "Country" }, key: "name" } }');
where('key missing', 'text: { inQueryKey: { query: { className: "Country", where: {} } } }');
where('by an object id that is none', 'objectId: { equalTo: "" }');

// Variables of every type, given and left out.
const variable = (id, type, use, value, more) => q(`variable ${id}`, `query Q($v: ${type}) { everies(${use}, order: text_ASC) { count edges { node { text } } } }`, { variables: { v: value }, ...more });
variable('where', 'EveryWhereInput', 'where: $v', { text: { equalTo: 'one' } });
variable('where by id', 'EveryWhereInput', 'where: $v', { id: { equalTo: '{{gid}}' } });
variable('where null', 'EveryWhereInput', 'where: $v', null);
variable('where within', 'String', 'where: { text: { equalTo: $v } }', 'two');
variable('where within null', 'String', 'where: { text: { equalTo: $v } }', null);
variable('list', '[String]', 'where: { text: { in: $v } }', ['one', 'two']);
variable('list of one', '[String]', 'where: { text: { in: $v } }', 'one');
variable('list of null', '[String]', 'where: { text: { in: $v } }', [null]);
variable('enum', '[EveryOrder!]', 'where: {}, first: 2, skip: 0, options: {}, order: $v) { count } b: everies(first: 0', ['text_DESC', 'id_ASC']);
variable('boolean', 'Boolean', 'where: { flag: { equalTo: $v } }', true);
variable('float of an integer', 'Float', 'where: { number: { equalTo: $v } }', 2);
variable('date', 'Date', 'where: { createdAt: { greaterThan: $v } }', '2020-01-01T00:00:00.000Z');
variable('date object', 'Date', 'where: { createdAt: { greaterThan: $v } }', { __type: 'Date', iso: '2020-01-01T00:00:00.000Z' });
variable('date that is none', 'Date', 'where: { createdAt: { greaterThan: $v } }', 'yesterday');
variable('any', '[Any]', 'where: { list: { contains: $v } }', [1, 'two']);
variable('options', 'ReadOptionsInput', 'options: $v', { readPreference: 'NEAREST' });
variable('options wrong', 'ReadOptionsInput', 'options: $v', { readPreference: 'MY_OWN' });
variable('id', 'ID', 'where: { id: { equalTo: $v } }', '{{two}}');
variable('number as an id', 'ID', 'where: { id: { equalTo: $v } }', 12);
variable('subquery', 'SelectInput', 'where: { text: { inQueryKey: $v } }', { query: { className: 'Every', where: { text: 'one' } }, key: 'text' });
variable('subquery with operators', 'SelectInput', 'where: { text: { inQueryKey: $v } }', { query: { className: 'Every', where: { text: { equalTo: 'one' } } }, key: 'text' });
variable('geo', 'GeoPointInput!', 'where: { place: { nearSphere: $v } }', { latitude: 10, longitude: 20 });
variable('geo of texts', 'GeoPointInput!', 'where: { place: { nearSphere: $v } }', { latitude: '10', longitude: 20 });
variable('key and value', 'KeyValueInput', 'where: { object: { equalTo: $v } }', { key: 'x', value: 1 });
for (const value of [undefined, 1, -1, 'a']) variable(`first ${value}`, 'Int = 2', 'first: $v', value);
for (const value of [true, false]) q(`include ${value}`, 'query Q($v: Boolean!) { every(id: "{{one}}") { text number @include(if: $v) flag @skip(if: $v) ...A @include(if: $v) ... @skip(if: $v) { must } } } fragment A on Every { bytes }', { variables: { v: value } });

// Values that are written: each field type, inline and by variable, on create and on update.
const values = {
  text: ['"a"', '""', '1', 'null', '"\\u00e4\\n\\"x\\""', '"""block "text"\n  two"""', '["a"]'],
  number: ['0', '-0.5', '1e10', '1e400', '"1"', 'null', '9007199254740993'],
  flag: ['true', 'false', '"true"', '1', 'null'],
  date: ['"2020-01-01"', '"2020-01-01T00:00:00Z"', '"2020-01-01T00:00:00.000Z"', '"nonsense"', '1577836800000', 'null', '{ __type: "Date", iso: "2020-01-01T00:00:00.000Z" }', '{ iso: "2020-01-01T00:00:00.000Z" }'],
  object: ['{}', '{ a: { b: [1, { c: null }] } }', '{ a: "x", b: 1.5, c: true, d: [] }', '1', '"x"', '[1]', 'null'],
  list: ['[]', '[1, "a", true, null, 1.5]', '[{ a: 1 }, [2]]', '1', 'null', '[{ __type: "Pointer", className: "Country", objectId: "{{land}}" }]'],
  bytes: ['"aGk="', '""', '"not base64"', '1', 'null', '{ __type: "Bytes", base64: "aGk=" }'],
  place: ['{ latitude: 1.5, longitude: -2 }', '{ latitude: 1 }', '{ latitude: 1, longitude: 200 }', '{ latitude: "1", longitude: 2 }', 'null', '[1, 2]'],
  area: ['[{ latitude: 1, longitude: 1 }, { latitude: 1, longitude: 2 }, { latitude: 2, longitude: 2 }]', '[]', 'null', '{ latitude: 1, longitude: 1 }', '[{ latitude: 1, longitude: 1 }, null]'],
  file: ['{ file: "b.txt" }', '{ file: { __type: "File", name: "b.txt" } }', '{ file: { name: "b.txt" } }', '{ file: 1 }', '{ upload: null }', '{ file: null }', 'null', '"b.txt"'],
};
const shown = { place: 'place { latitude longitude }', area: 'area { latitude longitude }', file: 'file { name url }', list: 'list { __typename ... on Element { value } ... on Country { name } }' };
for (const [field, literals] of Object.entries(values)) {
  for (const literal of literals) {
    q(`create ${field} ${literal}`, `mutation { createEvery(input: { fields: { must: "m", ${field}: ${literal} } }) { every { ${shown[field] ?? field} } } }`);
  }
  q(`update ${field}`, `mutation { updateEvery(input: { id: "{{open}}", fields: { ${field}: ${literals[0]} } }) { every { ${shown[field] ?? field} } } }`);
  q(`take away ${field}`, `mutation { updateEvery(input: { id: "{{open}}", fields: { ${field}: null } }) { every { text ${shown[field] ?? field} } } }`);
}
const written = (id, fields, selection) => q(`write ${id}`, 'mutation M($f: CreateEveryFieldsInput) { createEvery(input: { fields: $f }) { every { ' + selection + ' } } }', { variables: { f: { must: 'm', ...fields } } });
written('everything', { text: 'v', number: 2, flag: true, date: '2020-01-01T00:00:00.000Z', object: { a: 1 }, list: [1, { b: 2 }], bytes: 'aGk=', place: { latitude: 1, longitude: 2 } }, 'text number flag date object list { ... on Element { value } } bytes place { latitude longitude }');
written('a date object', { date: { __type: 'Date', iso: '2020-01-01T00:00:00.000Z' } }, 'date');
written('bytes object', { bytes: { __type: 'Bytes', base64: 'aGk=' } }, 'bytes');
written('keys with dots', { object: { 'a.b': 1 } }, 'object');
written('keys with dollars', { object: { $a: 1 } }, 'object');
written('pointers in an array', { list: [{ __type: 'Pointer', className: 'Country', objectId: '{{land}}' }, { __type: 'Pointer', className: 'Company', objectId: '{{firm}}' }] }, 'list { __typename ... on Country { name } ... on Company { name country { name } } }');
written('a pointer to nothing in an array', { list: [{ __type: 'Pointer', className: 'Country', objectId: 'nothing123' }] }, 'list { __typename ... on Country { name } }');
written('wrong types', { number: 'x' }, 'number');
written('unknown fields', { nothing: 'x' }, 'text');
written('an operation', { number: { __op: 'Increment', amount: 1 } }, 'number');

// Pointers and relations.
for (const [id, company] of Object.entries({
  'global id': '{ link: "{{firmGid}}" }', 'id of another class': '{ link: "{{landGid}}" }', 'both': '{ link: "{{firm}}", createAndLink: {} }', 'an empty new one': '{ createAndLink: {} }',
  'three deep': '{ createAndLink: { name: "a", country: { createAndLink: { name: "b", population: 1 } } } }', 'with a relation': '{ createAndLink: { name: "c", staff: { add: [] } } }',
  'an unknown field': '{ createAndLink: { nothing: 1 } }', 'an empty id': '{ link: "" }', 'nothing': '{}',
})) q(`point ${id}`, `mutation { createEvery(input: { fields: { must: "m", company: ${company} } }) { every { company { name country { name population } } } } }`);
for (const [id, countries] of Object.entries({
  'add global ids': '{ add: ["{{landGid}}"] }', 'add the same twice': '{ add: ["{{land}}", "{{landGid}}"] }', 'add one that is no list': '{ add: "{{land}}" }', 'add none': '{ add: [] }', 'remove none': '{ remove: [] }',
  'add and remove': '{ add: ["{{land}}"], remove: ["{{island}}"] }', 'all three': '{ add: ["{{land}}"], remove: ["{{land}}"], createAndAdd: [{ name: "new" }] }', 'create empty': '{ createAndAdd: [{}] }',
  'create none': '{ createAndAdd: [] }', 'create one that is no list': '{ createAndAdd: { name: "single" } }', 'add null': '{ add: null }', 'add a null': '{ add: [null] }', 'nothing': '{}',
})) {
  q(`relate ${id}`, `mutation { createEvery(input: { fields: { must: "m", countries: ${countries} } }) { every { countries(order: name_ASC) { count edges { node { name } } } } } }`);
  q(`relate again ${id}`, `mutation { updateEvery(input: { id: "{{open}}", fields: { countries: ${countries} } }) { every { text } } }`);
}
for (const acl of ['{ public: { read: true, write: true } }', '{ public: { read: true } }', '{ users: [] }', '{ users: [{ userId: "u", read: true }] }', '{ roles: [{ roleName: "r", read: true, write: true }] }', '{ users: null, roles: null, public: null }', '{ users: [{ read: true, write: true }] }', '1']) {
  q(`access ${acl}`, `mutation { createEvery(input: { fields: { must: "m", ACL: ${acl} } }) { every { ACL { users { userId read write } roles { roleName read write } public { read write } } } } }`, { as: 'master' });
}
q('access of a user', 'mutation { createEvery(input: { fields: { must: "m", ACL: { users: [{ userId: "{{userGid}}", read: true, write: true }] } } }) { every { ACL { users { userId read write } public { read } } } } }', { as: 'master' });

const captures = [
  { id: 'gid', query: '{ every(id: "{{one}}") { id } }', capture: { gid: 'data.every.id' } },
  { id: 'gids', query: '{ company(id: "{{firm}}") { id } country(id: "{{land}}") { id } }', capture: { firmGid: 'data.company.id', landGid: 'data.country.id' } },
  { id: 'open', as: 'master', rest: ['POST', '/classes/Every', { text: 'open', must: 'm', list: [1], object: { a: 1 } }], capture: { open: 'objectId' } },
  { id: 'a user', query: 'mutation { signUp(input: { fields: { username: "u", password: "p" } }) { viewer { user { id } } } }', capture: { userGid: 'data.signUp.viewer.user.id' } },
];
export default { name: 'values', cases: [...setup, ...captures, ...cases] };
