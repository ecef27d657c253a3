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

/** Every way to reach an object; `c` is the class, `p` the prefix of captured names. */
function operations(c, p, who) {
  const target = { __type: 'Pointer', className: c, objectId: `{{${p}Row}}` };
  const doomed = `${p}${who}`;
  return {
    find: [{ path: `classes/${c}`, query: { where: { kind: 'kept' }, order: 'label' } }],
    'find by id': [{ path: `classes/${c}`, query: { where: { objectId: `{{${p}Row}}` } } }],
    'find by secret': [{ path: `classes/${c}`, query: { where: { secret: 's' }, order: 'label' } }],
    'find by secret in $or': [{ path: `classes/${c}`, query: { where: { $or: [{ secret: 's' }, { label: 'x' }] }, order: 'label' } }],
    'order by secret': [{ path: `classes/${c}`, query: { where: { kind: 'kept' }, order: 'secret,label' } }],
    'keys secret': [{ path: `classes/${c}`, query: { where: { kind: 'kept' }, keys: 'secret', order: 'label' } }],
    get: [{ path: `classes/${c}/{{${p}Row}}` }],
    count: [{ path: `classes/${c}`, query: { where: { kind: 'kept' }, count: 1, limit: 0 } }],
    'count by secret': [{ path: `classes/${c}`, query: { where: { secret: 's' }, count: 1, limit: 0 } }],
    create: [{ method: 'POST', path: `classes/${c}`, body: { label: 'made', kind: 'made', n: 1 } }],
    update: [{ method: 'PUT', path: `classes/${c}/{{${p}Row}}`, body: { n: 2 } }],
    'update by increment': [{ method: 'PUT', path: `classes/${c}/{{${p}Row}}`, body: { times: { __op: 'Increment', amount: 1 } }, loose: ['times'] }],
    addField: [{ method: 'PUT', path: `classes/${c}/{{${p}Row}}`, body: { [`fresh_${who}`]: 1 } }],
    delete: [
      { note: 'prepare', method: 'POST', path: `classes/${c}`, body: { ...protections_row(c), label: 'doomed', kind: 'doomed' }, as: 'master', capture: { [doomed]: 'objectId' } },
      { method: 'DELETE', path: `classes/${c}/{{${doomed}}}` },
    ],
    aggregate: [{ path: `aggregate/${c}`, query: { pipeline: [{ $match: { kind: 'kept' } }, { $group: { _id: '$kind', n: { $sum: 1 } } }] } }],
    distinct: [{ path: `aggregate/${c}`, query: { distinct: 'secret' } }],
    'include of': [{ path: 'classes/PermHolder', query: { where: { of: c }, include: 'target' } }],
    'subquery on': [{ path: 'classes/PermHolder', query: { where: { of: c, target: { $inQuery: { className: c, where: { kind: 'kept' } } } } } }],
    'subquery on secret': [{ path: 'classes/PermHolder', query: { where: { of: c, target: { $inQuery: { className: c, where: { secret: 's' } } } } } }],
    'related to': [{ path: 'classes/PermHolder', query: { where: { of: c, $relatedTo: { object: target, key: 'rel' } } } }],
    'batch of': [{ method: 'POST', path: 'batch', body: { requests: [{ method: 'GET', path: `/parse/classes/${c}/{{${p}Row}}` }, { method: 'PUT', path: `/parse/classes/${c}/{{${p}Row}}`, body: { n: 3 } }] } }],
  };
}

const classOf = name => `Perm_${name.replace(/\W/g, '_')}`;

function protections_row(className) {
  const name = Object.keys(protections).find(key => classOf(key) === className);
  return protections[name].row;
}

const cases = [
  ...['owner', 'stranger', 'member'].map(name => ({
    id: `user ${name}`, method: 'POST', path: 'users', body: { username: `perm_${name}`, password: 'pw' },
    capture: { [name]: 'objectId', [`t${name[0].toUpperCase()}${name.slice(1)}`]: 'sessionToken' },
  })),
  { id: 'role child', method: 'POST', path: 'roles', as: 'master', body: { name: 'PermChild', ACL: {}, users: { __op: 'AddRelation', objects: [userPointer('member')] } }, capture: { child: 'objectId' } },
  { id: 'role parent', method: 'POST', path: 'roles', as: 'master', body: { name: 'PermParent', ACL: {}, roles: { __op: 'AddRelation', objects: [{ __type: 'Pointer', className: '_Role', objectId: '{{child}}' }] } } },
];
for (const [name, { clp, row }] of Object.entries(protections)) {
  const c = classOf(name);
  const p = `x${c}`;
  const fields = { label: { type: 'String' }, kind: { type: 'String' }, secret: { type: 'String' }, n: { type: 'Number' }, times: { type: 'Number' }, who: { type: 'Pointer', targetClass: '_User' }, whos: { type: 'Array' }, rel: { type: 'Relation', targetClass: 'PermHolder' } };
  cases.push(
    { id: `${name}: class`, method: 'POST', path: `schemas/${c}`, as: 'master', body: { className: c, fields, classLevelPermissions: clp } },
    { id: `${name}: row`, method: 'POST', path: `classes/${c}`, as: 'master', body: { label: 'guarded', kind: 'kept', secret: 's', n: 1, ...row }, capture: { [`${p}Row`]: 'objectId' } },
    { id: `${name}: plain row`, method: 'POST', path: `classes/${c}`, as: 'master', body: { label: 'plain', kind: 'kept', secret: 's', n: 1 } },
    { id: `${name}: holder`, method: 'POST', path: 'classes/PermHolder', as: 'master', body: { of: c, target: { __type: 'Pointer', className: c, objectId: `{{${p}Row}}` } }, capture: { [`${p}Holder`]: 'objectId' } },
    { id: `${name}: relation`, method: 'PUT', path: `classes/${c}/{{${p}Row}}`, as: 'master', body: { rel: { __op: 'AddRelation', objects: [{ __type: 'Pointer', className: 'PermHolder', objectId: `{{${p}Holder}}` }] } } },
  );
  for (const [who, as] of Object.entries(principals)) {
    for (const [operation, steps] of Object.entries(operations(c, p, who))) {
      for (const { note, ...step } of steps) cases.push({ as, ...step, id: `${name}: ${who}: ${operation}${note ? `: ${note}` : ''}` });
    }
  }
}

export const groups = [{ name: 'permissions', cases }];
