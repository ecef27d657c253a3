'use strict';
// Packages of the application that this one does not bring.

const { createRequire } = require('node:module');
const path = require('node:path');

// The application's own copy; undefined where it has none.
function ofApplication(name) {
  const program = (require.main && require.main.filename) || process.argv[1] || path.join(process.cwd(), 'x.js');
  for (const from of [program, path.join(process.cwd(), 'x.js'), __filename]) {
    try {
      return createRequire(path.resolve(from))(name);
    } catch (error) {
      if (error.code !== 'MODULE_NOT_FOUND') {
        throw error;
      }
    }
  }
  return undefined;
}

module.exports = { ofApplication };
