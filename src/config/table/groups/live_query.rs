//! The groups about live queries.

use crate::config::table::Kind::*;
use crate::config::table::{Group, opt};

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
        opt(
            "appId",
            "PARSE_LIVE_QUERY_SERVER_APP_ID",
            Text,
            "",
            "Application id (here the application's counts)",
        )
        .accepted(),
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
        opt(
            "masterKey",
            "PARSE_LIVE_QUERY_SERVER_MASTER_KEY",
            Text,
            "",
            "Master key (here the application's counts)",
        )
        .secret()
        .accepted(),
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
        opt(
            "serverURL",
            "PARSE_LIVE_QUERY_SERVER_SERVER_URL",
            Text,
            "",
            "URL of the API (here the application's counts)",
        )
        .accepted(),
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
