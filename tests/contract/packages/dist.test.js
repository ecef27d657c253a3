// `make dist` with a program that stands for the binary: what is in the packages, and that two runs make the same.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { allows } from '../../../scripts/licences.mjs';
import { dist, root, temporary } from './fixture.js';

const folder = temporary('dist');

// `age`: how old the binary is, in seconds.
function make(name, age = 0) {
  const binary = path.join(folder, 'program');
  fs.writeFileSync(binary, '#!/bin/sh\necho packed "$@"\n', { mode: 0o755 });
  const then = Date.now() / 1000 - age;
  fs.utimesSync(binary, then, then);
  return dist(binary, path.join(folder, name), { DEB_COMPRESSION: 'xz' });
}

const sum = file => createHash('sha256').update(fs.readFileSync(file)).digest('hex');
const run = (...command) => execFileSync(command[0], command.slice(1), { maxBuffer: 1 << 28, encoding: 'utf8' });
const list = file => run('tar', '-tzf', file).split('\n');

test('packages hold what they need, and two runs make the same bytes', () => {
  const first = make('one');
  const second = make('two', 1000);
  const names = Object.keys(first);
  assert.deepEqual(Object.keys(second), names);
  assert.equal(names.length, 3);
  for (const name of names) assert.equal(sum(second[name]), sum(first[name]), name);

  const archive = names.find(name => name.endsWith('.tar.gz'));
  const top = archive.slice(0, -'.tar.gz'.length);
  const inside = list(first[archive]);
  for (const file of ['parsimony', 'parsimony.service', 'LICENSE', 'THIRD-PARTY-LICENSES.txt', 'sbom.cdx.json', 'docs/deploy.md', 'man/parsimony.1',
    'completions/parsimony.bash', 'completions/_parsimony', 'completions/parsimony.fish', 'monitoring/parsimony.rules.yml',
    'lib/parsimony/node_modules/parse/package.json', 'lib/parsimony/node_modules/parse-dashboard/package.json']) {
    assert.ok(inside.includes(`${top}/${file}`), file);
  }
  assert.ok(!inside.some(file => file.includes('node_modules/parse-server/')), 'nothing that only tests need');

  const npm = first[names.find(name => name.endsWith('.tgz'))];
  const platform = `${process.platform}-${process.arch}`;
  for (const file of ['package.json', 'lib/index.js', 'lib/Config.js', 'bin/parse-server', 'types/index.d.ts', 'host/wire.cjs', 'sbom.cdx.json',
    'THIRD-PARTY-LICENSES.txt', `bin/${platform}/parsimony`]) {
    assert.ok(list(npm).includes(`package/${file}`), file);
  }
  const unpacked = path.join(folder, 'unpacked');
  fs.mkdirSync(unpacked);
  run('tar', '-xzf', first[archive], '-C', unpacked);
  assert.equal(run(path.join(unpacked, top, 'parsimony')), 'packed\n');
  assert.equal(fs.readFileSync(path.join(unpacked, top, 'completions/_parsimony'), 'utf8'), 'packed completions zsh\n');
  // What Cloud Code and the dashboard load is all there: nothing else is in reach of this folder.
  const host = path.join(unpacked, top, 'lib/parsimony/host.cjs');
  fs.writeFileSync(host, "require('parse/node'); require('parse-dashboard/Parse-Dashboard/app'); console.log('loaded'); process.exit(0);");
  assert.match(run(process.execPath, host), /^loaded$/m);
  bill(JSON.parse(fs.readFileSync(path.join(unpacked, top, 'sbom.cdx.json'), 'utf8')));
  texts(fs.readFileSync(path.join(unpacked, top, 'THIRD-PARTY-LICENSES.txt'), 'utf8'));

  // The published npm package has the list too, as `npm pack` decides by `files`.
  const { files } = JSON.parse(fs.readFileSync(path.join(root, 'packaging/npm/package.json'), 'utf8'));
  assert.ok(files.includes('sbom.cdx.json') && files.includes('THIRD-PARTY-LICENSES.txt'));
});

