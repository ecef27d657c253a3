// What people do with the links in their mails, in Chromium; the mails come through a real SMTP server. And what a
// browser does with uploaded files.
import assert from 'node:assert/strict';
import http from 'node:http';
import path from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { launch } from '../lib/browser.js';
import { request } from '../lib/http.js';
import { query, startPostgres } from '../lib/postgres.js';
import { startServer } from '../lib/servers.js';
import { openMailbox } from './mailbox.js';

const here = path.dirname(fileURLToPath(import.meta.url));
const mailbox = await openMailbox();
const postgres = await startPostgres();
const smtp = { host: mailbox.host, port: mailbox.port, tls: 'none', from: 'Contract <noreply@example.com>' };
// An operator's own site.
const elsewhere = http.createServer((_, response) => {
  response.setHeader('Content-Type', 'text/html');
  response.end('<h1>elsewhere</h1>');
});
await new Promise(listening => elsewhere.listen(0, '127.0.0.1', listening));
const [server, localised, browser] = await Promise.all([
  startServer(postgres, 'parsimony', 'base', {
    overrides: {
      verifyUserEmails: true, preventLoginWithUnverifiedEmail: true, emailAdapter: { module: 'smtp', options: smtp },
      emailVerifyTokenValidityDuration: 3600, passwordPolicy: { resetTokenValidityDuration: 3600, validatorPattern: '^.{4,}$' },
    },
  }),
  startServer(postgres, 'parsimony', 'base', {
    overrides: {
      verifyUserEmails: true, appName: 'Ünï & Co',
      emailAdapter: {
        module: 'smtp',
        options: {
          ...smtp,
          templates: {
            verification: { subject: 'Bitte bestätigen: {{appName}}', text: 'Hallo {{username}}\n{{link}}', html: '<p>{{appName}}</p><a href="{{link}}">Link</a>' },
          },
        },
      },
      pages: {
        pagesPath: path.join(here, 'site'), enableLocalization: true, localizationJsonPath: path.join(here, 'site/texts.json'),
        placeholders: { support: 'help@example.com' }, customUrls: { passwordResetLinkInvalid: `http://127.0.0.1:${elsewhere.address().port}/elsewhere` },
      },
    },
  }),
  launch(),
]);
after(async () => {
  await browser.close();
  await Promise.all([server.stop(), localised.stop()]);
  await postgres.stop();
  mailbox.stop();
  elsewhere.closeAllConnections();
  elsewhere.close();
});

const page = await browser.newPage();
page.setDefaultTimeout(30000);
const title = async () => (await page.locator('h1, h2').allInnerTexts()).join(' ');

