'use strict';
// The program of a Cloud Code host: connects to the server, loads the application and runs its calls.
// Started by process.rs as `node main.cjs <socket> <host id>`.

const net = require('node:net');
const path = require('node:path');
const { KIND, Wire, parse } = require('./wire.cjs');
const { Link } = require('./link.cjs');
const { LiveValues, loadConfig } = require('./adapters.cjs');

// The arguments are ours; the application sees a bare `node program`.
const [socketPath, hostId] = process.argv.splice(2, 2);

const socket = net.connect(socketPath);
// Calls that came in and have not begun.
const waiting = new Set();
// Those of them whose turn came while the gate was closed.
const held = new Map();
let link;
let application;

function onFrame(kind, id, text) {
  switch (kind) {
    case KIND.CALL:
      waiting.add(id);
      // In a turn of its own: while one call runs, those behind it have not begun.
      Promise.resolve().then(() => run(id, text));
      break;
    case KIND.CANCEL:
      waiting.delete(id);
      held.delete(id);
      break;
    case KIND.WITHDRAWN:
      resume(id, parse(text));
      break;
    case KIND.REPLY:
    case KIND.REPLY_ERROR:
      link.reply(id, text, kind === KIND.REPLY_ERROR);
      break;
    case KIND.INIT:
      start(parse(text)).catch(fail);
      break;
    case KIND.STOP:
      stop();
      break;
    default:
  }
}

function run(id, text) {
  if (!waiting.has(id)) {
    return;
  }
  const call = parse(text);
  if (!link.begin(id)) {
    held.set(id, text);
    return;
  }
  waiting.delete(id);
  link.scope.run({ depth: call.depth, transaction: call.transaction }, () => {
    application.run(call).then(
      answer => link.result(id, answer),
      error => link.error(id, error)
    );
  });
}

// The loop goes round again after a pause. The server has taken back the calls it names and sends no others
// before it hears of this.
function resume(pause, withdrawn) {
  for (const id of withdrawn) {
    waiting.delete(id);
    held.delete(id);
  }
  link.gate.open();
  wire.send(KIND.RESUMED, pause, '');
  const rest = [...held];
  held.clear();
  for (const [id, text] of rest) {
    Promise.resolve().then(() => run(id, text));
  }
}

async function start(init) {
  const live = new LiveValues();
  const options = init.configFile ? await loadConfig(init.configFile, live) : undefined;
  if (init.configOnly) {
    wire.send(KIND.READY, 0, JSON.stringify({ config: options }));
    return;
  }
  link = new Link(wire, init.journal);
  const { startWatchdog } = require('./watchdog.cjs');
  const { gate, watchStalls } = startWatchdog(socketPath, Number(hostId), init);
  link.gate = gate;
  const { createApplication } = require('./application.cjs');
  application = createApplication(link, init, live);
  link.loaded = watchStalls;
  if (!init.codeLater) {
    // Calls may come in before this ends, caused by what the application does while it loads.
    await application.load();
  }
  wire.send(KIND.READY, 0, JSON.stringify(application.summary()));
}

function fail(error) {
  const reason = error && error.stack ? error.stack : String(error);
  wire.send(KIND.FAILED, 0, JSON.stringify({ reason }));
  wire.flush();
  socket.end(() => process.exit(1));
}

// The server lets this host go: handlers for SIGTERM, if any, get their chance.
function stop() {
  if (process.listenerCount('SIGTERM') > 0) {
    process.emit('SIGTERM', 'SIGTERM');
  } else {
    process.exit(0);
  }
}

const wire = new Wire(socket, onFrame);
socket.on('connect', () => {
  const hello = { pid: process.pid, version: process.version, program: path.basename(__filename) };
  wire.send(KIND.HELLO, Number(hostId), JSON.stringify(hello));
});
socket.on('error', () => process.exit(1));
socket.on('close', () => process.exit(1));
process.on('exit', () => wire.flush());
