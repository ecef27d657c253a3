// The public pages and the mails that lead to them, request by request beside npm parse-server with the same options,
// the same mail adapter and the same templates.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import { request } from '../lib/http.js';
import { query, startPostgres, waitFor } from '../lib/postgres.js';
import { startServer } from '../lib/servers.js';

const here = path.dirname(fileURLToPath(import.meta.url));
const home = fs.mkdtempSync(path.join(os.tmpdir(), 'contract-pages-'));
const postgres = await startPostgres();
after(async () => {
  fs.rmSync(home, { recursive: true, force: true });
  await postgres.stop();
});

/** A server under a scenario: what it answered is written down without what differs by nature. */
class Script {
  constructor(server, mails) {
    this.server = server;
    this.mails = mails;
    this.lines = [];
    this.read = 0;
    this.tokens = new Map();
  }

  plain(text) {
    if (typeof text !== 'string') return text;
    const origin = new URL(this.server.url).origin;
    return text.replaceAll(origin, 'ORIGIN').replaceAll(encodeURIComponent(origin), 'ORIGIN')
      .replaceAll(origin.replaceAll('/', '&#x2F;'), 'ORIGIN')
      .replaceAll(/\b[A-Za-z0-9]{25}\b/g, token => {
        if (!this.tokens.has(token)) this.tokens.set(token, `TOKEN${this.tokens.size + 1}`);
        return this.tokens.get(token);
      });
  }

  async send(label, method, target, { form, headers = {}, body } = {}) {
    const url = target.startsWith('http') ? target : `${this.server.url}/${target}`;
    const answer = await request(url, {
      method,
      headers: { ...(form ? { 'Content-Type': 'application/x-www-form-urlencoded' } : {}), ...headers },
      body: form ? new URLSearchParams(form).toString() : body,
    });
    const seen = {};
    for (const name of ['appid', 'appname', 'publicserverurl', 'token', 'username', 'error', 'locale', 'extra']) {
      const value = answer.headers.get(`x-parse-page-param-${name}`);
      if (value !== null) seen[name] = this.plain(value);
    }
    const type = answer.headers.get('content-type');
    this.lines.push({
      label, status: answer.status, params: seen,
      location: this.plain(answer.headers.get('location')),
      ...(answer.status === 303 ? {} : { ...(answer.status < 400 ? { type: type?.toLowerCase() ?? null } : {}), body: this.plain(answer.text) }),
    });
    return answer;
  }

  /** A REST call; clients' ids and dates are of no interest here. */
  async rest(label, method, route, body, headers = {}) {
    const answer = await request(`${this.server.url}/${route}`, {
      method,
      headers: { 'X-Parse-Application-Id': this.server.config.appId, 'Content-Type': 'application/json', ...headers },
      body: JSON.stringify(body),
    });
    const parsed = JSON.parse(answer.text);
    const { code, error, emailVerified } = parsed;
    this.lines.push({ label, status: answer.status, code, error, emailVerified, session: typeof parsed.sessionToken });
    return parsed;
  }

  /** The next mail, without what differs by nature; its link. */
  async mail(label) {
    const mail = await waitFor(() => fs.readFileSync(this.mails, 'utf8').split('\n').filter(Boolean)[this.read], { what: `mail ${label}` });
    this.read += 1;
    const { kind, ...rest } = JSON.parse(mail);
    this.lines.push({ label, kind, ...Object.fromEntries(Object.entries(rest).sort().map(([key, value]) => [key, this.plain(value)])) });
    const link = /https?:\S+/.exec(rest.link ?? rest.text)[0];
    return { link, token: new URL(link).searchParams.get('token') };
  }

  sql(text, ...values) {
    return query(this.server.databaseURI, text, values);
  }
}

