'use strict';
// The command line, as scripts reach it by its path.

require('../../bin/parsimony-server');
