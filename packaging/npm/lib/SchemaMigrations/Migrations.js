'use strict';
// Helpers for schemas in the options.

class CLP {
  static allow(permissions) {
    const allowed = {};
    for (const [who, operations] of Object.entries(permissions)) {
      for (const operation of operations) {
        allowed[operation] = { ...allowed[operation], [who]: true };
      }
    }
    return allowed;
  }
}

const makeSchema = (className, schema) => Object.assign(schema, { className });

module.exports = { CLP, makeSchema };
