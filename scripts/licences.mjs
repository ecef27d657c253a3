// Which licences may be in a package: those of deny.toml and, among npm packages, a few more. Reads SPDX expressions.
import fs from 'node:fs';

const list = /\[licenses\]\s*allow = \[([^\]]*)\]/.exec(fs.readFileSync(new URL('../deny.toml', import.meta.url), 'utf8'))[1];
const ALLOWED = new Set([...list.matchAll(/"([^"]*)"/g)].map(([, name]) => name));
// Parse Dashboard has a licence of its own: free to use and to pass on with what speaks the protocol of Parse.
const ALSO_NPM = new Set(['BlueOak-1.0.0', 'Python-2.0', 'LicenseRef-parse-dashboard']);

/** Whether an SPDX expression can be met with allowed licences alone. */
export function allows(expression, npm = false) {
  const tokens = expression.match(/\(|\)|[^\s()]+/g) ?? [];
  let at = 0;
  const known = name => ALLOWED.has(name) || (npm && ALSO_NPM.has(name));
  const one = () => {
    if (tokens[at] === '(') {
      at++;
      const inner = any();
      if (tokens[at++] !== ')') throw new Error(`"${expression}" is no SPDX expression`);
      return inner;
    }
    let name = tokens[at++];
    if (name === undefined || name === ')') throw new Error(`"${expression}" is no SPDX expression`);
    if (tokens[at] === 'WITH') {
      name = `${name} WITH ${tokens[at + 1]}`;
      at += 2;
    }
    return known(name);
  };
  const all = () => {
    let met = one();
    while (tokens[at] === 'AND') {
      at++;
      met = one() && met;
    }
    return met;
  };
  const any = () => {
    let met = all();
    while (tokens[at] === 'OR') {
      at++;
      met = all() || met;
    }
    return met;
  };
  const met = any();
  if (at !== tokens.length) throw new Error(`"${expression}" is no SPDX expression`);
  return met;
}
