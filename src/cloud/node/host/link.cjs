'use strict';
// What the host says to the server: answers to calls, requests of its own, log lines, and the journal of
// begun calls.

const fs = require('node:fs');
const { AsyncLocalStorage } = require('node:async_hooks');
const { KIND, parse } = require('./wire.cjs');

// Entries of the journal, as many as journal.rs expects.
const JOURNAL_ENTRIES = 65536;

class Link {
  constructor(wire, journalPath) {
    this.wire = wire;
    // None where no other host could take a call.
    this.journal = journalPath ? fs.openSync(journalPath, 'r+') : undefined;
    this.entry = Buffer.alloc(4);
    this.begun = 0;
    this.nextRequest = 1;
    this.requests = new Map();
    // Which call the running code belongs to: {depth, transaction}.
    this.scope = new AsyncLocalStorage();
    // Closed by the watchdog while the loop stands still (watchdog.cjs).
    this.gate = undefined;
    // Tells the server of new registrations, if any.
    this.announce = () => {};
    // The code of the application is loaded, or cannot be.
    this.loaded = () => {};
    this.notLoaded = () => {};
  }

  // Written before application code runs, and by a plain system call: whatever happens to this process
  // afterwards, the server knows that the call must not be run again. False while the gate is closed: the
  // server may be giving the call to another host.
  begin(id) {
    if (this.journal === undefined) {
      return true;
    }
    if (!this.gate.enter()) {
      return false;
    }
    try {
      this.entry.writeUInt32LE(id, 0);
      fs.writeSync(this.journal, this.entry, 0, 4, (this.begun % JOURNAL_ENTRIES) * 4);
      this.begun += 1;
    } finally {
      this.gate.leave();
    }
    return true;
  }

  result(id, text) {
    this.wire.send(KIND.RESULT, id, text);
  }

  error(id, error) {
    this.wire.send(KIND.ERROR, id, JSON.stringify(error));
  }

  // Asks the server; rejects with {code, message}.
  request(payload) {
    return new Promise((resolve, reject) => {
      const text = JSON.stringify(payload);
      const id = this.nextRequest;
      this.nextRequest = id === 0xffffffff ? 1 : id + 1;
      this.requests.set(id, { resolve, reject });
      this.announce();
      this.wire.send(KIND.REQUEST, id, text);
    });
  }

  reply(id, text, failed) {
    const waiting = this.requests.get(id);
    if (!waiting) {
      return;
    }
    this.requests.delete(id);
    const value = parse(text);
    if (failed) {
      waiting.reject(value);
    } else {
      waiting.resolve(value);
    }
  }

  log(level, message, meta) {
    let text;
    try {
      text = JSON.stringify({ level, message, meta });
    } catch {
      text = JSON.stringify({ level, message });
    }
    this.wire.send(KIND.LOG, 0, text);
  }
}

module.exports = { Link };
