// Every operator on every type: match, no match, unset, null, wrong type; plain and inside $or, $nor and $and.
// `rows` and `operands` are what model.js works on when the differences are listed.
const date = iso => ({ __type: 'Date', iso });
const geo = (latitude, longitude) => ({ __type: 'GeoPoint', latitude, longitude });
const poly = (...coordinates) => ({ __type: 'Polygon', coordinates });
const pointer = n => ({ __type: 'Pointer', className: 'MatrixChild', objectId: `{{child${n}}}` });
const bytes = base64 => ({ __type: 'Bytes', base64 });
const file = name => ({ __type: 'File', name, url: `http://files.example/${name}` });

const d1 = date('2001-01-01T00:00:00.000Z');
const d2 = date('2002-02-02T02:02:02.002Z');
const d3 = date('2003-03-03T03:03:03.003Z');

/** field -> what the rows hold; `undefined` leaves it unset. */
const columns = {
  s: ['alpha', 'beta', 'Gamma', ''],
  n: [1, 2, -3.5, 0],
  b: [true, false, true, false],
  d: [d1, d2, d3, d1],
  a: [['x', 'y'], ['y', 'z'], [1, 2], []],
  o: [{ k: 'v', m: 1, deep: { q: true } }, { k: 'w', m: 2 }, { m: '1', list: ['p', 'q'] }, {}],
  p: [pointer(1), pointer(2), pointer(3), pointer(1)],
  ap: [[pointer(1), pointer(2)], [pointer(2)], [pointer(3)], []],
  g: [geo(0, 0), geo(10, 10), geo(-45, 120), geo(0.001, 0.001)],
  poly: [
    poly([0, 0], [0, 5], [5, 5], [5, 0], [0, 0]), poly([10, 10], [10, 12], [12, 12], [12, 10], [10, 10]),
    poly([-1, -1], [-1, 1], [1, 1], [1, -1], [-1, -1]), poly([0, 0], [0, 5], [5, 5], [5, 0], [0, 0]),
  ],
  y: [bytes('YQ=='), bytes('Yg=='), bytes('Yw=='), bytes('ZA==')],
  f: [file('one.txt'), file('two.txt'), file('three.txt'), file('one.txt')],
};

export const rows = [0, 1, 2, 3].map(i => ({
  label: `row${i + 1}`, ...Object.fromEntries(Object.entries(columns).map(([key, values]) => [key, values[i]])),
}));
rows.push({ label: 'unset' });
rows.push({ label: 'nulls', ...Object.fromEntries(Object.keys(columns).map(key => [key, null])) });

