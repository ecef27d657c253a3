//! The groups about the database and what is asked of it.

use crate::config::table::Kind::*;
use crate::config::table::{Group, opt};

/// `databaseOptions`.
pub static DATABASE: Group = Group {
    name: "databaseOptions",
    options: &[
        opt(
            "allowPublicExplain",
            "PARSE_SERVER_DATABASE_ALLOW_PUBLIC_EXPLAIN",
            Bool,
            "false",
            "Clients without the master key may ask for query plans",
        ),
        opt("appName", "PARSE_SERVER_DATABASE_APP_NAME", Text, "", "Name told to the server (MongoDB)"),
        opt(
            "authMechanism",
            "PARSE_SERVER_DATABASE_AUTH_MECHANISM",
            Text,
            "",
            "Authentication mechanism (MongoDB)",
        ),
        opt(
            "authMechanismProperties",
            "PARSE_SERVER_DATABASE_AUTH_MECHANISM_PROPERTIES",
            Object,
            "",
            "Properties of the authentication mechanism (MongoDB)",
        )
        .secret(),
        opt(
            "authSource",
            "PARSE_SERVER_DATABASE_AUTH_SOURCE",
            Text,
            "",
            "Database that knows the user (MongoDB)",
        ),
        opt(
            "autoSelectFamily",
            "PARSE_SERVER_DATABASE_AUTO_SELECT_FAMILY",
            Bool,
            "",
            "Try IPv4 and IPv6 together (MongoDB)",
        )
        .accepted(),
        opt(
            "autoSelectFamilyAttemptTimeout",
            "PARSE_SERVER_DATABASE_AUTO_SELECT_FAMILY_ATTEMPT_TIMEOUT",
            Number,
            "",
            "Milliseconds for each such try (MongoDB)",
        )
        .accepted(),
        opt(
            "batchSize",
            "PARSE_SERVER_DATABASE_BATCH_SIZE",
            Number,
            "1000",
            "Rows fetched from a cursor at a time (MongoDB)",
        ),
        opt(
            "clientMetadata",
            "PARSE_SERVER_DATABASE_CLIENT_METADATA",
            Object,
            "",
            "Name and version told to the MongoDB server",
        )
        .group(&CLIENT_METADATA),
        opt("compressors", "PARSE_SERVER_DATABASE_COMPRESSORS", Text, "", "Compressions offered (MongoDB)")
            .accepted(),
        opt(
            "connectTimeoutMS",
            "PARSE_SERVER_DATABASE_CONNECT_TIMEOUT_MS",
            Number,
            "",
            "Milliseconds a connection attempt may take (MongoDB)",
        ),
        opt(
            "createIndexAuthDataUniqueness",
            "PARSE_SERVER_DATABASE_CREATE_INDEX_AUTH_DATA_UNIQUENESS",
            Bool,
            "true",
            "Unique index on the ids of login providers",
        ),
        opt(
            "createIndexRoleName",
            "PARSE_SERVER_DATABASE_CREATE_INDEX_ROLE_NAME",
            Bool,
            "true",
            "Unique index on _Role.name",
        ),
        opt(
            "createIndexUserEmail",
            "PARSE_SERVER_DATABASE_CREATE_INDEX_USER_EMAIL",
            Bool,
            "true",
            "Unique index on _User.email",
        ),
        opt(
            "createIndexUserEmailCaseInsensitive",
            "PARSE_SERVER_DATABASE_CREATE_INDEX_USER_EMAIL_CASE_INSENSITIVE",
            Bool,
            "true",
            "Case-insensitive index on _User.email",
        ),
        opt(
            "createIndexUserEmailVerifyToken",
            "PARSE_SERVER_DATABASE_CREATE_INDEX_USER_EMAIL_VERIFY_TOKEN",
            Bool,
            "true",
            "Index on verification tokens",
        ),
        opt(
            "createIndexUserPasswordResetToken",
            "PARSE_SERVER_DATABASE_CREATE_INDEX_USER_PASSWORD_RESET_TOKEN",
            Bool,
            "true",
            "Index on password reset tokens",
        ),
        opt(
            "createIndexUserUsername",
            "PARSE_SERVER_DATABASE_CREATE_INDEX_USER_USERNAME",
            Bool,
            "true",
            "Unique index on _User.username",
        ),
        opt(
            "createIndexUserUsernameCaseInsensitive",
            "PARSE_SERVER_DATABASE_CREATE_INDEX_USER_USERNAME_CASE_INSENSITIVE",
            Bool,
            "true",
            "Case-insensitive index on _User.username",
        ),
        opt(
            "autoIndex",
            "",
            Bool,
            "true",
            "Build the indexes that near, area and text queries on large classes miss (PostgreSQL)",
        )
        .ours(),
        opt(
            "directConnection",
            "PARSE_SERVER_DATABASE_DIRECT_CONNECTION",
            Bool,
            "",
            "Talk to this server only (MongoDB)",
        ),
        opt(
            "disableIndexFieldValidation",
            "PARSE_SERVER_DATABASE_DISABLE_INDEX_FIELD_VALIDATION",
            Bool,
            "",
            "Indexes may name fields the schema does not have",
        ),
        opt(
            "enableSchemaHooks",
            "PARSE_SERVER_DATABASE_ENABLE_SCHEMA_HOOKS",
            Bool,
            "false",
            "Follow schema changes of other servers (always so here)",
        )
        .accepted(),
        opt(
            "forceServerObjectId",
            "PARSE_SERVER_DATABASE_FORCE_SERVER_OBJECT_ID",
            Bool,
            "",
            "The server makes _id values (MongoDB)",
        )
        .accepted(),
        opt(
            "heartbeatFrequencyMS",
            "PARSE_SERVER_DATABASE_HEARTBEAT_FREQUENCY_MS",
            Number,
            "",
            "Milliseconds between checks of the servers (MongoDB)",
        ),
        opt(
            "loadBalanced",
            "PARSE_SERVER_DATABASE_LOAD_BALANCED",
            Bool,
            "",
            "Behind a load balancer (MongoDB)",
        ),
        opt(
            "localThresholdMS",
            "PARSE_SERVER_DATABASE_LOCAL_THRESHOLD_MS",
            Number,
            "",
            "Latency window of server selection (MongoDB)",
        ),
        opt(
            "logClientEvents",
            "PARSE_SERVER_DATABASE_LOG_CLIENT_EVENTS",
            List,
            "",
            "Driver events to log (MongoDB)",
        )
        .group(&LOG_CLIENT_EVENT),
        opt(
            "maxConnecting",
            "PARSE_SERVER_DATABASE_MAX_CONNECTING",
            Number,
            "",
            "Connections opened at a time (MongoDB)",
        ),
        opt(
            "maxIdleTimeMS",
            "PARSE_SERVER_DATABASE_MAX_IDLE_TIME_MS",
            Number,
            "",
            "Milliseconds an idle connection is kept (MongoDB)",
        ),
        opt(
            "maxPoolSize",
            "PARSE_SERVER_DATABASE_MAX_POOL_SIZE",
            Number,
            "",
            "Most connections in the pool (MongoDB)",
        ),
        opt(
            "maxStalenessSeconds",
            "PARSE_SERVER_DATABASE_MAX_STALENESS_SECONDS",
            Number,
            "",
            "How far a secondary may be behind (MongoDB)",
        ),
        opt(
            "maxTimeMS",
            "PARSE_SERVER_DATABASE_MAX_TIME_MS",
            Number,
            "",
            "Milliseconds one operation on objects may take in the database, where that is less than statementTimeout",
        ),
        opt(
            "minPoolSize",
            "PARSE_SERVER_DATABASE_MIN_POOL_SIZE",
            Number,
            "",
            "Fewest connections in the pool (MongoDB)",
        ),
        opt("proxyHost", "PARSE_SERVER_DATABASE_PROXY_HOST", Text, "", "SOCKS5 proxy host (MongoDB)")
            .accepted(),
        opt(
            "proxyPassword",
            "PARSE_SERVER_DATABASE_PROXY_PASSWORD",
            Text,
            "",
            "SOCKS5 proxy password (MongoDB)",
        )
        .secret()
        .accepted(),
        opt("proxyPort", "PARSE_SERVER_DATABASE_PROXY_PORT", Number, "", "SOCKS5 proxy port (MongoDB)")
            .accepted(),
        opt("proxyUsername", "PARSE_SERVER_DATABASE_PROXY_USERNAME", Text, "", "SOCKS5 proxy user (MongoDB)")
            .accepted(),
        opt(
            "readConcernLevel",
            "PARSE_SERVER_DATABASE_READ_CONCERN_LEVEL",
            Text,
            "",
            "Read concern (MongoDB)",
        ),
        opt(
            "readPreference",
            "PARSE_SERVER_DATABASE_READ_PREFERENCE",
            Text,
            "",
            "Which servers are read from (MongoDB)",
        ),
        opt(
            "readPreferenceTags",
            "PARSE_SERVER_DATABASE_READ_PREFERENCE_TAGS",
            List,
            "",
            "Tags of servers that are read from (MongoDB)",
        ),
        opt("replicaSet", "PARSE_SERVER_DATABASE_REPLICA_SET", Text, "", "Name of the replica set (MongoDB)"),
        opt("retryReads", "PARSE_SERVER_DATABASE_RETRY_READS", Bool, "", "Repeat failed reads (MongoDB)"),
        opt("retryWrites", "PARSE_SERVER_DATABASE_RETRY_WRITES", Bool, "", "Repeat failed writes (MongoDB)"),
        opt(
            "schemaCacheTtl",
            "PARSE_SERVER_DATABASE_SCHEMA_CACHE_TTL",
            Number,
            "",
            "Milliseconds until a class's schema is read again, told of a change or not; unset or 0: when it changes",
        ),
        opt(
            "serverMonitoringMode",
            "PARSE_SERVER_DATABASE_SERVER_MONITORING_MODE",
            Text,
            "",
            "How servers are watched (MongoDB)",
        ),
        opt(
            "serverSelectionTimeoutMS",
            "PARSE_SERVER_DATABASE_SERVER_SELECTION_TIMEOUT_MS",
            Number,
            "",
            "Milliseconds to find a server (MongoDB)",
        ),
        opt(
            "socketTimeoutMS",
            "PARSE_SERVER_DATABASE_SOCKET_TIMEOUT_MS",
            Number,
            "",
            "Milliseconds without an answer (MongoDB)",
        )
        .accepted(),
        opt(
            "srvMaxHosts",
            "PARSE_SERVER_DATABASE_SRV_MAX_HOSTS",
            Number,
            "",
            "Most hosts taken from DNS (MongoDB)",
        ),
        opt(
            "srvServiceName",
            "PARSE_SERVER_DATABASE_SRV_SERVICE_NAME",
            Text,
            "",
            "Service name in DNS (MongoDB)",
        ),
        opt(
            "ssl",
            "PARSE_SERVER_DATABASE_SSL",
            Bool,
            "",
            "Use TLS; for PostgreSQL also an object: rejectUnauthorized, and the files ca, cert, key",
        ),
        opt("tls", "PARSE_SERVER_DATABASE_TLS", Bool, "", "Use TLS (MongoDB)"),
        opt(
            "tlsAllowInvalidCertificates",
            "PARSE_SERVER_DATABASE_TLS_ALLOW_INVALID_CERTIFICATES",
            Bool,
            "",
            "Accept any certificate (MongoDB)",
        ),
        opt(
            "tlsAllowInvalidHostnames",
            "PARSE_SERVER_DATABASE_TLS_ALLOW_INVALID_HOSTNAMES",
            Bool,
            "",
            "Accept certificates of other hosts (MongoDB)",
        )
        .accepted(),
        opt(
            "tlsCAFile",
            "PARSE_SERVER_DATABASE_TLS_CAFILE",
            Text,
            "",
            "File with trusted certificates (MongoDB)",
        ),
        opt(
            "tlsCertificateKeyFile",
            "PARSE_SERVER_DATABASE_TLS_CERTIFICATE_KEY_FILE",
            Text,
            "",
            "File with certificate and key (MongoDB)",
        ),
        opt(
            "tlsCertificateKeyFilePassword",
            "PARSE_SERVER_DATABASE_TLS_CERTIFICATE_KEY_FILE_PASSWORD",
            Text,
            "",
            "Password of that file (MongoDB)",
        )
        .secret()
        .accepted(),
        opt("tlsInsecure", "PARSE_SERVER_DATABASE_TLS_INSECURE", Bool, "", "Check no certificates (MongoDB)"),
        opt(
            "waitQueueTimeoutMS",
            "PARSE_SERVER_DATABASE_WAIT_QUEUE_TIMEOUT_MS",
            Number,
            "",
            "Milliseconds to wait for a connection (MongoDB)",
        )
        .accepted(),
        opt(
            "zlibCompressionLevel",
            "PARSE_SERVER_DATABASE_ZLIB_COMPRESSION_LEVEL",
            Number,
            "",
            "Compression level of zlib (MongoDB)",
        )
        .accepted(),
        opt(
            "preparedStatements",
            "",
            Bool,
            "true",
            "Keep prepared statements; false behind a transaction-mode pooler",
        )
        .ours(),
        opt("slowQueryMS", "", Number, "", "Milliseconds from which on an operation on objects is logged")
            .ours(),
        opt("statementTimeout", "", Number, "30000", "Milliseconds one statement may take; 0 for no limit")
            .ours(),
        opt("poolSize", "", Number, "", "Most connections; the same as max (PostgreSQL)").ours(),
        opt("max", "", Number, "", "Most connections (PostgreSQL)").ours(),
        opt("client_encoding", "", Text, "", "Encoding of the connection (PostgreSQL)").accepted().ours(),
        opt("application_name", "", Text, "", "Name shown in pg_stat_activity (PostgreSQL)").ours(),
        opt(
            "fallback_application_name",
            "",
            Text,
            "",
            "The same, when application_name is not set (PostgreSQL)",
        )
        .ours(),
        opt(
            "query_timeout",
            "",
            Number,
            "",
            "Milliseconds one query may take, where that is less than statementTimeout",
        )
        .ours(),
        opt("idleTimeoutMillis", "", Number, "", "Milliseconds an idle connection is kept (PostgreSQL)")
            .ours(),
        opt("keepAlive", "", Bool, "", "TCP keep-alive (PostgreSQL)").ours(),
        opt("binary", "", Bool, "", "Binary results (PostgreSQL; always so here)").accepted().ours(),
        opt("initOptions", "", Object, "", "Settings of the pg-promise library").accepted().ours(),
        opt("pgOptions", "", Object, "", "Settings of the pg library").accepted().ours(),
    ],
};

/// `databaseOptions.clientMetadata`.
pub static CLIENT_METADATA: Group = Group {
    name: "databaseOptions.clientMetadata",
    options: &[
        opt("name", "PARSE_SERVER_DATABASE_CLIENT_METADATA_NAME", Text, "", "Name of the client").required(),
        opt("version", "PARSE_SERVER_DATABASE_CLIENT_METADATA_VERSION", Text, "", "Version of the client")
            .required(),
    ],
};

/// One entry of `databaseOptions.logClientEvents`.
pub static LOG_CLIENT_EVENT: Group = Group {
    name: "databaseOptions.logClientEvents",
    options: &[
        opt(
            "keys",
            "PARSE_SERVER_DATABASE_LOG_CLIENT_EVENTS_KEYS",
            List,
            "",
            "Paths of the event that are logged",
        ),
        opt(
            "logLevel",
            "PARSE_SERVER_DATABASE_LOG_CLIENT_EVENTS_LOG_LEVEL",
            Text,
            r#""info""#,
            "Level at which it is logged",
        ),
        opt("name", "PARSE_SERVER_DATABASE_LOG_CLIENT_EVENTS_NAME", Text, "", "Name of the event").required(),
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
