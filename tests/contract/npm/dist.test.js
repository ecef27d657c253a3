// `make dist` with a program that stands for the binary: what is in the packages, and that two runs make the same.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const script = fileURLToPath(new URL('../../../scripts/dist.sh', import.meta.url));
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'dist-'));
after(() => fs.rmSync(folder, { recursive: true, force: true }));

// `age`: how old the binary is, in seconds.
function make(name, age = 0) {
  const binary = path.join(folder, 'program');
  fs.writeFileSync(binary, '#!/bin/sh\necho packed\n', { mode: 0o755 });
  const then = Date.now() / 1000 - age;
  fs.utimesSync(binary, then, then);
  const out = path.join(folder, name);
  execFileSync(script, { env: { ...process.env, DIST_BIN: binary, DIST_DIR: out }, stdio: 'pipe' });
  return Object.fromEntries(fs.readdirSync(out).map(file => [file, path.join(out, file)]));
}

const sum = file => createHash('sha256').update(fs.readFileSync(file)).digest('hex');
const list = file => execFileSync('tar', ['-tzf', file], { maxBuffer: 1 << 26 }).toString().split('\n');

test('packages hold what they need, and two runs make the same bytes', () => {
  const first = make('one');
  const second = make('two', 1000);
  const names = Object.keys(first);
  assert.deepEqual(Object.keys(second), names);
  assert.equal(names.length, 2);
  for (const name of names) assert.equal(sum(second[name]), sum(first[name]), name);

  const archive = names.find(name => name.endsWith('.tar.gz'));
  const top = archive.slice(0, -'.tar.gz'.length);
  const inside = list(first[archive]);
  for (const file of ['parsimony', 'parsimony.service', 'LICENSE', 'docs/deploy.md', 'lib/parsimony/node_modules/parse/package.json']) {
    assert.ok(inside.includes(`${top}/${file}`), file);
  }
  assert.ok(!inside.some(file => file.includes('node_modules/parse-server/')), 'nothing that only tests need');

  const npm = list(first[names.find(name => name.endsWith('.tgz'))]);
  const platform = `${process.platform}-${process.arch}`;
  for (const file of ['package.json', 'lib/index.js', 'lib/index.mjs', 'types/index.d.ts', 'host/wire.cjs', `bin/${platform}/parsimony`]) {
    assert.ok(npm.includes(`package/${file}`), file);
  }
  const unpacked = path.join(folder, 'unpacked');
  fs.mkdirSync(unpacked);
  execFileSync('tar', ['-xzf', first[archive], '-C', unpacked]);
  assert.equal(String(execFileSync(path.join(unpacked, top, 'parsimony'))), 'packed\n');
});
