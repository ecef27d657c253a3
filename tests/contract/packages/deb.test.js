// The Debian package of the program under test: what lintian says of it, and its life in a clean root: installed, asked,
// upgraded, removed, purged.
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { freePort } from '../npm/fixture.js';
import { dist, have, program, temporary } from './fixture.js';

const folder = temporary('deb');
let deb;
before(() => {
  const packages = dist(program, path.join(folder, 'dist'), { DEB_COMPRESSION: 'gzip', DEB_MAINTAINER: 'Parsimony <parsimony@example.org>' });
  deb = Object.values(packages).find(file => file.endsWith('.deb'));
});

test('lintian has nothing to say', { skip: !have('lintian') && 'lintian is not installed' }, () => {
  const { stdout, stderr, status } = spawnSync('lintian', ['--allow-root', '--fail-on', 'error,warning', '--tag-display-limit', '0', deb], { encoding: 'utf8' });
  assert.deepEqual([status, stdout.replace(/^N:.*\n?/gm, '')], [0, ''], stderr);
});

test('what is in it', () => {
  const listed = execFileSync('dpkg-deb', ['--contents', deb], { encoding: 'utf8', maxBuffer: 1 << 26 });
  for (const [mode, file] of [
    ['-rwxr-xr-x', 'usr/bin/parsimony'], ['-rw-r-----', 'etc/parsimony/config.json'], ['-rw-r--r--', 'usr/lib/systemd/system/parsimony.service'],
    ['-rw-r--r--', 'usr/share/man/man1/parsimony.1.gz'], ['-rw-r--r--', 'usr/share/bash-completion/completions/parsimony'],
    ['-rw-r--r--', 'usr/share/zsh/vendor-completions/_parsimony'], ['-rw-r--r--', 'usr/share/fish/vendor_completions.d/parsimony.fish'],
    ['-rw-r--r--', 'usr/share/doc/parsimony/THIRD-PARTY-LICENSES.txt.gz'], ['-rw-r--r--', 'usr/share/doc/parsimony/sbom.cdx.json.gz'],
  ]) {
    assert.match(listed, new RegExp(`^${mode} root/root .* \\./${file.replaceAll('.', '\\.')}$`, 'm'), file);
  }
  const depends = execFileSync('dpkg-deb', ['--field', deb, 'Depends'], { encoding: 'utf8' });
  assert.match(depends, /^libc6 \(>= 2\.\d+\)|, libc6 \(>= 2\.\d+\)/);
  assert.match(depends, /, adduser$/m);
  assert.equal(execFileSync('dpkg-deb', ['--info', deb, 'conffiles'], { encoding: 'utf8' }), '/etc/parsimony/config.json\n');
});