const long = value => JSON.stringify(value).replace(/"|\{|\}|__type:/g, '').slice(0, 60);
const cases = [];
const ids = new Set();

function ask(where, id = long(where)) {
  let unique = id;
  for (let i = 2; ids.has(unique); i++) unique = `${id} #${i}`;
  ids.add(unique);
  cases.push({ id: unique, path: 'classes/Matrix', query: { where, keys: 'label', limit: 100 }, view: 'labels', matrix: true });
}

const wrong = { s: [5, true, ['alpha']], n: ['1', 'x', true], b: [1, 'true'], d: ['2001-01-01T00:00:00.000Z', 5], p: ['{{child1}}', 5] };
const scalars = {
  s: { hit: 'beta', other: 'alpha', miss: 'nothing' },
  n: { hit: 2, other: 1, miss: 99 },
  b: { hit: true, other: false },
  d: { hit: d2, other: d1, miss: date('1999-01-01T00:00:00.000Z') },
  p: { hit: pointer(2), other: pointer(1), miss: { __type: 'Pointer', className: 'MatrixChild', objectId: 'nosuchid00' } },
  f: { hit: file('two.txt'), other: file('one.txt'), miss: file('none.txt') },
  o: { hit: { k: 'w', m: 2 }, other: { k: 'v', m: 1, deep: { q: true } }, miss: { k: 'nothing' } },
  y: { hit: bytes('Yg=='), other: bytes('YQ=='), miss: bytes('enp6') },
  g: { hit: geo(10, 10), other: geo(0, 0), miss: geo(77, 77) },
  poly: { hit: columns.poly[1], other: columns.poly[0], miss: poly([50, 50], [50, 51], [51, 51]) },
  'o.k': { hit: 'w', other: 'v', miss: 'nothing' },
  'o.m': { hit: 2, other: 1, miss: 99 },
  'o.deep.q': { hit: true, other: false },
};

for (const [field, { hit, other, miss }] of Object.entries(scalars)) {
  const values = { hit, ...(miss === undefined ? {} : { miss }), null: null };
  for (const [what, value] of Object.entries(values)) {
    ask({ [field]: value }, `${field} = ${what}`);
    ask({ [field]: { $eq: value } }, `${field} $eq ${what}`);
    ask({ [field]: { $ne: value } }, `${field} $ne ${what}`);
    ask({ $or: [{ [field]: value }, { label: 'row1' }] }, `$or ${field} = ${what}`);
    ask({ $nor: [{ [field]: value }] }, `$nor ${field} = ${what}`);
    ask({ $and: [{ [field]: value }, { label: { $exists: true } }] }, `$and ${field} = ${what}`);
  }
  for (const list of [[], [hit], [hit, other], [null], [hit, null], ...(miss === undefined ? [] : [[miss]])]) {
    const name = list.map(item => (item === null ? 'null' : item === hit ? 'hit' : item === other ? 'other' : 'miss')).join();
    ask({ [field]: { $in: list } }, `${field} $in [${name}]`);
    ask({ [field]: { $nin: list } }, `${field} $nin [${name}]`);
    ask({ $nor: [{ [field]: { $in: list } }] }, `$nor ${field} $in [${name}]`);
  }
  for (const value of wrong[field] ?? []) {
    for (const op of field === 'p' ? ['$eq', '$ne'] : ['$eq', '$ne', '$gt', '$lte']) ask({ [field]: { [op]: value } }, `${field} ${op} wrong ${JSON.stringify(value)}`);
    ask({ [field]: value }, `${field} = wrong ${JSON.stringify(value)}`);
    ask({ [field]: { $in: [value] } }, `${field} $in wrong ${JSON.stringify(value)}`);
    ask({ [field]: { $nin: [value] } }, `${field} $nin wrong ${JSON.stringify(value)}`);
  }
}

for (const field of ['s', 'n', 'd', 'o.k', 'o.m', 'b']) {
  const { hit, other } = scalars[field];
  for (const op of ['$lt', '$lte', '$gt', '$gte']) {
    ask({ [field]: { [op]: hit } }, `${field} ${op} hit`);
    ask({ [field]: { [op]: other } }, `${field} ${op} other`);
    ask({ [field]: { [op]: null } }, `${field} ${op} null`);
    ask({ $nor: [{ [field]: { [op]: hit } }] }, `$nor ${field} ${op} hit`);
    ask({ $or: [{ [field]: { [op]: hit } }, { label: 'unset' }] }, `$or ${field} ${op} hit`);
  }
  ask({ [field]: { $gte: other, $lte: hit } }, `${field} between`);
  ask({ [field]: { $gt: hit, $lt: other } }, `${field} empty range`);
  ask({ [field]: { $ne: other, $gte: hit } }, `${field} $ne with $gte`);
}
ask({ s: { $gt: '' } });
ask({ s: { $lt: 'b' } });
ask({ n: { $gt: 0 } });
ask({ n: { $gte: 0, $lt: 2 } });
ask({ n: { $lt: -3.4 } });
ask({ n: 0 });
ask({ s: '' });
ask({ b: false });

for (const field of [...Object.keys(columns), 'o.k', 'o.deep', 'o.deep.q', 'o.nothing', 'neverSeen', 'label']) {
  ask({ [field]: { $exists: true } }, `${field} $exists`);
  ask({ [field]: { $exists: false } }, `${field} $exists not`);
  ask({ $nor: [{ [field]: { $exists: true } }] }, `$nor ${field} $exists`);
  ask({ $or: [{ [field]: { $exists: false } }, { label: 'row1' }] }, `$or ${field} $exists not`);
}

const lists = {
  a: { one: 'y', two: ['x', 'y'], none: 'nothing', number: 1 },
  ap: { one: pointer(2), two: [pointer(1), pointer(2)], none: { __type: 'Pointer', className: 'MatrixChild', objectId: 'nosuchid00' }, number: pointer(3) },
  'o.list': { one: 'p', two: ['p', 'q'], none: 'nothing', number: 'q' },
};
for (const [field, { one, two, none, number }] of Object.entries(lists)) {
  ask({ [field]: one }, `${field} contains one`);
  ask({ [field]: none }, `${field} contains none`);
  ask({ [field]: number }, `${field} contains number`);
  ask({ [field]: two }, `${field} = exactly two`);
  ask({ [field]: null }, `${field} = null`);
  ask({ [field]: { $eq: one } }, `${field} $eq one`);
  ask({ [field]: { $ne: one } }, `${field} $ne one`);
  ask({ [field]: { $ne: none } }, `${field} $ne none`);
  ask({ [field]: { $ne: null } }, `${field} $ne null`);
  for (const [name, list] of Object.entries({ one: [one], two, 'one none': [one, none], none: [none], empty: [], null: [null], mixed: [one, number] })) {
    ask({ [field]: { $in: list } }, `${field} $in ${name}`);
    ask({ [field]: { $nin: list } }, `${field} $nin ${name}`);
    if (name !== 'null') {
      ask({ [field]: { $all: list } }, `${field} $all ${name}`);
      ask({ [field]: { $containedBy: list } }, `${field} $containedBy ${name}`);
      ask({ $nor: [{ [field]: { $all: list } }] }, `$nor ${field} $all ${name}`);
    }
  }
  ask({ $nor: [{ [field]: one }] }, `$nor ${field} contains one`);
  ask({ $or: [{ [field]: one }, { label: 'unset' }] }, `$or ${field} contains one`);
}
ask({ a: { $all: [{ $regex: '^\\Qx\\E' }] } }, 'a $all starts with x');
ask({ a: { $all: [{ $regex: '^\\Qx\\E' }, { $regex: '^\\Qy\\E' }] } }, 'a $all starts with x and y');
ask({ a: { $all: [{ $regex: '^\\Qnot\\E' }] } }, 'a $all starts with not');
ask({ s: { $all: ['alpha'] } }, 's $all');
ask({ p: { $all: [pointer(1)] } }, 'p $all one pointer');

const patterns = {
  plain: 'et', anchored: '^b', end: 'a$', alternation: '^(alpha|beta)$', class: '[A-Z]', dot: '^.....$', quantifier: 'm{2}',
  literal: '\\Qeta\\E', 'anchored literal': '^\\Qal\\E', digit: '\\d', word: '^\\w+$', nothing: 'qqq', empty: '',
  'case': 'GAMMA', lookahead: '^(?!alpha)', 'non greedy': 'a.*?a', group: '(l)(p)',
};
for (const [name, $regex] of Object.entries(patterns)) {
  ask({ s: { $regex } }, `s $regex ${name}`);
  ask({ s: { $regex, $options: 'i' } }, `s $regex ${name} i`);
  ask({ 'o.k': { $regex } }, `o.k $regex ${name}`);
  ask({ $nor: [{ s: { $regex } }] }, `$nor s $regex ${name}`);
}
ask({ s: { $regex: 'AL PHA # comment', $options: 'ix' } }, 's $regex extended');
ask({ s: { $regex: '^alpha$', $options: 'm' } }, 's $regex m');
ask({ s: { $regex: 'al.ha', $options: 's' } }, 's $regex s');
ask({ a: { $regex: '^x' } }, 'a $regex');
ask({ n: { $regex: '1' } }, 'n $regex');
ask({ s: { $regex: 'et', $ne: 'alpha' } }, 's $regex with $ne');

const near = geo(0, 0);
for (const [name, constraint] of Object.entries({
  near: { $nearSphere: near },
  'near with small distance': { $nearSphere: near, $maxDistance: 0.001 },
  'near with distance': { $nearSphere: near, $maxDistance: 0.3 },
  'near with huge distance': { $nearSphere: near, $maxDistance: 4 },
  'near in miles': { $nearSphere: near, $maxDistanceInMiles: 100 },
  'near in kilometers': { $nearSphere: near, $maxDistanceInKilometers: 2000 },
  'near in radians': { $nearSphere: near, $maxDistanceInRadians: 0.3 },
  box: { $within: { $box: [geo(-1, -1), geo(11, 11)] } },
  'box empty': { $within: { $box: [geo(50, 50), geo(51, 51)] } },
  'polygon of points': { $geoWithin: { $polygon: [geo(-1, -1), geo(-1, 11), geo(11, 11), geo(11, -1)] } },
  'polygon far away': { $geoWithin: { $polygon: [geo(50, 50), geo(50, 51), geo(51, 51)] } },
  'polygon of pairs': { $geoWithin: { $polygon: [[-1, -1], [-1, 11], [11, 11], [11, -1]] } },
  'polygon object': { $geoWithin: { $polygon: poly([-1, -1], [-1, 11], [11, 11], [11, -1]) } },
  'center sphere': { $geoWithin: { $centerSphere: [near, 0.3] } },
  'center sphere pair': { $geoWithin: { $centerSphere: [[10, 10], 0.01] } },
  'center sphere nothing': { $geoWithin: { $centerSphere: [geo(77, 77), 0.001] } },
})) {
  ask({ g: constraint }, `g ${name}`);
  ask({ g: constraint, s: { $ne: 'alpha' } }, `g ${name} and more`);
}
cases.filter(item => item.id.startsWith('g near')).forEach(item => { item.ordered = true; });
for (const [name, point] of Object.entries({ inside: geo(2, 2), outside: geo(60, 60), both: geo(0.5, 0.5), second: geo(11, 11) })) {
  ask({ poly: { $geoIntersects: { $point: point } } }, `poly $geoIntersects ${name}`);
}

const combined = {
  'two fields': { s: 'beta', n: 2 },
  'two fields that exclude': { s: 'beta', n: 1 },
  '$or of two': { $or: [{ s: 'alpha' }, { n: 2 }] },
  '$or with field': { $or: [{ s: 'alpha' }, { s: 'beta' }], n: { $gt: 1 } },
  '$or nested': { $or: [{ $and: [{ s: 'alpha' }, { n: 1 }] }, { $or: [{ n: 2 }, { n: 99 }] }] },
  '$and of ranges': { $and: [{ n: { $gt: 0 } }, { n: { $lt: 2 } }] },
  '$nor of two': { $nor: [{ s: 'alpha' }, { n: 2 }] },
  '$nor nested': { $nor: [{ $or: [{ s: 'alpha' }, { s: 'beta' }] }] },
  '$or with null': { $or: [{ s: null }, { s: 'alpha' }] },
  '$or of $exists': { $or: [{ s: { $exists: false } }, { b: true }] },
  '$or empty': { $or: [] },
  '$and empty': { $and: [] },
  '$nor empty': { $nor: [] },
  '$or of empty objects': { $or: [{}, { s: 'alpha' }] },
  'empty where': {},
  'unknown field': { neverSeen: 1 },
  'unknown field null': { neverSeen: null },
  'unknown field $ne': { neverSeen: { $ne: 1 } },
  'unknown field $in': { neverSeen: { $in: [1] } },
  'unknown field $nin': { neverSeen: { $nin: [1] } },
  'unknown field beside $or': { $or: [{ neverSeen: 1 }, { s: 'alpha' }] },
  'dotted into string': { 's.x': 1 },
  'dotted into number': { 'n.x': 1 },
  'array index': { 'o.list.0': 'p' },
  'objectId $in nothing': { objectId: { $in: [] } },
  'objectId unknown': { objectId: 'nosuchid00' },
  'objectId $ne': { objectId: { $ne: 'nosuchid00' } },
  'createdAt in the past': { createdAt: { $gt: date('2001-01-01T00:00:00.000Z') } },
  'createdAt before the past': { createdAt: { $lt: date('2001-01-01T00:00:00.000Z') } },
  'updatedAt exists': { updatedAt: { $exists: true } },
  '_created_at': { _created_at: { $gt: date('2001-01-01T00:00:00.000Z') } },
  'eq and more in one': { n: { $eq: 2, $gt: 1 } },
  'contradiction': { n: { $eq: 2, $gt: 3 } },
};
for (const [name, where] of Object.entries(combined)) ask(where, name);

export const matrixCases = cases;
export const groups = [{
  name: 'matrix',
  cases: [
    ...[1, 2, 3].map(n => ({ id: `child ${n}`, method: 'POST', path: 'classes/MatrixChild', body: { n }, capture: { [`child${n}`]: 'objectId' }, as: 'master' })),
    {
      id: 'schema', method: 'POST', path: 'schemas/Matrix', as: 'master',
      body: { className: 'Matrix', fields: { label: { type: 'String' }, s: { type: 'String' }, n: { type: 'Number' }, b: { type: 'Boolean' }, d: { type: 'Date' }, a: { type: 'Array' }, o: { type: 'Object' }, p: { type: 'Pointer', targetClass: 'MatrixChild' }, ap: { type: 'Array' }, g: { type: 'GeoPoint' }, poly: { type: 'Polygon' }, y: { type: 'Bytes' }, f: { type: 'File' } } },
    },
    ...rows.map(body => ({ id: `row ${body.label}`, method: 'POST', path: 'classes/Matrix', body, as: 'master' })),
    ...cases,
  ],
}];
