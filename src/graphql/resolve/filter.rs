//! `where` of GraphQL to `where` of REST (parse-server's `transformers/query`).

use serde_json::{Map, Value, json};

use super::super::errors::Failure;
use super::super::execute::leaf;
use super::super::schema::Schema;
use super::super::schema::class::Class;
use super::internal;
use crate::types::FieldType;
use crate::types::javascript::is_truthy;

type Made<T> = Result<T, Failure>;

/// What REST calls an operator.
fn operator(name: &str) -> Option<&'static str> {
    Some(match name {
        "equalTo" => "$eq",
        "notEqualTo" => "$ne",
        "lessThan" => "$lt",
        "lessThanOrEqualTo" => "$lte",
        "greaterThan" => "$gt",
        "greaterThanOrEqualTo" => "$gte",
        "in" => "$in",
        "notIn" => "$nin",
        "exists" => "$exists",
        "inQueryKey" => "$select",
        "notInQueryKey" => "$dontSelect",
        "inQuery" => "$inQuery",
        "notInQuery" => "$notInQuery",
        "containedBy" => "$containedBy",
        "contains" => "$all",
        "matchesRegex" => "$regex",
        "options" => "$options",
        "text" => "$text",
        "search" => "$search",
        "term" => "$term",
        "language" => "$language",
        "caseSensitive" => "$caseSensitive",
        "diacriticSensitive" => "$diacriticSensitive",
        "nearSphere" => "$nearSphere",
        "maxDistance" => "$maxDistance",
        "maxDistanceInRadians" => "$maxDistanceInRadians",
        "maxDistanceInMiles" => "$maxDistanceInMiles",
        "maxDistanceInKilometers" => "$maxDistanceInKilometers",
        "within" => "$within",
        "box" => "$box",
        "geoWithin" => "$geoWithin",
        "polygon" => "$polygon",
        "centerSphere" => "$centerSphere",
        "geoIntersects" => "$geoIntersects",
        "point" => "$point",
        _ => return None,
    })
}

/// The conditions on a class.
///
/// # Errors
/// For nulls where parse-server fails on them.
pub fn conditions(schema: &Schema, class: &Class, given: Map<String, Value>) -> Made<Map<String, Value>> {
    let mut made = Map::new();
    for (field, value) in given {
        let compound = match field.as_str() {
            "OR" => "$or",
            "AND" => "$and",
            "NOR" => "$nor",
            _ => {
                constraints(schema, class, &field, value, &mut made)?;
                continue;
            }
        };
        let Value::Array(parts) = value else { return Err(internal()) };
        let parts = parts.into_iter().map(|part| match part {
            Value::Object(part) => conditions(schema, class, part).map(Value::Object),
            other => Ok(other),
        });
        made.insert(compound.to_owned(), parts.collect::<Made<Vec<_>>>()?.into());
    }
    Ok(made)
}

