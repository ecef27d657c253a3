'use strict';
// Only types are here, as in parse-server.