/** Plays a scenario on both servers; what they answered has to be the same, but for `differences`. */
function scenario(name, options, play, differences = {}) {
  test(name, async () => {
    const scripts = await Promise.all(['oracle', 'parsimony'].map(async kind => {
      const mails = path.join(home, `${kind}-${name.replaceAll(/\W+/g, '-')}`);
      fs.writeFileSync(mails, '');
      const server = await startServer(postgres, kind, 'base', {
        overrides: {
          startLiveQueryServer: false, liveQuery: undefined, verifyUserEmails: true,
          emailAdapter: { module: path.join(here, 'mailer.cjs'), options: { file: mails, own: options.own ?? false } },
          ...options.config,
        },
      });
      const script = new Script(server, mails);
      try {
        await play(script);
      } catch (error) {
        throw new Error(`${kind}: ${error.message}\n${server.log().slice(-2000)}`);
      } finally {
        await server.stop();
      }
      return script.lines;
    }));
    const [oracle, ours] = scripts;
    for (const line of ours) {
      const change = differences[line.label];
      if (!change) continue;
      const theirs = oracle.find(({ label }) => label === line.label);
      assert.notDeepEqual(line, theirs, `${line.label} is no difference any more`);
      for (const [key, value] of Object.entries(change)) {
        const met = value instanceof RegExp && value.test(line[key]);
        theirs[key] = met ? line[key] : value;
      }
    }
    assert.deepEqual(ours.map(({ label }) => label), oracle.map(({ label }) => label));
    const departing = oracle.map((line, index) => [line, ours[index]]).filter(([peer, own]) => !isDeepStrictEqual(peer, own));
    assert.deepEqual(departing.map(([, own]) => own), departing.map(([peer]) => peer));
  });
}

const appName = 'Ünï & <b>Co</b>';
const escaped = 'Ünï &amp; &lt;b&gt;Co&lt;&#x2F;b&gt;';
const pages = 'apps/contractApp';
const xhr = { 'X-Requested-With': 'XMLHttpRequest' };

