'use strict';
// What adapters of an application extend: each interface with what it does where nothing is written.

const { Parse } = require('./parse');

class AnalyticsAdapter {
  async appOpened() {
    return {};
  }

  async trackEvent() {
    return {};
  }
}

class CacheAdapter {
  get() {}

  put() {}

  del() {}

  clear() {}
}

class FilesAdapter {
  get supportsStreaming() {
    return false;
  }

  createFile() {}

  deleteFile() {}

  getFileData() {}

  getFileLocation() {}
}

class LoggerAdapter {
  log() {}
}

class MailAdapter {
  sendMail() {}
}

class PushAdapter {
  send() {}

  getValidPushTypes() {
    return [];
  }
}

// Null, or what is wrong with the name.
function validateFilename(filename) {
  const refuse = text => new Parse.Error(Parse.Error.INVALID_FILE_NAME, text);
  if (filename.length > 128) {
    return refuse('Filename too long.');
  }
  return /^[_a-zA-Z0-9][a-zA-Z0-9@. ~_-]*$/.test(filename) ? null : refuse('Filename contains invalid characters.');
}

module.exports = { AnalyticsAdapter, CacheAdapter, FilesAdapter, LoggerAdapter, MailAdapter, PushAdapter, validateFilename };
