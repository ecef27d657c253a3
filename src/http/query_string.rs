//! Query strings and form bodies: `a[b]=c` becomes `{"a": {"b": "c"}}`, as Express' extended parser
//! does; values stay texts.

use percent_encoding::percent_decode;
use serde_json::Value;

use crate::types::Object;

/// Parameters beyond this many are left out.
const MAX_PARAMETERS: usize = 1000;
/// Brackets deeper than this stay part of the last key.
const MAX_DEPTH: usize = 5;
/// Array indices up to this build an array, higher ones an object.
const MAX_INDEX: usize = 20;

/// The extended form.
pub fn parse_nested(query: &str) -> Object {
    let mut root = Value::Object(Object::new());
    for (key, value) in pairs(query) {
        let path = split_key(&key);
        insert(&mut root, &path, value);
    }
    match compact(root) {
        Value::Object(object) => object,
        _ => Object::new(),
    }
}

/// The plain form of `application/x-www-form-urlencoded` bodies: no nesting, a repeated key is an array.
pub fn parse_flat(body: &str) -> Object {
    let mut object = Object::new();
    for (key, value) in pairs(body) {
        push(&mut object, key, value);
    }
    object
}

fn pairs(query: &str) -> impl Iterator<Item = (String, String)> + '_ {
    query.split('&').filter(|part| !part.is_empty() && !part.starts_with('=')).take(MAX_PARAMETERS).map(
        |part| {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            (decode(key), decode(value))
        },
    )
}

fn decode(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_decode(spaced.as_bytes()).decode_utf8_lossy().into_owned()
}

/// `a[b][]` → `a`, `b`, ``. Text that is no bracketed part ends the path.
fn split_key(key: &str) -> Vec<&str> {
    let Some(open) = key.find('[').filter(|&open| open > 0) else { return vec![key] };
    let mut path = vec![&key[..open]];
    let mut rest = &key[open..];
    while let Some(inner) = rest.strip_prefix('[') {
        let Some(close) = inner.find(']') else { break };
        if path.len() > MAX_DEPTH {
            path.push(rest);
            return path;
        }
        path.push(&inner[..close]);
        rest = &inner[close + 1..];
    }
    if path.len() == 1 { vec![key] } else { path }
}

fn insert(target: &mut Value, path: &[&str], value: String) {
    let Some((&key, rest)) = path.split_first() else { return };
    let Value::Object(object) = target else { return };
    if rest.is_empty() {
        push(object, key.to_owned(), value);
        return;
    }
    let child = object.entry(key.to_owned()).or_insert_with(|| Value::Object(Object::new()));
    if !child.is_object() {
        // A plain value met first stays reachable as a key of its own, as `qs` has it.
        let plain = std::mem::take(child);
        let mut object = Object::new();
        if let Value::String(text) = plain {
            object.insert(text, Value::Bool(true));
        }
        *child = Value::Object(object);
    }
    if rest == [""] {
        let next = child.as_object().map_or(0, Object::len).to_string();
        insert(child, &[&next], value);
    } else {
        insert(child, rest, value);
    }
}

fn push(object: &mut Object, key: String, value: String) {
    match object.get_mut(&key) {
        None => {
            object.insert(key, Value::String(value));
        }
        Some(Value::Array(list)) => list.push(Value::String(value)),
        Some(present) => {
            let first = std::mem::take(present);
            *present = Value::Array(vec![first, Value::String(value)]);
        }
    }
}

/// Objects whose keys are small indices become arrays.
fn compact(value: Value) -> Value {
    match value {
        Value::Object(object) => compact_object(object, true),
        other => other,
    }
}

fn compact_object(object: Object, root: bool) -> Value {
    let index = |key: &str| key.parse::<usize>().ok().filter(|i| *i <= MAX_INDEX && i.to_string() == key);
    let mut entries: Vec<(String, Value)> = object
        .into_iter()
        .map(|(key, value)| match value {
            Value::Object(inner) => (key, compact_object(inner, false)),
            other => (key, other),
        })
        .collect();
    if !root && !entries.is_empty() && entries.iter().all(|(key, _)| index(key).is_some()) {
        entries.sort_by_key(|(key, _)| index(key));
        return Value::Array(entries.into_iter().map(|(_, value)| value).collect());
    }
    Value::Object(entries.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nests() {
        let parse = |text| Value::Object(parse_nested(text));
        assert_eq!(parse("a=1&b=x%20y+z"), json!({"a": "1", "b": "x y z"}));
        assert_eq!(parse("where[a]=b&where[c][$gt]=1"), json!({"where": {"a": "b", "c": {"$gt": "1"}}}));
        assert_eq!(parse("a[]=1&a[]=2&b=1&b=2"), json!({"a": ["1", "2"], "b": ["1", "2"]}));
        assert_eq!(parse("a[1]=x&a[0]=y"), json!({"a": ["y", "x"]}));
        assert_eq!(parse("[x]=1&a[b=2&c"), json!({"[x]": "1", "a[b": "2", "c": ""}));
    }

    #[test]
    fn is_bounded() {
        let deep = format!("a{}=1", "[b]".repeat(100_000));
        assert_eq!(parse_nested(&deep).len(), 1);
        assert_eq!(parse_nested(&"a&".repeat(50_000)).len(), 1);
    }

    #[test]
    fn flat_bodies_do_not_nest() {
        assert_eq!(Value::Object(parse_flat("a[b]=1&a[b]=2")), json!({"a[b]": ["1", "2"]}));
    }
}
