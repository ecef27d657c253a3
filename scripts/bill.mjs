// What of others is in a package: `sbom.cdx.json` (CycloneDX 1.5) and `THIRD-PARTY-LICENSES.txt`, of what Cargo builds
// the program from (`cargo metadata`), and of the npm packages beside it (package-lock.json). Fails on a licence that
// deny.toml does not allow. The same input makes the same bytes.
//
//   node scripts/bill.mjs TARGET_FOLDER [--without-modules]
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { allows } from './licences.mjs';
import { runtimePackages } from './runtime-modules.mjs';

const root = path.join(path.dirname(fileURLToPath(import.meta.url)), '..');

function fail(message) {
  console.error(`bill: ${message}`);
  process.exit(1);
}

// --- What there is -------------------------------------------------------------------------------------

/** What ends in the program: dependencies of dependencies, for this machine, without those of builds and tests. */
function crates() {
  const host = /^host: (.*)$/m.exec(execFileSync('rustc', ['-vV'], { encoding: 'utf8' }))[1];
  const args = ['metadata', '--format-version', '1', '--locked', '--all-features', '--filter-platform', host];
  const metadata = JSON.parse(execFileSync('cargo', args, { cwd: root, maxBuffer: 1 << 28, stdio: ['ignore', 'pipe', 'inherit'] }));
  const nodes = new Map(metadata.resolve.nodes.map(node => [node.id, node]));
  const reached = new Map();
  const waiting = [metadata.resolve.root];
  while (waiting.length > 0) {
    const id = waiting.pop();
    if (reached.has(id)) continue;
    const needs = nodes.get(id).deps.filter(dep => dep.dep_kinds.some(({ kind }) => kind === null)).map(dep => dep.pkg);
    reached.set(id, needs);
    waiting.push(...needs);
  }
  const checksums = new Map();
  for (const [, name, version, checksum] of fs.readFileSync(path.join(root, 'Cargo.lock'), 'utf8')
    .matchAll(/\[\[package\]\]\nname = "(.*)"\nversion = "(.*)"\nsource = ".*"\nchecksum = "(.*)"/g)) {
    checksums.set(`${name} ${version}`, checksum);
  }
  const purl = new Map(metadata.packages.map(({ id, name, version }) => [id, `pkg:cargo/${name}@${version}`]));
  const components = metadata.packages.filter(({ id }) => reached.has(id) && id !== metadata.resolve.root).map(found => ({
    name: found.name,
    version: found.version,
    purl: purl.get(found.id),
    needs: reached.get(found.id).map(id => purl.get(id)),
    licence: found.license?.replaceAll('/', ' OR '),
    authors: found.authors,
    source: found.repository ?? found.homepage,
    hash: { alg: 'SHA-256', content: checksums.get(`${found.name} ${found.version}`) },
    folder: path.dirname(found.manifest_path),
    named: found.license_file,
  }));
  return { components, direct: reached.get(metadata.resolve.root).map(id => purl.get(id)), version: metadata.packages.find(({ id }) => id === metadata.resolve.root).version };
}

/** Licences that package.json does not name as SPDX has them, after a look at their text. */
const NPM_LICENCES = { BSD: 'BSD-3-Clause', 'SEE LICENSE IN LICENSE': 'LicenseRef-parse-dashboard' };
/** And of packages that name none. */
const NPM_UNNAMED = { pause: 'MIT' };

function modules() {
  const { packages: found, direct } = runtimePackages();
  const describe = ({ place, from, entry }) => {
    const manifest = JSON.parse(fs.readFileSync(path.join(from, 'package.json'), 'utf8'));
    const name = manifest.name ?? place.split('/node_modules/').pop();
    const given = manifest.license?.type ?? manifest.license ?? manifest.licenses?.map(({ type }) => type).join(' OR ');
    const repository = manifest.repository?.url ?? manifest.repository;
    return {
      name,
      version: entry.version,
      purl: `pkg:npm/${name.replace('@', '%40')}@${entry.version}`,
      licence: NPM_LICENCES[given] ?? given ?? NPM_UNNAMED[name],
      authors: [manifest.author?.name ?? manifest.author].filter(Boolean),
      source: typeof repository === 'string' ? repository.replace(/^git\+/, '') : manifest.homepage,
      hash: entry.integrity && { alg: 'SHA-512', content: Buffer.from(entry.integrity.replace(/^sha512-/, ''), 'base64').toString('hex') },
      folder: from,
    };
  };
  const components = new Map(found.map(each => [each.place, describe(each)]));
  const purls = places => places.map(place => components.get(place).purl);
  for (const { place, needs } of found) components.get(place).needs = purls(needs);
  // A version that lies in several places is one component.
  const once = new Map();
  for (const component of components.values()) {
    const known = once.get(component.purl);
    if (known) known.needs.push(...component.needs);
    else once.set(component.purl, component);
  }
  return { components: [...once.values()], direct: purls(direct) };
}

// --- Licences ------------------------------------------------------------------------------------------

