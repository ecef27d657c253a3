// A configuration whose files adapter is an object with functions.
const files = new Map();

exports.filesAdapter = {
  createFile: async (filename, data) => void files.set(filename, data),
  deleteFile: async filename => void files.delete(filename),
  getFileData: async filename => {
    if (!files.has(filename)) throw new Error('not found');
    return files.get(filename);
  },
  getFileLocation: (config, filename) => `${config.mount}/files/${config.applicationId}/${encodeURIComponent(filename)}`,
};
