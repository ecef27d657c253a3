// Files: names, forms, sizes, types, permissions, downloads. Both servers keep them in a folder.
const text = { 'Content-Type': 'text/plain' };
const bytes = { 'Content-Type': 'application/octet-stream' };
const stream = { ...bytes, 'X-Parse-Upload-Mode': 'stream' };

/** An upload of raw bytes. */
function put(id, name, more = {}) {
  return { id, method: 'POST', path: `files/${name}`, raw: 'content', headers: text, ...more };
}

/** The form of the SDKs. */
function form(id, name, body, more = {}) {
  return { id, method: 'POST', path: `files/${name}`, as: 'none', headers: text, body: { _ApplicationId: '{{appId}}', ...body }, ...more };
}

const master = { _MasterKey: 'contractMasterKey' };

const names = {
  name: 'files.names',
  config: 'files',
  cases: [
    put('plain', 'a.txt', { capture: { plain: 'name' } }),
    { id: 'plain again', path: 'files/filesApp/{{plain}}', as: 'none' },
    put('spaces and signs', 'a%20b~@c_d-e.f.txt', { capture: { signs: 'name' } }),
    put('none', ''),
    { id: 'none without slash', method: 'POST', path: 'files', raw: 'x', headers: text },
    put('longest', `${'x'.repeat(124)}.txt`, { capture: { longest: 'name' } }),
    put('too long', `${'x'.repeat(125)}.txt`),
    put('too long and wrong', `${'!'.repeat(129)}`),
    put('leading dot', '.a.txt'),
    put('leading dash', '-a.txt'),
    put('leading underscore', '_a.txt', { capture: { underscore: 'name' } }),
    put('encoded slash', 'a%2Fb.txt'),
    put('climbing', '..%2Fa.txt'),
    put('zero byte', 'a%00.txt'),
    put('backslash', 'a%5Cb.txt'),
    put('umlaut', '%C3%BC.txt'),
    put('bad encoding', '%E0%A4%A.txt', { view: 'status' }),
    put('two segments', 'a/b.txt', { view: 'status' }),
    put('dot at the end', 'a.', { capture: { dot: 'name' } }),
    put('two dots', 'a..txt', { capture: { dots: 'name' } }),
    put('extension from type', 'a', { headers: { 'Content-Type': 'image/jpeg' }, capture: { jpeg: 'name' } }),
    put('extension from unknown type', 'a', { headers: { 'Content-Type': 'x/unknown' }, capture: { unknown: 'name' } }),
    put('no type', 'a', { headers: { 'Content-Type': '' }, capture: { untyped: 'name' } }),
    put('type with parameters', 'a', { headers: { 'Content-Type': 'text/plain; charset=utf-8' }, capture: { parameters: 'name' } }),
    ...['audio/mpeg', 'video/quicktime', 'application/pdf', 'text/javascript', 'application/json', 'image/tiff', 'text/csv'].map(
      (type, i) => put(`extension of ${type}`, 'a', { headers: { 'Content-Type': type }, capture: { [`typed${i}`]: 'name' } }),
    ),
    { id: 'unknown method', method: 'PUT', path: 'files/a.txt', body: {}, view: 'status' },
    { id: 'list', path: 'files', view: 'status' },
  ],
};

const types = {
  name: 'files.types',
  config: 'files',
  cases: [
    ...['html', 'htm', 'shtml', 'xhtml', 'xht', 'svg', 'svgz', 'xml', 'xsl', 'xslt', 'xsd', 'rng', 'rdf', 'owl', 'mathml', 'HTML', 'Svg'].map(
      extension => put(`extension ${extension}`, `a.${extension}`),
    ),
    ...['text/html', 'text/html;charset=utf-8', 'image/svg+xml', 'application/xhtml+xml', 'application/xml', 'text/xml',
      'application/rdf+xml', 'application/mathml+xml', 'image', 'image/', '/html', 'svg', 'html;x', 'image//svg+xml',
      'text/plain,text/html', 'text/ html', 'IMAGE/SVG+XML', 'application/vnd.api+json'].map(
      (type, i) => put(`type ${type}`, 'a', { headers: { 'Content-Type': type }, capture: { [`t${i}`]: 'name' } }),
    ),
    put('unknown extension with type', 'a.unknownext', { headers: { 'Content-Type': 'text/html' } }),
    put('known extension with other type', 'a.txt', { headers: { 'Content-Type': 'image/png' }, capture: { other: 'name' } }),
    put('known extension with running type', 'a.txt', { headers: { 'Content-Type': 'text/html' }, capture: { running: 'name' } }),
    put('page as text', 'a.txt', { raw: '<html></html>', capture: { page: 'name' } }),
    put('page as image', 'a.png', { raw: '<script></script>', capture: { image: 'name' } }),
    put('master page', 'a.html', { as: 'master', capture: { masters: 'name' } }),
    { id: 'master page again', path: 'files/filesApp/{{masters}}', as: 'none' },
  ],
};

