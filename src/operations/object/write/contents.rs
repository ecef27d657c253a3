//! What must not be stored, judged on what a write makes of the object rather than on the pieces it comes
//! in: `requestKeywordDenylist`, addresses of files, references to private files.
//!
//! A value can be sent whole, or piece by piece under dotted keys. So the keys are put together as the
//! storage does it and judged once more. A piece that changes a typed value which is stored already could
//! only be judged with that value; [`guards`] leaves it to the statement to find none.

use serde_json::{Map, Value};

use super::ops::created_value;
use crate::error::{Error, ErrorCode, Result};
use crate::files::rules::check_file_urls;
use crate::operations::Ctx;
use crate::operations::keywords;
use crate::query::{Constraint, Filter};
use crate::types::path::FieldPath;
use crate::types::{Object, Update};

/// What typed values (`{"__type": …}`) consist of, besides their type.
const PARTS: [&str; 9] =
    ["name", "url", "className", "objectId", "iso", "base64", "latitude", "longitude", "coordinates"];

/// Judges the fields and operators of a write.
///
/// # Errors
/// 105 for prohibited keywords and for a path into a type, 119 for private files, 130 for addresses.
pub fn check(ctx: &Ctx, data: &Object) -> Result<()> {
    judge(ctx, data)?;
    if !data.keys().any(|key| key.contains('.')) {
        return Ok(());
    }
    if !ctx.auth.is_unrestricted()
        && let Some(key) = data.keys().find(|key| key.split('.').skip(1).any(|part| part == "__type"))
    {
        return Err(Error::parse(ErrorCode::INVALID_KEY_NAME, format!("Invalid field name: {key}.")));
    }
    judge(ctx, &composed(data))
}

fn judge(ctx: &Ctx, data: &Object) -> Result<()> {
    keywords::check(ctx, data)?;
    check_file_urls(data, &ctx.config().files.upload.allowed_file_url_domains)?;
    crate::operations::files::check_references(ctx, data)
}

/// The fields with dotted keys where they will be.
fn composed(data: &Object) -> Object {
    let mut whole = Object::new();
    for (key, value) in data {
        let value = match created_value(value) {
            Ok(Some(result)) => result,
            _ => value.clone(),
        };
        let mut segments = key.split('.').peekable();
        let mut target = &mut whole;
        while let Some(segment) = segments.next() {
            if segments.peek().is_none() {
                target.insert(segment.to_owned(), value);
                break;
            }
            let entry = target.entry(segment.to_owned()).or_insert_with(|| Value::Object(Map::new()));
            if !entry.is_object() {
                *entry = Value::Object(Map::new());
            }
            let Value::Object(object) = entry else { break };
            target = object;
        }
    }
    whole
}

/// Conditions that no part of a typed value is changed by itself: such a value would be another one
/// afterwards, a file for instance that nobody judged.
pub fn guards(ctx: &Ctx, update: &Update) -> Vec<Filter> {
    if ctx.auth.is_unrestricted() {
        return Vec::new();
    }
    let mut guards = Vec::new();
    for (path, _) in &update.ops {
        // A field with a type of its own has a column of that type, which has no parts.
        if let Some((last, above)) = path.rest.split_last()
            && !above.is_empty()
            && PARTS.contains(&last.as_str())
        {
            let mut rest = above.to_vec();
            rest.push("__type".to_owned());
            let path = FieldPath { root: path.root.clone(), rest };
            guards.push(Filter::field(path, Constraint::Exists(false)));
        }
    }
    guards
}

/// 119 of an update that a guard kept from its object.
pub fn part_of_typed_value() -> Error {
    Error::parse(
        ErrorCode::OPERATION_FORBIDDEN,
        "A part of a typed value cannot be changed by itself; set the whole value.",
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pieces_are_put_together() {
        let data = json!({
            "o.f.__type": "File", "o.f.name": {"__op": "SetOnInsert", "amount": "private-a"},
            "o.g": 1, "list.0.x": {"__op": "Add", "objects": [1]}, "n": 1, "n.m": 2,
        });
        let expected = json!({
            "o": {"f": {"__type": "File", "name": "private-a"}, "g": 1},
            "list": {"0": {"x": [1]}}, "n": {"m": 2},
        });
        assert_eq!(Value::Object(composed(data.as_object().unwrap())), expected);
    }
}
