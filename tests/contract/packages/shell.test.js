// What shells complete and `man` shows, of the program under test.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { have, program, temporary } from './fixture.js';

const folder = temporary('shell');
const ask = (...args) => execFileSync(program, args, { encoding: 'utf8' });

function written(shell, name) {
  const file = path.join(folder, name);
  fs.writeFileSync(file, ask('completions', shell));
  return file;
}

// [words typed so far, the last one being completed; what has to be offered; what must not]
const CASES = [
  [['par'], ['--appId', '--databaseURI', '--help'], ['--liveQuery.classNames', '--dry-run'], '--'],
  [[''], ['files', 'migrate', 'config-check', 'completions'], ['attached', 'gc'], ''],
  [[], ['files'], ['migrate'], 'fi'],
  [[], ['--liveQuery.classNames'], ['--liveQuery'], '--liveQuery.c'],
  [['files'], ['rotate-key', 'gc', 'restore'], ['migrate', 'files'], ''],
  [['files', 'gc'], ['--dry-run', '--keep-days'], ['--appId'], '--'],
  [['--appId', 'files'], ['migrate', 'files'], ['gc'], ''],
  [['--verbose', 'files'], ['gc'], ['migrate'], ''],
  [['--port=1', 'files'], ['gc'], ['migrate'], ''],
  [['completions'], ['bash', 'zsh', 'fish'], ['files'], ''],
].map(([before, wanted, not, current]) => ({ before: before.filter(word => word && word !== 'par'), current, wanted, not }));

function check(complete) {
  for (const { before, current, wanted, not } of CASES) {
    const offered = complete(before, current);
    const line = `parsimony ${[...before, current].join(' ')} → ${offered.join(' ')}`;
    for (const word of wanted) assert.ok(offered.includes(word), `${word}: ${line}`);
    for (const word of not) assert.ok(!offered.includes(word), `not ${word}: ${line}`);
  }
}

describe('completions', () => {
  test('bash', () => {
    const file = written('bash', 'parsimony.bash');
    check((before, current) => {
      // As bash breaks words.
      const words = ['parsimony', ...before.flatMap(word => word.split(/(=)/)), current];
      const script = `. "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _parsimony; printf '%s\\n' "\${COMPREPLY[@]}"`;
      return execFileSync('bash', ['-uc', script, file, ...words], { encoding: 'utf8', cwd: folder }).split('\n');
    });
  });

  test('fish', { skip: !have('fish') && 'fish is not installed' }, () => {
    const file = written('fish', 'parsimony.fish');
    check((before, current) => {
      const line = ['parsimony', ...before, current].join(' ');
      const done = spawnSync('fish', ['--no-config', '-c', `source ${file}; complete -C '${line}'`], { encoding: 'utf8', cwd: folder, env: { ...process.env, HOME: folder } });
      assert.deepEqual([done.status, done.stderr], [0, '']);
      return done.stdout.split('\n').map(offer => offer.split('\t')[0]);
    });
  });

  test('zsh', { skip: !have('zsh') && 'zsh is not installed' }, () => {
    written('zsh', '_parsimony');
    const driver = path.join(folder, 'driver.zsh');
    // A shell at a terminal, with TAB pressed: what it is about to insert is written down instead.
    fs.writeFileSync(driver, `
zmodload zsh/zpty
zpty shell zsh -f -i
say() { zpty -w shell "$1" }
say "PROMPT= RPROMPT= fpath=(${folder} \\$fpath); autoload -Uz compinit; compinit -u -D; stty columns 1000"
say 'compadd() { local -a had; builtin compadd -O had "$@"; print -rl -- \${had} >>"'$2'"; return 1 }; bindkey "^I" complete-word; zstyle ":completion:*" completer _complete; print re""ady'
zpty -r -m shell out '*ready*' || exit 1
zpty -w -n shell "$1"$'\\t'
zpty -w -n shell $'\\C-u'
say 'print do""ne'
zpty -r -m shell out '*done*' || exit 1
zpty -d shell
`);
    let number = 0;
    check((before, current) => {
      const out = path.join(folder, `zsh-${number++}`);
      fs.writeFileSync(out, '');
      const line = ['parsimony', ...before, current].join(' ');
      const done = spawnSync('zsh', ['-f', driver, line, out], { encoding: 'utf8', cwd: folder, timeout: 60000, env: { ...process.env, HOME: folder, TERM: 'dumb' } });
      assert.equal(done.status, 0, done.stderr);
      return fs.readFileSync(out, 'utf8').split('\n').map(word => word.replace(/=$/, ''));
    });
  });

  test('a shell that is not known is refused in one line', () => {
    const done = spawnSync(program, ['completions', 'tcsh'], { encoding: 'utf8' });
    assert.deepEqual([done.status, done.stdout], [1, '']);
    assert.match(done.stderr, /^ERROR: invalid value 'tcsh' for '<SHELL>'.*\n$/);
  });
});

test('the manual page has every option and command, and troff has no complaint', { skip: !have('groff') && 'groff is not installed' }, () => {
  const file = path.join(folder, 'parsimony.1');
  fs.writeFileSync(file, ask('man-page'));
  const done = spawnSync('groff', ['-man', '-Tutf8', '-ww', '-rLL=300n', file], { encoding: 'utf8', maxBuffer: 1 << 26, env: { ...process.env, GROFF_NO_SGR: '1' } });
  assert.deepEqual([done.status, done.stderr], [0, '']);
  // eslint-disable-next-line no-control-regex
  const shown = done.stdout.replace(/.\x08/g, '').replace(/‐/g, '-');
  const help = ask('--help');
  const options = [...help.matchAll(/^ +(?:-\w, )?--([\w.-]+)/gm)].map(([, name]) => name);
  assert.ok(options.length > 100);
  for (const name of options) assert.match(shown, new RegExp(`--${name}\\b`), name);
  for (const command of ['files rotate-key', 'files gc', 'files restore', 'migrate', 'config-check', 'completions']) assert.ok(shown.includes(command), command);
  assert.doesNotMatch(shown, /attached/);
});
