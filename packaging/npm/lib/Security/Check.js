'use strict';
// A check of an application's own for the option `security.checkGroups`.

const CheckState = Object.freeze({ none: 'none', fail: 'fail', success: 'success' });

const TYPES = { group: 'string', title: 'string', warning: 'string', solution: 'string', check: 'function' };

class Check {
  constructor(params) {
    for (const key of Object.keys(params)) {
      if (typeof params[key] !== TYPES[key]) {
        throw `Invalid parameter ${key} must be of type ${TYPES[key]} but is ${typeof params[key]}`;
      }
    }
    const { title, warning, solution, check } = params;
    Object.assign(this, { title, warning, solution, check, _checkState: CheckState.none });
  }

  checkState() {
    return this._checkState;
  }

  // It fails by throwing.
  async run() {
    try {
      this.check();
      this._checkState = CheckState.success;
    } catch (error) {
      this.stateFailError = error;
      this._checkState = CheckState.fail;
    }
  }
}

module.exports = { Check, CheckState };
