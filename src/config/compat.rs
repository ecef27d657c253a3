//! Option `compat`: the old behaviour of everything that an option can switch back (docs/compatibility.md, *back:*).
//!
//! It only gives values to options that nobody set. What stands for security or safety of data stays as it is, with a
//! switch or without; the start says how much that is.

use serde_json::{Map, Value, json};

use super::error::ConfigError;
use super::reader::Reader;

/// The one value of the option.
const PARSE_SERVER_9: &str = "parse-server-9";

/// The page that lists what differs.
const PAGE: &str = include_str!("../../docs/compatibility.md");

/// Where limits have no value for "none": more than there can be.
const SOCKETS: u64 = 1_000_000;
const BYTES: u64 = 1 << 40;

/// What parse-server 9 does, by the path of the option.
fn old_values() -> [(&'static str, &'static str, Value); 25] {
    [
        ("requestComplexity", "includeDepth", json!(-1)),
        ("requestComplexity", "includeCount", json!(-1)),
        ("requestComplexity", "subqueryDepth", json!(-1)),
        ("requestComplexity", "queryDepth", json!(-1)),
        ("requestComplexity", "batchRequestLimit", json!(-1)),
        ("requestComplexity", "graphQLDepth", json!(-1)),
        ("requestComplexity", "graphQLFields", json!(-1)),
        ("requestComplexity", "responseBytes", json!(-1)),
        ("requestComplexity", "responseObjects", json!(-1)),
        ("requestComplexity", "masterResponseBytes", json!(-1)),
        ("requestComplexity", "masterResponseObjects", json!(-1)),
        ("httpLimits", "minimumRate", json!(0)),
        ("httpLimits", "maxConnections", json!(-1)),
        ("httpLimits", "maxConnectionsPerAddress", json!(-1)),
        ("httpLimits", "maxRequests", json!(1_000_000)),
        ("liveQueryServerOptions", "maxConnections", json!(SOCKETS)),
        ("liveQueryServerOptions", "maxConnectionsPerAddress", json!(SOCKETS)),
        ("liveQueryServerOptions", "maxSubscriptionBytes", json!(BYTES)),
        ("liveQueryServerOptions", "maxClientBytes", json!(BYTES)),
        ("liveQueryServerOptions", "maxAddressBytes", json!(BYTES)),
        ("liveQueryServerOptions", "maxBytes", json!(BYTES)),
        ("databaseOptions", "statementTimeout", json!(0)),
        ("databaseOptions", "autoIndex", json!(false)),
        ("", "cloudTimeout", json!(0)),
        ("", "cloudStallTimeout", json!(0)),
    ]
}

/// Whether there are live queries. Their options alone, once they are there, start them.
fn has_live_queries(options: &Map<String, Value>) -> bool {
    let is_on = |name: &str| options.get(name) == Some(&Value::Bool(true));
    let is_set = options.get("liveQueryServerOptions").is_some_and(|group| !group.is_null());
    is_set || is_on("startLiveQueryServer") || is_on("liveQueryOnly")
}

/// Options, and how many of them were set here.
type Applied = (Map<String, Value>, usize);

/// The options with the old values where nothing was set, and how many those are; `None` without the option.
///
/// # Errors
/// For another value than `parse-server-9`.
pub(super) fn applied(options: &Map<String, Value>) -> Result<Option<Applied>, ConfigError> {
    let reader = Reader::new(options);
    match reader.text("compat")?.as_deref() {
        None | Some("") => return Ok(None),
        Some(PARSE_SERVER_9) => {}
        Some(_) => {
            return Err(reader.fail("compat", format!("compat must be \"{PARSE_SERVER_9}\" or left away.")));
        }
    }
    let mut all = options.clone();
    let mut count = 0;
    let is_live = has_live_queries(options);
    let uri = options.get("databaseURI").and_then(Value::as_str).unwrap_or_default();
    // The URL may have one, which an option would come before.
    let has_timeout = ["query_timeout=", "statement_timeout="].iter().any(|name| uri.contains(name));
    let wanted = |group: &str, name: &str| match group {
        "liveQueryServerOptions" => is_live,
        _ => name != "statementTimeout" || !has_timeout,
    };
    for (group, name, value) in old_values().into_iter().filter(|(group, name, _)| wanted(group, name)) {
        let place = if group.is_empty() {
            Some(&mut all)
        } else {
            let group = all.entry(group).or_insert_with(|| Value::Object(Map::new()));
            if group.is_null() {
                *group = Value::Object(Map::new());
            }
            // Anything else is refused where it is read.
            group.as_object_mut()
        };
        if let Some(place) = place
            && place.get(name).is_none_or(Value::is_null)
        {
            place.insert(name.to_owned(), value);
            count += 1;
        }
    }
    Ok(Some((all, count)))
}

/// How many rows the page has: deliberate differences, known gaps.
fn listed() -> (usize, usize) {
    let rows = |heading: &str| {
        let section = PAGE.split("\n## ").find_map(|section| section.strip_prefix(heading));
        section.map_or(0, |section| {
            section.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| Area ")).count()
        })
    };
    (rows("Deliberate differences"), rows("Known gaps"))
}