scenario('verification and reset, localised', {
  config: {
    appName,
    pages: {
      pagesPath: path.join(here, 'site'), enableLocalization: true, localizationJsonPath: path.join(here, 'site/texts.json'),
      placeholders: { support: '<help@example.com>', team: { name: 'We', members: ['a', 'b'] } },
    },
  },
}, async script => {
  await script.rest('sign-up', 'POST', 'users', { username: 'ann', password: 'first', email: 'ann@example.com' });
  const first = await script.mail('verification mail');
  await script.send('no token', 'GET', `${pages}/verify_email`);
  await script.send('wrong token', 'GET', `${pages}/verify_email?token=wrong`);
  await script.send('token as a list', 'GET', `${pages}/verify_email?token[]=a`);
  await script.send('wrong token, de', 'GET', `${pages}/verify_email?token=wrong&locale=de`);
  await script.send('wrong token, de-AT', 'GET', `${pages}/verify_email?token=wrong&locale=de-AT`);
  await script.send('wrong token, de-CH', 'GET', `${pages}/verify_email?token=wrong&locale=de-CH`);
  await script.send('wrong token, bad locale', 'GET', `${pages}/verify_email?token=wrong&locale=../de`);
  await script.send('wrong token, unknown locale', 'GET', `${pages}/verify_email?token=wrong&locale=fr`);
  await script.send('wrong token, locale by header', 'GET', `${pages}/verify_email?token=wrong`, { headers: { 'x-parse-page-param-locale': 'de' } });
  await script.send('unknown app', 'GET', 'apps/nobody/verify_email?token=wrong');
  await script.send('resend without anything', 'POST', `${pages}/resend_verification_email`, { form: { a: 'b' } });
  await script.send('resend to nobody', 'POST', `${pages}/resend_verification_email`, { form: { username: 'nobody' } });
  await script.send('resend by name', 'POST', `${pages}/resend_verification_email`, { form: { username: 'ann', locale: 'de' } });
  const second = await script.mail('resent mail');
  await script.send('the first link is spent', 'GET', first.link);
  await script.send('resend by token', 'POST', `${pages}/resend_verification_email`, { form: { token: second.token } });
  const third = await script.mail('mail resent by token');
  await script.send('verified', 'GET', `${third.link}&locale=de-AT`);
  await script.send('verified twice', 'GET', third.link);
  await script.send('resend to the verified', 'POST', `${pages}/resend_verification_email`, { form: { username: 'ann' } });
  await script.rest('log in', 'POST', 'login', { username: 'ann', password: 'first' });

  await script.rest('request a reset', 'POST', 'requestPasswordReset', { email: 'ann@example.com' });
  const reset = await script.mail('reset mail');
  await script.send('reset without a token', 'GET', `${pages}/request_password_reset`);
  await script.send('reset with a wrong token', 'GET', `${pages}/request_password_reset?token=wrong`);
  await script.send('reset page', 'GET', reset.link);
  await script.send('reset page, de', 'GET', `${reset.link}&locale=de`);
  await script.send('reset page, username ignored', 'GET', `${reset.link}&username=<script>`);
  await script.send('choose password', 'GET', 'apps/choose_password?appId=contractApp&token=abc&username=ann<b>');
  await script.send('choose password of nobody', 'GET', 'apps/choose_password?appId=nobody&token=abc');
  await script.send('choose password without an app', 'GET', 'apps/choose_password?token=abc');
  const submit = (label, form, headers) => script.send(label, 'POST', `${pages}/request_password_reset`, { form, headers });
  await submit('submit nothing', { a: 'b' });
  await submit('submit no password', { token: reset.token });
  await submit('submit a wrong token', { token: 'wrong', new_password: 'x' });
  await submit('submit a wrong token, de', { token: 'wrong', new_password: 'x', locale: 'de' });
  await submit('script: nothing', { a: 'b' }, xhr);
  await submit('script: no password', { token: 'a' }, xhr);
  await submit('script: a wrong token', { token: 'wrong', new_password: 'x' }, xhr);
  await submit('submitted', { token: reset.token, new_password: 'second', locale: 'de' });
  await submit('submitted again', { token: reset.token, new_password: 'third' });
  await script.rest('old password', 'POST', 'login', { username: 'ann', password: 'first' });
  await script.rest('new password', 'POST', 'login', { username: 'ann', password: 'second' });
  await script.rest('request another reset', 'POST', 'requestPasswordReset', { email: 'ann@example.com' });
  const other = await script.mail('another reset mail');
  await submit('script: done', { token: other.token, new_password: 'fourth' }, xhr);
  await script.rest('newest password', 'POST', 'login', { username: 'ann', password: 'fourth' });

  await script.send('page by name', 'GET', 'apps/own.html');
  await script.send('page by name with an app', 'GET', 'apps/own.html?appId=contractApp&locale=de&token=abc');
  await script.send('page in a folder', 'GET', 'apps/de/password_reset_success.html?appId=contractApp');
  await script.send('no such page', 'GET', 'apps/none.html');
  await script.send('out of the folder', 'GET', 'apps/..%2Fmailer.cjs');
  await script.send('out of the folder, encoded twice', 'GET', 'apps/%252e%252e/mailer.cjs');
}, {
  // Pages that are redirected to get what the redirect carries; on the peer they stay empty, and those in folders are not found.
  'page by name with an app': {
    params: { appid: 'contractApp', appname: appName, locale: 'de', publicserverurl: 'ORIGIN/parse', token: 'abc' },
    body: `<!DOCTYPE html>\n<title>own</title>\n<p>${escaped} de Hallo von ${escaped} &lt;help@example.com&gt; abc</p>\n`,
  },
  'page in a folder': {
    status: 200, type: 'text/html; charset=utf-8', params: { appid: 'contractApp', appname: appName, publicserverurl: 'ORIGIN/parse' },
    body: /<title>password_reset_success de</,
  },
});

scenario('redirects and custom addresses', {
  own: true,
  config: {
    appName,
    pages: {
      pagesPath: path.join(here, 'site'), pagesEndpoint: 'account', forceRedirect: true, encodePageParamHeaders: true, enableLocalization: true,
      customUrls: { passwordReset: 'https://example.com/reset?kept=1#there', emailVerificationSuccess: './own.html' },
    },
  },
}, async script => {
  const account = 'account/contractApp';
  await script.rest('sign-up', 'POST', 'users', { username: 'ann', password: 'first', email: 'ann@example.com' });
  const first = await script.mail('verification mail');
  await script.send('wrong token', 'GET', `${account}/verify_email?token=wrong&locale=de`);
  await script.send('verified', 'GET', `${first.link}&locale=de-AT`);
  await script.rest('request a reset', 'POST', 'requestPasswordReset', { email: 'ann@example.com' });
  const reset = await script.mail('reset mail');
  await script.send('reset page', 'GET', `${reset.link}&locale=de`);
  await script.send('submit a wrong token', 'POST', `${account}/request_password_reset`, { form: { token: 'wrong', new_password: 'x' } });
  await script.send('submitted', 'POST', `${account}/request_password_reset`, { form: { token: reset.token, new_password: 'x', locale: 'de' } });
  await script.send('the other endpoint is gone', 'GET', 'apps/contractApp/verify_email?token=wrong');
});

