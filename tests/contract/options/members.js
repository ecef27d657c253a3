// Members of a MongoDB deployment that are not there: each listens on loopback, notes what drivers send, hands it on to the real
// server and tells of itself what the test wants told.
import { createRequire } from 'node:module';
import net from 'node:net';
import tls from 'node:tls';

const fromServer = createRequire(createRequire(import.meta.url).resolve('parse-server'));
export const { BSON } = fromServer('mongodb');

const MESSAGE = 2013;
const QUERY = 2004;
const REPLY = 1;

/** Whole messages out of chunks. */
function messages(each) {
  let rest = Buffer.alloc(0);
  return chunk => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    while (rest.length >= 16 && rest.length >= rest.readInt32LE(0)) {
      const length = rest.readInt32LE(0);
      each(rest.subarray(0, length));
      rest = rest.subarray(length);
    }
  };
}

/** Where the first document of a message begins; `undefined` for what is none of these. */
function offset(message) {
  switch (message.readInt32LE(12)) {
    case MESSAGE: return 21;
    case QUERY: return message.indexOf(0, 20) + 1 + 8;
    case REPLY: return 36;
    default: return undefined;
  }
}

function documentOf(message) {
  const at = offset(message);
  // Numbers stay what they were, for some of it is sent on.
  return at && BSON.deserialize(message.subarray(at, at + message.readInt32LE(at)), { promoteLongs: false, promoteValues: false });
}

/** The message with another document in the place of its only one. */
function replaced(message, document) {
  const at = offset(message);
  const answer = Buffer.concat([message.subarray(0, at), BSON.serialize(document)]);
  answer.writeInt32LE(answer.length, 0);
  return answer;
}

/** The answer to a message, as of a server. */
function reply(message, document) {
  const head = Buffer.alloc(message.readInt32LE(12) === QUERY ? 36 : 21);
  head.writeInt32LE(message.readInt32LE(4), 8);
  if (head.length === 36) {
    head.writeInt32LE(REPLY, 12);
    head.writeInt32LE(1, 32);
  } else {
    head.writeInt32LE(MESSAGE, 12);
  }
  const answer = Buffer.concat([head, BSON.serialize(document)]);
  answer.writeInt32LE(answer.length, 0);
  return answer;
}

const isGreeting = name => ['hello', 'ismaster', 'isMaster'].includes(name);

export class Member {
  /**
   * `upstream`: the URI of the real server. `describe(answer, command, member)` changes what is answered to a greeting; `delay`: milliseconds
   * before each answer; `secure`: options of TLS; `isSilent`: connections are taken, and that is all.
   */
  static async start({ upstream, describe = answer => answer, delay = 0, secure, isSilent = false }) {
    const member = new Member();
    Object.assign(member, { describe, delay, isSilent, commands: [], connections: [], refusals: [], intercept: () => undefined, hold: async () => {} });
    const { hostname, port } = new URL(upstream.replace(/^mongodb:/, 'http:'));
    member.target = { host: hostname, port: Number(port) };
    const taken = socket => member.#take(socket);
    member.server = secure ? tls.createServer(secure, taken) : net.createServer(taken);
    member.server.on('tlsClientError', error => member.refusals.push(error.message));
    await new Promise((resolve, reject) => member.server.once('error', reject).listen(0, '127.0.0.1', resolve));
    member.address = `127.0.0.1:${member.server.address().port}`;
    return member;
  }

  #take(socket) {
    const connection = { opened: Date.now(), closed: null, socket, certificate: socket.getPeerCertificate?.() };
    this.connections.push(connection);
    socket.on('error', () => {});
    socket.on('close', () => { connection.closed = Date.now(); });
    // Read, or its end is not seen.
    if (this.isSilent) return socket.resume();
    const upstream = net.connect(this.target);
    upstream.on('error', () => socket.destroy());
    upstream.on('close', () => socket.destroy());
    socket.on('close', () => upstream.destroy());
    let asked;
    socket.on('data', messages(async message => {
      const document = documentOf(message);
      const name = document && Object.keys(document)[0];
      const command = { name, document, connection, at: Date.now(), app: connection.app };
      if (isGreeting(name)) {
        asked = document;
        connection.app ??= document.client?.application?.name;
        command.app = connection.app;
      }
      this.commands.push(command);
      const own = this.intercept(command);
      if (own) return socket.write(reply(message, own));
      await this.hold(command);
      upstream.write(message);
    }));
    upstream.on('data', messages(message => {
      let answer = message;
      // Those that tell of a server are short; an answer may come by itself, so it is known by what it holds.
      if (message.length < 4096) {
        const document = documentOf(message);
        if (document?.maxWireVersion) answer = replaced(message, this.describe(document, asked ?? {}, this));
      }
      if (this.delay) setTimeout(() => socket.write(answer), this.delay);
      else socket.write(answer);
    }));
  }

  /** Commands of one name, or all but greetings, from drivers that call themselves so. */
  sent(app, name) {
    return this.commands.filter(command => command.app === app && (name ? command.name === name : !isGreeting(command.name)));
  }

  greetings(app) {
    return this.commands.filter(command => command.app === app && isGreeting(command.name));
  }

  /** What `app` said of itself when it came. */
  handshakes(app) {
    return this.greetings(app).filter(({ document }) => document.client);
  }

  /** Connections of an application that are open now. */
  open(app) {
    return this.connections.filter(connection => connection.app === app && connection.closed === null);
  }

  stop() {
    for (const { socket } of this.connections) socket.destroy();
    return new Promise(resolve => this.server.close(resolve));
  }
}

/** The members of a replica set, the first of which is the primary. `more(answer)`: what one tells besides. */
export async function replicaSet(upstream, kinds) {
  const members = [];
  const describe = (answer, _, member) => {
    const isPrimary = member === members[0];
    return {
      ...answer, hosts: members.map(({ address }) => address), primary: members[0].address, me: member.address,
      isWritablePrimary: isPrimary, ismaster: isPrimary, secondary: !isPrimary, ...member.more?.(answer),
    };
  };
  for (const { more, ...options } of kinds) {
    const member = await Member.start({ upstream, describe, ...options });
    member.more = more;
    members.push(member);
  }
  return members;
}