/// What the start says of the differences that are left.
pub(super) fn notice(options: &Map<String, Value>) -> String {
    let (deliberate, gaps) = listed();
    let back = match applied(options) {
        Ok(Some((_, count))) => format!("; compat gave {count} options the values of parse-server 9"),
        _ => String::new(),
    };
    format!(
        "Parse Server 9.10.0 is the reference: {deliberate} deliberate differences and {gaps} known gaps are listed in \
         docs/compatibility.md{back}."
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::AppConfig;

    #[test]
    fn the_old_behaviour_is_one_option() {
        let config = AppConfig::for_tests(json!({"compat": "parse-server-9", "cloudTimeout": 5}));
        assert_eq!(config.request_complexity.include_depth, None);
        assert_eq!(config.request_complexity.response.bytes, None);
        assert_eq!(config.http.limits.minimum_rate, 0);
        assert_eq!(config.http.limits.max_connections_per_address, None);
        let own = json!({"compat": "parse-server-9", "requestComplexity": {"includeDepth": 3}});
        assert_eq!(AppConfig::for_tests(own).request_complexity.include_depth, Some(3));
        assert_eq!(AppConfig::for_tests(json!({})).request_complexity.include_depth, Some(10));
        let all = json!({"appId": "a", "masterKey": "m", "compat": "parse-server-3"});
        assert_eq!(AppConfig::from_json(all).unwrap_err().option, "compat");
    }

    #[test]
    fn live_queries_are_not_started_by_their_limits() {
        let config = AppConfig::for_tests(json!({"compat": "parse-server-9"}));
        assert!(!config.live_query_server.enabled);
        let config = AppConfig::for_tests(json!({"compat": "parse-server-9", "startLiveQueryServer": true}));
        assert_eq!(config.live_query_server.max_connections, SOCKETS);
        let own = json!({"compat": "parse-server-9", "liveQueryServerOptions": {"maxBytes": 7}});
        let server = AppConfig::for_tests(own).live_query_server;
        assert_eq!((server.max_bytes, server.max_client_bytes), (7, BYTES));
    }

    /// Options that bring something back and are not set here, and why.
    const BY_HAND: [(&str, &str); 13] = [
        ("databaseURI", "names a database"),
        ("allowIncomplete", "is a decision about security"),
        ("appId", "is there once anything is configured"),
        ("masterKey", "is there once anything is configured"),
        ("dashboard", "is off once anything is configured"),
        ("metrics", "is off once anything is configured"),
        ("requestKeywordDenylist", "stands for security"),
        ("liveQuery.redisURL", "names a service"),
        ("filesAdapter", "names a store"),
        ("fileUpload.fileExtensions", "stands for security"),
        ("databaseOptions.createIndexUserUsernameCaseInsensitive", "stands for safety of data"),
        ("databaseOptions.createIndexUserEmailCaseInsensitive", "stands for safety of data"),
        ("scheduledPush", "is off unless set"),
    ];

    /// The options that the page names behind *back:*.
    fn named_by_the_page() -> Vec<String> {
        let mut named = Vec::new();
        for row in PAGE.lines().filter(|line| line.starts_with("| ")) {
            let Some((_, way)) = row.split_once("*back:*") else { continue };
            let mut group = "";
            for code in way.split('`').skip(1).step_by(2) {
                let path = code.split(':').next().unwrap_or_default();
                // The second of several in one group goes without it.
                let full = match path.split_once('.') {
                    Some((before, _)) => {
                        group = before;
                        path.to_owned()
                    }
                    None if group.is_empty() => path.to_owned(),
                    None => format!("{group}.{path}"),
                };
                named.push(full);
            }
        }
        named
    }

    #[test]
    fn the_page_and_the_option_agree() {
        let values = old_values();
        let mut not_set = Vec::new();
        for path in named_by_the_page() {
            let option = crate::config::table::find_path(&path);
            assert!(
                option.is_some(),
                "docs/compatibility.md brings something back by {path}, which is no option"
            );
            let (group, name) = path.split_once('.').unwrap_or(("", &path));
            let is_set = values
                .iter()
                .any(|(g, n, _)| (*g == group && *n == name) || (group.is_empty() && *g == name));
            if !is_set && !BY_HAND.iter().any(|(known, _)| *known == path) {
                not_set.push(path);
            }
        }
        assert_eq!(not_set, Vec::<String>::new());
        // A limit of a group that the page names as a whole.
        let groups = [&crate::config::table::REQUEST_COMPLEXITY, &crate::config::table::LIVE_QUERY_SERVER];
        for group in groups {
            for option in group
                .options
                .iter()
                .filter(|option| option.name.starts_with("max") || group.name == "requestComplexity")
            {
                let is_limit = option.default.parse::<u64>().is_ok();
                let is_set = values.iter().any(|(g, n, _)| *g == group.name && *n == option.name);
                assert!(is_set || !is_limit, "{}.{}", group.name, option.name);
            }
        }
    }

    #[test]
    fn every_old_value_is_read() {
        let names = old_values();
        for (group, name, _) in &names {
            let path = if group.is_empty() { (*name).to_owned() } else { format!("{group}.{name}") };
            assert!(crate::config::table::find_path(&path).is_some(), "{path}");
        }
        let (deliberate, gaps) = listed();
        assert!(deliberate > 50 && gaps > 5, "{deliberate} {gaps}");
    }
}
