// Options of the public pages and of the links that lead to them: a server as it comes, and one with all of them changed.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { request } from '../lib/http.js';
import { query, waitFor } from '../lib/postgres.js';
import { call, stage } from './calls.js';

const folder = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../pages');
const { server: start, file } = await stage();

const customUrls = Object.fromEntries([
  'emailVerificationLinkExpired', 'emailVerificationLinkInvalid', 'emailVerificationSendFail', 'emailVerificationSendSuccess',
  'emailVerificationSuccess', 'passwordReset', 'passwordResetLinkInvalid', 'passwordResetSuccess',
].map(name => [name, `https://pages.example/${name}`]));
const own = {
  customPages: { parseFrameURL: 'https://frame.example/around' },
  pages: {
    pagesPath: path.join(folder, 'site'), enableLocalization: true, localizationJsonPath: path.join(folder, 'site/texts.json'),
    localizationFallbackLocale: 'de', customUrls,
  },
};
const script = file('pages.cjs', `
  const { pages, ...others } = ${JSON.stringify(own)};
  const handler = ({ method, query }) => query.file ? { file: query.file, query: { token: method } } : undefined;
  const greet = ({ params, headers }) => ({ file: 'own.html', query: { token: [params.appId, params.name, headers['x-mine']].join(' ') } });
  const customRoutes = [{ method: 'GET', path: 'hello', handler }, { method: 'GET', path: ':locale/greetings/:name', handler: greet }];
  module.exports = { ...others, pages: { ...pages, customRoutes } };
`);
const mails = ['plain', 'changed'].map(name => file(`mails-${name}`));
const common = written => ({
  startLiveQueryServer: false, liveQuery: undefined,
  verifyUserEmails: true, emailVerifySuccessOnInvalidEmail: false, emailVerifyTokenValidityDuration: 600,
  emailAdapter: { module: path.join(folder, 'mailer.cjs'), options: { file: written, own: true } },
});
const { pagesPath, enableLocalization, localizationJsonPath } = own.pages;
const [plain, changed] = await Promise.all([
  start({ ...common(mails[0]), pages: { pagesPath, enableLocalization, localizationJsonPath } }),
  start(common(mails[1]), { script }),
]);
const both = [{ server: plain, mails: mails[0] }, { server: changed, mails: mails[1] }];

const page = (server, at, form) => request(`${server.url}/apps/contractApp/${at}`, {
  method: form ? 'POST' : 'GET', headers: form ? { 'Content-Type': 'application/x-www-form-urlencoded' } : {},
  body: form && new URLSearchParams(form).toString(),
});

/** The latest link of a kind that was sent: the whole, and its token. */
async function link({ mails }, kind, after = 0) {
  const all = () => fs.readFileSync(mails, 'utf8').split('\n').filter(Boolean).map(line => JSON.parse(line)).filter(mail => mail.kind === kind);
  const sent = await waitFor(() => all()[after], { what: `mail ${after + 1} of ${kind}` });
  return { link: sent.link, token: new URL(sent.link).searchParams.get('token') };
}

/** What is shown: the title of a page, or where it is redirected to. */
const shown = answer => (answer.status === 303 ? answer.headers.get('location').split('?')[0] : /<title>(.*?)<\/title>/.exec(answer.text)?.[1]);

test('customUrls: where people are sent in the place of each page', async () => {
  const seen = [];
  for (const one of both) {
    const { server } = one;
    const titles = {};
    const note = (name, answer) => (titles[name] = shown(answer));
    const made = await call(server, 'POST', 'users', { username: 'ann', password: 'first', email: 'ann@example.com' });
    assert.equal(made.status, 201, made.text);
    const first = await link(one, 'verification');
    note('emailVerificationLinkInvalid', await page(server, 'verify_email?token=wrong'));
    note('emailVerificationSendFail', await page(server, 'resend_verification_email', { username: 'nobody' }));
    note('emailVerificationSendSuccess', await page(server, 'resend_verification_email', { username: 'ann' }));
    const second = await link(one, 'verification', 1);
    assert.notEqual(first.token, second.token);
    note('emailVerificationSuccess', await page(server, `verify_email?token=${second.token}`));
    note('passwordResetLinkInvalid', await page(server, 'request_password_reset?token=wrong'));
    await call(server, 'POST', 'requestPasswordReset', { email: 'ann@example.com' });
    const { token } = await link(one, 'reset');
    note('passwordReset', await page(server, `request_password_reset?token=${token}`));
    note('passwordResetSuccess', await page(server, 'request_password_reset', { token, new_password: 'second' }));
    seen.push(titles);
  }
  const [titles, urls] = seen;
  const { emailVerificationLinkExpired: _, ...followed } = customUrls;
  assert.deepEqual(urls, followed);
  const file = name => name.replaceAll(/[A-Z]/g, letter => `_${letter.toLowerCase()}`);
  for (const [name, title] of Object.entries(titles)) {
    assert.ok(title.includes(file(name)), `${name}: ${title}`);
  }
});

test('customUrls.emailVerificationLinkExpired is not asked for: an expired link is an invalid one, as with parse-server', async () => {
  const made = await call(changed, 'POST', 'users', { username: 'bob', password: 'first', email: 'bob@example.com' });
  assert.equal(made.status, 201, made.text);
  const { token } = await link(both[1], 'verification', 2);
  await query(changed.databaseURI, `UPDATE "_User" SET "_email_verify_token_expires_at" = now() - interval '1 minute' WHERE username = 'bob'`);
  assert.equal(shown(await page(changed, `verify_email?token=${token}`)), customUrls.emailVerificationLinkInvalid);
});

test('customPages.parseFrameURL: links of mails lead to the frame', async () => {
  const [straight, framed] = await Promise.all(both.map(one => link(one, 'verification')));
  assert.equal(straight.link, `${plain.url}/apps/contractApp/verify_email?token=${straight.token}`);
  const url = new URL(framed.link);
  assert.equal(`${url.origin}${url.pathname}`, 'https://frame.example/around');
  // The path alone, without where the server is.
  assert.ok(url.searchParams.get('link').endsWith('/apps/contractApp/verify_email'), framed.link);
});

test('localizationFallbackLocale: what is read by those whose language there is not', async () => {
  const greeting = async (server, locale) => {
    const { text } = await request(`${server.url}/apps/own.html?appId=contractApp&locale=${locale}`);
    return /(Hello from|Hallo von) Contract/.exec(text)?.[1];
  };
  assert.equal(await greeting(plain, 'fr'), 'Hello from');
  assert.equal(await greeting(changed, 'fr'), 'Hallo von');
  assert.equal(await greeting(changed, 'en'), 'Hello from');
});

test('customRoutes: pages of a function', async () => {
  assert.equal((await page(plain, 'hello?file=own.html')).status, 404);
  const answer = await page(changed, 'hello?file=own.html');
  assert.equal(answer.status, 200);
  assert.match(answer.text, /<title>own<\/title>[^]*GET/);
  assert.equal((await page(changed, 'hello')).status, 404);
  assert.equal((await page(changed, 'hello', { file: 'own.html' })).status, 404);
});

test('customRoutes: parameters of the path, the language among them, and headers', async () => {
  const answer = await request(`${changed.url}/apps/contractApp/en/greetings/ann`, { headers: { 'X-Mine': 'mine' } });
  assert.equal(answer.status, 200);
  assert.match(answer.text, /contractApp ann mine/);
  assert.equal(answer.headers.get('x-parse-page-param-locale'), 'en');
  assert.equal((await page(changed, 'en/greetings')).status, 404);
});
