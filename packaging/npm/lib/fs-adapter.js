'use strict';
// Files in a folder, for applications that extend this adapter or call it. Given to the server as it is, it only carries
// its options: the server reads and writes the same folder by itself.

const crypto = require('node:crypto');
const fs = require('node:fs/promises');
const path = require('node:path');

const ALGORITHM = 'aes-256-gcm';
const IV = 16;
const TAG = 16;

const keyOf = secret => crypto.createHash('sha256').update(String(secret)).digest('base64').slice(0, 32);

// Ciphertext, then the IV, then the tag.
function seal(data, key) {
  const iv = crypto.randomBytes(IV);
  const cipher = crypto.createCipheriv(ALGORITHM, key, iv);
  return Buffer.concat([cipher.update(data), cipher.final(), iv, cipher.getAuthTag()]);
}

function open(stored, key) {
  const end = stored.length - IV - TAG;
  if (end < 0) {
    throw new Error('The file is too short to be encrypted.');
  }
  const decipher = crypto.createDecipheriv(ALGORITHM, key, stored.subarray(end, end + IV));
  decipher.setAuthTag(stored.subarray(end + IV));
  return Buffer.concat([decipher.update(stored.subarray(0, end)), decipher.final()]);
}

class FileSystemAdapter {
  constructor(options) {
    this.options = { ...options };
    const { encryptionKey, filesSubDirectory = '' } = this.options;
    this.key = encryptionKey === undefined ? null : keyOf(encryptionKey);
    this.folder = path.join('files', filesSubDirectory);
  }

  // As an option of the server.
  toOptions() {
    return { module: '@parse/fs-files-adapter', options: this.options };
  }

  place(filename) {
    return path.join(this.folder, encodeURIComponent(filename));
  }

  async createFile(filename, data) {
    await fs.mkdir(this.folder, { recursive: true });
    const bytes = Buffer.from(data);
    await fs.writeFile(this.place(filename), this.key === null ? bytes : seal(bytes, this.key));
    return data;
  }

  async deleteFile(filename) {
    const data = await this.getFileData(filename);
    await fs.unlink(this.place(filename));
    return data;
  }

  async getFileData(filename) {
    const stored = await fs.readFile(this.place(filename));
    return this.key === null ? stored : open(stored, this.key);
  }

  getFileLocation(config, filename) {
    return `${config.mount}/files/${config.applicationId}/${encodeURIComponent(filename)}`;
  }

  // From the old key, or none, to the present one.
  async rotateEncryptionKey({ oldKey, fileNames } = {}) {
    const old = Object.create(this, { key: { value: oldKey === undefined ? null : keyOf(oldKey) } });
    const names = fileNames || (await fs.readdir(this.folder)).filter(name => !name.startsWith('.')).map(decodeURIComponent);
    const rotated = [];
    const notRotated = [];
    for (const name of names) {
      try {
        await this.createFile(name, await old.getFileData(name));
        rotated.push(name);
      } catch {
        notRotated.push(name);
      }
    }
    return { rotated, notRotated };
  }
}

FileSystemAdapter.default = FileSystemAdapter;

module.exports = { FileSystemAdapter };
