//! The groups for those who operate a server: metrics, dashboard, security check, log levels.

use crate::config::table::Kind::*;
use crate::config::table::{Group, OptionDef, opt};

pub static METRICS: Group = Group { name: "metrics", options: METRICS_OPTIONS };

const METRICS_OPTIONS: &[OptionDef] = &[
    opt("path", "", Text, r#""/metrics""#, "Path of the page").ours(),
    opt("port", "", Number, "", "A port for the page alone; unset: the port of the API").ours(),
    opt("host", "", Text, r#""127.0.0.1""#, "Address that port listens on").ours(),
    opt(
        "allowedNetworks",
        "",
        List,
        "",
        "Addresses and networks that may read the page without a key; unset: this machine where the page has a port of its own, nobody otherwise",
    )
    .ours(),
    opt("key", "", Text, "", "Key that may read the page and nothing else, sent as Authorization: Bearer")
        .secret()
        .ours(),
];

pub static DASHBOARD: Group = Group { name: "dashboard", options: DASHBOARD_OPTIONS };

const DASHBOARD_OPTIONS: &[OptionDef] = &[
    opt("path", "", Text, r#""/dashboard""#, "Path under which it is served").ours(),
    opt(
        "users",
        "",
        List,
        "",
        "Who may log in: user, pass, apps, readOnly, mfa; unset: whoever has the link of the log, on the machine of the server",
    )
    .secret()
    .ours(),
    opt("useEncryptedPasswords", "", Bool, "false", "Passwords of users are bcrypt hashes").ours(),
    opt(
        "apps",
        "",
        List,
        "",
        "What the dashboard shows of an application, by appId: appName, iconName, production, columnPreference, scripts, …; applications of other servers with their keys",
    )
    .secret()
    .ours(),
    opt("trustProxy", "", Bool, "false", "Believe X-Forwarded-Proto and X-Forwarded-Host, whoever sends them").ours(),
    opt("cookieSessionSecret", "", Text, "", "Signs the cookies of sessions; unset: random at each start")
        .secret()
        .ours(),
    opt("cookieSessionMaxAge", "", Number, "", "Milliseconds for which a session lasts; unset: until the browser is closed").ours(),
    opt("iconsFolder", "", Text, "", "Folder of the icons that apps name").ours(),
    opt("enableResourceCache", "", Bool, "false", "Browsers keep the dashboard's files in a cache").ours(),
    opt("agent", "", Object, "", "Models of the dashboard's agent").secret().ours(),
    opt("memoryLimit", "", Number, "256", "Megabytes of heap for its process").ours(),
];

/// `security`.
pub static SECURITY: Group = Group {
    name: "security",
    options: &[
        opt("checkGroups", "PARSE_SERVER_SECURITY_CHECK_GROUPS", List, "", "Checks of your own").callable(),
        opt("enableCheck", "PARSE_SERVER_SECURITY_ENABLE_CHECK", Bool, "false", "Serve /security"),
        opt(
            "enableCheckLog",
            "PARSE_SERVER_SECURITY_ENABLE_CHECK_LOG",
            Bool,
            "false",
            "Log the report at the start",
        ),
    ],
};

/// `logLevels`.
pub static LOG_LEVELS: Group = Group {
    name: "logLevels",
    options: &[
        opt(
            "cloudFunctionError",
            "PARSE_SERVER_LOG_LEVELS_CLOUD_FUNCTION_ERROR",
            Text,
            r#""error""#,
            "Cloud functions that failed",
        ),
        opt(
            "cloudFunctionSuccess",
            "PARSE_SERVER_LOG_LEVELS_CLOUD_FUNCTION_SUCCESS",
            Text,
            r#""info""#,
            "Cloud functions that succeeded",
        ),
        opt(
            "signupUsernameTaken",
            "PARSE_SERVER_LOG_LEVELS_SIGNUP_USERNAME_TAKEN",
            Text,
            r#""info""#,
            "Sign-ups with a name that is taken",
        )
        .accepted(),
        opt(
            "triggerAfter",
            "PARSE_SERVER_LOG_LEVELS_TRIGGER_AFTER",
            Text,
            r#""info""#,
            "Triggers that run afterwards",
        ),
        opt(
            "triggerBeforeError",
            "PARSE_SERVER_LOG_LEVELS_TRIGGER_BEFORE_ERROR",
            Text,
            r#""error""#,
            "Triggers that refused",
        ),
        opt(
            "triggerBeforeSuccess",
            "PARSE_SERVER_LOG_LEVELS_TRIGGER_BEFORE_SUCCESS",
            Text,
            r#""info""#,
            "Triggers that agreed",
        ),
    ],
};
