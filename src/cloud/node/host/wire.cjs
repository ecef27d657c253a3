'use strict';
// Frames on the socket to the server. One frame is: u32 length of what follows, u8 kind, u32 id, JSON in
// UTF-8 (all numbers little-endian). The Rust side of this file is protocol.rs.

const KIND = Object.freeze({
  // from the server
  INIT: 1,
  CALL: 2,
  CANCEL: 3,
  REPLY: 4,
  REPLY_ERROR: 5,
  STOP: 6,
  WITHDRAWN: 7,
  LISTENING: 8,
  // from the host
  HELLO: 32,
  READY: 33,
  FAILED: 34,
  REGISTERED: 35,
  RESULT: 36,
  ERROR: 37,
  REQUEST: 38,
  LOG: 39,
  STALLED: 40,
  PAUSED: 41,
  RESUMED: 42,
  ATTACH: 43,
  LEAVE: 44,
  ALIVE: 45,
});

const HEADER = 9;

// Own properties called __proto__ never get in: an Object.assign later on would turn them into prototypes.
function dropProto(key, value) {
  return key === '__proto__' ? undefined : value;
}

function parse(text) {
  if (text === '') {
    return undefined;
  }
  const suspicious = text.includes('__proto__') || text.includes('\\u005');
  return suspicious ? JSON.parse(text, dropProto) : JSON.parse(text);
}

function frame(kind, id, text) {
  const length = Buffer.byteLength(text);
  const buffer = Buffer.allocUnsafe(HEADER + length);
  buffer.writeUInt32LE(HEADER - 4 + length, 0);
  buffer[4] = kind;
  buffer.writeUInt32LE(id, 5);
  buffer.write(text, HEADER);
  return buffer;
}

class Wire {
  constructor(socket, onFrame) {
    this.socket = socket;
    this.onFrame = onFrame;
    this.chunks = [];
    this.buffered = 0;
    this.outgoing = [];
    this.flushLater = () => this.flush();
    socket.on('data', chunk => this.take(chunk));
  }

  take(chunk) {
    if (this.buffered > 0) {
      this.chunks.push(chunk);
      this.buffered += chunk.length;
      // A large frame arrives in many chunks: join them only when it is complete.
      if (this.buffered < this.wanted) {
        return;
      }
      chunk = Buffer.concat(this.chunks);
      this.chunks = [];
      this.buffered = 0;
    }
    let at = 0;
    while (chunk.length - at >= 4) {
      const end = at + 4 + chunk.readUInt32LE(at);
      if (end > chunk.length) {
        break;
      }
      this.onFrame(chunk[at + 4], chunk.readUInt32LE(at + 5), chunk.toString('utf8', at + HEADER, end));
      at = end;
    }
    const rest = chunk.length - at;
    if (rest > 0) {
      this.chunks.push(at === 0 ? chunk : chunk.subarray(at));
      this.buffered = rest;
      this.wanted = rest >= 4 ? 4 + chunk.readUInt32LE(at) : 4;
    }
  }

  // Frames of one turn of the event loop leave in one write.
  send(kind, id, text) {
    this.outgoing.push(frame(kind, id, text));
    if (this.outgoing.length === 1) {
      process.nextTick(this.flushLater);
    }
  }

  flush() {
    const frames = this.outgoing;
    if (frames.length === 0) {
      return;
    }
    this.outgoing = [];
    this.socket.write(frames.length === 1 ? frames[0] : Buffer.concat(frames));
  }
}

module.exports = { KIND, Wire, frame, parse };
