'use strict';
// A thread of its own that watches the event loop of Cloud Code. When the loop stands still for a moment,
// it tells the server, which takes back what has not begun; when for too long, the server replaces this
// process; when the server is gone, it ends the process. That this thread runs it tells the server all the time:
// a process that stands still as a whole tells nothing, and is replaced as well.

const net = require('node:net');
const { Worker, isMainThread, workerData } = require('node:worker_threads');

// What the thread is shown: how often the loop came round, and whether the application is loaded.
const BEATS = 0;
const LOADED = 1;
// Whether calls may begin. The thread closes the gate before it tells the server of a pause, so that what
// the journal says by then stays true until the server has taken the other calls back and says so.
const GATE = 2;
const OPEN = 0;
const BEGINNING = 1;
const CLOSED = 2;
// How often the server hears of the thread; launcher.rs looks as often.
const PULSE_MS = 1000;

class Gate {
  constructor(shared) {
    this.shared = shared;
  }

  // Around the entry of a call in the journal, which is nobody's guess: the gate is not closed meanwhile.
  enter() {
    return Atomics.compareExchange(this.shared, GATE, OPEN, BEGINNING) === OPEN;
  }

  leave() {
    Atomics.store(this.shared, GATE, OPEN);
  }

  open() {
    Atomics.store(this.shared, GATE, OPEN);
  }
}

// Every thread's view of how often it looks: several times within the shortest time it has to notice.
function period(noticeMs, stallMs) {
  const shortest = stallMs > 0 ? Math.min(noticeMs, stallMs) : noticeMs;
  return Math.max(20, Math.min(100, Math.floor(shortest / 3)));
}

// Starts the thread. `noticeMs` is how long the loop stands still before the server takes back what has not
// begun, `stallMs` how long before it replaces this process, 0 for never. The loop may stand still while
// the application loads, for which the server has a deadline of its own; `watchStalls` says that this is
// over.
function startWatchdog(socketPath, hostId, { noticeMs, stallMs, memoryLimitMb }) {
  const beats = new Int32Array(new SharedArrayBuffer(12));
  const periodMs = period(noticeMs, stallMs);
  setInterval(() => Atomics.add(beats, BEATS, 1), periodMs).unref();
  const worker = new Worker(__filename, {
    workerData: { beats, periodMs, noticeMs, stallMs, memoryLimitMb, socketPath, hostId, parent: process.ppid },
    // Nothing the application preloads belongs into this thread.
    env: {},
    execArgv: [],
  });
  worker.unref();
  return { gate: new Gate(beats), watchStalls: () => Atomics.store(beats, LOADED, 1) };
}

function kill() {
  process.kill(process.pid, 'SIGKILL');
}

function tell(kind, text) {
  const { frame } = require('./wire.cjs');
  const { socketPath, hostId } = workerData;
  const socket = net.connect(socketPath, () => socket.end(frame(kind, hostId, text)));
  socket.on('error', kill);
}

function notice() {
  const { beats } = workerData;
  // Closed already: the server knows. In use: a call begins this moment, the next look closes it.
  if (Atomics.compareExchange(beats, GATE, OPEN, CLOSED) === OPEN) {
    tell(require('./wire.cjs').KIND.PAUSED, '');
  }
}

function report(reason) {
  tell(require('./wire.cjs').KIND.STALLED, JSON.stringify({ reason }));
  // The server kills this process; should it not, nobody else can.
  setTimeout(kill, 3000);
}

function pulse() {
  const { KIND, frame } = require('./wire.cjs');
  const { socketPath, hostId, stallMs } = workerData;
  const beat = frame(KIND.ALIVE, hostId, JSON.stringify({ stallMs }));
  const socket = net.connect(socketPath);
  socket.write(beat);
  const timer = setInterval(() => socket.write(beat), PULSE_MS);
  // Where the server is gone, `watch` sees it too.
  socket.on('error', () => {});
  socket.on('close', () => clearInterval(timer));
  socket.resume();
}

function watch() {
  const { beats, periodMs, noticeMs, stallMs, memoryLimitMb, parent } = workerData;
  const inspector = require('node:inspector');
  if (stallMs > 0) {
    pulse();
  }
  let last = Atomics.load(beats, BEATS);
  let silentMs = 0;
  const timer = setInterval(() => {
    if (process.ppid !== parent) {
      kill();
    }
    const now = Atomics.load(beats, BEATS);
    // Only time in which this thread ran counts: a suspended machine is not a stalled loop.
    silentMs = now === last && Atomics.load(beats, LOADED) === 1 ? silentMs + periodMs : 0;
    last = now;
    if (silentMs >= noticeMs) {
      notice();
    }
    // Someone at a breakpoint stops the loop on purpose.
    if (stallMs > 0 && silentMs >= stallMs && !inspector.url()) {
      clearInterval(timer);
      report(`the event loop stood still for ${stallMs} ms`);
    } else if (memoryLimitMb > 0 && process.memoryUsage.rss() > memoryLimitMb * 1048576) {
      clearInterval(timer);
      report(`its memory grew beyond ${memoryLimitMb} MB`);
    }
  }, periodMs);
}

if (!isMainThread && workerData && workerData.beats) {
  watch();
}

module.exports = { startWatchdog };