const forms = {
  name: 'files.forms',
  config: 'files',
  cases: [
    form('base64', 'a.txt', { base64: 'aGVsbG8=' }, { capture: { hello: 'name' } }),
    { id: 'base64 again', path: 'files/filesApp/{{hello}}', as: 'none' },
    form('type', 'a', { base64: 'aGVsbG8=', _ContentType: 'image/png' }, { capture: { png: 'name' } }),
    form('type as number', 'a', { base64: 'aGVsbG8=', _ContentType: 5 }),
    form('empty', 'a.txt', { base64: '' }),
    form('base64 as number', 'a.txt', { base64: 5 }),
    form('unpadded', 'a.txt', { base64: 'aGVsbG8' }, { capture: { unpadded: 'name' } }),
    { id: 'unpadded again', path: 'files/filesApp/{{unpadded}}', as: 'none' },
    form('nonsense in it', 'a.txt', { base64: 'aG*Vs\nbG8=' }, { capture: { nonsense: 'name' } }),
    { id: 'nonsense again', path: 'files/filesApp/{{nonsense}}', as: 'none' },
    form('unknown application', 'a.txt', { _ApplicationId: 'x', base64: 'aGVsbG8=' }),
    { id: 'not JSON', method: 'POST', path: 'files/a.txt', as: 'none', raw: 'content', headers: text },
    { id: 'JSON list', method: 'POST', path: 'files/a.txt', as: 'none', raw: '[1]', headers: text },
    form('directory', 'a.txt', { ...master, base64: 'aGVsbG8=', fileData: { directory: 'd/e' } }, { capture: { inside: 'name' } }),
    { id: 'directory again', path: 'files/filesApp/{{inside}}', as: 'none' },
    form('directory of a client', 'a.txt', { base64: 'aGVsbG8=', fileData: { directory: 'd' } }),
    ...[5, null, '', 'x'.repeat(257), 'a/../b', '/a', 'a/', 'a//b', 'metadata', 'metadata/a', 'a b', '_a', 'ä'].map(
      directory => form(`directory ${JSON.stringify(directory).slice(0, 20)}`, 'a.txt', { ...master, base64: 'aGVsbG8=', fileData: { directory } }),
    ),
    form('metadata and tags', 'a.txt', { base64: 'aGVsbG8=', fileData: { metadata: { a: 1 }, tags: { b: 'c' } } }, { capture: { described: 'name' } }),
    { id: 'metadata again', path: 'files/filesApp/metadata/{{described}}', as: 'none' },
    form('keyword in metadata', 'a.txt', { base64: 'aGVsbG8=', fileData: { metadata: { constructor: 1 } } }),
    form('keyword in tags', 'a.txt', { base64: 'aGVsbG8=', fileData: { tags: { __proto: 1, prototype: 1 } } }),
    put('stream', 'a.txt', { headers: stream, capture: { streamed: 'name' } }),
    put('stream in directory', 'a.txt', { as: 'master', headers: { ...stream, 'X-Parse-File-Directory': 's' }, capture: { deep: 'name' } }),
    put('stream in directory of a client', 'a.txt', { headers: { ...stream, 'X-Parse-File-Directory': 's' } }),
    put('stream with metadata', 'a.txt', { headers: { ...stream, 'X-Parse-File-Metadata': '{"a":1}', 'X-Parse-File-Tags': '{}' }, capture: { more: 'name' } }),
    ...['[]', '5', 'x', 'null'].flatMap(value => [
      put(`stream with metadata ${value}`, 'a.txt', { headers: { ...stream, 'X-Parse-File-Metadata': value } }),
      put(`stream with tags ${value}`, 'a.txt', { headers: { ...stream, 'X-Parse-File-Tags': value } }),
    ]),
    put('stream too large', 'a.txt', { raw: 'x'.repeat(30000), headers: stream }),
    put('raw empty', 'a.txt', { raw: '' }),
    put('raw too large', 'a.txt', { raw: 'x'.repeat(30000) }),
    put('raw as large as may be', 'a.txt', { raw: 'x'.repeat(20480), capture: { largest: 'name' } }),
    put('own limit', 'a.txt', { as: 'master', raw: 'x'.repeat(30000), headers: { ...text, 'X-Parse-File-Max-Upload-Size': '40kb' }, capture: { own: 'name' } }),
    put('own limit of a client', 'a.txt', { headers: { ...text, 'X-Parse-File-Max-Upload-Size': '40kb' } }),
    put('own limit that is none', 'a.txt', { as: 'master', headers: { ...text, 'X-Parse-File-Max-Upload-Size': 'much' } }),
    put('own limit without application', 'a.txt', { as: 'none', headers: { ...text, 'X-Parse-File-Max-Upload-Size': '40kb' } }),
    put('read-only', 'a.txt', { as: 'readonly' }),
    put('maintenance', 'a.html', { as: 'maintenance' }),
    put('bad session', 'a.txt', { as: 'r:0123456789abcdef0123456789abcdef' }),
  ],
};

