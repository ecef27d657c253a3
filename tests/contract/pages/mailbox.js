// The Maildir in which the test environment's mail server (aiosmtpd) puts what it took; without that environment a
// server is started for this run.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort, waitFor } from '../lib/postgres.js';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../..');

/** `{host, port, next(address, subject), stop()}` */
export async function openMailbox() {
  const given = process.env.PARSIMONY_TEST_SMTP;
  const own = given ? null : await start();
  const [host, port] = (given ?? own.address).split(':');
  const folder = path.join(given ? process.env.PARSIMONY_TEST_SMTP_MAILDIR : own.maildir, 'new');
  // What is there already belongs to somebody else.
  const read = new Set(fs.existsSync(folder) ? fs.readdirSync(folder) : []);
  return {
    host,
    port: Number(port),
    /** The next unread mail to an address: `{headers, text, html, link}`. */
    next: address => waitFor(() => {
      for (const file of fs.existsSync(folder) ? fs.readdirSync(folder).sort() : []) {
        if (read.has(file)) continue;
        const mail = parse(fs.readFileSync(path.join(folder, file), 'utf8'));
        if (!mail.headers.to.includes(address)) continue;
        read.add(file);
        return mail;
      }
      return null;
    }, { what: `a mail to ${address}` }),
    stop: () => own?.stop(),
  };
}

async function start() {
  const home = fs.mkdtempSync(path.join(os.tmpdir(), 'contract-mail-'));
  const port = await freePort();
  const maildir = path.join(home, 'mail');
  const child = spawn(path.join(root, '.venv/bin/python'), [
    '-m', 'aiosmtpd', '-n', '-l', `127.0.0.1:${port}`, '-c', 'aiosmtpd.handlers.Mailbox', maildir,
  ], { stdio: 'ignore' });
  const abandon = () => child.kill('SIGKILL');
  process.once('exit', abandon);
  await waitFor(() => new Promise((resolve, reject) => {
    const socket = net.connect(port, '127.0.0.1', () => resolve(socket.destroy()));
    socket.once('error', reject);
  }), { what: 'the mail server' });
  return {
    address: `127.0.0.1:${port}`,
    maildir,
    stop() {
      child.kill('SIGKILL');
      fs.rmSync(home, { recursive: true, force: true });
    },
  };
}

function parse(raw) {
  const [head, body] = split(raw);
  const type = head['content-type'] ?? '';
  const boundary = /boundary="([^"]+)"/.exec(type)?.[1];
  const parts = boundary
    ? body.split(`--${boundary}`).slice(1, -1).map(part => split(part.replace(/^\r?\n/, '')))
    : [[head, body]];
  const decoded = wanted => {
    const found = parts.find(([headers]) => (headers['content-type'] ?? 'text/plain').startsWith(wanted));
    return found && decode(found[0], found[1]);
  };
  const text = decoded('text/plain');
  return { headers: head, text, html: decoded('text/html'), link: /https?:\/\/\S+/.exec(text)?.[0] };
}

function split(raw) {
  const at = /\r?\n\r?\n/.exec(raw);
  const lines = raw.slice(0, at.index).replaceAll(/\r?\n[ \t]+/g, ' ').split(/\r?\n/);
  const headers = Object.fromEntries(lines.map(line => [line.slice(0, line.indexOf(':')).toLowerCase(), word(line.slice(line.indexOf(':') + 1).trim())]));
  return [headers, raw.slice(at.index + at[0].length)];
}

/** Encoded words of a header. */
function word(value) {
  return value.replaceAll(/\?=\s+=\?/g, '?==?').replaceAll(/=\?utf-8\?b\?([^?]*)\?=/gi, (_, text) => Buffer.from(text, 'base64').toString());
}

function decode(headers, body) {
  switch (headers['content-transfer-encoding']?.toLowerCase()) {
    case 'base64': return Buffer.from(body, 'base64').toString();
    case 'quoted-printable': return Buffer.from(body.replaceAll(/=\r?\n/g, '')
      .replaceAll(/=([0-9A-F]{2})/gi, (_, hex) => String.fromCharCode(parseInt(hex, 16))), 'latin1').toString();
    default: return body;
  }
}
