//! Options of logs and of the security check.

use super::Kind::*;
use super::groups::{LOG_LEVELS, METRICS, SECURITY};
use super::{OptionDef, opt};

pub static OPTIONS: &[OptionDef] = &[
    opt(
        "logLevel",
        "PARSE_SERVER_LOG_LEVEL",
        Text,
        "",
        "Least level that is logged: error, warn, info, debug, verbose, silly or silent",
    ),
    opt("logLevels", "PARSE_SERVER_LOG_LEVELS", Object, "{}", "Levels at which certain events are logged")
        .group(&LOG_LEVELS),
    opt("logsFolder", "PARSE_SERVER_LOGS_FOLDER", Text, r#""./logs""#, "Folder of log files; null for none"),
    opt(
        "maxLogFiles",
        "PARSE_SERVER_MAX_LOG_FILES",
        NumberOrText,
        "",
        "Number of log files of each kind kept, or days with the suffix d; at least 2, all without",
    ),
    opt("jsonLogs", "JSON_LOGS", Bool, "", "Log lines are JSON objects"),
    opt("silent", "SILENT", Bool, "", "Nothing is written to the console"),
    opt("verbose", "VERBOSE", Bool, "", "Log requests and answers"),
    opt("loggerAdapter", "PARSE_SERVER_LOGGER_ADAPTER", Module, "", "Own logger implementation")
        .callable()
        .accepted(),
    opt("security", "PARSE_SERVER_SECURITY", Object, "{}", "Security checks").group(&SECURITY),
    opt("logFormat", "PARSIMONY_LOG_FORMAT", Text, "", "text or json; json is the same as jsonLogs").ours(),
    opt(
        "metrics",
        "PARSIMONY_METRICS",
        Module,
        "",
        "Figures of the server for Prometheus (docs/metrics.md): true, or an object; on in a development server, for its own machine",
    )
    .group(&METRICS)
    .ours(),
];