const roots = process.getuid() === 0 && have('mmdebstrap', 'unshare', 'setpriv');
describe('in a clean root', { timeout: 900000, skip: !roots && 'needs root and mmdebstrap' }, () => {
  let clean;
  let port;
  let server;
  // Mounts of its own, which end with it.
  const inside = script => ['unshare', '--mount', '--fork', '--kill-child', 'sh', '-ec',
    `mount -t proc proc "$0/proc"; mount --rbind /dev "$0/dev"; exec chroot "$0" /bin/sh -ec "$1"`, clean, script];
  const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C.UTF-8', DEBIAN_FRONTEND: 'noninteractive', HOME: '/root' };
  for (const name of ['http_proxy', 'https_proxy', 'no_proxy']) if (process.env[name]) env[name] = process.env[name];
  const run = script => {
    const [command, ...args] = inside(script);
    const done = spawnSync(command, args, { encoding: 'utf8', env, maxBuffer: 1 << 26 });
    assert.equal(done.status, 0, `${script}\n${done.stdout}\n${done.stderr}`);
    return done.stdout;
  };
  const install = file => {
    fs.copyFileSync(file, path.join(clean, 'opt/parsimony.deb'));
    return run('apt-get install -q -y --no-install-recommends /opt/parsimony.deb');
  };

  before(() => {
    clean = path.join(folder, 'root');
    execFileSync('mmdebstrap', ['--quiet', '--mode=root', '--variant=apt', '--aptopt=Acquire::Languages "none"', 'bookworm', clean], { stdio: 'pipe', env });
    // No service starts in there: there is no systemd.
    fs.writeFileSync(path.join(clean, 'usr/sbin/policy-rc.d'), '#!/bin/sh\nexit 101\n', { mode: 0o755 });
    for (const name of ['etc/resolv.conf', 'etc/hosts']) fs.copyFileSync(`/${name}`, path.join(clean, name));
  });
  after(() => stop());

  /** Starts the program as the unit says. */
  async function start() {
    const unit = fs.readFileSync(path.join(clean, 'usr/lib/systemd/system/parsimony.service'), 'utf8');
    const line = name => new RegExp(`^${name}=(.*)$`, 'm').exec(unit)[1];
    const [credential, source] = line('LoadCredential').split(':');
    const file = line('EnvironmentFile').replace(/^-/, '');
    port = await freePort();
    const [command, ...args] = inside(`
      mkdir -p /run/credentials; cp ${source} /run/credentials/${credential}; chown ${line('User')} /run/credentials/${credential}
      set -a; . ${file}; PORT=${port}; set +a; cd ${line('WorkingDirectory')}
      exec setpriv --reuid ${line('User')} --regid ${line('Group')} --clear-groups --no-new-privs ${line('ExecStart').replace('%d', '/run/credentials')}`);
    server = spawn(command, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    server.output = '';
    server.over = new Promise(resolve => server.once('close', resolve));
    for (const stream of [server.stdout, server.stderr]) stream.on('data', chunk => (server.output += chunk));
    for (;;) {
      const healthy = await fetch(`http://127.0.0.1:${port}/parse/health`).then(answer => answer.ok, () => false);
      if (healthy) return;
      assert.equal(server.exitCode, null, server.output);
      await new Promise(resolve => setTimeout(resolve, 100));
    }
  }

  async function stop() {
    if (!server) return;
    // `unshare` waits for the program and takes no signal for it.
    const children = execFileSync('ps', ['-o', 'pid=', '--ppid', String(server.pid)], { encoding: 'utf8' }).trim();
    if (children) process.kill(Number(children), 'SIGTERM');
    await server.over;
    server = undefined;
  }

  const ask = async (method, target, body, headers = {}) => {
    const answer = await fetch(`http://127.0.0.1:${port}/parse${target}`, {
      method,
      headers: { 'X-Parse-Application-Id': 'parsimony', 'Content-Type': 'application/json', ...headers },
      body: body && JSON.stringify(body),
    });
    return answer.json();
  };
  const key = () => /^PARSE_SERVER_MASTER_KEY=([0-9a-f]{48})$/m.exec(fs.readFileSync(path.join(clean, 'etc/parsimony/environment'), 'utf8'))[1];

  test('it is installed, and its first request answered', async () => {
    run('apt-get update -q');
    const told = install(deb);
    assert.match(told, /^parsimony: made a master key: \/etc\/parsimony\/environment$/m);
    assert.match(run('getent passwd parsimony'), /^parsimony:x:\d+:\d+:Parsimony,*:\/var\/lib\/parsimony:\/usr\/sbin\/nologin$/m);
    assert.equal(run('stat -c "%a %U" /etc/parsimony/environment /var/lib/parsimony /etc/parsimony/config.json'), '600 root\n700 parsimony\n640 root\n');
    assert.match(run('parsimony --version'), /^parsimony \d/);
    run('apt-get install -q -y --no-install-recommends postgresql');
    await start();
    const made = await ask('POST', '/classes/Thing', { n: 1 }, { 'X-Parse-Master-Key': key() });
    assert.match(made.objectId, /^\w{10}$/, JSON.stringify(made));
    const found = await ask('GET', '/classes/Thing');
    assert.deepEqual(found.results.map(({ n }) => n), [1]);
    await stop();
  });

  test('an upgrade keeps data, key and a changed configuration', async () => {
    const before = key();
    const file = path.join(clean, 'etc/parsimony/config.json');
    const changed = fs.readFileSync(file, 'utf8').replace('"appId"', '"appName": "Shop", "appId"');
    fs.writeFileSync(file, changed);
    const newer = path.join(folder, 'newer');
    execFileSync('dpkg-deb', ['--raw-extract', deb, newer]);
    const control = path.join(newer, 'DEBIAN/control');
    fs.writeFileSync(control, fs.readFileSync(control, 'utf8').replace(/^Version: .*/m, 'Version: 99.0'));
    execFileSync('dpkg-deb', ['--root-owner-group', '-Znone', '--build', newer, `${newer}.deb`], { stdio: 'pipe' });
    const told = install(`${newer}.deb`);
    assert.doesNotMatch(told, /made a master key/);
    assert.equal(run("dpkg-query -W -f '${Version}' parsimony"), '99.0');
    assert.equal(key(), before);
    assert.equal(fs.readFileSync(file, 'utf8'), changed);
    await start();
    assert.deepEqual((await ask('GET', '/classes/Thing')).results.map(({ n }) => n), [1]);
    await stop();
  });

  test('removing it keeps the data, and purging it says what goes', async () => {
    const removed = run('apt-get remove -q -y parsimony');
    assert.match(removed, /^parsimony: the data in \/var\/lib\/parsimony and the files in \/etc\/parsimony stay\.$/m);
    assert.ok(fs.existsSync(path.join(clean, 'var/lib/parsimony/postgres')));
    assert.ok(!fs.existsSync(path.join(clean, 'usr/bin/parsimony')));
    install(deb);
    await start();
    assert.deepEqual((await ask('GET', '/classes/Thing')).results.map(({ n }) => n), [1]);
    await stop();
    const purged = run('apt-get purge -q -y parsimony');
    assert.match(purged, /^parsimony: removing \/var\/lib\/parsimony \(\d.*\)$/m);
    assert.match(purged, /^parsimony: removing \/etc\/parsimony/m);
    for (const place of ['var/lib/parsimony', 'etc/parsimony', 'usr/lib/parsimony']) assert.ok(!fs.existsSync(path.join(clean, place)), place);
    assert.equal(run("dpkg-query -W -f '${db:Status-Status}' parsimony 2>/dev/null || true"), '');
  });
});
