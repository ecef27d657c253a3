//! `$geoNear`.

use serde_json::{Value, json};

use super::Runner;
use crate::query::pipeline::{DistanceUnit, GEO_NEAR_RADIUS_M, GeoNear};
use crate::types::Object;
use crate::types::geo::GeoPoint;
use crate::types::number::number_json;
use crate::types::path::FieldPath;

impl Runner<'_> {
    pub(super) fn near(&self, rows: Vec<Object>, near: &GeoNear) -> Vec<Object> {
        let mut found: Vec<(f64, Object)> = Vec::new();
        for mut row in self.state.filtered(&near.filter, rows) {
            let Some(shown) = row.get(near.key.as_str()).cloned() else { continue };
            let Some(point) = GeoPoint::from_json(&shown) else { continue };
            let distance = distance(near, point);
            if near.least.is_some_and(|least| distance < least)
                || near.most.is_some_and(|most| distance > most)
            {
                continue;
            }
            put(&mut row, &near.distance, number_json(distance * near.multiplier));
            if let Some(path) = &near.point {
                put(&mut row, path, shown);
            }
            found.push((distance, row));
        }
        found.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        found.into_iter().map(|(_, row)| row).collect()
    }
}

fn distance(near: &GeoNear, point: GeoPoint) -> f64 {
    let center = near.center;
    match near.unit {
        DistanceUnit::Metres => point.radians_to(center) * GEO_NEAR_RADIUS_M,
        DistanceUnit::Radians => point.radians_to(center),
        DistanceUnit::Degrees => (point.longitude - center.longitude).hypot(point.latitude - center.latitude),
    }
}

/// What other fields of an object on the way have stays.
fn put(row: &mut Object, path: &FieldPath, value: Value) {
    let nested = path.rest.iter().rev().fold(value, |value, key| json!({ key.as_str(): value }));
    let root = path.root.as_str().to_owned();
    match (row.get_mut(&root).and_then(Value::as_object_mut).filter(|_| path.is_dotted()), nested) {
        (Some(known), Value::Object(nested)) => known.extend(nested),
        (_, nested) => {
            row.insert(root, nested);
        }
    }
}