/// The constraints on one field, written into the conditions.
fn constraints(
    schema: &Schema,
    class: &Class,
    field: &str,
    value: Value,
    made: &mut Map<String, Value>,
) -> Made<()> {
    let Value::Object(given) = value else {
        // Of a class whose conditions are plain objects.
        return if value.is_null() {
            Err(internal())
        } else {
            drop(made.insert(field.to_owned(), value));
            Ok(())
        };
    };
    let column = if field == "id" { "objectId" } else { field };
    let target = match class.schema.field_type(field) {
        Some(FieldType::Pointer(target)) => Some((target, false)),
        Some(FieldType::Relation(target)) => Some((target, true)),
        _ => None,
    };
    if let Some((target, is_relation)) = target {
        let mut own = Map::new();
        for (name, value) in given {
            if value.is_null() {
                return Err(internal());
            }
            match name.as_str() {
                "exists" if is_relation => {
                    let found = if is_truthy(&value) { "$inQuery" } else { "$notInQuery" };
                    let any =
                        json!({ "where": { "objectId": { "$exists": true } }, "className": target.as_str() });
                    own.insert(found.to_owned(), any);
                }
                "exists" => drop(own.insert("$exists".to_owned(), value)),
                "have" | "haveNot" => {
                    let condition = match (value, schema.class_of(target)) {
                        (Value::Object(condition), Some(target)) => {
                            Value::Object(conditions(schema, target, condition)?)
                        }
                        (other, _) => other,
                    };
                    let operator = if name == "have" { "$inQuery" } else { "$notInQuery" };
                    let query = json!({ "where": condition, "className": target.as_str() });
                    own.insert(operator.to_owned(), query);
                }
                // Of a class whose conditions are plain objects.
                _ if name.starts_with('$')
                    || name == "__type"
                    || name == "className"
                    || name == "objectId" =>
                {
                    own.insert(name, value);
                }
                _ => {}
            }
        }
        made.insert(field.to_owned(), Value::Object(own));
        return Ok(());
    }
    let mut own = Map::new();
    let mut is_split = false;
    for (name, value) in given {
        if value.is_null() {
            return Err(internal());
        }
        let value = if field == "id" { without_class(class, value) } else { value };
        let known = operator(&name);
        if let (Some(known), Some(key), Some(inner)) =
            (known, value.get("key").filter(|key| is_truthy(key)).and_then(Value::as_str), value.get("value"))
        {
            // A constraint on a key of an object.
            let path = format!("{field}.{key}");
            let entry = made.entry(path).or_insert_with(|| Value::Object(Map::new()));
            let Value::Object(entry) = entry else { return Err(internal()) };
            entry.insert(known.to_owned(), inner.clone());
            is_split = true;
            continue;
        }
        let value = argument(schema, class, &name, value)?;
        own.insert(known.map_or(name, str::to_owned), value);
    }
    if !is_split {
        made.insert(column.to_owned(), Value::Object(own));
    }
    Ok(())
}

/// Ids, where global ones of the class were given.
fn without_class(class: &Class, value: Value) -> Value {
    let name = class.schema.name.as_str();
    match value {
        Value::String(id) => leaf::object_id(name, &id).into(),
        Value::Array(ids) => ids.into_iter().map(|id| without_class(class, id)).collect(),
        other => other,
    }
}

fn point(value: Value) -> Value {
    match value {
        Value::Object(mut point) => {
            point.entry("__type").or_insert_with(|| "GeoPoint".into());
            Value::Object(point)
        }
        other => other,
    }
}

/// The argument of an operator.
fn argument(schema: &Schema, class: &Class, name: &str, value: Value) -> Made<Value> {
    Ok(match (name, value) {
        ("point" | "nearSphere", value) => point(value),
        ("box", Value::Object(mut corners)) => {
            let corner = |corner: Option<Value>| point(corner.unwrap_or_default());
            let (low, high) = (corners.shift_remove("bottomLeft"), corners.shift_remove("upperRight"));
            vec![corner(low), corner(high)].into()
        }
        ("polygon", Value::Array(corners)) => corners.into_iter().map(point).collect(),
        ("centerSphere", Value::Object(mut sphere)) => {
            let center = point(sphere.shift_remove("center").unwrap_or_default());
            vec![center, sphere.shift_remove("distance").unwrap_or_default()].into()
        }
        ("inQueryKey" | "notInQueryKey", Value::Object(mut select)) => {
            if let Some(Value::Object(query)) = select.get_mut("query")
                && let Some(Value::Object(condition)) = query.get_mut("where")
            {
                let condition = std::mem::take(condition);
                // Fields are those of the class that is asked, whatever class the query names.
                let condition = conditions(schema, class, condition)?;
                query.insert("where".to_owned(), Value::Object(condition));
            }
            Value::Object(select)
        }
        ("text" | "search" | "within" | "geoWithin" | "geoIntersects", Value::Object(parts)) => {
            let parts = parts.into_iter().map(|(part, value)| {
                if value.is_null() {
                    return Err(internal());
                }
                let value = argument(schema, class, &part, value)?;
                Ok((operator(&part).map_or(part, str::to_owned), value))
            });
            Value::Object(parts.collect::<Made<_>>()?)
        }
        (_, value) => value,
    })
}
