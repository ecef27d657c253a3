// The permission matrix: principals x operations x protections, generated. Every class holds two rows that differ only
// in what the protection looks at; every protection is asked by everybody, in every way there is to reach an object.
const everybody = { '*': true };
const ops = ['find', 'get', 'count', 'create', 'update', 'delete', 'addField'];
const all = value => Object.fromEntries(ops.map(op => [op, value]));
const open = all(everybody);
const userPointer = name => ({ __type: 'Pointer', className: '_User', objectId: `{{${name}}}` });

const principals = {
  nobody: 'client', owner: '{{tOwner}}', stranger: '{{tStranger}}', member: '{{tMember}}', readonly: 'readonly',
  master: 'master', maintenance: 'maintenance',
};

/** name -> {clp, row}: the class-level permissions and what the protected row carries besides. */
const protections = {
  open: { clp: open, row: {} },
  'acl owner': { clp: open, row: { ACL: { '{{owner}}': { read: true, write: true } } } },
  'acl owner reads': { clp: open, row: { ACL: { '{{owner}}': { read: true } } } },
  'acl public reads': { clp: open, row: { ACL: { '*': { read: true } } } },
  'acl public writes': { clp: open, row: { ACL: { '*': { write: true } } } },
  'acl role': { clp: open, row: { ACL: { 'role:PermParent': { read: true, write: true } } } },
  'acl nothing': { clp: open, row: { ACL: {} } },
  'clp nothing': { clp: all({}), row: {} },
  'clp authenticated': { clp: all({ requiresAuthentication: true }), row: {} },
  'clp role': { clp: all({ 'role:PermParent': true }), row: {} },
  'clp user': { clp: all({ '{{owner}}': true }), row: {} },
  'clp no find': { clp: { ...open, find: {} }, row: {} },
  'clp no get': { clp: { ...open, get: {} }, row: {} },
  'clp no count': { clp: { ...open, count: {} }, row: {} },
  'clp no addField': { clp: { ...open, addField: {} }, row: {} },
  'pointer fields': { clp: all({ pointerFields: ['who'] }), row: { who: userPointer('owner') } },
  'pointer fields in a list': { clp: all({ pointerFields: ['whos'] }), row: { whos: [userPointer('owner')] } },
  'read and write user fields': { clp: { ...all({}), readUserFields: ['who'], writeUserFields: ['who'] }, row: { who: userPointer('owner') } },
  'protected for all': { clp: { ...open, protectedFields: { '*': ['secret'] } }, row: {} },
  'protected but for members': { clp: { ...open, protectedFields: { '*': ['secret'], 'role:PermParent': [] } }, row: {} },
  'protected but when logged in': { clp: { ...open, protectedFields: { '*': ['secret', 'n'], authenticated: ['secret'] } }, row: {} },
  'protected but for the user of a field': { clp: { ...open, protectedFields: { '*': ['secret'], 'userField:who': [] } }, row: { who: userPointer('owner') } },
  'protected but for the users of a list': { clp: { ...open, protectedFields: { '*': ['secret'], 'userField:whos': [] } }, row: { whos: [userPointer('owner')] } },
};

const names = Object.keys(protections);
const classOf = name => `Perm_${name.replace(/\W/g, '_')}`;
/** Relations are asked where a row or an operation is closed; elsewhere `distinct` is, which the peer cannot do beside a relation. */
const related = name => /^(acl|clp)/.test(name);