const downloads = {
  name: 'files.downloads',
  config: 'files',
  cases: [
    put('upload', 'a.txt', { capture: { file: 'name' } }),
    { id: 'download', path: 'files/filesApp/{{file}}', as: 'none' },
    { id: 'with keys', path: 'files/filesApp/{{file}}', as: 'master' },
    { id: 'bad session', path: 'files/filesApp/{{file}}', as: 'r:0123456789abcdef0123456789abcdef' },
    { id: 'missing', path: 'files/filesApp/missing.txt', as: 'none' },
    { id: 'climbing', path: 'files/filesApp/..%2F..%2Fconfig.json', as: 'none' },
    { id: 'unknown application', path: 'files/nobody/{{file}}', as: 'none' },
    { id: 'metadata', path: 'files/filesApp/metadata/{{file}}', as: 'none' },
    { id: 'metadata of nothing', path: 'files/filesApp/metadata/missing.txt', as: 'none' },
    { id: 'metadata of unknown application', path: 'files/nobody/metadata/{{file}}', as: 'none' },
    { id: 'in an object', method: 'POST', path: 'classes/Holder', body: { file: { __type: 'File', name: '{{file}}' } }, capture: { holder: 'objectId' } },
    { id: 'object again', path: 'classes/Holder/{{holder}}' },
    { id: 'removal by a client', method: 'DELETE', path: 'files/{{file}}' },
    { id: 'removal without application', method: 'DELETE', path: 'files/{{file}}', as: 'none' },
    { id: 'removal read-only', method: 'DELETE', path: 'files/{{file}}', as: 'readonly' },
    { id: 'removal', method: 'DELETE', path: 'files/{{file}}', as: 'master' },
    { id: 'removal again', method: 'DELETE', path: 'files/{{file}}', as: 'master' },
    { id: 'gone', path: 'files/filesApp/{{file}}', as: 'none' },
  ],
};

const closed = {
  name: 'files.closed',
  config: 'filesClosed',
  cases: [
    put('upload by public', 'a.txt'),
    put('upload by public of a bad name', '.a.txt'),
    put('read-only', 'a.txt', { as: 'readonly' }),
    put('master', 'kept.name.txt', { as: 'master' }),
    put('master of another extension', 'kept.zip', { as: 'master' }),
    { id: 'download by public', path: 'files/filesClosedApp/kept.name.txt', as: 'none' },
    { id: 'metadata by public', path: 'files/filesClosedApp/metadata/kept.name.txt', as: 'none' },
    { id: 'sign up', method: 'POST', path: 'users', body: { username: 'files', password: 'p' }, capture: { token: 'sessionToken' } },
    put('upload by user', 'a.txt', { as: '{{token}}' }),
    { id: 'download by user', path: 'files/filesClosedApp/kept.name.txt', as: '{{token}}' },
    { id: 'anonymous', method: 'POST', path: 'users', body: { authData: { anonymous: { id: 'files-anonymous' } } }, capture: { anonymous: 'sessionToken' }, loose: ['username'] },
    put('upload by anonymous', 'a.txt', { as: '{{anonymous}}' }),
    { id: 'download by anonymous', path: 'files/filesClosedApp/kept.name.txt', as: '{{anonymous}}' },
    ...['https://cdn.example.com/a', 'https://CDN.example.com:1/a', 'https://a.files.example.org/', 'https://files.example.org/',
      'https://evil.example/', 'https://cdn.example.com.evil.example/', 'https://cdn.example.com@evil.example/', 'nonsense', ''].map(
      url => ({ id: `address ${url}`, method: 'POST', path: 'classes/Holder', body: { list: [{ __type: 'File', name: 'a', url }] } }),
    ),
  ],
};

export const groups = [names, types, forms, downloads, closed];
