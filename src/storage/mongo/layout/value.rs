//! REST JSON to BSON, as parse-server's Mongo adapter keeps it: dates and bytes natively at every depth, pointers,
//! files and places by the type of their column, and as objects below one.

use base64::Engine;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bson::spec::BinarySubtype;
use bson::{Binary, Bson, DateTime, Document, doc};
use serde_json::{Map, Value};

use crate::error::Error;
use crate::storage::mismatch::mismatch;
use crate::storage::mongo::layout::names::Kind;
use crate::storage::{StorageError, StorageResult};
use crate::types::geo::GeoPoint;
use crate::types::time::Millis;
use crate::types::{ClassName, ClassSchema};

/// With or without padding: clients send both.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// As JavaScript's driver writes numbers: whole ones of 32 bits as such, all others as doubles.
#[allow(clippy::cast_possible_truncation)]
pub fn number(n: f64) -> Bson {
    let is_whole = n.fract() == 0.0 && n >= f64::from(i32::MIN) && n <= f64::from(i32::MAX);
    if is_whole && !(n == 0.0 && n.is_sign_negative()) { Bson::Int32(n as i32) } else { Bson::Double(n) }
}

pub fn date(at: Millis) -> Bson {
    Bson::DateTime(DateTime::from_millis(at.0))
}

/// The instant of an ISO text or of a typed date.
pub fn instant(value: &Value) -> Option<Millis> {
    let iso = match value {
        Value::Object(date) => date.get("iso")?,
        other => other,
    };
    Millis::parse(iso.as_str()?)
}

pub fn bytes(base64: &str) -> Option<Bson> {
    let bytes = BASE64.decode(base64).ok()?;
    Some(Bson::Binary(Binary { subtype: BinarySubtype::Generic, bytes }))
}

pub fn point(point: GeoPoint) -> Bson {
    Bson::Array(vec![number(point.longitude), number(point.latitude)])
}

/// A pair for geometry operators: always doubles.
pub fn pair(point: GeoPoint) -> Bson {
    Bson::Array(vec![Bson::Double(point.longitude), Bson::Double(point.latitude)])
}

/// The points, the first one again at the end.
pub fn closed(ring: &[GeoPoint]) -> Vec<GeoPoint> {
    let mut closed = ring.to_vec();
    if let Some(first) = ring.first().filter(|first| ring.last() != Some(first)) {
        closed.push(*first);
    }
    closed
}

pub fn polygon(ring: &[GeoPoint]) -> Bson {
    let ring: Vec<Bson> = closed(ring).into_iter().map(point).collect();
    Bson::Document(doc! { "type": "Polygon", "coordinates": [ring] })
}

/// A pointer inside an object or array. One order of keys, so that equal pointers are equal documents.
pub fn nested_pointer(class: &str, id: &str) -> Document {
    doc! { "__type": "Pointer", "className": class, "objectId": id }
}

/// Whether a class has one object, whose id is the number 1 in the database.
pub fn has_numbered_objects(class: &ClassName) -> bool {
    matches!(class.as_str(), "_GlobalConfig" | "_GraphQLConfig")
}

/// The `_id` of an object: the configuration's rows are numbered.
pub fn id(class: &ClassName, id: &str) -> Bson {
    if has_numbered_objects(class)
        && let Ok(number) = id.parse::<i32>()
    {
        return Bson::Int32(number);
    }
    Bson::String(id.to_owned())
}

fn refused(error: Error) -> StorageError {
    StorageError::Refused(error)
}

/// A key that a document cannot have.
fn checked_key(key: &str) -> StorageResult<&str> {
    if key.contains('\0') {
        return Err(refused(Error::invalid_json("strings must not contain null characters")));
    }
    Ok(key)
}

/// A value inside an Object or Array column.
///
/// # Errors
/// 107 for keys with null characters.
pub fn nested(value: &Value) -> StorageResult<Bson> {
    Ok(match value {
        Value::Null => Bson::Null,
        Value::Bool(b) => Bson::Boolean(*b),
        Value::Number(n) => number(n.as_f64().unwrap_or_default()),
        Value::String(text) => Bson::String(text.clone()),
        Value::Array(list) => Bson::Array(list.iter().map(nested).collect::<StorageResult<_>>()?),
        Value::Object(object) => match typed(object) {
            Some(value) => value,
            None => Bson::Document(document(object)?),
        },
    })
}

/// # Errors
/// As [`nested`].
pub fn document(object: &Map<String, Value>) -> StorageResult<Document> {
    let mut document = Document::new();
    for (key, value) in object {
        document.insert(checked_key(key)?, nested(value)?);
    }
    Ok(document)
}

fn typed(object: &Map<String, Value>) -> Option<Bson> {
    let text = |key: &str| object.get(key).and_then(Value::as_str);
    match text("__type")? {
        "Date" => Millis::parse(text("iso")?).map(date),
        "Bytes" => bytes(text("base64")?),
        "Pointer" if object.len() == 3 => {
            Some(Bson::Document(nested_pointer(text("className")?, text("objectId")?)))
        }
        _ => None,
    }
}

