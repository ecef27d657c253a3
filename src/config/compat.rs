//! Option `compat`: the old behaviour of everything that an option can switch back (docs/compatibility.md, *back:*).
//!
//! It only gives values to options that nobody set. What stands for security or safety of data without a switch
//! stays as it is; the start says how much that is.

use serde_json::{Map, Value, json};

use super::error::ConfigError;
use super::reader::Reader;

/// The one value of the option.
const PARSE_SERVER_9: &str = "parse-server-9";

/// The page that lists what differs.
const PAGE: &str = include_str!("../../docs/compatibility.md");

/// What parse-server 9 does, by the path of the option.
fn old_values() -> [(&'static str, &'static str, Value); 15] {
    [
        ("requestComplexity", "includeDepth", json!(-1)),
        ("requestComplexity", "includeCount", json!(-1)),
        ("requestComplexity", "subqueryDepth", json!(-1)),
        ("requestComplexity", "queryDepth", json!(-1)),
        ("requestComplexity", "batchRequestLimit", json!(-1)),
        ("requestComplexity", "responseBytes", json!(-1)),
        ("requestComplexity", "responseObjects", json!(-1)),
        ("requestComplexity", "masterResponseBytes", json!(-1)),
        ("requestComplexity", "masterResponseObjects", json!(-1)),
        ("httpLimits", "minimumRate", json!(0)),
        ("httpLimits", "maxConnectionsPerAddress", json!(-1)),
        ("httpLimits", "maxRequests", json!(1_000_000)),
        ("databaseOptions", "statementTimeout", json!(0)),
        ("", "cloudTimeout", json!(0)),
        ("", "cloudStallTimeout", json!(0)),
    ]
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
    for (group, name, value) in old_values() {
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