scenario('expiry, reuse and telling addresses', {
  own: true,
  config: {
    emailVerifyTokenValidityDuration: 600, emailVerifyTokenReuseIfValid: true, emailVerifySuccessOnInvalidEmail: false,
    preventLoginWithUnverifiedEmail: true,
    passwordPolicy: {
      resetTokenValidityDuration: 600, resetTokenReuseIfValid: true, resetPasswordSuccessOnInvalidEmail: false,
      validatorPattern: '^.{5,}$', doNotAllowUsername: true, maxPasswordHistory: 2, validationError: 'Five & more <characters>',
    },
    accountLockout: { duration: 5, threshold: 1, unlockOnPasswordReset: true },
    pages: { pagesPath: path.join(here, 'site') },
  },
}, async script => {
  await script.rest('sign-up', 'POST', 'users', { username: 'ann', password: 'first', email: 'ann@example.com' });
  const first = await script.mail('verification mail');
  await script.rest('not verified yet', 'POST', 'login', { username: 'ann', password: 'first' });
  await script.rest('mail again', 'POST', 'verificationEmailRequest', { email: 'ann@example.com' });
  await script.mail('the same link');
  await script.rest('mail to nobody', 'POST', 'verificationEmailRequest', { email: 'nobody@example.com' });
  await script.send('resend to nobody', 'POST', `${pages}/resend_verification_email`, { form: { username: 'nobody' } });
  await script.sql(`UPDATE "_User" SET "_email_verify_token_expires_at" = now() - interval '1 minute'`);
  await script.send('expired', 'GET', first.link);
  await script.send('resend by the expired token', 'POST', `${pages}/resend_verification_email`, { form: { token: first.token } });
  const second = await script.mail('a new link');
  await script.send('verified', 'GET', second.link);
  await script.rest('mail to the verified', 'POST', 'verificationEmailRequest', { email: 'ann@example.com' });
  await script.rest('log in', 'POST', 'login', { username: 'ann', password: 'first' });

  await script.rest('reset for nobody', 'POST', 'requestPasswordReset', { email: 'nobody@example.com' });
  await script.rest('request a reset', 'POST', 'requestPasswordReset', { email: 'ann@example.com' });
  const reset = await script.mail('reset mail');
  await script.rest('request it again', 'POST', 'requestPasswordReset', { email: 'ann@example.com' });
  await script.mail('the same reset link');
  await script.sql(`UPDATE "_User" SET "_perishable_token_expires_at" = now() - interval '1 minute'`);
  await script.send('expired reset page', 'GET', reset.link);
  const submit = (label, token, password, headers) => script.send(label, 'POST', `${pages}/request_password_reset`, { form: { token, new_password: password }, headers });
  await submit('expired reset', reset.token, 'second');
  await submit('script: expired reset', reset.token, 'second', xhr);
  await script.rest('by the expired token', 'POST', 'requestPasswordReset', { token: reset.token });
  const again = await script.mail('a new reset link');
  await submit('too short', again.token, 'abc');
  await submit('script: too short', again.token, 'abc', xhr);
  await submit('with the name', again.token, 'ann-and-more');
  await submit('used before', again.token, 'first');
  await script.rest('wrong password', 'POST', 'login', { username: 'ann', password: 'wrong' });
  await script.rest('locked', 'POST', 'login', { username: 'ann', password: 'first' });
  await submit('changed', again.token, 'second');
  await script.rest('unlocked', 'POST', 'login', { username: 'ann', password: 'second' });
}, {
  // The peer hands the password's hash to the mail adapter here.
  'the same reset link': { hasPassword: false },
});
