//! Options of files, push, live queries, Cloud Code and GraphQL.

use super::Kind::*;
use super::groups::{FILE_DOWNLOAD, FILE_UPLOAD, LIVE_QUERY, LIVE_QUERY_SERVER, PRIVATE_FILES};
use super::{OptionDef, opt};

pub static OPTIONS: &[OptionDef] = &[
    opt(
        "filesAdapter",
        "PARSE_SERVER_FILES_ADAPTER",
        Module,
        "",
        "Where files are stored: a built-in store with options, or a module",
    )
    .callable()
    .secret(),
    opt("fileKey", "PARSE_SERVER_FILE_KEY", Text, "", "Prefix of files hosted by the former Parse.com")
        .secret(),
    opt(
        "encryptionKey",
        "PARSE_SERVER_ENCRYPTION_KEY",
        Text,
        "",
        "Secret with which stored files are encrypted",
    )
    .secret(),
    opt(
        "preserveFileName",
        "PARSE_SERVER_PRESERVE_FILE_NAME",
        Bool,
        "false",
        "Stored files keep their names, without a random prefix",
    ),
    opt("fileUpload", "PARSE_SERVER_FILE_UPLOAD_OPTIONS", Object, "{}", "Who may upload which files")
        .group(&FILE_UPLOAD),
    opt("fileDownload", "PARSE_SERVER_FILE_DOWNLOAD_OPTIONS", Object, "{}", "Who may download files")
        .group(&FILE_DOWNLOAD),
    opt(
        "privateFiles",
        "PARSIMONY_PRIVATE_FILES",
        Object,
        "",
        "Files that can be read only by signed addresses; setting a secret turns it on",
    )
    .group(&PRIVATE_FILES)
    .ours(),
    opt("push", "PARSE_SERVER_PUSH", Object, "", "Push senders (docs/push.md)").secret(),
    opt(
        "scheduledPush",
        "PARSE_SERVER_SCHEDULED_PUSH",
        Bool,
        "false",
        "Pushes with a push_time are kept and sent then, and those with a cron expression again and again",
    ),
    opt(
        "liveQuery",
        "PARSE_SERVER_LIVE_QUERY",
        Object,
        "",
        "Which classes publish live queries, and through what",
    )
    .group(&LIVE_QUERY),
    opt(
        "liveQueryServerOptions",
        "PARSE_SERVER_LIVE_QUERY_SERVER_OPTIONS",
        Object,
        "",
        "Settings of the live query server; setting them starts it",
    )
    .group(&LIVE_QUERY_SERVER),
    opt(
        "startLiveQueryServer",
        "PARSE_SERVER_START_LIVE_QUERY_SERVER",
        Bool,
        "",
        "Serve live queries on the same port",
    ),
    opt("cloud", "PARSE_SERVER_CLOUD", Text, "", "Cloud Code: the main file").callable(),
    opt("analyticsAdapter", "PARSE_SERVER_ANALYTICS_ADAPTER", Module, "", "Where analytics events go")
        .callable(),
    opt(
        "enableProductPurchaseLegacyApi",
        "PARSE_SERVER_ENABLE_PRODUCT_PURCHASE_LEGACY_API",
        Bool,
        "true",
        "Deprecated: serve /validate_purchase",
    ),
    opt("mountGraphQL", "PARSE_SERVER_MOUNT_GRAPHQL", Bool, "false", "Serve the GraphQL API"),
    opt("graphQLPath", "PARSE_SERVER_GRAPHQL_PATH", Text, r#""/graphql""#, "Path of the GraphQL API"),
    opt(
        "graphQLPublicIntrospection",
        "PARSE_SERVER_GRAPHQL_PUBLIC_INTROSPECTION",
        Bool,
        "false",
        "Everybody may read the GraphQL schema",
    ),
    opt(
        "graphQLSchema",
        "PARSE_SERVER_GRAPH_QLSCHEMA",
        Text,
        "",
        "File with additions to the GraphQL schema; in JavaScript also a GraphQLSchema or a function",
    ),
    opt(
        "graphQLPersistedQueries",
        "PARSIMONY_GRAPHQL_PERSISTED_QUERIES",
        Text,
        "",
        "File of the only GraphQL documents that clients may send",
    )
    .ours(),
    opt(
        "graphQLSubscriptions",
        "PARSIMONY_GRAPHQL_SUBSCRIPTIONS",
        Bool,
        "false",
        "Offer live queries as GraphQL subscriptions",
    )
    .ours(),
    opt(
        "mountPlayground",
        "PARSE_SERVER_MOUNT_PLAYGROUND",
        Bool,
        "false",
        "Serve a page to try the GraphQL API",
    ),
    opt(
        "playgroundPath",
        "PARSE_SERVER_PLAYGROUND_PATH",
        Text,
        r#""/playground""#,
        "Path of the GraphQL page",
    ),
    opt("cloudWorkers", "PARSIMONY_CLOUD_WORKERS", Number, "1", "Number of Cloud Code processes").ours(),
    opt(
        "cloudTimeout",
        "PARSIMONY_CLOUD_TIMEOUT",
        Number,
        "30000",
        "Milliseconds a call into Cloud Code may take; 0 for no limit",
    )
    .ours(),
    opt(
        "cloudTransactionTimeout",
        "PARSIMONY_CLOUD_TRANSACTION_TIMEOUT",
        Number,
        "20000",
        "Milliseconds a transaction may be open while Cloud Code or a webhook runs in it; 0 for no limit of its own",
    )
    .ours(),
    opt(
        "cloudStallTimeout",
        "PARSIMONY_CLOUD_STALL_TIMEOUT",
        Number,
        "5000",
        "Milliseconds after which a Cloud Code process that does not react is replaced, at most half of cloudTimeout; 0 for never",
    )
    .ours(),
    opt(
        "jobSchedules",
        "PARSIMONY_JOB_SCHEDULES",
        Bool,
        "false",
        "Run the job schedules that the dashboard keeps; leave it off where another program runs them",
    )
    .ours(),
    opt(
        "jobSchedulesMissed",
        "PARSIMONY_JOB_SCHEDULES_MISSED",
        Text,
        r#""once""#,
        "What becomes of runs that were due while no server ran: \"once\" makes up for the latest, \"skip\" for none",
    )
    .ours(),
    opt("watch", "PARSIMONY_WATCH", Bool, "false", "Load Cloud Code again when its files change").ours(),
    opt("liveQueryOnly", "PARSIMONY_LIVE_QUERY_ONLY", Bool, "false", "Serve live queries and nothing else")
        .ours(),
];