async function rest(method, route, body, { on = server, key } = {}) {
  const answer = await request(`${on.url}/${route}`, {
    method,
    headers: {
      'X-Parse-Application-Id': on.config.appId, 'Content-Type': 'application/json',
      ...(key ? { 'X-Parse-Master-Key': on.config.masterKey } : {}),
    },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  return { status: answer.status, body: JSON.parse(answer.text || 'null') };
}

const signUp = (name, on) => rest('POST', 'users', { username: name, password: 'first', email: `${name}@example.com` }, { on });
const logIn = (username, password) => rest('POST', 'login', { username, password });

test('an address is verified by the link in the mail', async () => {
  assert.equal((await signUp('vera')).status, 201);
  assert.equal((await logIn('vera', 'first')).body.code, 205);
  const mail = await mailbox.next('vera@example.com');
  assert.equal(mail.headers.subject, 'Please verify your e-mail for Contract');
  assert.match(mail.headers.from, /noreply@example\.com/);
  assert.match(mail.text, /confirm the e-mail address vera@example\.com with Contract/);
  assert.match(mail.link, /\/apps\/contractApp\/verify_email\?token=[A-Za-z0-9]{25}$/);
  const answer = await page.goto(mail.link);
  assert.equal(answer.status(), 200);
  assert.match(await title(), /confirmed|verified/i);
  assert.equal((await logIn('vera', 'first')).status, 200);
  // A second click.
  await page.goto(mail.link);
  assert.match(await title(), /invalid|not valid|no longer/i);
});

test('a mail that was lost is sent again, and only the new link works', async () => {
  await signUp('rita');
  const first = await mailbox.next('rita@example.com');
  assert.equal((await rest('POST', 'verificationEmailRequest', { email: 'rita@example.com' })).status, 200);
  const second = await mailbox.next('rita@example.com');
  assert.notEqual(first.link, second.link);
  await page.goto(first.link);
  assert.match(await title(), /invalid|not valid|no longer/i);
  assert.equal((await logIn('rita', 'first')).body.code, 205);
  await page.goto(second.link);
  assert.match(await title(), /confirmed|verified/i);
  assert.equal((await logIn('rita', 'first')).status, 200);
});

test('a password is reset through the page', async () => {
  await signUp('petra');
  await page.goto((await mailbox.next('petra@example.com')).link);
  const session = (await logIn('petra', 'first')).body.sessionToken;
  assert.equal((await rest('POST', 'requestPasswordReset', { email: 'petra@example.com' })).status, 200);
  const mail = await mailbox.next('petra@example.com');
  assert.equal(mail.headers.subject, 'Password Reset for Contract');
  assert.match(mail.text, /your username is 'petra'/);
  await page.goto(mail.link);
  const fill = async (password, again = password) => {
    await page.fill('#new_password', password);
    await page.fill('#confirm', again);
    await page.click('#change');
  };
  await fill('second', 'other');
  await page.getByText('The two passwords differ.').waitFor();
  // What the policy refuses comes back with its reason, on a page that still works.
  await fill('abc');
  await page.getByText('Password does not meet the Password Policy requirements.').waitFor();
  await fill('second');
  await page.waitForFunction(() => !document.querySelector('#new_password'));
  assert.match(await title(), /changed|success/i);
  assert.equal((await logIn('petra', 'first')).body.code, 101);
  assert.equal((await logIn('petra', 'second')).status, 200);
  const me = await request(`${server.url}/users/me`, { headers: { 'X-Parse-Application-Id': server.config.appId, 'X-Parse-Session-Token': session } });
  assert.equal(JSON.parse(me.text).code, 209);
  // The link is spent.
  await page.goto(mail.link);
  assert.match(await title(), /invalid|not valid|no longer/i);
});

test('a link that ran out or was never given leads nowhere', async () => {
  await signUp('ida');
  await page.goto((await mailbox.next('ida@example.com')).link);
  await rest('POST', 'requestPasswordReset', { email: 'ida@example.com' });
  const mail = await mailbox.next('ida@example.com');
  await query(server.databaseURI, `UPDATE "_User" SET "_perishable_token_expires_at" = now() - interval '1 minute' WHERE username = 'ida'`);
  await page.goto(mail.link);
  assert.match(await title(), /invalid|not valid|no longer/i);
  for (const wrong of ['request_password_reset?token=<script>document.title=1</script>', 'verify_email?token=x', 'verify_email']) {
    await page.goto(`${server.url}/apps/contractApp/${wrong}`);
    assert.match(await title(), /invalid|not valid|no longer/i);
    assert.notEqual(await page.title(), '1');
  }
});

test('of many clicks at once on one link exactly one wins', async () => {
  await signUp('rosa');
  await page.goto((await mailbox.next('rosa@example.com')).link);
  await rest('POST', 'requestPasswordReset', { email: 'rosa@example.com' });
  const token = new URL((await mailbox.next('rosa@example.com')).link).searchParams.get('token');
  const passwords = Array.from({ length: 12 }, (_, index) => `password${index}`);
  const answers = await Promise.all(passwords.map(new_password => request(`${server.url}/apps/contractApp/request_password_reset`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/x-www-form-urlencoded', 'X-Requested-With': 'XMLHttpRequest' },
    body: new URLSearchParams({ token, new_password }).toString(),
  })));
  const won = passwords.filter((_, index) => answers[index].status === 200);
  assert.equal(won.length, 1, answers.map(({ status, text }) => `${status} ${text}`).join('\n'));
  assert.equal((await logIn('rosa', won[0])).status, 200);
});

test('pages in the language of the reader, mails from templates', async () => {
  await signUp('greta', localised);
  const mail = await mailbox.next('greta@example.com');
  assert.equal(mail.headers.subject, 'Bitte bestätigen: Ünï & Co');
  assert.match(mail.text, /^Hallo greta\s/);
  assert.match(mail.html, /<p>Ünï &amp; Co<\/p>/);
  await page.goto(`${mail.link}&locale=de-CH`);
  assert.equal(await page.title(), 'email_verification_success de');
  const text = await page.locator('body').innerText();
  assert.match(text, /greeting=Grüezi/);
  assert.match(text, /support=help@example\.com/);
  // The address of an operator's own page gets what the page would have shown.
  await page.goto(`${localised.url}/apps/contractApp/request_password_reset?token=wrong&locale=de`);
  assert.equal(await title(), 'elsewhere');
  assert.equal(new URL(page.url()).searchParams.get('locale'), 'de');
});

// ---- files -----------------------------------------------------------------------------------------

const png = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAEElEQVR4nGP4z8AARAwQCgAf7gP9i18U1AAAAABJRU5ErkJggg==', 'base64');
const script = '<script>window.ran = true; document.title = "ran"; fetch("/ran")</script>';

async function upload(name, type, content) {
  return request(`${server.url}/files/${name}`, {
    method: 'POST',
    headers: { 'X-Parse-Application-Id': server.config.appId, 'X-Parse-Master-Key': server.config.masterKey, 'Content-Type': type },
    body: content,
  });
}

test('an uploaded image shows', async () => {
  const { url } = JSON.parse((await upload('dot.png', 'image/png', png)).text);
  await page.goto(`${server.url}/health`);
  const width = await page.evaluate(src => new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve(image.naturalWidth);
    image.onerror = () => reject(new Error('the image does not load'));
    image.src = src;
  }), url);
  assert.equal(width, 2);
  const answer = await page.goto(url);
  assert.equal(answer.headers()['content-type'], 'image/png');
});

