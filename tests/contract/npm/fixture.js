// Applications outside of the repository, with `parse-server` being either npm's or our package as `npm pack` makes
// it: the same files run on both, each on a database of its own.
import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.join(path.dirname(fileURLToPath(import.meta.url)), '../../..');
const modules = path.join(root, 'node_modules');

let tarball;
/** Our package, packed once. */
function pack() {
  if (!tarball) {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'npm-package-'));
    process.on('exit', () => fs.rmSync(folder, { recursive: true, force: true }));
    execFileSync(process.execPath, [path.join(root, 'scripts/npm-package.mjs'), path.join(folder, 'package')]);
    const name = execFileSync('npm', ['pack', '--silent', '--pack-destination', folder], { cwd: path.join(folder, 'package') });
    tarball = path.join(folder, String(name).trim());
  }
  return tarball;
}

export function freePort() {
  return new Promise((resolve, reject) => {
    const server = net.createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
    server.once('error', reject);
  });
}

/** Other versions of Node.js that `scripts/install.sh test` has installed: version and program. */
export function nodes() {
  const folder = path.join(root, '.nodes');
  const found = fs.existsSync(folder) ? fs.readdirSync(folder) : [];
  return found.map(name => path.join(folder, name, 'bin/node')).filter(node => fs.existsSync(node))
    .map(node => [execFileSync(node, ['-p', 'process.versions.node'], { encoding: 'utf8' }).trim(), node]);
}

/** An application's folder with its modules. `kind`: `oracle` or `parsimony`. */
export function install(kind, files) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), `npm-app-${kind}-`));
  const own = path.join(folder, 'node_modules');
  fs.mkdirSync(own);
  // One copy of the SDK for the application and the server, as npm lays it out.
  if (kind === 'oracle') {
    for (const name of fs.readdirSync(modules)) {
      const nested = path.join(modules, 'parse-server/node_modules', name);
      const from = name === 'parse' && fs.existsSync(nested) ? nested : path.join(modules, name);
      if (!name.startsWith('.')) fs.symlinkSync(from, path.join(own, name));
    }
  } else {
    for (const name of ['express', 'parse', 'ws', 'graphql']) fs.symlinkSync(path.join(modules, name), path.join(own, name));
    const target = path.join(own, 'parse-server');
    fs.mkdirSync(target);
    execFileSync('tar', ['-xzf', pack(), '--strip-components=1', '-C', target]);
  }
  for (const [name, text] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
    fs.writeFileSync(path.join(folder, name), text);
  }
  return folder;
}

/** Starts `entry` and waits for the line `up`. */
export async function run(folder, entry, env = {}, node = process.execPath) {
  const port = await freePort();
  const child = spawn(node, [entry], {
    cwd: folder,
    env: { ...process.env, TESTING: '1', PARSIMONY_BIN: process.env.PARSIMONY_BIN || path.join(root, 'target/debug/parsimony'), PORT: String(port), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  const over = new Promise(resolve => child.once('close', code => resolve(code)));
  const up = new Promise((resolve, reject) => {
    const take = chunk => {
      output += chunk;
      if (/^up$/m.test(output)) resolve();
    };
    child.stdout.on('data', take);
    child.stderr.on('data', take);
    over.then(code => reject(new Error(`ended with ${code}: ${output}`)));
  });
  const app = {
    port,
    child,
    over,
    folder,
    output: () => output,
    url: `http://127.0.0.1:${port}`,
    async stop() {
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), 20000);
      const code = await over;
      clearTimeout(timer);
      fs.rmSync(folder, { recursive: true, force: true });
      return code;
    },
  };
  await up.catch(error => {
    fs.rmSync(folder, { recursive: true, force: true });
    throw error;
  });
  return app;
}

const KEYS = { 'X-Parse-Application-Id': 'app', 'X-Parse-REST-API-Key': 'rest' };
export const MASTER = { ...KEYS, 'X-Parse-Master-Key': 'master' };

/** What a client sees, without what differs from run to run. */
export async function ask(app, method, target, { body, headers = KEYS } = {}) {
  const json = body === undefined || typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body);
  const answer = await fetch(app.url + target, {
    method,
    headers: json === undefined || typeof body === 'string' ? headers : { 'Content-Type': 'application/json', ...headers },
    body: json,
    redirect: 'manual',
  });
  const text = await answer.text();
  const stable = text
    .replaceAll(String(app.port), 'PORT')
    .replace(/"(createdAt|updatedAt|objectId|sessionToken)":"[^"]*"/g, '"$1":"…"')
    .replace(/"username":"[A-Za-z0-9]{25}"/g, '"username":"…"')
    .replace(/[0-9a-f]{32}_/g, 'HEX_');
  let shown;
  try {
    shown = JSON.parse(stable);
  } catch {
    shown = stable;
  }
  return { status: answer.status, type: answer.headers.get('content-type'), body: shown };
}
