//! The groups about limits on requests.

use crate::config::table::Kind::*;
use crate::config::table::{Group, opt};

/// `idempotencyOptions`.
pub static IDEMPOTENCY: Group = Group {
    name: "idempotencyOptions",
    options: &[
        opt(
            "paths",
            "PARSE_SERVER_EXPERIMENTAL_IDEMPOTENCY_PATHS",
            List,
            "[]",
            "Regular expressions of the paths it applies to",
        ),
        opt(
            "ttl",
            "PARSE_SERVER_EXPERIMENTAL_IDEMPOTENCY_TTL",
            Number,
            "300",
            "Seconds for which a request id is remembered",
        ),
    ],
};

/// One rule of `rateLimit`.
pub static RATE_LIMIT: Group = Group {
    name: "rateLimit",
    options: &[
        opt(
            "errorResponseMessage",
            "PARSE_SERVER_RATE_LIMIT_ERROR_RESPONSE_MESSAGE",
            Text,
            r#""Too many requests.""#,
            "Text of the error",
        ),
        opt(
            "includeInternalRequests",
            "PARSE_SERVER_RATE_LIMIT_INCLUDE_INTERNAL_REQUESTS",
            Bool,
            "false",
            "Also limit requests from 127.0.0.1",
        ),
        opt(
            "includeMasterKey",
            "PARSE_SERVER_RATE_LIMIT_INCLUDE_MASTER_KEY",
            Bool,
            "false",
            "Also limit requests with the master key",
        ),
        opt(
            "redisUrl",
            "PARSE_SERVER_RATE_LIMIT_REDIS_URL",
            Text,
            "",
            "Redis in which several servers count together",
        )
        .secret(),
        opt(
            "requestCount",
            "PARSE_SERVER_RATE_LIMIT_REQUEST_COUNT",
            Number,
            "",
            "Requests allowed in the time window",
        ),
        opt(
            "requestMethods",
            "PARSE_SERVER_RATE_LIMIT_REQUEST_METHODS",
            List,
            "",
            "HTTP methods that are limited",
        ),
        opt(
            "requestPath",
            "PARSE_SERVER_RATE_LIMIT_REQUEST_PATH",
            Text,
            "",
            "Path pattern, for example /functions/hello or /classes/{*any}",
        )
        .required(),
        opt(
            "requestTimeWindow",
            "PARSE_SERVER_RATE_LIMIT_REQUEST_TIME_WINDOW",
            Number,
            "",
            "Milliseconds of the time window",
        ),
        opt(
            "zone",
            "PARSE_SERVER_RATE_LIMIT_ZONE",
            Text,
            r#""ip""#,
            "What is counted: ip, session, user or global",
        ),
    ],
};

