//! BSON as REST JSON: as text, straight from the raw document, and as values where something looks at them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bson::raw::{RawArray, RawBsonRef, RawDocument};
use serde_json::{Map, Value, json};

use crate::types::number::number_json;
use crate::types::time::Millis;

/// Nesting beyond what a server stores.
const MAX_DEPTH: u32 = 250;

/// Appends the value's JSON. Broken bytes read as null.
pub fn write(out: &mut Vec<u8>, value: RawBsonRef<'_>) {
    write_at(out, value, 0);
}

fn write_at(out: &mut Vec<u8>, value: RawBsonRef<'_>, depth: u32) {
    match value {
        RawBsonRef::Document(document) if depth < MAX_DEPTH => {
            out.push(b'{');
            let mut first = true;
            for element in document.iter_elements().map_while(Result::ok) {
                let Ok(value) = element.value() else { continue };
                if !first {
                    out.push(b',');
                }
                first = false;
                let key = element.key().as_str();
                write_text(out, key);
                out.push(b':');
                match instant_of_date(document, key, value) {
                    Some(at) => write_text(out, &at.to_iso()),
                    None => write_at(out, value, depth + 1),
                }
            }
            out.push(b'}');
        }
        RawBsonRef::Array(array) if depth < MAX_DEPTH => {
            out.push(b'[');
            for (index, value) in values(array).enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_at(out, value, depth + 1);
            }
            out.push(b']');
        }
        RawBsonRef::String(text) => write_text(out, text),
        RawBsonRef::Boolean(true) => out.extend_from_slice(b"true"),
        RawBsonRef::Boolean(false) => out.extend_from_slice(b"false"),
        RawBsonRef::DateTime(at) => {
            out.extend_from_slice(br#"{"__type":"Date","iso":""#);
            Millis(at.timestamp_millis()).write_iso(out);
            out.extend_from_slice(br#""}"#);
        }
        other => out.extend_from_slice(to_value(other).to_string().as_bytes()),
    }
}

/// The instant of a typed date that is kept as a document, as older servers kept dates inside of objects.
fn instant_of_date(document: &RawDocument, key: &str, value: RawBsonRef<'_>) -> Option<Millis> {
    match value {
        RawBsonRef::DateTime(at) if key == "iso" => {
            let is_date = document.get_str("__type").is_ok_and(|tag| tag == "Date");
            is_date.then(|| Millis(at.timestamp_millis()))
        }
        _ => None,
    }
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    // Writing to a vector does not fail.
    let _ = serde_json::to_writer(out, text);
}

/// The elements of an array, as far as they can be read.
pub fn values(array: &RawArray) -> impl Iterator<Item = RawBsonRef<'_>> {
    array.iter_elements().map_while(Result::ok).filter_map(|element| element.value().ok())
}

/// The number, of whatever width.
#[allow(clippy::cast_precision_loss)]
pub fn number(value: RawBsonRef<'_>) -> Option<f64> {
    match value {
        RawBsonRef::Int32(n) => Some(f64::from(n)),
        RawBsonRef::Int64(n) => Some(n as f64),
        RawBsonRef::Double(n) => Some(n),
        RawBsonRef::Decimal128(n) => n.to_string().parse().ok(),
        _ => None,
    }
}

pub fn to_value(value: RawBsonRef<'_>) -> Value {
    value_at(value, 0)
}

fn value_at(value: RawBsonRef<'_>, depth: u32) -> Value {
    if depth > MAX_DEPTH {
        return Value::Null;
    }
    match value {
        RawBsonRef::String(text) | RawBsonRef::Symbol(text) | RawBsonRef::JavaScriptCode(text) => text.into(),
        RawBsonRef::Boolean(b) => b.into(),
        RawBsonRef::DateTime(at) => {
            json!({ "__type": "Date", "iso": Millis(at.timestamp_millis()).to_iso() })
        }
        RawBsonRef::Document(document) => Value::Object(members(document, depth + 1)),
        RawBsonRef::Array(array) => values(array).map(|value| value_at(value, depth + 1)).collect(),
        RawBsonRef::Binary(binary) => json!({ "__type": "Bytes", "base64": STANDARD.encode(binary.bytes) }),
        RawBsonRef::ObjectId(id) => id.to_hex().into(),
        RawBsonRef::Timestamp(stamp) => (u64::from(stamp.time) * 1000).into(),
        RawBsonRef::RegularExpression(regex) => regex.pattern.as_str().into(),
        other => number(other).map_or(Value::Null, number_json),
    }
}

fn members(document: &RawDocument, depth: u32) -> Map<String, Value> {
    let elements = document.iter_elements().map_while(Result::ok);
    let member = |element: bson::raw::RawElement<'_>| {
        let (key, value) = (element.key().as_str(), element.value().ok()?);
        let shown = match instant_of_date(document, key, value) {
            Some(at) => at.to_iso().into(),
            None => value_at(value, depth),
        };
        Some((key.to_owned(), shown))
    };
    elements.filter_map(member).collect()
}

pub fn object(document: &RawDocument) -> Map<String, Value> {
    members(document, 0)
}

#[cfg(test)]
mod tests {
    use bson::{DateTime, doc};

    use super::*;

    #[test]
    fn text_and_values_agree() {
        let document = doc! {
            "s": "it's \"q\" ☃", "n": [1, 2_i64, 1.5, f64::NAN], "d": DateTime::from_millis(1_000),
            "b": bson::Binary { subtype: bson::spec::BinarySubtype::Generic, bytes: vec![0, 1] },
            "old": { "__type": "Date", "iso": DateTime::from_millis(2_000) },
            "o": { "x": null, "y": true }, "i": bson::oid::ObjectId::parse_str("0123456789abcdef01234567").unwrap(),
        };
        let raw = bson::RawDocumentBuf::try_from(&document).unwrap();
        let expected = json!({
            "s": "it's \"q\" ☃", "n": [1, 2, 1.5, null],
            "d": {"__type": "Date", "iso": "1970-01-01T00:00:01.000Z"},
            "b": {"__type": "Bytes", "base64": "AAE="}, "old": {"__type": "Date", "iso": "1970-01-01T00:00:02.000Z"},
            "o": {"x": null, "y": true},
            "i": "0123456789abcdef01234567",
        });
        assert_eq!(Value::Object(object(&raw)), expected);
        let mut text = Vec::new();
        write(&mut text, RawBsonRef::Document(&raw));
        assert_eq!(serde_json::from_slice::<Value>(&text).unwrap(), expected);
    }
}
