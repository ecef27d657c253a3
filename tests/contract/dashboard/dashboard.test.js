// The real Parse Dashboard in Chromium, against the server.
import { describe } from 'node:test';
import { administer } from './admin.js';
import { read } from './reader.js';

describe('an administrator', administer);
describe('somebody with the read-only key', read);
