import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { describe, test } from 'node:test';
import { Parse, make, master, notOnOracle, rejects, rest, server, uniqueClass } from '../lib/sdk.js';

const skip = notOnOracle('it has no store for files on PostgreSQL');

/** What the address of a file answers. */
async function download(file) {
  const response = await fetch(file.url());
  assert.equal(response.status, 200);
  return Buffer.from(await response.arrayBuffer());
}

describe('contents', skip, () => {
  const hello = Buffer.from('hello');
  const forms = {
    base64: () => new Parse.File('hello.txt', { base64: hello.toString('base64') }),
    'data address': () => new Parse.File('hello.txt', { base64: `data:text/plain;base64,${hello.toString('base64')}` }),
    bytes: () => new Parse.File('hello.txt', [...hello]),
    'bytes with a type': () => new Parse.File('hello', [...hello], 'text/plain'),
    buffer: () => new Parse.File('hello.txt', hello, 'text/plain'),
    stream: () => new Parse.File('hello.txt', Readable.from([hello]), 'text/plain'),
  };
  for (const [label, form] of Object.entries(forms)) {
    test(label, async () => {
      const file = await form().save();
      assert.match(file.name(), /^[0-9a-f]{32}_hello\.txt$/);
      assert.ok(file.url().startsWith(`${server.url}/files/`), file.url());
      assert.deepEqual(await download(file), hello);
    });
  }
  test('getData', async () => {
    const { _name, _url } = await forms.base64().save();
    const again = Parse.File.fromJSON({ __type: 'File', name: _name, url: _url });
    assert.equal(await again.getData(), hello.toString('base64'));
  });
  test('large', async () => {
    const data = Buffer.alloc(5_000_000, 'Ünïcode and more ');
    assert.ok((await download(await new Parse.File('large.bin', data).save())).equals(data));
  });
});

describe('objects', skip, () => {
  test('carry files, also nested ones', async () => {
    const file = await new Parse.File('a.txt', [1, 2, 3]).save();
    const name = uniqueClass();
    const saved = await make(name, { file, deep: { list: [file] } });
    Parse.Object._clearAllState();
    const got = await new Parse.Query(name).get(saved.id);
    assert.equal(got.get('file').name(), file.name());
    assert.equal(got.get('file').url(), file.url());
    assert.deepEqual(await download(got.get('file')), Buffer.from([1, 2, 3]));
    const same = await new Parse.Query(name).equalTo('file', file).find();
    assert.equal(same.length, 1);
  });
  test('save their unsaved files first', async () => {
    const name = uniqueClass();
    const saved = await make(name, { file: new Parse.File('b.txt', [4]) });
    assert.deepEqual(await download(saved.get('file')), Buffer.from([4]));
  });
});

describe('master key', skip, () => {
  test('metadata, tags, directory', async () => {
    const file = new Parse.File('m.txt', [1], 'text/plain', { a: '1' }, { b: '2' });
    file.setDirectory('inner/dir');
    await file.save(master);
    assert.ok(file.name().startsWith('inner/dir/'), file.name());
    const path = file.url().slice(server.url.length + 1);
    const metadata = await rest('GET', path.replace(`files/${server.config.appId}/`, `files/${server.config.appId}/metadata/`));
    assert.deepEqual(metadata.body, { metadata: { a: '1' } });
    assert.deepEqual(await download(file), Buffer.from([1]));
  });
  test('destroy', async () => {
    const file = await new Parse.File('d.txt', [1]).save();
    await rejects(file.destroy({ useMasterKey: false }), undefined);
    await file.destroy();
    assert.equal((await fetch(file.url())).status, 404);
    await rejects(file.destroy(), 153, 'Could not delete file.');
  });
});

describe('refusals', skip, () => {
  test('names', () => rejects(new Parse.File('in/valid.txt', [1]).save(), undefined));
  test('extensions', () => rejects(new Parse.File('page.html', [1]).save(), 130, 'File upload of extension html is disabled.'));
  test('pages by another name', () => rejects(
    new Parse.File('page.png', { base64: Buffer.from('<script></script>').toString('base64') }).save(),
    130, 'File upload of extension html is disabled.',
  ));
});
