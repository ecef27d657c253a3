'use strict';
// The program of a Cloud Code host, which this package shares with the server: copied beside `lib` when the package
// is made, and found in the source tree before that.

const fs = require('node:fs');
const path = require('node:path');

const folder = ['../host', '../../../src/cloud/node/host']
  .map(relative => path.join(__dirname, relative))
  .find(candidate => fs.existsSync(path.join(candidate, 'wire.cjs')));

module.exports = name => require(path.join(folder, `${name}.cjs`));
