'use strict';
// Where the server's program is.

const fs = require('node:fs');
const path = require('node:path');

function binary() {
  if (process.env.PARSIMONY_BIN) {
    return path.resolve(process.env.PARSIMONY_BIN);
  }
  const platform = `${process.platform}-${process.arch}`;
  const file = path.join(__dirname, '..', 'bin', platform, 'parsimony');
  if (!fs.existsSync(file)) {
    throw new Error(`This package has no program for ${platform}: build one and name it in the variable PARSIMONY_BIN.`);
  }
  return file;
}

module.exports = { binary };
