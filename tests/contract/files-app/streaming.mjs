// A file adapter that streams: a folder, read and written in pieces, with ranges. A factory, as an ES module.
import fs from 'node:fs';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';

export default ({ folder }) => {
  fs.mkdirSync(folder, { recursive: true });
  const at = filename => path.join(folder, encodeURIComponent(filename));
  return {
    get supportsStreaming() {
      return true;
    },
    async createFile(filename, data) {
      if (typeof data.pipe !== 'function') return fs.promises.writeFile(at(filename), data);
      const beside = `${at(filename)}.part`;
      try {
        await pipeline(data, fs.createWriteStream(beside));
        await fs.promises.rename(beside, at(filename));
      } catch (error) {
        await fs.promises.rm(beside, { force: true });
        throw error;
      }
    },
    deleteFile: filename => fs.promises.rm(at(filename)),
    getFileData: filename => fs.promises.readFile(at(filename)),
    getFileLocation: (config, filename) =>
      `${config.mount}/files/${config.applicationId}/${encodeURIComponent(filename)}`,
    async handleFileStream(filename, req, res, contentType) {
      const { size } = await fs.promises.stat(at(filename));
      const [, from, to] = /^bytes=(\d*)-(\d*)$/.exec(req.get('Range'));
      const start = from === '' ? size - Number(to) : Number(from);
      const end = from === '' || to === '' ? size - 1 : Math.min(Number(to), size - 1);
      res.writeHead(206, {
        'Accept-Ranges': 'bytes', 'Content-Length': end - start + 1,
        'Content-Range': `bytes ${start}-${end}/${size}`, 'Content-Type': contentType,
      });
      fs.createReadStream(at(filename), { start, end }).pipe(res);
    },
  };
};
