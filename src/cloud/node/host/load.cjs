'use strict';
// Loads modules of the application: CommonJS or ESM, a file or a folder, TypeScript where Node runs it.

const fs = require('node:fs');
const Module = require('node:module');
const path = require('node:path');
const { pathToFileURL } = require('node:url');

// Entry points of a folder that CommonJS resolution does not try by itself.
const FOLDER_ENTRIES = ['main.js', 'main.mjs', 'main.cjs', 'main.ts', 'index.mjs', 'index.cjs', 'index.ts'];
const TYPESCRIPT = /\.[cm]?ts$/;

function readPackage(directory) {
  try {
    return JSON.parse(fs.readFileSync(path.join(directory, 'package.json'), 'utf8'));
  } catch {
    return undefined;
  }
}

// The `type` of the package a file belongs to.
function packageType(file) {
  let directory = path.dirname(file);
  for (;;) {
    const json = readPackage(directory);
    if (json) {
      return json.type;
    }
    const parent = path.dirname(directory);
    if (parent === directory || path.basename(directory) === 'node_modules') {
      return undefined;
    }
    directory = parent;
  }
}

function isModule(file) {
  switch (path.extname(file)) {
    case '.mjs':
    case '.mts':
      return true;
    case '.cjs':
    case '.cts':
      return false;
    default:
      return packageType(file) === 'module';
  }
}

// A path or package name, seen from `directory`, as the file it means.
function resolveFile(name, directory) {
  const absolute = path.resolve(directory, name);
  const stat = fs.statSync(absolute, { throwIfNoEntry: false });
  if (stat && stat.isFile()) {
    return absolute;
  }
  const from = Module.createRequire(path.join(directory, 'x.js'));
  for (const candidate of [absolute, name]) {
    try {
      return from.resolve(candidate);
    } catch (error) {
      if (error.code !== 'MODULE_NOT_FOUND' && error.code !== 'ERR_PACKAGE_PATH_NOT_EXPORTED') {
        throw error;
      }
    }
  }
  const entry = FOLDER_ENTRIES.map(file => path.join(absolute, file)).find(file => fs.existsSync(file));
  if (entry) {
    return entry;
  }
  throw new Error(`Cannot find module '${name}' (looked in ${directory})`);
}

// Whether something that was preloaded may run TypeScript: hooks of `import` cannot be asked.
function hasPreloads() {
  const given = `${process.env.NODE_OPTIONS || ''} ${process.execArgv.join(' ')}`;
  return Boolean(Module._extensions['.ts']) || /(^|\s)(-r|--require|--import|--loader|--experimental-loader)\b/.test(given);
}

function refuseTypeScript(file, cause) {
  const reason = cause ? ` (${String(cause.message).split('\n')[0]})` : '';
  const error = new Error(
    `${file} is TypeScript, which Node.js ${process.version} does not run by itself${reason}: use Node.js 22.18 or later, ` +
      'or install tsx beside it and start the server with NODE_OPTIONS="--import tsx", or compile it with tsc'
  );
  // Where in the host it was noticed helps nobody.
  error.stack = error.message;
  throw error;
}

async function loadModule(name, directory) {
  const file = resolveFile(name, directory);
  if (!TYPESCRIPT.test(file) || process.features.typescript) {
    return loadFile(file);
  }
  if (!hasPreloads()) {
    refuseTypeScript(file);
  }
  try {
    return await loadFile(file);
  } catch (error) {
    if (error.code === 'ERR_UNKNOWN_FILE_EXTENSION' || error instanceof SyntaxError) {
      refuseTypeScript(file, error);
    }
    throw error;
  }
}

function loadFile(file) {
  if (isModule(file)) {
    return import(pathToFileURL(file).href);
  }
  // Loaded as a program of its own would be, so that `require` in it sees its own folder.
  return Module.createRequire(file)(file);
}

module.exports = { loadModule, resolveFile };
