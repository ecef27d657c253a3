// Deployments that are found by DNS: names that only the server under test sees (a resolv.conf of its own in a mount namespace), and
// members that say to be routers of a sharded cluster, for others tell of each other.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes, randomInt } from 'node:crypto';
import dgram from 'node:dgram';
import { after, test } from 'node:test';
import { withMongo } from '../lib/database.js';
import { asMaster, stage } from './calls.js';
import { Member } from './members.js';

const component = process.env.PARSIMONY_TEST_MONGO_URI;
const unavailable = (() => {
  if (!component) return 'PARSIMONY_TEST_MONGO_URI is not set';
  if (process.getuid() !== 0) return 'port 53 is not to be had';
  const tried = spawnSync('unshare', ['-m', 'mount', '--bind', '/etc/resolv.conf', '/etc/resolv.conf'], { encoding: 'utf8' });
  return tried.status !== 0 && `no mount namespace of one's own: ${tried.error?.message ?? tried.stderr.trim()}`;
})();
const { server: start, file } = await stage();

const TYPES = { A: 1, TXT: 16, SRV: 33 };
const encoded = name => Buffer.concat([...name.split('.').map(label => Buffer.from([label.length, ...Buffer.from(label)])), Buffer.from([0])]);

/** A name server that knows these: `{address, asked, close}`; `records(name, type)`: the data of each. */
async function nameServer(records) {
  const socket = dgram.createSocket('udp4');
  const asked = [];
  socket.on('message', (question, { address, port }) => {
    const labels = [];
    let at = 12;
    for (; question[at]; at += question[at] + 1) labels.push(question.toString('latin1', at + 1, at + 1 + question[at]));
    const name = labels.join('.').toLowerCase();
    const type = question.readUInt16BE(at + 1);
    asked.push(name);
    const answers = records(name, type).map(data => {
      const head = Buffer.alloc(12);
      head.writeUInt16BE(0xc00c, 0);
      head.writeUInt16BE(type, 2);
      head.writeUInt16BE(1, 4);
      head.writeUInt32BE(60, 6);
      head.writeUInt16BE(data.length, 10);
      return Buffer.concat([head, data]);
    });
    const header = Buffer.from(question.subarray(0, 12));
    header.writeUInt16BE(0x8580, 2);
    header.writeUInt16BE(answers.length, 6);
    header.writeUInt32BE(0, 8);
    socket.send(Buffer.concat([header, question.subarray(12, at + 5), ...answers]), port, address);
  });
  // An address of its own, so that several of them can do this at once.
  const address = `127.${randomInt(64, 127)}.${randomInt(1, 255)}.${randomInt(1, 255)}`;
  await new Promise((resolve, reject) => socket.once('error', reject).bind(53, address, resolve));
  return { address, asked, close: () => socket.close() };
}

test('srvMaxHosts and srvServiceName: which names are asked for, and how many of their hosts are used', { skip: unavailable }, async () => {
  const name = `options_${randomBytes(6).toString('hex')}`;
  const describe = ({ setName, hosts, me, primary, ...answer }) => ({ ...answer, msg: 'isdbgrid' });
  const members = await Promise.all([0, 1, 2].map(() => Member.start({ upstream: component, describe })));
  after(async () => {
    await Promise.all(members.map(member => member.stop()));
    await withMongo(`${component}/${name}`, database => database.dropDatabase());
  });
  const services = ['_mongodb._tcp.db.parse.test', '_ours._tcp.db.parse.test'];
  const names = await nameServer((asked, type) => {
    if (type === TYPES.A && asked.endsWith('.parse.test')) return [Buffer.from([127, 0, 0, 1])];
    if (type !== TYPES.SRV || !services.includes(asked)) return [];
    return members.map(({ address }, at) => {
      const head = Buffer.alloc(6);
      head.writeUInt16BE(Number(address.split(':')[1]), 4);
      return Buffer.concat([head, encoded(`m${at}.parse.test`)]);
    });
  });
  after(() => names.close());
  const resolver = file('resolv.conf', `nameserver ${names.address}\n`);
  const prefix = ['unshare', '-m', '--propagation', 'private', 'sh', '-c', `mount --bind ${resolver} /etc/resolv.conf && exec "$@"`, 'sh'];
  const on = async (appName, more) => {
    const before = names.asked.length;
    const databaseURI = `mongodb+srv://db.parse.test/${name}`;
    const server = await start({ databaseOptions: { appName, tls: false, ...more } }, { databaseURI, outside: { prefix } });
    assert.equal((await asMaster(server, 'GET', 'classes/Some')).status, 200);
    const used = members.filter(member => member.handshakes(appName).length > 0).length;
    return { asked: names.asked.slice(before).filter(name => name.startsWith('_')), used };
  };
  // One after the other, for they ask the same name server.
  const plain = await on('plain', {});
  const changed = await on('changed', { srvMaxHosts: 1, srvServiceName: 'ours' });
  assert.deepEqual([new Set(plain.asked), plain.used], [new Set([services[0]]), 3]);
  assert.deepEqual([new Set(changed.asked), changed.used], [new Set([services[1]]), 1]);
});
