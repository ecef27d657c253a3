// An application's Cloud Code as people write it; it runs unchanged on Parsimony and on npm parse-server.
require('./functions');
require('./validators');
require('./triggers');
require('./lifecycle');
require('./jobs');
