// A reporter of node's test runner: the files that have a failed test, one in a line.
export default async function* failed(source) {
  const told = new Set();
  for await (const { type, data } of source) {
    if (type !== 'test:fail' || !data.file || data.todo || told.has(data.file)) continue;
    told.add(data.file);
    yield `${data.file}\n`;
  }
}