/// `requestComplexity`.
pub static REQUEST_COMPLEXITY: Group = Group {
    name: "requestComplexity",
    options: &[
        opt(
            "allowRegex",
            "PARSE_SERVER_REQUEST_COMPLEXITY_ALLOW_REGEX",
            Bool,
            "true",
            "Clients may use $regex",
        ),
        opt(
            "batchRequestLimit",
            "PARSE_SERVER_REQUEST_COMPLEXITY_BATCH_REQUEST_LIMIT",
            Number,
            "100",
            "Requests in a batch",
        ),
        opt(
            "graphQLDepth",
            "PARSE_SERVER_REQUEST_COMPLEXITY_GRAPHQL_DEPTH",
            Number,
            "20",
            "Nesting of a GraphQL selection",
        ),
        opt(
            "graphQLFields",
            "PARSE_SERVER_REQUEST_COMPLEXITY_GRAPHQL_FIELDS",
            Number,
            "200",
            "Fields in a GraphQL selection",
        ),
        opt(
            "includeCount",
            "PARSE_SERVER_REQUEST_COMPLEXITY_INCLUDE_COUNT",
            Number,
            "100",
            "Number of include paths",
        ),
        opt(
            "includeDepth",
            "PARSE_SERVER_REQUEST_COMPLEXITY_INCLUDE_DEPTH",
            Number,
            "10",
            "Length of an include path",
        ),
        opt(
            "masterResponseBytes",
            "PARSIMONY_REQUEST_COMPLEXITY_MASTER_RESPONSE_BYTES",
            Number,
            "536870912",
            "Bytes of an answer to a request with the master key",
        )
        .ours(),
        opt(
            "masterResponseObjects",
            "PARSIMONY_REQUEST_COMPLEXITY_MASTER_RESPONSE_OBJECTS",
            Number,
            "-1",
            "Objects in an answer to a request with the master key",
        )
        .ours(),
        opt(
            "queryDepth",
            "PARSE_SERVER_REQUEST_COMPLEXITY_QUERY_DEPTH",
            Number,
            "10",
            "Nesting of $or, $and and $nor",
        ),
        opt(
            "responseBytes",
            "PARSIMONY_REQUEST_COMPLEXITY_RESPONSE_BYTES",
            Number,
            "33554432",
            "Bytes of an answer, a batch counted as a whole",
        )
        .ours(),
        opt(
            "responseObjects",
            "PARSIMONY_REQUEST_COMPLEXITY_RESPONSE_OBJECTS",
            Number,
            "100000",
            "Objects in an answer, included ones as often as they are shown",
        )
        .ours(),
        opt(
            "subqueryDepth",
            "PARSE_SERVER_REQUEST_COMPLEXITY_SUBQUERY_DEPTH",
            Number,
            "10",
            "Nesting of sub-queries",
        ),
        opt(
            "subqueryLimit",
            "PARSE_SERVER_REQUEST_COMPLEXITY_SUBQUERY_LIMIT",
            Number,
            "-1",
            "Rows of a sub-query",
        ),
    ],
};

/// `httpLimits`.
pub static HTTP_LIMITS: Group = Group {
    name: "httpLimits",
    options: &[
        opt(
            "answerMemory",
            "PARSIMONY_HTTP_LIMITS_ANSWER_MEMORY",
            Number,
            "67108864",
            "Bytes of long answers to all clients while they are made, and as much while they are read; more are refused (503)",
        )
        .ours(),
        opt(
            "bodyMemory",
            "PARSIMONY_HTTP_LIMITS_BODY_MEMORY",
            Number,
            "134217728",
            "Bytes of request bodies that are held while their rest is on its way; more are refused (503)",
        )
        .ours(),
        opt(
            "maxConnections",
            "PARSIMONY_HTTP_LIMITS_MAX_CONNECTIONS",
            Number,
            "10000",
            "Connections at a time; those beyond get 503, except for /health. Never more than open files allow",
        )
        .ours(),
        opt(
            "maxConnectionsPerAddress",
            "PARSIMONY_HTTP_LIMITS_MAX_CONNECTIONS_PER_ADDRESS",
            Number,
            "500",
            "Connections at a time from one address; not for this machine and proxies of trustProxy; -1 for no limit",
        )
        .ours(),
        opt(
            "maxRequests",
            "PARSIMONY_HTTP_LIMITS_MAX_REQUESTS",
            Number,
            "",
            "Requests that are worked on at a time, those whose body is still on its way not counted; unset: 1024 for each worker thread; more are refused (503)",
        )
        .ours(),
        opt(
            "minimumRate",
            "PARSIMONY_HTTP_LIMITS_MINIMUM_RATE",
            Number,
            "500",
            "Bytes per second that a body or an answer has to make; 0 for none",
        )
        .ours(),
        opt(
            "patience",
            "PARSIMONY_HTTP_LIMITS_PATIENCE",
            Number,
            "20000",
            "Milliseconds over which the rate is taken, and after which a transfer that stands still is ended",
        )
        .ours(),
    ],
};
