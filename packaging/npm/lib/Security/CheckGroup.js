'use strict';
// A group of checks of an application's own for the option `security.checkGroups`.

class CheckGroup {
  constructor() {
    this._name = this.setName();
    this._checks = this.setChecks();
  }

  setName() {
    throw 'Check group has no name.';
  }

  setChecks() {
    throw 'Check group has no checks.';
  }

  name() {
    return this._name;
  }

  checks() {
    return this._checks;
  }

  async run() {
    await Promise.all(this._checks.map(check => check.run()));
  }
}

module.exports = CheckGroup;
