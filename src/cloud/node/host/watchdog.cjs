'use strict';
// A thread of its own that watches the event loop of Cloud Code. When the loop stands still for too long,
// it tells the server, which replaces this process; when the server is gone, it ends the process.

const net = require('node:net');
const { Worker, isMainThread, workerData } = require('node:worker_threads');

// What the thread is shown: how often the loop came round, and whether the application is loaded.
const BEATS = 0;
const LOADED = 1;

// Starts the thread. `stallMs` of 0 leaves the loop unwatched. The loop may stand still while the
// application loads, for which the server has a deadline of its own; the function returned says that
// this is over.
function startWatchdog(socketPath, hostId, { stallMs, memoryLimitMb }) {
  const beats = new Int32Array(new SharedArrayBuffer(8));
  const periodMs = stallMs > 0 ? Math.max(20, Math.min(500, Math.floor(stallMs / 8))) : 500;
  setInterval(() => Atomics.add(beats, BEATS, 1), periodMs).unref();
  const worker = new Worker(__filename, {
    workerData: { beats, periodMs, stallMs, memoryLimitMb, socketPath, hostId, parent: process.ppid },
    // Nothing the application preloads belongs into this thread.
    env: {},
    execArgv: [],
  });
  worker.unref();
  return () => Atomics.store(beats, LOADED, 1);
}

function kill() {
  process.kill(process.pid, 'SIGKILL');
}

function report(reason) {
  const { KIND, frame } = require('./wire.cjs');
  const { socketPath, hostId } = workerData;
  const socket = net.connect(socketPath, () => {
    socket.end(frame(KIND.STALLED, hostId, JSON.stringify({ reason })));
  });
  socket.on('error', kill);
  // The server kills this process; should it not, nobody else can.
  setTimeout(kill, 3000);
}

function watch() {
  const { beats, periodMs, stallMs, memoryLimitMb, parent } = workerData;
  const inspector = require('node:inspector');
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
