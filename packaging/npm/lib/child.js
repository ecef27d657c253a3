'use strict';
// The server as a child of this process: started, spoken with over one socket, started again when it dies, and let
// go. The socket is the child's standard input, so that it ends with this process whatever happens to it; requests
// go over another one, in a folder that nobody else can enter (proxy.js).

const { spawn } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const host = require('./host');
const { binary } = require('./binary');
const { feed } = require('./log-adapter');
const { shown } = require('./options');
const { current, keeper, Parse } = require('./parse');

const { createApplication } = host('application');
const { Link } = host('link');
const { KIND, Wire, parse } = host('wire');

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 10000;
// A child that lived this long starts the pauses of its successor anew.
const HEALTHY_AFTER_MS = 30000;
// How long a child may take to end in good order: the server's own patience, and a little more.
const END_WITHIN_MS = 45000;
// A Unix socket's path has to fit into 108 bytes, its end included.
const MAX_SOCKET_PATH = 107;

function makeFolder() {
  for (const base of [os.tmpdir(), '/tmp']) {
    const folder = path.join(base, 'parsimony-');
    if (Buffer.byteLength(folder) + '123456/http'.length <= MAX_SOCKET_PATH) {
      // Nobody else may enter: mkdtemp makes folders so.
      return fs.mkdtempSync(folder);
    }
  }
  throw new Error('There is no folder for a socket.');
}

// One life of the child.
class Child {
  constructor(server, given) {
    this.server = server;
    this.given = given;
    this.born = Date.now();
    this.program = binary();
    this.folder = makeFolder();
    this.socketPath = path.join(this.folder, 'http');
    this.errors = '';
    this.ended = new Promise(resolve => (this.hasEnded = resolve));
    this.listening = new Promise((resolve, reject) => Object.assign(this, { resolve, reject }));
    // Whoever starts it waits for it; later nobody has to.
    this.listening.catch(() => {});
    this.spawn();
  }

  spawn() {
    // Node gives a process a socket for any descriptor but the standard ones, and only those can be taken over
    // without knowing their number. A session of its own: Ctrl-C is for the application.
    const child = spawn('/bin/sh', ['-c', 'exec "$0" attached 0<&3 3<&-', this.program], {
      stdio: ['ignore', this.server.logAdapter ? 'pipe' : 'inherit', 'pipe', 'pipe'],
      detached: true,
    });
    this.process = child;
    child.on('error', error => this.end(error.message));
    child.on('exit', (code, signal) => {
      const end = () => this.end(signal ? `it was ended by ${signal}` : `it ended with code ${code}`);
      // Its last words are read first, unless somebody it started keeps the pipe.
      child.on('close', end);
      setTimeout(end, 500).unref();
    });
    if (child.stdout) {
      feed(child.stdout, this.server.logAdapter);
    }
    child.stderr.on('data', chunk => {
      this.errors = (this.errors + chunk).slice(-4096);
      process.stderr.write(chunk);
    });
    const socket = child.stdio[3];
    // Its end is told by the process.
    socket.on('error', () => {});
    this.wire = new Wire(socket, (kind, id, text) => this.onFrame(kind, id, text));
    const { options } = this.given;
    const hello = { version: process.version, options, socket: this.socketPath };
    this.wire.send(KIND.ATTACH, 0, JSON.stringify(hello));
  }

  end(reason) {
    if (this.over) {
      return;
    }
    this.over = reason;
    fs.rmSync(this.folder, { recursive: true, force: true });
    for (const { reject } of this.link ? this.link.requests.values() : []) {
      reject({ code: 1, message: 'The server ended.' });
    }
    const told = /^ERROR: (.*)$/gm;
    const line = [...this.errors.matchAll(told)].pop();
    this.reject(this.failure || new Error(line ? line[1] : `Parse Server could not be started: ${reason}.`));
    this.hasEnded();
  }

  onFrame(kind, id, text) {
    switch (kind) {
      case KIND.INIT:
        current.run(this.server, () => this.load(parse(text)));
        break;
      case KIND.LISTENING:
        this.resolve();
        break;
      case KIND.CALL:
        Promise.resolve().then(() => this.run(id, parse(text)));
        break;
      case KIND.REPLY:
      case KIND.REPLY_ERROR:
        this.link.reply(id, text, kind === KIND.REPLY_ERROR);
        break;
      default:
      // CANCEL and WITHDRAWN: nobody waits for the answer, which is dropped; STOP: this process goes on.
    }
  }

  async load(init) {
    const { server, given } = this;
    try {
      this.link = new Link(this.wire);
      server.link = this.link;
      this.link.loaded = () => (server.loaded = true);
      this.link.notLoaded = error => (this.failure = error);
      const embedding = { Parse, keeper, registry: server.registry, loaded: server.loaded };
      init.config = shown(given.live.decode(init.config), server.given);
      this.application = createApplication(this.link, init, given.live, embedding);
      server.adopt(this.application, init.config);
      if (!init.codeLater) {
        await this.application.load();
      }
      this.wire.send(KIND.READY, 0, JSON.stringify(this.application.summary()));
    } catch (error) {
      this.failure = error;
      const reason = error && error.stack ? error.stack : String(error);
      this.wire.send(KIND.FAILED, 0, JSON.stringify({ reason }));
    }
  }

  run(id, call) {
    const { link, server } = this;
    current.run(server, () =>
      link.scope.run({ depth: call.depth, transaction: call.transaction }, () => {
        this.application.run(call).then(
          answer => link.result(id, answer),
          error => link.error(id, error)
        );
      })
    );
  }

  // In good order: what is under way ends first.
  async leave() {
    if (!this.over) {
      this.wire.send(KIND.LEAVE, 0, '');
      const timer = setTimeout(() => this.process.kill('SIGKILL'), END_WITHIN_MS);
      await this.ended;
      clearTimeout(timer);
    }
  }
}

// Child after child, until the application lets the server go.
class Keeper {
  constructor(server) {
    this.server = server;
    this.pause = 0;
  }

  // Where requests go; undefined while there is no server.
  get socketPath() {
    return this.serving ? this.child.socketPath : undefined;
  }

  async start(given) {
    this.given = given;
    this.child = new Child(this.server, given);
    await this.child.listening;
    this.serve();
  }

  serve() {
    const { child } = this;
    this.serving = true;
    this.server.setState('ok');
    child.ended.then(() => this.lost(child));
  }

  async lost(child) {
    this.serving = false;
    this.server.link = undefined;
    if (this.leaving) {
      return;
    }
    this.server.setState('starting');
    console.error(`Parse Server (process ${child.process.pid}) was lost: ${child.over}. It is started again.`);
    this.pause = Date.now() - child.born > HEALTHY_AFTER_MS ? 0 : this.pause;
    while (!this.leaving) {
      await new Promise(resolve => {
        this.wake = resolve;
        this.timer = setTimeout(resolve, this.pause);
      });
      this.pause = Math.min(Math.max(this.pause * 2, FIRST_PAUSE_MS), LONGEST_PAUSE_MS);
      if (this.leaving) {
        return;
      }
      try {
        this.child = new Child(this.server, this.given);
        await this.child.listening;
        return this.serve();
      } catch (error) {
        console.error(`Parse Server could not be started again: ${error.message}`);
      }
    }
  }

  async stop() {
    this.leaving = true;
    if (this.wake) {
      clearTimeout(this.timer);
      this.wake();
    }
    if (this.child) {
      await this.child.leave();
    }
    this.serving = false;
  }
}

module.exports = { Keeper };
