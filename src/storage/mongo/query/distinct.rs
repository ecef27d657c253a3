//! Distinct values.

use std::cmp::Ordering;
use std::collections::HashSet;

use bson::raw::RawDocumentBuf;
use bson::{Bson, Document, doc};
use mongodb::Collection;
use mongodb::options::FindOptions;
use serde_json::{Value, json};

use super::filter::{Near, permission};
use super::hints::{criteria, hint};
use crate::query::FindSpec;
use crate::storage::StorageResult;
use crate::storage::mongo::error::of_query;
use crate::storage::mongo::layout::names::{self, Kind};
use crate::storage::mongo::layout::plain::bson_value;
use crate::storage::mongo::{MongoAdapter, run};
use crate::types::ClassSchema;
use crate::types::path::FieldPath;

impl MongoAdapter {
    pub(in crate::storage::mongo) async fn distinct_values(
        &self,
        schema: &ClassSchema,
        path: &FieldPath,
        spec: &FindSpec,
    ) -> StorageResult<Vec<Value>> {
        let kind = names::kind_of(schema, &path.root);
        if matches!(kind, Some(Kind::Relation(_))) {
            return Ok(Vec::new());
        }
        let permitted = permission(schema, "_rperm", spec.readers.as_ref());
        let filter = self.condition(schema, &spec.filter, permitted, Near::Filters, &spec.hints).await?;
        let key = names::path_key(schema, path);
        let collection = self.objects(&schema.name);
        let values = if matches!(kind, Some(Kind::Point)) && !path.is_dotted() {
            // The pair is one value here, not two.
            self.distinct_points(&collection, filter, &key).await?
        } else {
            let mut options = mongodb::options::DistinctOptions::default();
            options.max_time = self.core.max_time;
            options.hint = hint(schema, &spec.hints);
            options.comment = spec.hints.comment.clone().map(Bson::String);
            options.selection_criteria = criteria(&spec.hints).filter(|_| self.open.is_none());
            let action = collection.distinct(&key, filter.clone());
            let found = run!(self, action.with_options(options.clone()));
            found.map_err(of_query)?
        };
        let mut values: Vec<Value> =
            values.into_iter().map(|value| shown(schema, path, kind.as_ref(), value)).collect();
        values.retain(|value| !value.is_null());
        values.sort_by(value_order);
        values.dedup();
        Ok(values)
    }

    async fn distinct_points(
        &self,
        collection: &Collection<RawDocumentBuf>,
        filter: Document,
        key: &str,
    ) -> StorageResult<Vec<Bson>> {
        let (mut points, mut seen) = (Vec::new(), HashSet::new());
        let options = FindOptions::builder().projection(doc! { key: 1 }).build();
        self.each(collection, filter, options, |document| {
            if let Ok(Some(value)) = document.get(key)
                && let Ok(point) = Bson::try_from(value)
                && seen.insert(point.to_string())
            {
                points.push(point);
            }
            true
        })
        .await?;
        Ok(points)
    }
}

/// A distinct value as the REST API shows it.
fn shown(schema: &ClassSchema, path: &FieldPath, kind: Option<&Kind>, value: Bson) -> Value {
    let value = bson_value(value);
    if path.is_dotted() {
        return value;
    }
    match (kind, value) {
        (Some(Kind::Pointer(_)), Value::String(text)) => match text.split_once('$') {
            Some((class, id)) => json!({ "__type": "Pointer", "className": class, "objectId": id }),
            None => Value::Null,
        },
        (Some(Kind::File), Value::String(name)) => json!({ "__type": "File", "name": name }),
        (Some(Kind::Date), Value::Object(date)) if path.is("createdAt") || path.is("updatedAt") => {
            date.get("iso").cloned().unwrap_or(Value::Object(date))
        }
        (Some(Kind::Point), Value::Array(pair)) => {
            let at = |index: usize| pair.get(index).cloned().unwrap_or_default();
            json!({ "__type": "GeoPoint", "latitude": at(1), "longitude": at(0) })
        }
        (Some(Kind::Id), Value::Number(id)) if schema.field("objectId").is_some() => id.to_string().into(),
        (_, value) => value,
    }
}

/// Texts, numbers, truth values, arrays, objects; each kind in its own order.
fn value_order(a: &Value, b: &Value) -> Ordering {
    let rank = |value: &Value| match value {
        Value::Null => 0,
        Value::String(_) => 1,
        Value::Number(_) => 2,
        Value::Bool(_) => 3,
        Value::Array(_) => 4,
        Value::Object(_) => 5,
    };
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(Ordering::Equal)
        }
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        _ => rank(a).cmp(&rank(b)).then_with(|| a.to_string().cmp(&b.to_string())),
    }
}
