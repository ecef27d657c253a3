// The Dockerfile, as its linter sees it, and what it copies. Where Docker runs, it is built by hand: `docker build .`.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { have, root } from './fixture.js';

const installed = path.join(root, '.venv/bin/hadolint');
const linter = fs.existsSync(installed) ? installed : 'hadolint';

test('hadolint has nothing to say', { skip: !have(linter) && 'hadolint is not installed' }, () => {
  const { status, stdout } = spawnSync(linter, ['--no-color', path.join(root, 'Dockerfile')], { encoding: 'utf8' });
  assert.deepEqual([status, stdout], [0, '']);
});

test('what is copied from the context is there and not ignored', () => {
  const ignored = fs.readFileSync(path.join(root, '.dockerignore'), 'utf8').split('\n').filter(line => line && !line.startsWith('#'));
  const dockerfile = fs.readFileSync(path.join(root, 'Dockerfile'), 'utf8');
  const copies = [...dockerfile.matchAll(/^COPY (?!--from)(.*)$/gm)].flatMap(([, words]) => words.split(' ').slice(0, -1));
  assert.ok(copies.includes('package-lock.json'));
  for (const name of copies) assert.ok(name === '.' || (fs.existsSync(path.join(root, name)) && !ignored.includes(name)), name);
  // What the program is built from, its licences included.
  for (const name of ['src', 'static', 'migrations', 'docs', 'Cargo.toml', 'Cargo.lock', 'deny.toml', 'scripts', 'LICENSE', 'tests/integration']) {
    assert.ok(fs.existsSync(path.join(root, name)), name);
    assert.ok(!ignored.some(line => [`/${name}`, name, `/${name.split('/')[0]}`, name.split('/')[0]].includes(line)), name);
  }
});
