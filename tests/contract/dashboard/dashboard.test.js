// The real Parse Dashboard in Chromium, against the server.
import { describe } from 'node:test';
import { administer } from './admin.js';
import { everywhere } from './pages.js';
import { read } from './reader.js';

describe('an administrator', administer);
describe('every page', everywhere);
describe('somebody with the read-only key', read);
