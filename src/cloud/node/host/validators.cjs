'use strict';
// Validators of functions and triggers: the check at registration and the run before a handler.

const FIELD_KEYS = {
  type: ['Any'],
  constant: ['boolean'],
  default: ['Any'],
  options: ['array', 'function', 'Any'],
  required: ['boolean'],
  error: ['string'],
};

const KEYS = {
  requireUser: ['boolean'],
  requireAnyUserRoles: ['array', 'function'],
  requireAllUserRoles: ['array', 'function'],
  requireMaster: ['boolean'],
  validateMasterKey: ['boolean'],
  skipWithMasterKey: ['boolean'],
  requireUserKeys: ['array', 'object'],
  fields: ['array', 'object'],
  rateLimit: ['object'],
  // Of triggers around writes: the write and what the trigger saves are one transaction.
  transaction: ['boolean'],
};

// The lower-case name of a constructor such as String; '' for anything else.
function constructorName(value) {
  const match = value && value.toString().match(/^\s*function (\w+)/);
  return (match ? match[1] : '').toLowerCase();
}

function typeName(value) {
  if (Array.isArray(value)) {
    return 'array';
  }
  if (typeof value === 'function') {
    return constructorName(value) || 'function';
  }
  return typeof value;
}

function checkKey(key, allowed, value) {
  const types = Object.prototype.hasOwnProperty.call(allowed, key) ? allowed[key] : undefined;
  if (!types) {
    throw `${key} is not a supported parameter for Cloud Function validations.`;
  }
  const type = typeName(value);
  if (!types.includes(type) && !types.includes('Any')) {
    throw `Invalid type for Cloud Function validation key ${key}. Expected ${types.join('|')}, actual ${type}`;
  }
}

// Throws the text of what is wrong with a validator object.
function checkValidator(validator) {
  if (!validator || typeof validator === 'function') {
    return;
  }
  for (const key in validator) {
    checkKey(key, KEYS, validator[key]);
    if ((key === 'fields' || key === 'requireUserKeys') && !Array.isArray(validator[key])) {
      for (const field of Object.values(validator[key])) {
        for (const subKey in field) {
          checkKey(subKey, FIELD_KEYS, field[subKey]);
        }
      }
    }
  }
}

async function checkOptions(rule, key, value) {
  let options = rule.options;
  if (typeof options === 'function') {
    let failure;
    try {
      const ok = await options(value);
      if (ok || ok === null || ok === undefined) {
        return;
      }
    } catch (error) {
      failure = error && (error.message || error);
    }
    throw rule.error || failure || `Validation failed. Invalid value for ${key}.`;
  }
  if (!Array.isArray(options)) {
    options = [options];
  }
  if (!options.includes(value)) {
    throw rule.error || `Validation failed. Invalid option for ${key}. Expected: ${options.join(', ')}`;
  }
}

function requireParam(params, key) {
  if (params[key] === undefined || params[key] === null) {
    throw `Validation failed. Please specify data for ${key}.`;
  }
}

function applyDefaults(rule, key, value, params, request) {
  const hasDefault = rule.default !== undefined && rule.default !== null;
  if (hasDefault && (value === undefined || value === null)) {
    value = rule.default;
    params[key] = value;
    if (request.object) {
      request.object.set(key, value);
    }
  }
  if (rule.constant && request.object) {
    if (request.original) {
      // Its parts are constant too.
      const ops = Object.keys(request.object._getPendingOps()[0]);
      request.object.revert(key, ...ops.filter(op => op.startsWith(`${key}.`)));
    } else if (hasDefault) {
      request.object.set(key, rule.default);
    }
  }
  return value;
}

async function checkFields(fields, params, request) {
  if (Array.isArray(fields)) {
    fields.forEach(key => requireParam(params, key));
    return;
  }
  const pending = [];
  for (const key in fields) {
    const rule = fields[key];
    if (typeof rule === 'string') {
      requireParam(params, rule);
    }
    if (typeof rule !== 'object' || rule === null) {
      continue;
    }
    const value = applyDefaults(rule, key, params[key], params, request);
    if (rule.required) {
      requireParam(params, key);
    }
    if (!rule.required && value === undefined) {
      continue;
    }
    if (rule.type) {
      const expected = constructorName(rule.type);
      if ((Array.isArray(value) ? 'array' : typeof value) !== expected) {
        throw `Validation failed. Invalid type for ${key}. Expected: ${expected}`;
      }
    }
    if (rule.options) {
      pending.push(checkOptions(rule, key, value));
    }
  }
  await Promise.all(pending);
}

async function checkRoles(validator, roles) {
  const list = async value => (typeof value === 'function' ? await value() : value);
  const [any, all] = await Promise.all([
    list(validator.requireAnyUserRoles),
    list(validator.requireAllUserRoles),
  ]);
  const has = role => roles.includes(`role:${role}`);
  if (validator.requireAnyUserRoles && !(any || []).some(has)) {
    throw 'Validation failed. User does not match the required roles.';
  }
  if (validator.requireAllUserRoles && !(all || []).every(has)) {
    throw 'Validation failed. User does not match all the required roles.';
  }
}

async function checkUserKeys(keys, user) {
  if (Array.isArray(keys)) {
    for (const key of keys) {
      if (!user) {
        throw 'Please login to make this request.';
      }
      const value = user.get(key);
      if (value === undefined || value === null) {
        throw `Validation failed. Please set data for ${key} on your account.`;
      }
    }
    return;
  }
  const pending = [];
  for (const key in keys) {
    if (keys[key].options) {
      if (!user) {
        throw 'Please login to make this request.';
      }
      pending.push(checkOptions(keys[key], key, user.get(key)));
    }
  }
  await Promise.all(pending);
}

async function runObjectValidator(validator, request, roles) {
  if (request.master && !validator.validateMasterKey) {
    return;
  }
  let user = request.user;
  if (!user && request.object && request.object.className === '_User' && !request.object.existed()) {
    user = request.object;
  }
  if ((validator.requireUser || validator.requireAnyUserRoles || validator.requireAllUserRoles) && !user) {
    throw 'Validation failed. Please login to continue.';
  }
  if (validator.requireMaster && !request.master) {
    throw 'Validation failed. Master key is required to complete this request.';
  }
  const params = request.object ? toParams(request.object) : request.params || {};
  await checkFields(validator.fields, params, request);
  if (validator.requireAnyUserRoles || validator.requireAllUserRoles) {
    await checkRoles(validator, request.master ? [] : roles || []);
  }
  await checkUserKeys(validator.requireUserKeys || [], user);
}

// A Parse.Object, or the Parse.Config of a config trigger.
function toParams(object) {
  return typeof object.toJSON === 'function' ? object.toJSON() : object.attributes || {};
}

// Runs the validator of a handler. Returns whether the handler has to be skipped (skipWithMasterKey).
async function runValidator(validator, request, roles) {
  if (!validator) {
    return false;
  }
  if (typeof validator === 'function') {
    await validator(request);
    return false;
  }
  await runObjectValidator(validator, request, roles);
  return Boolean(validator.skipWithMasterKey && request.master);
}

module.exports = { checkValidator, runValidator };