function bill({ bomFormat, specVersion, serialNumber, metadata, components, dependencies }) {
  assert.deepEqual([bomFormat, specVersion], ['CycloneDX', '1.5']);
  assert.match(serialNumber, /^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.match(metadata.timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  const refs = new Set(components.map(component => component['bom-ref']));
  assert.equal(refs.size, components.length);
  const lock = fs.readFileSync(path.join(root, 'Cargo.lock'), 'utf8');
  for (const name of ['actix-web', 'diesel', 'rustls']) {
    const version = new RegExp(`name = "${name}"\nversion = "(.*)"`).exec(lock)[1];
    const component = components.find(({ purl }) => purl === `pkg:cargo/${name}@${version}`);
    assert.equal(component.hashes[0].content.length, 64);
  }
  for (const none of ['proptest', 'insta', 'tempfile']) assert.ok(!components.some(({ name, purl }) => name === none && purl.startsWith('pkg:cargo/')), none);
  assert.ok(components.some(({ purl }) => purl.startsWith('pkg:npm/parse@')));
  for (const { ref, dependsOn } of dependencies) {
    assert.ok(refs.has(ref) || ref === metadata.component['bom-ref'], ref);
    for (const other of dependsOn) assert.ok(refs.has(other), `${ref} → ${other}`);
  }
  const reached = new Set();
  const edges = new Map(dependencies.map(({ ref, dependsOn }) => [ref, dependsOn]));
  const walk = ref => reached.has(ref) || (reached.add(ref), edges.get(ref).forEach(walk));
  walk(metadata.component['bom-ref']);
  assert.deepEqual([...refs].filter(ref => !reached.has(ref)), [], 'whatever is listed is needed by somebody');
}

function texts(all) {
  assert.match(all, /^actix-web \d.*: MIT OR Apache-2\.0 \[\d+\]/m);
  assert.match(all, /^parse-dashboard 9.*: LicenseRef-parse-dashboard \[\d+\]/m);
  assert.match(all, /Permission is hereby granted, free of charge/);
  const named = new Set([...all.matchAll(/^\S.*: .* \[(\d+)\]$/gm)].map(([, number]) => number));
  for (const number of named) assert.ok(all.includes(`\n[${number}]\n\n`), `text ${number}`);
}

test('licences are judged as SPDX expressions', () => {
  for (const [expression, met] of [
    ['MIT', true], ['GPL-3.0-only', false], ['GPL-3.0-only OR MIT', true], ['GPL-3.0-only AND MIT', false],
    ['(MIT OR GPL-2.0) AND Apache-2.0', true], ['Apache-2.0 WITH LLVM-exception', true], ['MIT WITH LLVM-exception', false],
    ['MIT AND (GPL-2.0 OR AGPL-3.0)', false], ['BlueOak-1.0.0', false],
  ]) assert.equal(allows(expression), met, expression);
  assert.ok(allows('BlueOak-1.0.0', true));
  for (const wrong of ['', '(MIT', 'MIT OR', 'MIT Apache-2.0']) assert.throws(() => allows(wrong), /no SPDX expression/, wrong);
});

test('a program that is not there is told', () => {
  assert.throws(() => dist(path.join(folder, 'nothing'), path.join(folder, 'three')), /dist: there is no program/);
});

test('what deny.toml bans is in no build, but where it says so', () => {
  const rules = /^deny = \[\n([^]*?)^\]/m.exec(fs.readFileSync(path.join(root, 'deny.toml'), 'utf8'))[1].replace(/#.*$/gm, '');
  const banned = [...rules.matchAll(/\{ crate = "(.*?)", wrappers = \[(.*?)\] \}|"(.*?)"/g)]
    .map(([, crate, wrappers, plain]) => [crate ?? plain, [...(wrappers ?? '').matchAll(/"(.*?)"/g)].map(([, name]) => name)]);
  assert.ok(banned.length >= 4);
  const packages = fs.readFileSync(path.join(root, 'Cargo.lock'), 'utf8').split('[[package]]').slice(1);
  for (const [crate, wrappers] of banned) {
    const users = packages.filter(text => new RegExp(`^ "${crate}[ "]`, 'm').test(text)).map(text => /name = "(.*)"/.exec(text)[1]);
    assert.deepEqual(users.sort(), wrappers.sort(), crate);
  }
});
