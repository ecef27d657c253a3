// One HTTP request on a connection of its own: nothing kept alive can be closed by a server just as it is used again.
import http from 'node:http';

/** Answers `{status, headers: {get}, text}`. */
export function request(url, { method = 'GET', headers = {}, body, timeout = 30000 } = {}) {
  return new Promise((resolve, reject) => {
    const data = body === undefined ? undefined : Buffer.from(body);
    const length = data ? { 'Content-Length': data.length } : {};
    const outgoing = http.request(url, { method, headers: { ...headers, ...length }, agent: false, timeout }, incoming => {
      const chunks = [];
      incoming.on('data', chunk => chunks.push(chunk));
      incoming.once('error', reject);
      incoming.once('end', () => resolve({
        status: incoming.statusCode,
        headers: { get: name => incoming.headers[name] ?? null },
        text: Buffer.concat(chunks).toString('utf8'),
      }));
    });
    outgoing.once('timeout', () => outgoing.destroy(new Error(`no answer within ${timeout} ms`)));
    outgoing.once('error', reject);
    outgoing.end(data);
  });
}
