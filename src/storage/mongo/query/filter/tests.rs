//! What filters look like on the wire.

use bson::{Document, doc};
use serde_json::{Value, json};

use super::*;
use crate::query::{ParseContext, parse_where};
use crate::types::{ClassName, Field, FieldName, FieldType};

fn schema() -> ClassSchema {
    let mut schema = ClassSchema::with_defaults(ClassName::known("Game"));
    for (name, ty) in [
        ("n", FieldType::Number),
        ("s", FieldType::String),
        ("at", FieldType::Date),
        ("list", FieldType::Array),
        ("o", FieldType::Object),
        ("owner", FieldType::Pointer(ClassName::known("_User"))),
        ("pic", FieldType::File),
        ("place", FieldType::GeoPoint),
    ] {
        schema.fields.insert(FieldName::known(name), Field::of(ty));
    }
    schema
}

fn built(near: Near, condition: &Value) -> Document {
    let schema = schema();
    let filter = parse_where(condition, &ParseContext::master()).unwrap();
    Builder { schema: &schema, answers: &Answers::default(), near }.build(&filter).unwrap()
}

#[test]
fn conditions_are_native() {
    let pointer = json!({"__type": "Pointer", "className": "_User", "objectId": "u"});
    let place = json!({"__type": "GeoPoint", "latitude": 10, "longitude": -20});
    for (condition, expected) in [
        (json!({}), doc! {}),
        (json!({"n": 1}), doc! { "n": { "$eq": 1 } }),
        (json!({"n": {"$ne": 1}}), doc! { "n": { "$ne": 1 } }),
        (json!({"n": null}), doc! { "n": { "$eq": null } }),
        (json!({"n": {"$gt": 1, "$lt": 2.5}}), doc! { "n": { "$gt": 1 }, "$and": [{ "n": { "$lt": 2.5 } }] }),
        (json!({"objectId": "x"}), doc! { "_id": "x" }),
        (json!({"objectId": {"$in": ["x", "y"]}}), doc! { "_id": { "$in": ["x", "y"] } }),
        (json!({"owner": pointer}), doc! { "_p_owner": { "$eq": "_User$u" } }),
        (json!({"pic": {"__type": "File", "name": "a.png"}}), doc! { "pic": { "$eq": "a.png" } }),
        (
            json!({"at": {"$lt": {"__type": "Date", "iso": "1970-01-01T00:00:00.005Z"}}}),
            doc! { "at": { "$lt": bson::DateTime::from_millis(5) } },
        ),
        (
            json!({"list": pointer}),
            doc! { "list": { "$elemMatch": { "__type": "Pointer", "className": "_User", "objectId": "u" } } },
        ),
        (
            json!({"list": {"$all": [1, 2]}}),
            doc! { "$and": [{ "list": { "$eq": 1 } }, { "list": { "$eq": 2 } }] },
        ),
        (
            json!({"list": {"$containedBy": [1]}}),
            doc! { "$nor": [{ "list": { "$elemMatch": { "$nin": [1] } } }] },
        ),
        (json!({"s": {"$regex": "^\\Qa.b\\E"}}), doc! { "s": { "$regex": "^a\\.b" } }),
        (
            json!({"s": {"$regex": "^ab$", "$options": "i"}}),
            doc! { "s": { "$regex": "^ab$", "$options": "i" } },
        ),
        (json!({"o.a.b": {"$exists": false}}), doc! { "o.a.b": { "$exists": false } }),
        (
            json!({"$or": [{"n": 1}, {"s": "x"}]}),
            doc! { "$or": [{ "n": { "$eq": 1 } }, { "s": { "$eq": "x" } }] },
        ),
        (
            json!({"place": {"$nearSphere": place, "$maxDistance": 0.5}}),
            doc! { "place": { "$nearSphere": [-20.0, 10.0], "$maxDistance": 0.5 } },
        ),
    ] {
        assert_eq!(built(Near::Orders, &condition), expected, "{condition}");
    }
    let near = json!({"place": {"$nearSphere": place}});
    let circle =
        doc! { "place": { "$geoWithin": { "$centerSphere": [[-20.0, 10.0], std::f64::consts::PI] } } };
    assert_eq!(built(Near::Filters, &near), circle);
    assert_eq!(built(Near::Orders, &json!({"$or": [near]})), doc! { "$or": [circle] });
}

#[test]
fn text_searches_are_the_servers() {
    let condition = json!({"s": {"$text": {"$search": {"$term": "tea", "$language": "en"}}}});
    let built = built(Near::Orders, &condition);
    assert_eq!(built.get_document("$text").unwrap().get_str("$search").unwrap(), "tea");
    assert_eq!(built.get_document("$text").unwrap().get_str("$language").unwrap(), "en");
}

#[test]
fn what_was_not_answered_matches_nothing() {
    let condition = json!({"owner": {"$inQuery": {"className": "_User", "where": {}}}});
    assert_eq!(built(Near::Orders, &condition), never());
    let negated = json!({"owner": {"$notInQuery": {"className": "_User", "where": {}}}});
    assert_eq!(built(Near::Orders, &negated), doc! { "_id": { "$nin": [] } });
}

#[test]
fn imported_ids_are_found_in_both_forms() {
    let id = "0123456789abcdef01234567";
    let native = bson::oid::ObjectId::parse_str(id).unwrap();
    assert_eq!(built(Near::Orders, &json!({"objectId": id})), doc! { "_id": { "$in": [id, native] } });
}
