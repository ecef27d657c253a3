// `make dist` in a folder of its own, with the program under test or one that stands for it.
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../../..', import.meta.url));
export const program = path.resolve(process.env.PARSIMONY_BIN || path.join(root, 'target/debug/parsimony'));

export function temporary(name) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), `${name}-`));
  process.on('exit', () => fs.rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** The packages, by file name. */
export function dist(binary, out, env = {}) {
  execFileSync(path.join(root, 'scripts/dist.sh'), {
    env: { ...process.env, DEB_COMPRESSION: 'none', ...env, DIST_BIN: binary, DIST_DIR: out },
    stdio: 'pipe',
  });
  return Object.fromEntries(fs.readdirSync(out).map(file => [file, path.join(out, file)]));
}

export const have = (...names) => names.every(name => spawnSync('sh', ['-c', `command -v ${name}`]).status === 0);
