// Shows the SDK of the host to `import` in applications without a copy of their own. Runs on the loader
// thread of Node versions without module.registerHooks.

let url;

export function initialize(data) {
  url = data.url;
}

export function resolve(specifier, context, next) {
  if (specifier === 'parse' || /^parse\/node(\.js)?$/.test(specifier)) {
    return { url, format: 'commonjs', shortCircuit: true };
  }
  return next(specifier, context);
}
