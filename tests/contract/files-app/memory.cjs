// A file adapter of an application: keeps files in memory, and a diary of what it was asked.
class MemoryAdapter {
  constructor(options) {
    this.options = options || {};
    this.files = new Map();
    this.diary = [];
  }

  // What tests read back through the server itself.
  note(entry) {
    this.diary.push(entry);
    this.files.set('diary.json', { data: Buffer.from(JSON.stringify(this.diary)) });
  }

  async createFile(filename, data, contentType, options) {
    if (filename.includes('refuse')) throw new Error('the disk is full');
    if (filename.includes('forbid')) throw new Parse.Error(119, 'not for you');
    this.note(['create', filename, Buffer.isBuffer(data), contentType, options]);
    this.files.set(filename, { data, metadata: options.metadata });
  }

  async deleteFile(filename) {
    if (!this.files.delete(filename)) throw new Error(`no ${filename} in /secret/path`);
    this.note(['delete', filename]);
  }

  async getFileData(filename) {
    const file = this.files.get(filename);
    if (!file) throw new Error('not found');
    return file.data;
  }

  async getFileLocation(config, filename) {
    if (this.options.cdn) return `${this.options.cdn}/${config.applicationId}/${encodeURIComponent(filename)}`;
    return `${config.mount}/files/${config.applicationId}/${encodeURIComponent(filename)}`;
  }

  async getMetadata(filename) {
    return { metadata: { of: filename, ...this.files.get(filename).metadata } };
  }

  validateFilename(filename) {
    if (filename.startsWith('bad')) return 'Bad file name.';
    return filename.length > 200 ? new Parse.Error(122, 'Much too long.') : null;
  }
}

module.exports = MemoryAdapter;
