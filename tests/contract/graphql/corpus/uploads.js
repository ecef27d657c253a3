// Files where few may upload, few extensions are taken, and addresses have to be of certain hosts.

const cases = [];
const q = (id, query, more = {}) => cases.push({ id, query, ...more });
const form = (id, operations, map, files, more = {}) => cases.push({ id, form: [operations, map, files], ...more });
cases.push({ id: 'class Paper', as: 'master', rest: ['POST', '/schemas/Paper', { className: 'Paper', fields: { text: { type: 'String' }, file: { type: 'File' }, next: { type: 'Pointer', targetClass: 'Paper' }, many: { type: 'Relation', targetClass: 'Paper' }, list: { type: 'Array' } } }] });
q('sign up', 'mutation { signUp(input: { fields: { username: "ann", password: "password" } }) { viewer { sessionToken } } }', { capture: { ann: 'data.signUp.viewer.sessionToken' } });
const ann = { as: '{{ann}}' };
const upload = 'mutation U($f: Upload!) { createFile(input: { upload: $f, clientMutationId: "u" }) { clientMutationId fileInfo { name url } } }';
const one = { query: upload, variables: { f: null } };
const send = (id, file, more = ann) => form(id, one, { 0: ['variables.f'] }, { 0: file }, more);

for (const [who, more] of [['nobody', {}], ['a user', ann], ['the master key', { as: 'master' }], ['the read-only key', { as: 'readonly' }]]) {
  send(`${who} uploads`, ['a.txt', 'text/plain', 'hello'], more);
  send(`${who} uploads another kind`, ['a.html', 'text/html', '<p>'], more);
}
send('an extension that is missing', ['a', 'text/plain', 'hello']);
send('an extension of another type', ['a.png', 'text/plain', 'hello']);
send('a type that is unknown', ['a.txt', 'application/x-nothing', 'hello']);
send('a type and no extension', ['a', 'application/x-nothing', 'hello']);
send('no type', ['a.txt', '', 'hello']);
send('a type with parameters', ['a.txt', 'text/plain; charset=utf-8', 'hello']);
send('an extension in capitals', ['a.TXT', 'text/plain', 'hello']);
send('an empty file', ['a.txt', 'text/plain', '']);
send('a dot in front', ['.txt', 'text/plain', 'hello']);
send('several dots', ['a.b.c.txt', 'text/plain', 'hello']);
send('a name with a space', ['a b.txt', 'text/plain', 'hello']);
send('a name with a path', ['a/b.txt', 'text/plain', 'hello']);
send('a name of dots', ['../a.txt', 'text/plain', 'hello']);
send('too large', ['large.txt', 'text/plain', 'x'.repeat(21_000)]);
send('just not too large', ['large.txt', 'text/plain', 'x'.repeat(20_000)]);
form('a file in two places', { query: 'mutation U($f: Upload!, $g: Upload!) { a: createFile(input: { upload: $f }) { fileInfo { name } } b: createFile(input: { upload: $g }) { fileInfo { name } } }', variables: { f: null, g: null } }, { 0: ['variables.f', 'variables.g'] }, { 0: ['a.txt', 'text/plain', 'hello'] }, ann);
form('two files', { query: 'mutation U($f: Upload!, $g: Upload!) { a: createFile(input: { upload: $f }) { fileInfo { name } } b: createFile(input: { upload: $g }) { fileInfo { name } } }', variables: { f: null, g: null } }, { 0: ['variables.f'], 1: ['variables.g'] }, { 0: ['a.txt', 'text/plain', 'hello'], 1: ['b.txt', 'text/plain', 'hello'] }, ann);
const create = 'mutation C($fields: CreatePaperFieldsInput) { createPaper(input: { fields: $fields }) { paper { text file { name url } next { text file { name } } many(order: text_ASC) { edges { node { text file { name } } } } } } }';
form('within an object', { query: create, variables: { fields: { text: 'a', file: { upload: null } } } }, { 0: ['variables.fields.file.upload'] }, { 0: ['a.txt', 'text/plain', 'hello'] }, ann);
form('within an object, refused', { query: create, variables: { fields: { text: 'refused', file: { upload: null } } } }, { 0: ['variables.fields.file.upload'] }, { 0: ['a.html', 'text/html', 'hello'] }, ann);
form('within an object of nobody', { query: create, variables: { fields: { text: 'refused', file: { upload: null } } } }, { 0: ['variables.fields.file.upload'] }, { 0: ['a.txt', 'text/plain', 'hello'] });
form('within objects within', { query: create, variables: { fields: { text: 'out', next: { createAndLink: { text: 'in', file: { upload: null } } }, many: { createAndAdd: [{ text: 'in 1', file: { upload: null } }, { text: 'in 2', file: { upload: null } }] } } } }, { 0: ['variables.fields.next.createAndLink.file.upload'], 1: ['variables.fields.many.createAndAdd.0.file.upload'], 2: ['variables.fields.many.createAndAdd.1.file.upload'] }, { 0: ['a.txt', 'text/plain', 'hello'], 1: ['b.txt', 'text/plain', 'hello'], 2: ['c.txt', 'text/plain', 'hello'] }, ann);
form('in the input', { query: 'mutation C($input: CreateFileInput!) { createFile(input: $input) { fileInfo { name } } }', variables: { input: { upload: null } } }, { 0: ['variables.input.upload'] }, { 0: ['a.txt', 'text/plain', 'hello'] }, ann);
form('a query beside a file', { query: '{ health }', variables: { f: null } }, { 0: ['variables.f'] }, { 0: ['a.txt', 'text/plain', 'hello'] }, ann);
q('upload of a text', 'mutation { createFile(input: { upload: "a.txt" }) { fileInfo { name } } }', ann);
q('upload of a variable that is no file', upload, { ...ann, variables: { f: { file: 'a' } } });
q('upload of null', upload, { ...ann, variables: { f: null } });
cases.push({ id: 'paper', as: 'master', rest: ['POST', '/classes/Paper', { text: 'p', file: { __type: 'File', name: 'a.txt' } }], capture: { paper: 'objectId' } });
for (const [id, file] of Object.entries({
  'of a host': '{ file: { __type: "File", name: "a.txt", url: "https://cdn.example.com/a.txt" } }', 'of a host below': '{ file: { __type: "File", name: "a.txt", url: "https://x.files.example.org/a.txt" } }', 'of another host': '{ file: { __type: "File", name: "a.txt", url: "https://evil.example.net/a.txt" } }', 'of its own server': '{ file: { __type: "File", name: "a.txt", url: "{{server}}/files/filesClosedApp/a.txt" } }', 'without an address': '{ file: { __type: "File", name: "a.txt" } }', 'of an address that is none': '{ file: { __type: "File", name: "a.txt", url: "nothing" } }', 'of a script': '{ file: { __type: "File", name: "a.txt", url: "javascript:alert(1)" } }', 'of an empty address': '{ file: { __type: "File", name: "a.txt", url: "" } }',
  'without a name': '{ file: { __type: "File", url: "https://cdn.example.com/a.txt" } }', 'as a text': '{ file: "a.txt" }', 'with a type': '{ file: { __type: "File", name: "a.txt", url: "https://cdn.example.com/a.txt" } }', 'null': 'null', 'empty': '{}', 'both null': '{ file: null, upload: null }',
})) {
  q(`create ${id}`, `mutation { createPaper(input: { fields: { text: "f", file: ${file} } }) { paper { text file { name url } } } }`, ann);
  q(`update ${id}`, `mutation { updatePaper(input: { id: "{{paper}}", fields: { file: ${file} } }) { paper { text file { name url } } } }`, ann);
}
q('files in a list', 'mutation { createPaper(input: { fields: { text: "l", list: [{ __type: "File", name: "a.txt", url: "https://evil.example.net/a.txt" }] } }) { paper { list { ... on Element { value } } } } }', ann);
q('papers by their file', '{ papers(where: { file: { equalTo: "a.txt" } }, order: createdAt_ASC) { count } }', ann);
q('papers by no file', '{ papers(where: { file: { exists: false } }, order: text_ASC) { edges { node { text } } } }', ann);

export default {
  name: 'uploads', config: 'filesClosed',
  overrides: { maxUploadSize: '20kb', fileUpload: { enableForPublic: false, enableForAnonymousUser: false, enableForAuthenticatedUser: true, fileExtensions: ['^(png|txt)$'], allowedFileUrlDomains: ['cdn.example.com', '*.files.example.org'] } },
  cases,
};
