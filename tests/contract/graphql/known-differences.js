// Where answers differ from npm parse-server's, by group, and why. A case that is named and differs no more fails the
// suite: the list only shrinks. `when` stands for all answers of one kind.

/** It fails inside for a request that has an answer. */
const failsInside = {
  why: 'an internal error there',
  when: theirs => theirs.body?.errors?.some(error => error.extensions?.code === 1 && /internal server error/i.test(error.message)),
};
const refusesOnPostgres = {
  why: 'conditions without an operator or with half of one, and updates of bytes, cannot be put into SQL there',
  when: theirs => theirs.body?.errors?.some(error => /^Postgres doesn't support (this query type|update) /.test(error.message)),
};
const failsOnUndefined = {
  why: 'it reads a property of undefined there',
  when: theirs => theirs.body?.errors?.some(error => /^Cannot read properties of undefined /.test(error.message)),
};
const takesRefusalForFile = {
  why: 'what its route for files refuses is taken for a file without a name there',
  when: theirs => theirs.body?.errors?.some(error => error.message === 'Cannot return null for non-nullable field FileInfo.name.'),
};
const estimates = cases => ({ why: 'counts of small tables without conditions are estimates there', cases });
const readable = cases => ({ why: 'values that no client could read are refused, as by the REST API', cases });

export const known = {
  queries: [
    { why: 'a null inside an array is read as an object there', cases: ['array', 'array with typename'] },
    estimates(['find as master']),
    { why: 'dates in conditions, keys of objects and equality of arrays fail inside on PostgreSQL there', cases: ['where date', 'where object key', 'where array equal'] },
    { why: '`$notInQuery` finds no unset pointers on PostgreSQL there', cases: ['where haveNot'] },
    { why: 'a broken expression is an internal error there', cases: ['where regex broken'] },
  ],
  invalid: [{ why: 'types that a document defines are not looked into', cases: ['34 type A { b: C }'] }],
  mutations: [
    readable(['place out of range', 'area with two corners']),
    failsInside,
    { why: 'it reads a property of undefined there', cases: ['challenge'] },
    { why: 'a map of files to places that are none is taken there', cases: ['upload to nowhere'] },
    { why: 'another order of the fields', cases: ['create a class'] },
  ],
  schema: [],
  values: [
    failsInside,
    refusesOnPostgres,
    {
      why: 'complements leave out objects without the field on PostgreSQL there',
      cases: [
        'number notIn [1.5]', 'number notIn 1.5', 'number notInQueryKey', 'flag notInQueryKey', 'bytes notIn ["aGk="]', 'bytes notIn "aGk="', 'bytes notInQueryKey', 'file notIn ["a.txt"]', 'file notIn "a.txt"',
        'object notIn [{ key: "a", value: 1 }]', 'object notIn { key: "a", value: 1 }', 'object notInQueryKey', 'list notEqualTo', 'list notIn [1]', 'list notIn 1', 'list notInQueryKey', 'company haveNot all', 'company haveNot a name',
      ],
    },
    { why: 'one of no values is any unset field on PostgreSQL there', cases: ['number in []', 'bytes in []', 'file in []', 'object in []', 'list in []'] },
    { why: 'bytes are compared as their letters there, which does not order them', cases: ['bytes lessThanOrEqualTo', 'bytes greaterThanOrEqualTo'] },
    { why: 'an object in an array equals nothing there', cases: ['list equalTo { three: 3 }'] },
    { why: 'a place that is none is near everything there', cases: ['place nearSphere out of range'] },
    readable(['create place { latitude: 1, longitude: 200 }', 'create area []', 'create area { latitude: 1, longitude: 1 }']),
    { why: 'numbers that JSON has not are refused before anything is written', cases: ['create number 1e400'] },
    { why: 'nulls inside objects are lost there where they stand in the document itself', cases: ['create object { a: { b: [1, { c: null }] } }'] },
    { why: 'a null inside an array is read as an object there', cases: ['create list [1, "a", true, null, 1.5]'] },
    { why: 'no bytes are bytes', cases: ['create bytes ""'] },
  ],
  spec: [
    failsInside,
    estimates(['master finds', 'master finds guarded', 'readonly finds', 'readonly finds guarded']),
    { why: 'nobody may order by what answers never show', cases: ['order by authData'] },
    { why: 'objects of an array are objects there only where some field of theirs is asked for', cases: ['arrays of ids alone'] },
  ],
  custom: [
    estimates(['watched find as master']),
    { why: 'cloud functions are listed in the order of their names', cases: ['the functions'] },
  ],
  more: [],
  types: [
    { why: 'nulls inside objects are lost there where they stand in a document', cases: ['20 { echo(when: "2020-01-01T00:00:00.000Z", bytes: "aGk=", any: [1, { a: ', '28 { kind kinds numbers json }'] },
    { why: 'a global id wants the id of an object there, and an object that is no class has none', cases: ['5 { hello hello2 hello3 hello4 { username id objectId } }', '6 { hello4 { id } }'] },
    { why: 'what an extension adds to an enum comes first there', cases: ['88 { __type(name: "ItemOrder") { kind name description fields(includeDepr'] },
  ],
  switches: [
    failsInside, refusesOnPostgres, failsOnUndefined,
    { why: 'a class that is called as a scalar has no type', cases: ['list with a hidden class'] },
  ],
  rules: [
    failsInside, takesRefusalForFile,
    { why: 'names are lowered at log-ins too, as they were stored', cases: ['log in in capitals', 'notes of logging in otherwise'] },
    { why: 'finds before a removal have no context there; those of an object that is gone are none here', cases: ['notes of deleting', 'notes of deleting what is gone'] },
    { why: 'only what is asked for is read: no user for a token, not all fields for the parts of a file', cases: ['notes of viewing the token', 'notes of uploading within'] },
    { why: 'a count of nothing that may be found is a list there', cases: ['client finds closed'] },
    { why: 'a pointer is lost there where a get asks for its fields and permissions name it', cases: ['{{user_one}} gets fenced', '{{user_two}} gets fenced', '{{reader}} gets fenced'] },
  ],
  mails: [],
  uploads: [
    takesRefusalForFile,
    { why: 'the same, in a field of an object', cases: ['within an object, refused', 'within an object of nobody'] },
    { why: 'a name goes into a URL as it is there', cases: ['a name with a space'] },
    { why: 'files are not found by their names on PostgreSQL there', cases: ['papers by their file'] },
  ],
  complexity: [],
};

/** Whether a difference is one of these. */
export function isKnown(group, id, theirs) {
  return (known[group] ?? []).some(({ cases, when }) => cases?.includes(id) || when?.(theirs));
}

/** Cases that are named. */
export const named = group => (known[group] ?? []).flatMap(({ cases }) => cases ?? []);
