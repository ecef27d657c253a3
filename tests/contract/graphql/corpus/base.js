// The classes that all groups use, made by the schema API, and their first objects.

const field = (type, targetClass) => (targetClass ? { type, targetClass } : { type });
const schema = (name, fields, more = {}) => ({
  id: `schema ${name}`, as: 'master', rest: ['POST', `/schemas/${name}`, { className: name, fields, ...more }],
});
const object = (id, name, body, capture) => ({
  id, as: 'master', rest: ['POST', `/classes/${name}`, body], capture: capture && { [capture]: 'objectId' },
});

export const classes = [
  schema('Country', { name: field('String'), population: field('Number') }),
  schema('Company', { name: field('String'), country: field('Pointer', 'Country'), staff: field('Relation', '_User') }),
  schema('Every', {
    text: field('String'), number: field('Number'), flag: field('Boolean'), date: field('Date'), object: field('Object'),
    list: field('Array'), place: field('GeoPoint'), file: field('File'), bytes: field('Bytes'), area: field('Polygon'),
    company: field('Pointer', 'Company'), countries: field('Relation', 'Country'), itself: field('Pointer', 'Every'),
    must: { type: 'String', required: true, defaultValue: 'set' },
  }),
  schema('with_under_score', { a_b: field('String'), toUnknown: field('Pointer', 'Nowhere') }),
  schema('person', { name: field('String'), friends: field('Relation', 'person') }),
];

export const objects = [
  object('country 1', 'Country', { name: 'Land', population: 10 }, 'land'),
  object('country 2', 'Country', { name: 'Island', population: 20 }, 'island'),
  object('country 3', 'Country', { name: 'Empty' }, 'empty'),
  object('company 1', 'Company', { name: 'Firm', country: { __type: 'Pointer', className: 'Country', objectId: '{{land}}' } }, 'firm'),
  object('company 2', 'Company', { name: 'Shop' }, 'shop'),
  object('every 1', 'Every', {
    text: 'one', number: 1.5, flag: true, date: { __type: 'Date', iso: '2020-01-02T03:04:05.678Z' }, object: { a: { b: [1, null] } },
    list: [1, 'two', { three: 3 }, null, { __type: 'Pointer', className: 'Country', objectId: '{{land}}' }],
    place: { __type: 'GeoPoint', latitude: 10, longitude: 20 }, bytes: { __type: 'Bytes', base64: 'aGk=' },
    area: { __type: 'Polygon', coordinates: [[0, 0], [0, 10], [10, 10], [0, 0]] },
    company: { __type: 'Pointer', className: 'Company', objectId: '{{firm}}' },
    countries: { __op: 'AddRelation', objects: [{ __type: 'Pointer', className: 'Country', objectId: '{{land}}' }, { __type: 'Pointer', className: 'Country', objectId: '{{island}}' }] },
    ACL: { '*': { read: true }, 'role:admins': { read: true, write: true } },
  }, 'one'),
  object('every 2', 'Every', { text: 'two', number: 2, must: 'own', itself: { __type: 'Pointer', className: 'Every', objectId: '{{one}}' } }, 'two'),
  object('every 3', 'Every', { text: 'three', flag: false, list: [] }, 'three'),
  object('every 4', 'Every', { text: 'secret', ACL: {} }, 'secret'),
  object('under', 'with_under_score', { a_b: 'x' }),
];

export const setup = [...classes, ...objects];
