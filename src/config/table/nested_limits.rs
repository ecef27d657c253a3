//! The groups about limits on requests, queries and live queries.

use super::Kind::*;
use super::{Group, opt};

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

/// `query`.
pub static QUERY: Group = Group {
    name: "query",
    options: &[
        opt(
            "aggregationRawFieldNames",
            "PARSE_SERVER_QUERY_AGGREGATION_RAW_FIELD_NAMES",
            Bool,
            "false",
            "Pipelines use the field names of the database",
        ),
        opt(
            "aggregationRawValues",
            "PARSE_SERVER_QUERY_AGGREGATION_RAW_VALUES",
            Bool,
            "false",
            "Pipelines return the values of the database",
        ),
    ],
};

/// `liveQuery`.
pub static LIVE_QUERY: Group = Group {
    name: "liveQuery",
    options: &[
        opt(
            "classNames",
            "PARSE_SERVER_LIVEQUERY_CLASSNAMES",
            List,
            "",
            "Classes that publish changes (regular expressions)",
        ),
        opt(
            "eventLog",
            "PARSIMONY_LIVE_QUERY_EVENT_LOG",
            Bool,
            "false",
            "Write events down in the database, so that clients can resume after a restart or on another server",
        )
        .ours(),
        opt(
            "eventLogRetention",
            "PARSIMONY_LIVE_QUERY_EVENT_LOG_RETENTION",
            Number,
            "3600",
            "Seconds for which written events are kept",
        )
        .ours(),
        opt("pubSubAdapter", "PARSE_SERVER_LIVEQUERY_PUB_SUB_ADAPTER", Module, "", "Own message bus")
            .callable()
            .accepted(),
        opt(
            "redisOptions",
            "PARSE_SERVER_LIVEQUERY_REDIS_OPTIONS",
            Object,
            "",
            "Username, password, database and socket.tls, where the URL does not say them",
        )
        .secret(),
        opt(
            "redisURL",
            "PARSE_SERVER_LIVEQUERY_REDIS_URL",
            Text,
            "",
            "Redis through which changes are published",
        )
        .secret(),
        opt(
            "regexTimeout",
            "PARSE_SERVER_LIVEQUERY_REGEX_TIMEOUT",
            Number,
            "100",
            "Milliseconds one regular expression of a subscription may take (here steps are limited)",
        )
        .accepted(),
        opt(
            "sqlChanges",
            "PARSIMONY_LIVE_QUERY_SQL_CHANGES",
            Bool,
            "false",
            "Tell subscribers also of changes that other programs make in the database",
        )
        .ours(),
        opt("wssAdapter", "PARSE_SERVER_LIVEQUERY_WSS_ADAPTER", Module, "", "Own socket implementation")
            .callable()
            .accepted(),
    ],
};

/// `liveQueryServerOptions`.
pub static LIVE_QUERY_SERVER: Group = Group {
    name: "liveQueryServerOptions",
    options: &[
        opt("appId", "PARSE_LIVE_QUERY_SERVER_APP_ID", Text, "", "Application id"),
        opt(
            "cacheTimeout",
            "PARSE_LIVE_QUERY_SERVER_CACHE_TIMEOUT",
            Number,
            "",
            "Milliseconds for which a session is remembered (here cacheTTL counts)",
        )
        .accepted(),
        opt(
            "keyPairs",
            "PARSE_LIVE_QUERY_SERVER_KEY_PAIRS",
            Object,
            "",
            "Keys of which clients must send one",
        )
        .secret(),
        opt(
            "logLevel",
            "PARSE_LIVE_QUERY_SERVER_LOG_LEVEL",
            Text,
            "",
            "Level of the log (here logLevel counts)",
        )
        .accepted(),
        opt("masterKey", "PARSE_LIVE_QUERY_SERVER_MASTER_KEY", Text, "", "Master key").secret(),
        opt(
            "maxAddressBytes",
            "PARSIMONY_LIVE_QUERY_SERVER_MAX_ADDRESS_BYTES",
            Number,
            "134217728",
            "Bytes that the subscriptions of one address may take",
        )
        .ours(),
        opt(
            "maxBytes",
            "PARSIMONY_LIVE_QUERY_SERVER_MAX_BYTES",
            Number,
            "268435456",
            "Bytes that all subscriptions may take",
        )
        .ours(),
        opt(
            "maxClientBytes",
            "PARSIMONY_LIVE_QUERY_SERVER_MAX_CLIENT_BYTES",
            Number,
            "8388608",
            "Bytes that the subscriptions of one client may take",
        )
        .ours(),
        opt(
            "maxConnections",
            "PARSIMONY_LIVE_QUERY_SERVER_MAX_CONNECTIONS",
            Number,
            "50000",
            "Sockets open at a time",
        )
        .ours(),
        opt(
            "maxConnectionsPerAddress",
            "PARSIMONY_LIVE_QUERY_SERVER_MAX_CONNECTIONS_PER_ADDRESS",
            Number,
            "20000",
            "Sockets open at a time from one address (of IPv6, one /64 network)",
        )
        .ours(),
        opt(
            "maxSubscriptionBytes",
            "PARSIMONY_LIVE_QUERY_SERVER_MAX_SUBSCRIPTION_BYTES",
            Number,
            "1048576",
            "Bytes that one subscription may take",
        )
        .ours(),
        opt("port", "PARSE_LIVE_QUERY_SERVER_PORT", Number, "1337", "Port of a live query server of its own"),
        opt("pubSubAdapter", "PARSE_LIVE_QUERY_SERVER_PUB_SUB_ADAPTER", Module, "", "Own message bus")
            .accepted(),
        opt(
            "redisOptions",
            "PARSE_LIVE_QUERY_SERVER_REDIS_OPTIONS",
            Object,
            "",
            "Username, password, database and socket.tls, where the URL does not say them",
        )
        .secret(),
        opt(
            "redisURL",
            "PARSE_LIVE_QUERY_SERVER_REDIS_URL",
            Text,
            "",
            "Redis from which changes are received",
        )
        .secret(),
        opt("serverURL", "PARSE_LIVE_QUERY_SERVER_SERVER_URL", Text, "", "URL of the API"),
        opt(
            "websocketTimeout",
            "PARSE_LIVE_QUERY_SERVER_WEBSOCKET_TIMEOUT",
            Number,
            "",
            "Milliseconds between pings",
        ),
        opt("wssAdapter", "PARSE_LIVE_QUERY_SERVER_WSS_ADAPTER", Module, "", "Own socket implementation")
            .accepted(),
    ],
};
