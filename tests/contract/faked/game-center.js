// Apple's side of Game Center: a root, certificates for keys, and signatures over players.
import { execFileSync } from 'node:child_process';
import crypto from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const openssl = (...args) => execFileSync('openssl', args, { stdio: ['ignore', 'pipe', 'ignore'] });
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'contract-gcenter-'));
const at = name => path.join(folder, name);
process.once('exit', () => fs.rmSync(folder, { recursive: true, force: true }));

function authority(name) {
  openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', at(`${name}.key`), '-out', at(`${name}.pem`), '-subj', `/CN=${name}`, '-days', '2');
  return name;
}

function issued(name, by, days = 2) {
  openssl('req', '-newkey', 'rsa:2048', '-nodes', '-keyout', at(`${name}.key`), '-out', at(`${name}.csr`), '-subj', `/CN=${name}`);
  openssl('x509', '-req', '-in', at(`${name}.csr`), '-CA', at(`${by}.pem`), '-CAkey', at(`${by}.key`), '-CAcreateserial', '-out', at(`${name}.crt`), '-days', String(days));
  return { der: openssl('x509', '-in', at(`${name}.crt`), '-outform', 'DER'), key: fs.readFileSync(at(`${name}.key`)) };
}

const root = authority('root');
const leaf = issued('leaf', root);
const foreign = issued('foreign', authority('stranger'));

const ROOT = 'https://cacerts.digicert.com/DigiCertTrustedG4CodeSigningRSA4096SHA3842021CA1.crt.pem';
const KEY = 'https://static.gc.apple.com/public-key/gc-prod-9.cer';
const certificate = ({ der }) => ({ body: der, type: 'application/pkix-cert' });

function signature({ id, bundle = 'com.example.app', timestamp, salt, key = leaf.key }) {
  const time = Buffer.alloc(8);
  time.writeBigUInt64BE(BigInt(timestamp));
  return crypto.sign('sha256', Buffer.concat([Buffer.from(id), Buffer.from(bundle), time, salt]), key).toString('base64');
}

function signed(id, { bundle, key, ...change } = {}) {
  const [timestamp, salt] = [change.timestamp ?? Date.now(), Buffer.from('salt')];
  return { id, publicKeyUrl: KEY, timestamp, signature: signature({ id, bundle, timestamp, salt, key }), salt: salt.toString('base64'), ...change };
}

const changed = change => id => ({ ...signed(id), ...change });

export const gameCenter = {
  provider: 'gcenter', settings: { bundleId: 'com.example.app' }, keepsKeys: true,
  // parse-server ends when it cannot have the root.
  deadly: ROOT,
  endpoints: () => ({ [ROOT]: { body: fs.readFileSync(at('root.pem')), type: 'application/x-pem-file' }, [KEY]: certificate(leaf) }),
  good: id => signed(id),
  cases: {
    'a time that is a text': id => ({ ...signed(id, { timestamp: 1700000000000 }), timestamp: '1700000000000' }),
    'another player': () => ({ ...signed('x'), id: 'somebody else' }),
    'another bundle': id => signed(id, { bundle: 'com.example.foreign' }),
    'another bundle, named': id => signed(id, { bundle: 'com.example.foreign', bundleId: 'com.example.foreign' }),
    'another time': changed({ timestamp: 5 }),
    'another salt': changed({ salt: 'AAAA' }),
    'another signature': changed({ signature: 'AAAA' }),
    'a signature that is no text': changed({ signature: {} }),
    'no signature': changed({ signature: undefined }),
    'no salt': changed({ salt: undefined }),
    'no URL': changed({ publicKeyUrl: undefined }),
    'no time': changed({ timestamp: undefined }),
    'no id': id => ({ ...signed(id), id: undefined }),
    'a key of somebody else': id => [signed(id, { key: foreign.key, publicKeyUrl: 'https://static.gc.apple.com/public-key/foreign.cer' }), { 'https://static.gc.apple.com/public-key/foreign.cer': certificate(foreign) }],
    'a URL elsewhere': changed({ publicKeyUrl: 'https://elsewhere.example/a.cer' }),
    'a URL that looks like Apple’s': changed({ publicKeyUrl: 'https://apple.com.elsewhere.example/a.cer' }),
    'a URL without encryption': changed({ publicKeyUrl: 'http://static.gc.apple.com/public-key/gc-prod-9.cer' }),
    'a URL with a user': changed({ publicKeyUrl: 'https://static.gc.apple.com@elsewhere.example/a.cer' }),
    'a URL of another kind': changed({ publicKeyUrl: 'https://static.gc.apple.com/a.pem' }),
  },
};
