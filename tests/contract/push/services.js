// The push services as one TLS server on loopback that notes what it is sent, behind a proxy that leads every host
// there. Certificates are made by the openssl command.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';

export const hosts = ['api.push.apple.com', 'api.sandbox.push.apple.com', 'fcm.googleapis.com', 'oauth2.googleapis.com', 'exp.host'];

const openssl = (...args) => execFileSync('openssl', args, { stdio: ['ignore', 'pipe', 'ignore'] }).toString();

function certificates(folder) {
  const at = name => path.join(folder, name);
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  openssl('req', '-x509', ...key, '-keyout', at('ca.key'), '-out', at('ca.pem'), '-subj', '/CN=Test CA', '-days', '2');
  openssl('req', ...key, '-keyout', at('leaf.key'), '-out', at('leaf.csr'), '-subj', '/CN=push');
  fs.writeFileSync(at('leaf.ext'), `subjectAltName=${hosts.map(host => `DNS:${host}`).join(',')},IP:127.0.0.1`);
  openssl('x509', '-req', '-in', at('leaf.csr'), '-CA', at('ca.pem'), '-CAkey', at('ca.key'), '-CAcreateserial', '-out', at('leaf.pem'), '-days', '2', '-extfile', at('leaf.ext'));
  return { caFile: at('ca.pem'), cert: fs.readFileSync(at('leaf.pem')), key: fs.readFileSync(at('leaf.key')) };
}

/** Keys of both kinds that the senders need. */
export function keys() {
  return {
    p8: openssl('genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256'),
    rsa: openssl('genpkey', '-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048'),
  };
}

/** `{port, proxy, caFile, seen, stop()}`; `answer(request)` may say `{status, body}`. */
export async function startServices(answer = () => undefined) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'contract-push-'));
  const { caFile, cert, key } = certificates(folder);
  const seen = [];
  const server = http2.createSecureServer({ cert, key, allowHTTP1: true });
  server.on('request', (request, response) => {
    const chunks = [];
    request.on('data', chunk => chunks.push(chunk));
    request.on('end', () => {
      const headers = Object.fromEntries(Object.entries(request.headers).filter(([name]) => !name.startsWith(':')));
      const host = (request.authority ?? request.headers.host ?? '').split(':')[0];
      const noted = { host, path: request.url, headers, body: Buffer.concat(chunks) };
      let reply = answer(noted);
      if (host === 'oauth2.googleapis.com') {
        reply ??= { status: 200, body: { access_token: 'token', expires_in: 3600, token_type: 'Bearer' } };
      } else {
        seen.push(noted);
      }
      if (noted.path.endsWith('messages:send')) reply ??= { status: 200, body: { name: 'projects/p/messages/1' } };
      if (noted.path.includes('/getReceipts')) reply ??= { status: 200, body: { data: {} } };
      if (host === 'exp.host' || noted.path.includes('/push/send')) {
        reply ??= { status: 200, body: { data: JSON.parse(noted.body).map((_, n) => ({ status: 'ok', id: `t${n}` })) } };
      }
      reply ??= { status: noted.path.startsWith('/3/device/') ? 200 : 201 };
      response.writeHead(reply.status, { 'content-type': 'application/json' });
      response.end(reply.body === undefined ? '' : JSON.stringify(reply.body));
    });
  });
  server.on('sessionError', () => {});
  const sockets = new Set();
  server.on('connection', socket => sockets.add(socket));
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  const proxy = http.createServer();
  proxy.on('connect', (request, client, head) => {
    const upstream = net.connect(port, '127.0.0.1', () => {
      client.write('HTTP/1.1 200 OK\r\n\r\n');
      upstream.write(head);
      upstream.pipe(client).pipe(upstream);
    });
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => {});
    }
  });
  await new Promise(resolve => proxy.listen(0, '127.0.0.1', resolve));
  return {
    port, caFile, seen, proxy: `http://127.0.0.1:${proxy.address().port}`,
    stop() {
      for (const socket of sockets) socket.destroy();
      server.close();
      proxy.close();
      fs.rmSync(folder, { recursive: true, force: true });
    },
  };
}