fn ring_of(value: &Value) -> Option<Vec<GeoPoint>> {
    let coordinates = value.get("coordinates").unwrap_or(value).as_array()?;
    let point = |pair: &Value| match pair {
        Value::Array(pair) => GeoPoint::new(pair.first()?.as_f64()?, pair.get(1)?.as_f64()?),
        other => GeoPoint::from_json(other),
    };
    let ring = coordinates.iter().map(point).collect::<Option<Vec<_>>>()?;
    (ring.len() >= 3).then_some(ring)
}

/// The value of a column. Types were validated above storage; what does not fit all the same is refused here.
///
/// # Errors
/// 111 for values that do not fit, 107 for keys with null characters.
pub fn column(schema: &ClassSchema, column: &str, kind: &Kind, value: &Value) -> StorageResult<Bson> {
    if value.is_null() {
        return Ok(Bson::Null);
    }
    let wrong = || mismatch(schema, column, value);
    let tagged = |tag: &str, key: &str| {
        let is_tagged = value.get("__type").is_some_and(|own| own == tag);
        is_tagged.then(|| value.get(key)).flatten().and_then(Value::as_str)
    };
    Ok(match kind {
        Kind::Id => id(&schema.name, value.as_str().ok_or_else(wrong)?),
        Kind::Text => Bson::String(value.as_str().ok_or_else(wrong)?.to_owned()),
        Kind::Number => number(value.as_f64().ok_or_else(wrong)?),
        Kind::Bool => Bson::Boolean(value.as_bool().ok_or_else(wrong)?),
        Kind::Date => date(instant(value).ok_or_else(wrong)?),
        Kind::Pointer(target) => {
            let class = tagged("Pointer", "className").unwrap_or(target.as_str());
            if let Some(id) = tagged("Pointer", "objectId").or_else(|| value.as_str()) {
                return Ok(Bson::String(format!("{class}${id}")));
            }
            // Ids that clients write as numbers and the like are stored as the texts of these.
            let id =
                value.get("objectId").filter(|id| id.is_number() || id.is_boolean()).ok_or_else(wrong)?;
            Bson::String(format!("{class}${id}"))
        }
        Kind::File => {
            let name = tagged("File", "name").or_else(|| value.as_str());
            Bson::String(name.ok_or_else(wrong)?.to_owned())
        }
        Kind::Point => point(GeoPoint::from_json(value).ok_or_else(wrong)?),
        Kind::Polygon => polygon(&ring_of(value).ok_or_else(wrong)?),
        Kind::Bytes => bytes(tagged("Bytes", "base64").ok_or_else(wrong)?).ok_or_else(wrong)?,
        Kind::Texts => {
            let entries = value.as_array().ok_or_else(wrong)?;
            let text = |entry: &Value| entry.as_str().map(|text| Bson::String(text.to_owned()));
            Bson::Array(entries.iter().map(text).collect::<Option<_>>().ok_or_else(wrong)?)
        }
        Kind::Array => match value {
            Value::Array(_) => nested(value)?,
            _ => return Err(wrong()),
        },
        Kind::Object => match value {
            Value::Object(_) => nested(value)?,
            _ => return Err(wrong()),
        },
        Kind::Relation(_) => return Err(wrong()),
    })
}

/// `_acl`, the older form of the two lists, which older servers read.
pub fn legacy_acl(readers: Option<&Value>, writers: Option<&Value>) -> Option<Document> {
    let mut acl = Document::new();
    for (list, key) in [(readers, "r"), (writers, "w")] {
        for who in list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            let who = who.replace('\0', "");
            match acl.get_document_mut(&who) {
                Ok(entry) => {
                    entry.insert(key, true);
                }
                Err(_) => {
                    acl.insert(who, doc! { key: true });
                }
            }
        }
    }
    (readers.is_some_and(Value::is_array) || writers.is_some_and(Value::is_array)).then_some(acl)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_written_as_javascript_writes_them() {
        assert_eq!(number(1.0), Bson::Int32(1));
        assert_eq!(number(2_147_483_648.0), Bson::Double(2_147_483_648.0));
        assert_eq!(number(1.5), Bson::Double(1.5));
        assert!(matches!(number(-0.0), Bson::Double(n) if n.is_sign_negative()));
    }

    #[test]
    fn dates_and_bytes_are_native_at_every_depth() {
        let value = json!([{"at": {"__type": "Date", "iso": "1970-01-01T00:00:00.001Z"}, "b": {"__type": "Bytes", "base64": "AAE"}}]);
        let Bson::Array(list) = nested(&value).unwrap() else { panic!("no array") };
        let object = list[0].as_document().unwrap();
        assert_eq!(object.get("at"), Some(&Bson::DateTime(DateTime::from_millis(1))));
        assert!(matches!(object.get("b"), Some(Bson::Binary(binary)) if binary.bytes == [0, 1]));
        let pointer = json!({"objectId": "x", "__type": "Pointer", "className": "A"});
        assert_eq!(nested(&pointer).unwrap(), Bson::Document(nested_pointer("A", "x")));
        assert!(nested(&json!({"a\u{0}b": 1})).is_err());
    }

    #[test]
    fn the_older_form_of_permissions() {
        let acl = legacy_acl(Some(&json!(["*", "u"])), Some(&json!(["u"]))).unwrap();
        assert_eq!(acl, doc! { "*": { "r": true }, "u": { "r": true, "w": true } });
        assert_eq!(legacy_acl(Some(&json!([])), None), Some(Document::new()));
        assert_eq!(legacy_acl(None, Some(&Value::Null)), None);
    }
}
