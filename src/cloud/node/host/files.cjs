'use strict';
// File adapters of the application's own. Contents travel in pieces, which this side asks for or hands
// over; an adapter that cannot stream gets or gives a buffer, which then is all in the memory of this host.

const { Readable, Writable } = require('node:stream');

// Bytes of one piece on the way to the server.
const PIECE = 256 * 1024;

// What the adapter threw, for the server to answer: a code only where the application chose one.
function describe(thrown, Parse) {
  if (thrown instanceof Parse.Error) {
    return { code: thrown.code, message: String(thrown.message) };
  }
  const message = thrown && thrown.message ? thrown.message : thrown;
  return { message: message ? String(message) : 'The file adapter failed.' };
}

function toBuffer(data) {
  if (data === undefined || data === null) {
    throw new Error('The file adapter gave no data.');
  }
  return Buffer.isBuffer(data) ? data : Buffer.from(data);
}

// The response object of handleFileStream: keeps headers, hands the content over.
class PartialResponse extends Writable {
  constructor(output) {
    super({ highWaterMark: PIECE });
    this.output = output;
    this.statusCode = 200;
    this.headers = new Map();
    this.headersSent = false;
  }

  status(code) {
    this.statusCode = code;
    return this;
  }

  set(name, value) {
    for (const [key, text] of typeof name === 'string' ? [[name, value]] : Object.entries(name)) {
      this.headers.set(key.toLowerCase(), text);
    }
    return this;
  }

  header(name, value) {
    return this.set(name, value);
  }

  setHeader(name, value) {
    return this.set(name, value);
  }

  getHeader(name) {
    return this.headers.get(name.toLowerCase());
  }

  writeHead(code, reason, headers) {
    this.statusCode = code;
    this.headersSent = true;
    return this.set((typeof reason === 'string' ? headers : reason) || {});
  }

  flushHeaders() {
    this.headersSent = true;
  }

  send(body) {
    return this.end(body);
  }

  json(body) {
    return this.end(JSON.stringify(body));
  }

  async begin() {
    if (this.statusCode >= 400) {
      throw new Error(`The file adapter answered ${this.statusCode}.`);
    }
    const match = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(this.headers.get('content-range') || '');
    if (!match) {
      throw new Error('The file adapter gave no Content-Range.');
    }
    const [start, end, size] = match.slice(1).map(Number);
    const announced = Number(this.headers.get('content-length'));
    const length = Number.isSafeInteger(announced) ? announced : end - start + 1;
    this.begun = true;
    await this.output.head(size, start, length);
  }

  _write(chunk, encoding, done) {
    const ready = this.begun ? Promise.resolve() : this.begin();
    ready.then(() => this.output.data(chunk)).then(() => done(), done);
  }

  _final(done) {
    (this.begun ? Promise.resolve() : this.begin()).then(() => done(), done);
  }
}

class Output {
  constructor(link, pipe) {
    this.link = link;
    this.pipe = pipe;
  }

  head(size, start, length) {
    return this.link.request({ kind: 'head', pipe: this.pipe, size, start, length });
  }

  async data(bytes) {
    for (let at = 0; at < bytes.length; at += PIECE) {
      const piece = bytes.subarray(at, at + PIECE);
      await this.link.request({ kind: 'push', pipe: this.pipe, data: piece.toString('base64') });
    }
  }
}

class Files {
  constructor({ Parse, adapters, link, options }) {
    Object.assign(this, { Parse, adapters, link, options });
  }

  // Resolves with {value}, or with {error: {code, message}} for what the adapter threw.
  async run({ adapter: name, method, args, pipe }) {
    const adapter = this.adapters.get(name);
    try {
      return { value: await this[method](adapter, args, pipe) };
    } catch (thrown) {
      return { error: describe(thrown, this.Parse) };
    }
  }

  async *pieces(pipe, state) {
    for (;;) {
      const piece = await this.link.request({ kind: 'pull', pipe });
      if (!piece) {
        state.complete = true;
        return;
      }
      yield Buffer.from(piece.data, 'base64');
    }
  }

  async create(adapter, { name, contentType, options }, pipe) {
    const state = { complete: false };
    const pieces = this.pieces(pipe, state);
    let data;
    if (adapter.supportsStreaming) {
      data = Readable.from(pieces, { objectMode: false });
      // Adapters may listen late; the error of a broken upload reaches them all the same.
      data.on('error', () => {});
    } else {
      const whole = [];
      for await (const piece of pieces) {
        whole.push(piece);
      }
      data = Buffer.concat(whole);
    }
    await adapter.createFile(name, data, contentType === null ? undefined : contentType, options);
    if (!state.complete) {
      throw new Error('The file adapter did not take the whole file.');
    }
  }

  async read(adapter, { name, range, contentType }, pipe) {
    const output = new Output(this.link, pipe);
    if (range && typeof adapter.handleFileStream === 'function') {
      const headers = { range };
      const get = key => headers[key.toLowerCase()];
      const request = { method: 'GET', headers, get, header: get };
      const response = new PartialResponse(output);
      const finished = new Promise((resolve, reject) => {
        response.on('finish', resolve);
        response.on('error', reject);
      });
      const handled = Promise.resolve(adapter.handleFileStream(name, request, response, contentType));
      await Promise.race([finished, handled.then(() => finished)]);
      return;
    }
    const data = toBuffer(await adapter.getFileData(name));
    await output.head(data.length, 0, data.length);
    await output.data(data);
  }

  async size(adapter, { name }) {
    return toBuffer(await adapter.getFileData(name)).length;
  }

  async remove(adapter, { name }) {
    await adapter.deleteFile(name);
  }

  async metadata(adapter, { name }) {
    const found = typeof adapter.getMetadata === 'function' ? await adapter.getMetadata(name) : {};
    return found || {};
  }

  async locate(adapter, { names, mount, applicationId }) {
    const config = { ...this.options(), mount, applicationId };
    return Promise.all(names.map(async name => String(await adapter.getFileLocation(config, name))));
  }

  // Null, or what is wrong with the name.
  async validate(adapter, { name }) {
    const wrong = await adapter.validateFilename(name);
    if (!wrong) {
      return null;
    }
    const code = this.Parse.Error.INVALID_FILE_NAME;
    return typeof wrong === 'string' ? { code, message: wrong } : { code, ...describe(wrong, this.Parse) };
  }

  async rotate(adapter, options) {
    if (typeof adapter.rotateEncryptionKey !== 'function') {
      throw new Error('The file adapter has no rotateEncryptionKey.');
    }
    return adapter.rotateEncryptionKey(options);
  }
}

module.exports = { Files };
