//! Options of the database, schemas and queries.

use super::Kind::*;
use super::groups::{DATABASE, QUERY, SCHEMA};
use super::{OptionDef, opt};

pub static OPTIONS: &[OptionDef] = &[
    opt(
        "databaseURI",
        "PARSE_SERVER_DATABASE_URI",
        Text,
        "",
        "Postgres:// or mongodb:// URL of the database; without one a private PostgreSQL runs in the data folder",
    )
    .secret()
    .required(),
    opt(
        "databaseOptions",
        "PARSE_SERVER_DATABASE_OPTIONS",
        Object,
        "",
        "Settings of the database driver and of the indexes made at start",
    )
    .group(&DATABASE),
    opt(
        "databaseAdapter",
        "PARSE_SERVER_DATABASE_ADAPTER",
        Module,
        "",
        "Own storage implementation; excludes databaseURI, databaseOptions and collectionPrefix",
    )
    .callable()
    .secret()
    .protects(),
    opt(
        "collectionPrefix",
        "PARSE_SERVER_COLLECTION_PREFIX",
        Text,
        r#""""#,
        "Prefix of the names of collections (MongoDB only)",
    ),
    opt(
        "allowClientClassCreation",
        "PARSE_SERVER_ALLOW_CLIENT_CLASS_CREATION",
        Bool,
        "false",
        "Clients may create classes implicitly",
    ),
    opt(
        "allowCustomObjectId",
        "PARSE_SERVER_ALLOW_CUSTOM_OBJECT_ID",
        Bool,
        "false",
        "Clients may choose objectId",
    ),
    opt("objectIdSize", "PARSE_SERVER_OBJECT_ID_SIZE", Number, "10", "Length of generated ids"),
    opt("schema", "PARSE_SERVER_SCHEMA", Object, "", "Classes defined in the configuration").group(&SCHEMA),
    opt(
        "defaultLimit",
        "PARSE_SERVER_DEFAULT_LIMIT",
        Number,
        "100",
        "Number of objects a query returns when it names no limit",
    ),
    opt("maxLimit", "PARSE_SERVER_MAX_LIMIT", Number, "", "Largest limit of a query"),
    opt("query", "PARSE_SERVER_QUERY", Object, "{}", "Defaults of aggregation queries").group(&QUERY),
    opt(
        "allowAggregationForReadOnlyMasterKey",
        "PARSE_SERVER_ALLOW_AGGREGATION_FOR_READ_ONLY_MASTER_KEY",
        Bool,
        "true",
        "The read-only master key may run aggregations",
    ),
    opt(
        "cacheAdapter",
        "PARSE_SERVER_CACHE_ADAPTER",
        Module,
        "",
        "NullCacheAdapter, InMemoryCacheAdapter (ttl, maxSize) or RedisCacheAdapter (url), whose Redis tells servers of \
         changes that their database cannot tell; others have no effect",
    )
    .callable()
    .secret(),
    opt(
        "cacheTTL",
        "PARSE_SERVER_CACHE_TTL",
        Number,
        "5000",
        "Milliseconds until a cached session or role is read again; 1000 at most while other servers cannot be heard",
    ),
    opt(
        "cacheMaxSize",
        "PARSE_SERVER_CACHE_MAX_SIZE",
        Number,
        "10000",
        "Most entries kept in the memory cache, sessions included",
    ),
    opt(
        "enableCollationCaseComparison",
        "PARSE_SERVER_ENABLE_COLLATION_CASE_COMPARISON",
        Bool,
        "false",
        "Trust the collation of the database for case-insensitive comparison",
    )
    .accepted(),
    opt(
        "protectedFields",
        "PARSE_SERVER_PROTECTED_FIELDS",
        Object,
        r#"{"_User":{"*":["email"]}}"#,
        "Fields hidden from clients, by class and group",
    ),
    opt(
        "protectedFieldsOwnerExempt",
        "PARSE_SERVER_PROTECTED_FIELDS_OWNER_EXEMPT",
        Bool,
        "true",
        "Users see their own protected fields",
    ),
    opt(
        "protectedFieldsSaveResponseExempt",
        "PARSE_SERVER_PROTECTED_FIELDS_SAVE_RESPONSE_EXEMPT",
        Bool,
        "true",
        "Answers to writes contain protected fields",
    ),
    opt(
        "protectedFieldsTriggerExempt",
        "PARSE_SERVER_PROTECTED_FIELDS_TRIGGER_EXEMPT",
        Bool,
        "false",
        "Triggers see protected fields of the stored object",
    ),
    opt(
        "userSensitiveFields",
        "PARSE_SERVER_USER_SENSITIVE_FIELDS",
        List,
        "",
        "Deprecated: fields added to protectedFields of _User",
    ),
    opt(
        "databaseReadURIs",
        "PARSIMONY_DATABASE_READ_URIS",
        List,
        "",
        "postgres:// URLs of read replicas, for queries with a readPreference",
    )
    .secret()
    .ours(),
    opt(
        "databaseListenURI",
        "PARSIMONY_DATABASE_LISTEN_URI",
        Text,
        "",
        "postgres:// URL for LISTEN and NOTIFY when databaseURI goes through a transaction-mode pooler",
    )
    .secret()
    .ours(),
    opt(
        "dataDir",
        "PARSIMONY_DATA_DIR",
        Text,
        r#""./data""#,
        "Folder for what the server itself keeps: private database, development keys, sockets",
    )
    .ours(),
];