const LICENCE_FILE = /^(un)?(licen[cs]e|copying|notice|copyright)/i;

function texts({ folder, named }) {
  const names = fs.readdirSync(folder).filter(name => LICENCE_FILE.test(name) && fs.statSync(path.join(folder, name)).isFile());
  if (named && !names.includes(named)) names.push(named);
  const inside = ['LICENSES', 'LICENSE', 'licenses'].map(name => path.join(folder, name)).filter(name => fs.existsSync(name) && fs.statSync(name).isDirectory());
  const all = [...names.map(name => path.join(folder, name)), ...inside.flatMap(dir => fs.readdirSync(dir).map(name => path.join(dir, name)))];
  return all.filter(file => fs.existsSync(file) && fs.statSync(file).isFile() && !/\.(rs|js|html|json)$/.test(file)).sort()
    .map(file => fs.readFileSync(file, 'utf8').replaceAll('\r\n', '\n').replace(/^\uFEFF/, '').replace(/[ \t]+$/gm, '').trim());
}

function licences(components) {
  const numbers = new Map();
  const lines = [];
  const without = [];
  for (const component of components) {
    const own = texts(component).filter(text => text !== '').map(text => {
      const key = text.replace(/\s+/g, ' ');
      if (!numbers.has(key)) numbers.set(key, { number: numbers.size + 1, text });
      return `[${numbers.get(key).number}]`;
    });
    if (own.length === 0) without.push(component);
    const authors = own.length === 0 && component.authors.length > 0 ? `, by ${component.authors.join(', ')}` : '';
    lines.push(`${component.name} ${component.version}: ${component.licence ?? 'see the text'} ${[...new Set(own)].join(' ')}`.trimEnd() + authors);
  }
  const rule = '-'.repeat(100);
  const parts = [
    'Software of others in this package, with the licence that it names and the numbers of the texts that came with it.',
    ...(without.length > 0 ? ['Those without a number came without a text; it is that of the others which name the same licence.'] : []),
    '', ...lines, '',
  ];
  for (const { number, text } of numbers.values()) parts.push(rule, `[${number}]`, '', text, '');
  return parts.join('\n');
}

// --- CycloneDX -----------------------------------------------------------------------------------------

function bill(version, components, direct) {
  const own = `pkg:generic/parsimony@${version}`;
  const sorted = list => [...new Set(list)].sort();
  const document = {
    bomFormat: 'CycloneDX',
    specVersion: '1.5',
    version: 1,
    metadata: {
      timestamp: new Date(Number(process.env.SOURCE_DATE_EPOCH ?? 0) * 1000).toISOString().replace('.000Z', 'Z'),
      component: { type: 'application', 'bom-ref': own, name: 'parsimony', version, purl: own, licenses: [{ license: { id: 'Apache-2.0' } }] },
    },
    components: components.map(({ name, version, purl, licence, source, hash }) => ({
      type: 'library',
      'bom-ref': purl,
      ...(name.startsWith('@') && { group: name.slice(0, name.indexOf('/')) }),
      name: name.replace(/^@[^/]*\//, ''),
      version,
      purl,
      ...(hash?.content && { hashes: [hash] }),
      ...(licence && { licenses: [{ expression: licence }] }),
      ...(/^https?:/.test(source ?? '') && { externalReferences: [{ type: 'vcs', url: source }] }),
    })),
    dependencies: [{ ref: own, dependsOn: sorted(direct) }, ...components.map(({ purl, needs }) => ({ ref: purl, dependsOn: sorted(needs) }))],
  };
  const hex = createHash('sha256').update(JSON.stringify(document)).digest('hex');
  const serial = [hex.slice(0, 8), hex.slice(8, 12), `5${hex.slice(13, 16)}`, `8${hex.slice(17, 20)}`, hex.slice(20, 32)].join('-');
  const { bomFormat, specVersion, ...rest } = document;
  return `${JSON.stringify({ bomFormat, specVersion, serialNumber: `urn:uuid:${serial}`, ...rest }, null, 1)}\n`;
}

const args = process.argv.slice(2);
const target = args.find(arg => !arg.startsWith('--'));
if (!target) fail('usage: bill.mjs TARGET_FOLDER [--without-modules]');
const { version, ...rust } = crates();
const node = args.includes('--without-modules') ? { components: [], direct: [] } : modules();
const components = [...rust.components, ...node.components].sort((a, b) => (a.purl < b.purl ? -1 : 1));
const refused = components.filter(({ licence, purl }) => licence === undefined || !allows(licence, purl.startsWith('pkg:npm/')));
if (refused.length > 0) {
  fail(`not allowed by deny.toml: ${refused.map(({ purl, licence }) => `${purl} (${licence})`).join(', ')}`);
}
fs.mkdirSync(target, { recursive: true });
fs.writeFileSync(path.join(target, 'sbom.cdx.json'), bill(version, components, [...rust.direct, ...node.direct]));
fs.writeFileSync(path.join(target, 'THIRD-PARTY-LICENSES.txt'), licences(components));
