// Signed tokens of providers, good ones and forged ones, made without any library for tokens: those refuse to forge.
import crypto from 'node:crypto';

const pair = () => crypto.generateKeyPairSync('rsa', { modulusLength: 2048 });
export const own = pair();
export const another = pair();

const text = value => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

/** The published form of a key. */
export function jwk(kid, { publicKey } = own, more = {}) {
  return { ...publicKey.export({ format: 'jwk' }), kid, use: 'sig', alg: 'RS256', ...more };
}

export function sign(claims, { header = {}, key = own, hash = 'sha256', secret, signature } = {}) {
  const head = { alg: 'RS256', typ: 'JWT', kid: 'k1', ...header };
  for (const name of Object.keys(head)) if (head[name] === undefined) delete head[name];
  const signed = `${text(head)}.${text(claims)}`;
  const made = secret
    ? crypto.createHmac('sha256', secret).update(signed).digest()
    : crypto.sign(hash, Buffer.from(signed), key.privateKey);
  return `${signed}.${signature ?? made.toString('base64url')}`;
}

const now = () => Math.floor(Date.now() / 1000);
const without = (claims, name) => Object.fromEntries(Object.entries(claims).filter(([key]) => key !== name));

/**
 * Tokens by what is the matter with them; `claims(id)` are those of a good one, `audience` the claim that names the app.
 */
export function tokens(claims, audience = 'aud') {
  const good = id => ({ iat: now() - 5, exp: now() + 600, ...claims(id) });
  const made = (change, options) => id => sign(change(good(id)), options);
  const same = change => made(claims => ({ ...claims, ...change }));
  const pem = own.publicKey.export({ format: 'pem', type: 'spki' });
  return {
    'a good token': made(claims => claims),
    'for another app': same({ [audience]: 'com.example.foreign' }),
    'for several apps, ours among them': made(claims => ({ ...claims, [audience]: ['x', claims[audience]] })),
    'for nobody': made(claims => without(claims, audience)),
    'from another issuer': same({ iss: 'https://issuer.example' }),
    'from nobody': made(claims => without(claims, 'iss')),
    'from several issuers': made(claims => ({ ...claims, iss: [claims.iss] })),
    'about somebody else': same({ sub: 'somebody else' }),
    'about nobody': made(claims => without(claims, 'sub')),
    'about a number': made(claims => ({ ...claims, sub: 7 })),
    'expired': same({ exp: now() - 1 }),
    'expired long ago': same({ exp: 1000 }),
    'an end that is a text': same({ exp: 'tomorrow' }),
    'without an end': made(claims => without(claims, 'exp')),
    'not yet valid': same({ nbf: now() + 3600 }),
    'valid in a moment': same({ nbf: now() + 10 }),
    'issued in the future': same({ iat: now() + 3600 }),
    'algorithm none': id => sign(good(id), { header: { alg: 'none' }, signature: '' }),
    'algorithm none with a signature': id => sign(good(id), { header: { alg: 'none' } }),
    'signed with the public key as secret': id => sign(good(id), { header: { alg: 'HS256' }, secret: pem }),
    'signed with another key': id => sign(good(id), { key: another }),
    'signed as RS512': id => sign(good(id), { header: { alg: 'RS512' }, hash: 'sha512' }),
    'no signature': id => sign(good(id), { signature: '' }),
    'a broken signature': id => `${sign(good(id)).slice(0, -6)}AAAAAA`,
    'a changed body': id => {
      const [head, , signature] = sign(good('x')).split('.');
      return `${head}.${text(good(id))}.${signature}`;
    },
    'an unknown key': id => sign(good(id), { header: { kid: 'nobody knows' }, key: another }),
    'a key id that is a path': id => sign(good(id), { header: { kid: '../../etc/passwd' }, key: another }),
    'a key id that is a number': id => sign(good(id), { header: { kid: 1 } }),
    'no key id': id => sign(good(id), { header: { kid: undefined } }),
    'a key of its own': id => sign(good(id), { key: another, header: { jwk: jwk('k1', another) } }),
    'a key set of its own': id => sign(good(id), { key: another, header: { jku: 'https://elsewhere.example/keys', x5u: 'https://elsewhere.example/x' } }),
    'an extension that must be understood': id => sign(good(id), { header: { crit: ['exp2'], exp2: 1 } }),
    'no token at all': () => 'abc',
    'two parts': id => sign(good(id)).split('.').slice(0, 2).join('.'),
    'four parts': id => `${sign(good(id))}.x`,
    'an empty text': () => '',
    'a number': () => 5,
    'an object': () => ({ a: 1 }),
    'a list': id => [sign(good(id))],
    'null': () => null,
    'claims that are no object': () => sign('hello'),
    'with spaces around': id => ` ${sign(good(id))} `,
  };
}
