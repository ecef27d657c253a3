// Drives an npm files adapter as parse-server would:
//   node files-adapter.cjs MODULE OPTIONS(JSON) read|write|location NAME
// `write` takes the content from its input; `read` and `location` answer on the output.
'use strict';
const [module_, options, action, name] = process.argv.slice(2);
const Adapter = require(module_).default;
const adapter = new Adapter(JSON.parse(options));
const input = async () => {
  const chunks = [];
  for await (const chunk of process.stdin) chunks.push(chunk);
  return Buffer.concat(chunks);
};
const config = { mount: 'http://h:1/parse', applicationId: 'app' };
const actions = {
  read: async () => process.stdout.write(await adapter.getFileData(name)),
  write: async () => { await adapter.createFile(name, await input(), 'application/octet-stream', {}); },
  location: async () => process.stdout.write(await adapter.getFileLocation(config, name)),
};
actions[action]();
