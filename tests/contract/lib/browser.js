// Debian's Chromium without a window, driven by playwright-core. Nothing it does leaves the machine.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { chromium } from 'playwright-core';

const FLAGS = [
  // Chromium's sandbox refuses root.
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage',
];

function executable() {
  const found = spawnSync('sh', ['-c', 'command -v chromium || command -v chromium-browser || command -v google-chrome'], { encoding: 'utf8' });
  const path = found.stdout.trim();
  if (!path) throw new Error('no Chromium found: install the package chromium (scripts/install.sh test does)');
  return path;
}

/** A browser with a profile of its own, which playwright removes again. */
export function launch() {
  return chromium.launch({ executablePath: executable(), headless: true, args: FLAGS });
}

/**
 * What a page met: errors of its scripts, of its console, and requests to `origin` that failed. `expected` are
 * patterns of what belongs to the test.
 */
export function watch(page, origin) {
  const met = [];
  page.on('pageerror', error => met.push(`script: ${error.message}`));
  page.on('console', message => {
    if (message.type() === 'error') met.push(`console: ${message.text()}`);
  });
  page.on('requestfailed', request => {
    // A page that is left takes its open requests with it.
    if (request.failure()?.errorText !== 'net::ERR_ABORTED') met.push(`network: ${request.method()} ${request.url()} ${request.failure()?.errorText}`);
  });
  page.on('response', response => {
    if (response.status() >= 400 && response.url().startsWith(origin)) {
      met.push(`http: ${response.status()} ${response.request().method()} ${response.url()} ${response.request().postData() ?? ''}`);
    }
  });
  return {
    met,
    /** Everything met so far that no pattern names; starts anew. */
    take(...expected) {
      return met.splice(0).filter(entry => !expected.some(pattern => pattern.test(entry)));
    },
  };
}

/**
 * `test` for what somebody does on `{page, watch}`: fails too when the page met something that no `expected` pattern
 * names. With CONTRACT_SCREENSHOTS, a folder, it leaves there a picture of what failed.
 */
export function testsOn({ page, watch: seen }, ...expected) {
  return (name, ...rest) => {
    const run = rest.pop();
    test(name, ...rest, async context => {
      try {
        await run(context);
        assert.deepEqual(seen.take(...expected), []);
      } catch (error) {
        const folder = process.env.CONTRACT_SCREENSHOTS;
        if (folder) await page.screenshot({ path: `${folder}/${name.replaceAll(/\W+/g, '-')}.png` });
        seen.take();
        throw error;
      }
    });
  };
}
