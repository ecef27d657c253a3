//! `skip`, `first`, `after`, `last` and `before` to skip and limit (parse-server's `calculateSkipAndLimit`), and the
//! cursors of a connection.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::error::{Error, Result};

const PREFIX: &str = "arrayconnection:";

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Page {
    pub skip: Option<i64>,
    pub limit: Option<i64>,
    /// The objects are counted first: the page is the last of them.
    pub counts_first: bool,
}

pub fn cursor(offset: i64) -> String {
    STANDARD.encode(format!("{PREFIX}{offset}"))
}

fn offset(cursor: &str) -> Option<i64> {
    let text = String::from_utf8(STANDARD.decode(cursor).ok()?).ok()?;
    let digits = text.strip_prefix(PREFIX)?.trim_start();
    let end = digits.char_indices().find(|(index, c)| !(c.is_ascii_digit() || (*index == 0 && *c == '-')));
    digits.get(..end.map_or(digits.len(), |(index, _)| index))?.parse().ok().filter(|offset| *offset >= 0)
}

impl Page {
    /// # Errors
    /// 102 for negative numbers and for what is no cursor.
    pub fn of(args: &Map<String, Value>, max_limit: Option<u64>) -> Result<Self> {
        let number = |key: &str, label: &str| match args.get(key).and_then(Value::as_i64) {
            Some(number) if number < 0 => {
                Err(Error::invalid_query(format!("{label} should be a positive number")))
            }
            number => Ok(number),
        };
        let at =
            |key: &str, label: &str| match args.get(key).and_then(Value::as_str).filter(|c| !c.is_empty()) {
                Some(cursor) => match offset(cursor) {
                    Some(offset) => Ok(Some(offset)),
                    None => Err(Error::invalid_query(format!("{label} is not a valid cursor"))),
                },
                None => Ok(None),
            };
        let mut skip = number("skip", "Skip")?;
        if let Some(after) = at("after", "After")? {
            skip = Some(skip.unwrap_or(0).saturating_add(after.saturating_add(1)));
        }
        let mut limit = number("first", "First")?;
        if let Some(before) = at("before", "Before")? {
            let from = skip.unwrap_or(0);
            if from >= before {
                limit = Some(0);
            } else if limit.is_none_or(|limit| from.saturating_add(limit) > before) {
                limit = Some(before - from);
            }
        }
        let mut counts_first = false;
        if let Some(last) = number("last", "Last")? {
            let most = max_limit.and_then(|most| i64::try_from(most).ok()).unwrap_or(i64::MAX);
            let last = last.min(most);
            match limit {
                Some(limit_before) if last < limit_before => {
                    skip = Some(skip.unwrap_or(0).saturating_add(limit_before - last));
                    limit = Some(last);
                }
                Some(_) => {}
                None if last == 0 => limit = Some(0),
                None => {
                    limit = Some(last);
                    counts_first = true;
                }
            }
        }
        Ok(Self { skip, limit, counts_first })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn page(args: Value) -> std::result::Result<(Option<i64>, Option<i64>, bool), String> {
        let page = Page::of(args.as_object().unwrap(), Some(100));
        page.map(|p| (p.skip, p.limit, p.counts_first)).map_err(|e| e.public_message(true).to_owned())
    }

    #[test]
    fn pages() {
        assert_eq!(page(json!({})), Ok((None, None, false)));
        assert_eq!(page(json!({"skip": 5, "first": 10})), Ok((Some(5), Some(10), false)));
        assert_eq!(page(json!({"skip": 1, "after": cursor(9)})), Ok((Some(11), None, false)));
        assert_eq!(page(json!({"before": cursor(10)})), Ok((None, Some(10), false)));
        assert_eq!(page(json!({"before": cursor(10), "last": 3})), Ok((Some(7), Some(3), false)));
        assert_eq!(page(json!({"last": 3})), Ok((None, Some(3), true)));
        assert_eq!(page(json!({"last": 300})), Ok((None, Some(100), true)));
        assert_eq!(page(json!({"skip": 10, "before": cursor(5)})), Ok((Some(10), Some(0), false)));
        for (args, text) in [
            (json!({"skip": -1}), "Skip should be a positive number"),
            (json!({"first": -1}), "First should be a positive number"),
            (json!({"last": -1}), "Last should be a positive number"),
            (json!({"after": "x"}), "After is not a valid cursor"),
            (json!({"before": "!"}), "Before is not a valid cursor"),
        ] {
            assert_eq!(page(args), Err(text.to_owned()));
        }
    }
}
