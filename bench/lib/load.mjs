// A bounded load generator: a fixed number of requests over a fixed number of kept-alive loopback connections.
import net from 'node:net';

/** One request as bytes. `body` is an object (JSON), a Buffer or nothing. */
export function encode({ method = 'GET', path, headers = {}, body, type }) {
  const bytes = body === undefined ? null : Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body));
  const lines = [`${method} ${path} HTTP/1.1`, 'Host: 127.0.0.1'];
  for (const [name, value] of Object.entries(headers)) lines.push(`${name}: ${value}`);
  if (bytes) lines.push(`Content-Type: ${type ?? 'application/json'}`, `Content-Length: ${bytes.length}`);
  const head = Buffer.from(`${lines.join('\r\n')}\r\n\r\n`);
  return bytes ? Buffer.concat([head, bytes]) : head;
}

/** Reads answers from a stream of chunks: by length, or chunked. */
class Reader {
  constructor() {
    this.parts = [];
    this.size = 0;
  }

  push(chunk) {
    this.parts.push(chunk);
    this.size += chunk.length;
    if (this.wanted !== undefined && this.size < this.wanted) return null;
    const data = this.parts.length === 1 ? this.parts[0] : Buffer.concat(this.parts);
    this.parts = [data];
    const end = data.indexOf('\r\n\r\n');
    if (end < 0) return null;
    const head = data.toString('latin1', 0, end);
    const status = Number(head.slice(9, 12));
    const length = /\r\ncontent-length: *(\d+)/i.exec(head);
    const start = end + 4;
    if (length) {
      this.wanted = start + Number(length[1]);
      return data.length < this.wanted ? null : this.take(status, head, data.subarray(start, this.wanted));
    }
    if (/\r\ntransfer-encoding: *chunked/i.test(head)) {
      const body = dechunk(data, start);
      return body && this.take(status, head, body);
    }
    return this.take(status, head, Buffer.alloc(0));
  }

  take(status, head, body) {
    this.parts = [];
    this.size = 0;
    this.wanted = undefined;
    return { status, head, body };
  }
}

function dechunk(data, at) {
  const parts = [];
  for (;;) {
    const line = data.indexOf('\r\n', at);
    if (line < 0) return null;
    const length = parseInt(data.toString('latin1', at, line), 16);
    const next = line + 2 + length;
    if (data.length < next + 2) return null;
    if (length === 0) return Buffer.concat(parts);
    parts.push(data.subarray(line + 2, next));
    at = next + 2;
  }
}

/**
 * Sends requests 0…count-1 over `concurrency` connections. `request(i)` gives bytes, `check(answer, i)` throws what is
 * wrong with an answer. Answers `{seconds, latencies}` (ms, sorted); the first wrong answer ends the run.
 */
export function load({ port, request, check, count, concurrency }) {
  const latencies = new Float64Array(count);
  let sent = 0;
  let done = 0;
  const sockets = [];
  const began = process.hrtime.bigint();
  return new Promise((resolve, reject) => {
    let over = false;
    const finish = error => {
      if (over) return;
      over = true;
      clearTimeout(deadline);
      const seconds = Number(process.hrtime.bigint() - began) / 1e9;
      for (const socket of sockets) socket.destroy();
      if (error) reject(error);
      else resolve({ seconds, latencies: latencies.sort() });
    };
    const deadline = setTimeout(() => finish(new Error(`only ${done} of ${count} answers in 240 s`)), 240_000);
    for (let lane = 0; lane < Math.min(concurrency, count); lane += 1) {
      const socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
      sockets.push(socket);
      const reader = new Reader();
      let index;
      let start;
      // Servers close what idles; that is no error.
      let busy = true;
      const next = () => {
        busy = sent < count;
        if (!busy) return;
        index = sent;
        sent += 1;
        const bytes = request(index);
        start = performance.now();
        socket.write(bytes);
      };
      socket.once('connect', next);
      socket.on('data', chunk => {
        if (over) return;
        const answer = reader.push(chunk);
        if (!answer) return;
        latencies[done] = performance.now() - start;
        done += 1;
        try {
          check(answer, index);
        } catch (error) {
          finish(error);
          return;
        }
        if (done === count) finish();
        else next();
      });
      socket.once('error', error => busy && finish(error));
      socket.once('close', () => busy && finish(new Error('the server closed a connection')));
    }
  });
}

export function percentile(sorted, share) {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