test('what was uploaded never runs, not even by the master key', async () => {
  const svg = `<svg xmlns="http://www.w3.org/2000/svg"><script>document.title = "ran"; fetch("/ran")</script></svg>`;
  const uploads = [
    ['page.html', 'text/html', script], ['page.html', 'image/png', script], ['page.txt', 'text/html', script],
    ['page.txt', 'text/plain', script], ['page', 'text/html', script], ['page.xhtml', 'application/xhtml+xml', `<html xmlns="http://www.w3.org/1999/xhtml">${script}</html>`],
    ['drawing.svg', 'image/svg+xml', svg], ['drawing.png', 'image/png', svg], ['drawing.svgz', 'image/svg+xml', svg],
    ['data.xml', 'text/xml', `<?xml version="1.0"?><x xmlns="http://www.w3.org/1999/xhtml">${script}</x>`],
    ['both.png', 'image/png', Buffer.concat([png, Buffer.from(script)])], ['both.gif', 'image/gif', `GIF89a/*${script}*/=1;`],
    ['paper.pdf', 'application/pdf', `%PDF-1.4\n${script}`], ['code.js', 'text/javascript', 'document.title = "ran"'],
    ['page.html.txt', 'text/plain', script], ['page.hta', 'application/hta', script], ['page.shtml', 'text/html', script],
    ['archive.mht', 'multipart/related', script], ['unknown.zzz', 'application/x-unknown', script],
  ];
  const visitor = await browser.newPage();
  let ran = false;
  visitor.on('request', seen => { ran ||= seen.url().endsWith('/ran'); });
  let shown = 0;
  for (const [name, type, content] of uploads) {
    const stored = await upload(name, type, content);
    if (stored.status !== 201) {
      assert.equal(JSON.parse(stored.text).code, 130, `${name} as ${type}: ${stored.text}`);
      continue;
    }
    const { url } = JSON.parse(stored.text);
    // A download ends the navigation with an error; anything else is looked at.
    const downloaded = visitor.waitForEvent('download', { timeout: 2000 }).then(() => true, () => false);
    const loaded = await visitor.goto(url).then(() => true, () => false);
    if (loaded) {
      shown += 1;
      assert.notEqual(await visitor.title(), 'ran', `${name} as ${type} ran`);
      assert.equal(await visitor.evaluate(() => window.ran === true), false, `${name} as ${type} ran`);
    } else {
      assert.ok(await downloaded, `${name} as ${type} neither loads nor downloads`);
    }
    assert.equal(ran, false, `${name} as ${type} ran`);
  }
  await visitor.close();
  assert.ok(shown > 0, 'some of them are shown as what they are');
});