/** Every way to reach an object; `p` is the prefix of captured names. */
function operations(name, p, who) {
  const c = classOf(name);
  const row = `{{${p}Row}}`;
  const target = { __type: 'Pointer', className: c, objectId: row };
  const holder = `classes/${c}Holder`;
  const doomed = `${p}${who}`;
  const kept = { kind: 'kept' };
  const usual = {
    find: [{ path: `classes/${c}`, query: { where: kept, order: 'label' } }],
    get: [{ path: `classes/${c}/${row}` }],
    count: [{ path: `classes/${c}`, query: { where: kept, count: 1, limit: 0 } }],
    create: [{ method: 'POST', path: `classes/${c}`, body: { label: 'made', kind: 'made', n: 1 } }],
    update: [{ method: 'PUT', path: `classes/${c}/${row}`, body: { n: 2 } }],
    addField: [{ method: 'PUT', path: `classes/${c}/${row}`, body: { [`fresh_${who}`]: 1 } }],
    delete: [
      { note: 'prepare', method: 'POST', path: `classes/${c}`, body: { ...protections[name].row, label: 'doomed', kind: 'doomed' }, as: 'master', capture: { [doomed]: 'objectId' } },
      { method: 'DELETE', path: `classes/${c}/{{${doomed}}}` },
    ],
    aggregate: [{ path: `aggregate/${c}`, query: { pipeline: [{ $match: kept }, { $group: { _id: '$kind', n: { $sum: 1 } } }] } }],
    'include of': [{ path: holder, query: { include: 'target' } }],
    'subquery on': [{ path: holder, query: { where: { target: { $inQuery: { className: c, where: kept } } } } }],
    'batch of': [{ method: 'POST', path: 'batch', body: { requests: [{ method: 'GET', path: `/parse/classes/${c}/${row}` }, { method: 'DELETE', path: `/parse/classes/${c}/nosuchid00` }] } }],
  };
  const closed = related(name) ? {
    'find by id': [{ path: `classes/${c}`, query: { where: { objectId: row } } }],
    'related to': [{ path: holder, query: { where: { $relatedTo: { object: target, key: 'rel' } } } }],
  } : { distinct: [{ path: `aggregate/${c}`, query: { distinct: 'secret' } }] };
  const hidden = /^protected/.test(name) ? {
    'find by secret': [{ path: `classes/${c}`, query: { where: { secret: 's' }, order: 'label' } }],
    'find by secret in $or': [{ path: `classes/${c}`, query: { where: { $or: [{ secret: 's' }, { label: 'x' }] }, order: 'label' } }],
    'order by secret': [{ path: `classes/${c}`, query: { where: kept, order: 'secret,label' } }],
    'keys secret': [{ path: `classes/${c}`, query: { where: kept, keys: 'secret', order: 'label' } }],
    'count by secret': [{ path: `classes/${c}`, query: { where: { secret: 's' }, count: 1, limit: 0 } }],
    'subquery on secret': [{ path: holder, query: { where: { target: { $inQuery: { className: c, where: { secret: 's' } } } } } }],
    'select of secret': [{ path: holder, query: { where: { word: { $select: { query: { className: c, where: kept }, key: 'secret' } } } } }],
    'update secret': [{ method: 'PUT', path: `classes/${c}/${row}`, body: { secret: 's' } }],
    'update by increment': [{ method: 'PUT', path: `classes/${c}/${row}`, body: { times: { __op: 'Increment', amount: 1 } } }],
  } : {};
  return { ...usual, ...closed, ...hidden };
}

const cases = [
  ...['owner', 'stranger', 'member'].map(name => ({
    id: `user ${name}`, method: 'POST', path: 'users', body: { username: `perm_${name}`, password: 'pw' },
    capture: { [name]: 'objectId', [`t${name[0].toUpperCase()}${name.slice(1)}`]: 'sessionToken' },
  })),
  { id: 'role child', method: 'POST', path: 'roles', as: 'master', body: { name: 'PermChild', ACL: {}, users: { __op: 'AddRelation', objects: [userPointer('member')] } }, capture: { child: 'objectId' } },
  { id: 'role parent', method: 'POST', path: 'roles', as: 'master', body: { name: 'PermParent', ACL: {}, roles: { __op: 'AddRelation', objects: [{ __type: 'Pointer', className: '_Role', objectId: '{{child}}' }] } } },
];
for (const name of names) {
  const { clp, row } = protections[name];
  const c = classOf(name);
  const p = `x${c}`;
  const fields = {
    label: { type: 'String' }, kind: { type: 'String' }, secret: { type: 'String' }, n: { type: 'Number' }, times: { type: 'Number' },
    who: { type: 'Pointer', targetClass: '_User' }, whos: { type: 'Array' },
    ...(related(name) ? { rel: { type: 'Relation', targetClass: `${c}Holder` } } : {}),
  };
  cases.push(
    { id: `${name}: class`, method: 'POST', path: `schemas/${c}`, as: 'master', body: { className: c, fields, classLevelPermissions: clp } },
    { id: `${name}: row`, method: 'POST', path: `classes/${c}`, as: 'master', body: { label: 'guarded', kind: 'kept', secret: 's', n: 1, ...row }, capture: { [`${p}Row`]: 'objectId' } },
    { id: `${name}: plain row`, method: 'POST', path: `classes/${c}`, as: 'master', body: { label: 'plain', kind: 'kept', secret: 's', n: 1 } },
    { id: `${name}: holder`, method: 'POST', path: `classes/${c}Holder`, as: 'master', body: { word: 's', target: { __type: 'Pointer', className: c, objectId: `{{${p}Row}}` } }, capture: { [`${p}Holder`]: 'objectId' } },
  );
  if (related(name)) {
    cases.push({ id: `${name}: relation`, method: 'PUT', path: `classes/${c}/{{${p}Row}}`, as: 'master', body: { rel: { __op: 'AddRelation', objects: [{ __type: 'Pointer', className: `${c}Holder`, objectId: `{{${p}Holder}}` }] } } });
  }
  for (const [who, as] of Object.entries(principals)) {
    for (const [operation, steps] of Object.entries(operations(name, p, who))) {
      for (const { note, ...step } of steps) cases.push({ as, ...step, id: `${name}: ${who}: ${operation}${note ? `: ${note}` : ''}` });
    }
  }
}

export const groups = [{ name: 'permissions', cases }];
