//! Options of the application, its keys and its HTTP front.

use super::Kind::*;
use super::groups::{DASHBOARD, HTTP_LIMITS, IDEMPOTENCY, RATE_LIMIT, REQUEST_COMPLEXITY};
use super::{OptionDef, opt};

pub static OPTIONS: &[OptionDef] = &[
    opt("appId", "PARSE_SERVER_APPLICATION_ID", Text, "", "Application id; every request names it")
        .required(),
    opt("appName", "PARSE_SERVER_APP_NAME", Text, "", "Name of the application in mails and pages"),
    opt("masterKey", "PARSE_SERVER_MASTER_KEY", Text, "", "Key that may do everything")
        .callable()
        .secret()
        .required(),
    opt(
        "masterKeyIps",
        "PARSE_SERVER_MASTER_KEY_IPS",
        List,
        r#"["127.0.0.1","::1"]"#,
        "Addresses and networks from which the master key is accepted",
    ),
    opt(
        "masterKeyTtl",
        "PARSE_SERVER_MASTER_KEY_TTL",
        Number,
        "",
        "Seconds for which the result of a masterKey function is kept",
    ),
    opt(
        "readOnlyMasterKey",
        "PARSE_SERVER_READ_ONLY_MASTER_KEY",
        Text,
        "",
        "Key that may read everything and write nothing",
    )
    .secret(),
    opt(
        "readOnlyMasterKeyIps",
        "PARSE_SERVER_READ_ONLY_MASTER_KEY_IPS",
        List,
        r#"["0.0.0.0/0","::0"]"#,
        "Addresses and networks from which the read-only master key is accepted",
    ),
    opt(
        "maintenanceKey",
        "PARSE_SERVER_MAINTENANCE_KEY",
        Text,
        "",
        "Key that reads and writes internal fields",
    )
    .secret(),
    opt(
        "maintenanceKeyIps",
        "PARSE_SERVER_MAINTENANCE_KEY_IPS",
        List,
        r#"["127.0.0.1","::1"]"#,
        "Addresses and networks from which the maintenance key is accepted",
    ),
    opt("clientKey", "PARSE_SERVER_CLIENT_KEY", Text, "", "Key that Apple clients send").secret(),
    opt("javascriptKey", "PARSE_SERVER_JAVASCRIPT_KEY", Text, "", "Key that JavaScript clients send")
        .secret(),
    opt("restAPIKey", "PARSE_SERVER_REST_API_KEY", Text, "", "Key that REST clients send").secret(),
    opt("dotNetKey", "PARSE_SERVER_DOT_NET_KEY", Text, "", "Key that .NET and Unity clients send").secret(),
    opt("webhookKey", "PARSE_SERVER_WEBHOOK_KEY", Text, "", "Key sent with calls to webhooks").secret(),
    opt("host", "PARSE_SERVER_HOST", Text, r#""0.0.0.0""#, "Address to listen on"),
    opt("port", "PORT", Number, "1337", "Port to listen on"),
    opt(
        "dashboard",
        "PARSIMONY_DASHBOARD",
        Module,
        "",
        "Parse Dashboard, the npm package, served beside the API (docs/dashboard.md): true, or an object; on in a development server",
    )
    .group(&DASHBOARD)
    .ours(),
    opt("mountPath", "PARSE_SERVER_MOUNT_PATH", Text, r#""/parse""#, "Path under which the API is served"),
    opt(
        "serverURL",
        "PARSE_SERVER_URL",
        Text,
        "",
        "URL of the API as Cloud Code calls it; unset: http://localhost:<port><mountPath>",
    )
    .required(),
    opt(
        "publicServerURL",
        "PARSE_PUBLIC_SERVER_URL",
        Text,
        "",
        "URL under which clients reach the API; used in mails, pages and file addresses",
    )
    .callable(),
    opt(
        "verifyServerUrl",
        "PARSE_SERVER_VERIFY_SERVER_URL",
        Bool,
        "true",
        "Call serverURL after the start and warn when it does not answer",
    ),
    opt("allowHeaders", "PARSE_SERVER_ALLOW_HEADERS", List, "", "Extra CORS request headers"),
    opt("allowOrigin", "PARSE_SERVER_ALLOW_ORIGIN", List, "", "CORS origin or list"),
    opt(
        "maxUploadSize",
        "PARSE_SERVER_MAX_UPLOAD_SIZE",
        Text,
        r#""20mb""#,
        "Largest request body, with a unit (b, kb, mb, gb)",
    ),
    opt(
        "trustProxy",
        "PARSE_SERVER_TRUST_PROXY",
        Module,
        "[]",
        "Which proxies are believed about the address of the client: true, a number of hops, or a list of addresses and networks",
    ),
    opt(
        "outboundAllowedNetworks",
        "PARSIMONY_OUTBOUND_ALLOWED_NETWORKS",
        List,
        "[]",
        "Addresses and networks besides the public internet to which URLs of clients may lead",
    )
    .ours(),
    opt(
        "routeAllowList",
        "PARSE_SERVER_ROUTE_ALLOW_LIST",
        List,
        "",
        "Regular expressions of the only paths that clients may call",
    ),
    opt(
        "rateLimit",
        "PARSE_SERVER_RATE_LIMIT",
        List,
        "[]",
        "Limits on the number of requests: an array of rules",
    )
    .group(&RATE_LIMIT),
    opt(
        "idempotencyOptions",
        "PARSE_SERVER_EXPERIMENTAL_IDEMPOTENCY_OPTIONS",
        Object,
        "{}",
        "Refuse requests that were already handled",
    )
    .group(&IDEMPOTENCY),
    opt(
        "requestComplexity",
        "PARSE_SERVER_REQUEST_COMPLEXITY",
        Object,
        "{}",
        "Limits on nested queries, includes, batches and GraphQL; -1 lifts one",
    )
    .group(&REQUEST_COMPLEXITY),
    opt("httpLimits", "PARSIMONY_HTTP_LIMITS", Object, "{}", "Limits on connections and slow transfers")
        .group(&HTTP_LIMITS)
        .ours(),
    opt(
        "requestKeywordDenylist",
        "PARSE_SERVER_REQUEST_KEYWORD_DENYLIST",
        List,
        r#"[{"key":"_bsontype","value":"Code"},{"key":"constructor"},{"key":"__proto__"}]"#,
        "Keys and values refused in written data",
    ),
    opt(
        "enableSanitizedErrorResponse",
        "PARSE_SERVER_ENABLE_SANITIZED_ERROR_RESPONSE",
        Bool,
        "true",
        "Errors that would tell something about data or configuration only say that permission was denied",
    ),
    opt(
        "openApi",
        "PARSIMONY_OPEN_API",
        Text,
        r#""masterKey""#,
        "Who may read openapi.json, the description of the API: masterKey or public",
    )
    .ours(),
    opt(
        "enableExpressErrorHandler",
        "PARSE_SERVER_ENABLE_EXPRESS_ERROR_HANDLER",
        Bool,
        "false",
        "Hand errors to the Express application around parse-server (there is none here)",
    )
    .accepted(),
    opt(
        "middleware",
        "PARSE_SERVER_MIDDLEWARE",
        Text,
        "",
        "Express middleware in front of parse-server (there is no Express here)",
    )
    .callable()
    .protects(),
    opt(
        "requestContextMiddleware",
        "PARSE_SERVER_REQUEST_CONTEXT_MIDDLEWARE",
        Text,
        "",
        "Function called for each request after the session is known",
    )
    .callable(),
    opt(
        "directAccess",
        "PARSE_SERVER_DIRECT_ACCESS",
        Bool,
        "true",
        "Calls from Cloud Code skip HTTP (always so here)",
    )
    .accepted(),
    opt(
        "cluster",
        "PARSE_SERVER_CLUSTER",
        NumberOrBool,
        "",
        "Worker processes in parse-server; here the workers are threads of one process",
    )
    .accepted(),
    opt(
        "compat",
        "PARSIMONY_COMPAT",
        Text,
        "",
        "parse-server-9: the old behaviour of all that an option can switch back (docs/compatibility.md)",
    )
    .ours(),
    opt(
        "serverStartComplete",
        "PARSE_SERVER_SERVER_START_COMPLETE",
        Text,
        "",
        "Function called once requests are let in, as in older versions",
    )
    .callable()
    .ours(),
    opt(
        "serverCloseComplete",
        "PARSE_SERVER_SERVER_CLOSE_COMPLETE",
        Text,
        "",
        "Function called after the shutdown",
    )
    .callable(),
    opt(
        "allowIncomplete",
        "PARSIMONY_ALLOW_INCOMPLETE",
        Bool,
        "false",
        "Start although an option that protects something is set and not effective yet",
    )
    .ours(),
];
