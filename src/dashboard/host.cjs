// Runs the npm package parse-dashboard behind the server that started this process: on a Unix socket that nobody else
// can reach, with what the server writes to the standard input. Ends with the server, whose end closes that input.
'use strict';

const { AsyncLocalStorage } = require('node:async_hooks');
const crypto = require('node:crypto');
const http = require('node:http');
const { createRequire } = require('node:module');

/** Sessions of people who are signed in, and of those who are about to. */
const MOST_SIGNED_IN = 2000;
const MOST_STRANGERS = 2000;
const COOKIE = 'parse_dash';

let input = '';
let started = false;
process.stdin.setEncoding('utf8');
process.stdin.on('data', chunk => {
  if (started) return;
  input += chunk;
  const end = input.indexOf('\n');
  if (end < 0) return;
  started = true;
  try {
    start(JSON.parse(input.slice(0, end)));
  } catch (error) {
    console.error(error.stack);
    process.exit(1);
  }
  input = '';
});
process.stdin.on('end', () => process.exit(0));

function start({ socket, module, mount, config, options, secret, link }) {
  const load = createRequire(`${module}/package.json`);
  const express = load('express');
  const dashboard = load('./Parse-Dashboard/app.js');
  const store = sessions(load('express-session'));
  // Where the browser reached the server: the page's calls of the API go to the same place.
  const origin = new AsyncLocalStorage();
  for (const app of config.apps) {
    for (const [name, path] of Object.entries(app.paths ?? {})) {
      if (app[name] !== undefined) continue;
      Object.defineProperty(app, name, { enumerable: true, get: () => `${origin.getStore()}${path}` });
    }
    delete app.paths;
  }
  const outer = express();
  outer.disable('x-powered-by');
  // The server's front says whether it is TLS, and lets nobody in who must not see keys.
  outer.enable('trust proxy');
  outer.use((req, res, next) => origin.run(req.headers['x-dashboard-origin'], next));
  if (link) outer.use(mount, guest(link, { store, secret, mount, name: config.users[0].user }));
  outer.use(mount, dashboard(config, { ...options, allowInsecureHTTP: true, cookieSessionSecret: secret, cookieSessionStore: store }));
  const server = http.createServer(outer);
  server.on('error', error => {
    console.error(error.stack);
    process.exit(1);
  });
  server.listen(socket, () => process.stdout.write('ready\n'));
}

/** Keeps sessions in bounds: those of strangers make no room for themselves among the others. */
function sessions({ Store }) {
  class Bounded extends Store {
    constructor() {
      super();
      this.signedIn = new Map();
      this.strangers = new Map();
    }

    get(sid, done) {
      const text = this.signedIn.get(sid) ?? this.strangers.get(sid);
      const session = text === undefined ? null : JSON.parse(text);
      const expires = session?.cookie?.expires;
      if (expires && new Date(expires) <= Date.now()) {
        this.signedIn.delete(sid);
        this.strangers.delete(sid);
        return setImmediate(done, null, null);
      }
      setImmediate(done, null, session);
    }

    set(sid, session, done) {
      const isSignedIn = Boolean(session.passport?.user);
      const [mine, other, most] = isSignedIn
        ? [this.signedIn, this.strangers, MOST_SIGNED_IN] : [this.strangers, this.signedIn, MOST_STRANGERS];
      other.delete(sid);
      mine.delete(sid);
      mine.set(sid, JSON.stringify(session));
      if (mine.size > most) mine.delete(mine.keys().next().value);
      if (done) setImmediate(done, null);
    }

    touch(sid, session, done) {
      this.set(sid, session, done);
    }

    destroy(sid, done) {
      this.signedIn.delete(sid);
      this.strangers.delete(sid);
      if (done) setImmediate(done, null);
    }

    /** The user of a session; for those who have only its cookie. */
    userOf(sid) {
      const text = this.signedIn.get(sid);
      return text === undefined ? undefined : JSON.parse(text).passport?.user;
    }
  }
  return new Bounded();
}

/**
 * The one user of a dashboard without users: whoever comes from this machine with the link that the log shows, once
 * and before it expires.
 */
function guest(link, { store, secret, mount, name }) {
  let unused = true;
  const signature = sid => crypto.createHmac('sha256', secret).update(sid).digest('base64').replace(/=+$/, '');
  const same = (a, b) => {
    const [left, right] = [a, b].map(text => crypto.createHash('sha256').update(String(text)).digest());
    return crypto.timingSafeEqual(left, right);
  };
  const isSignedIn = req => (req.headers.cookie ?? '').split(';').some(pair => {
    const [key, value = ''] = pair.trim().split('=');
    if (key !== COOKIE) return false;
    let text;
    try {
      text = decodeURIComponent(value);
    } catch {
      return false;
    }
    const [, sid, signed] = /^s:([^.]+)\.(.+)$/.exec(text) ?? [];
    return sid !== undefined && same(signed, signature(sid)) && store.userOf(sid) !== undefined;
  });
  return (req, res, next) => {
    const shown = new URL(req.originalUrl, 'http://localhost').searchParams.get('signin');
    if (isSignedIn(req)) return shown === null ? next() : res.redirect(`${mount}/apps`);
    const isPage = req.method === 'GET' && (req.headers.accept ?? '').includes('text/html');
    if (shown === null) return isPage ? refuse(res, 'To sign in, open the link that the server wrote to its log.') : next();
    const isValid = req.method === 'GET' && req.headers['x-dashboard-here'] === '1' && unused
      && Date.now() < link.expiresAt && same(shown, link.token);
    if (!isValid) return refuse(res, 'This link was used, has expired, or was opened on another machine. The server writes a new one when it is started.');
    unused = false;
    const sid = crypto.randomBytes(24).toString('base64url');
    const cookie = { originalMaxAge: null, expires: null, httpOnly: true, path: '/', sameSite: 'lax' };
    store.set(sid, { cookie, passport: { user: name } }, () => {
      res.setHeader('Set-Cookie', `${COOKIE}=${encodeURIComponent(`s:${sid}.${signature(sid)}`)}; Path=/; HttpOnly; SameSite=Lax`);
      res.redirect(`${mount}/apps`);
    });
  };
}

function refuse(res, text) {
  res.status(403).set('Content-Security-Policy', "default-src 'none'").type('html')
    .send(`<!doctype html><html lang="en"><meta charset="utf-8"><title>Parse Dashboard</title><h1>Parse Dashboard</h1><p>${text}</p></html>\n`);
}
