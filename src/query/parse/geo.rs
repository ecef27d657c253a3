//! Geo operators of a `where`. Pairs of numbers are [longitude, latitude], also those of a Polygon
//! object, although a stored Polygon has the latitude first.

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::query::Constraint;
use crate::types::geo::{GeoPoint, KILOMETERS_PER_RADIAN, MILES_PER_RADIAN};

fn bad(message: &'static str) -> Error {
    Error::invalid_json(message)
}

/// `$nearSphere` with the `$maxDistance…` keys beside it.
pub(super) fn near(value: &Value, siblings: &Map<String, Value>) -> Result<Constraint> {
    let center = GeoPoint::from_json(value).ok_or_else(|| bad("bad $nearSphere value"))?;
    let mut max_radians = None;
    for (key, per_radian) in [
        ("$maxDistance", 1.0),
        ("$maxDistanceInRadians", 1.0),
        ("$maxDistanceInMiles", MILES_PER_RADIAN),
        ("$maxDistanceInKilometers", KILOMETERS_PER_RADIAN),
    ] {
        if let Some(distance) = siblings.get(key).filter(|distance| !distance.is_null()) {
            let distance = number(distance).filter(|distance| *distance >= 0.0);
            max_radians = Some(distance.ok_or_else(|| bad("bad $maxDistance value"))? / per_radian);
        }
    }
    Ok(Constraint::NearSphere { center, max_radians })
}

/// A number, or a text that is one.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(n) => n.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
    .filter(|n| n.is_finite())
}

pub(super) fn within_box(value: &Value) -> Result<Constraint> {
    let corners = value.get("$box").and_then(Value::as_array).map(Vec::as_slice);
    let Some([southwest, northeast]) = corners else { return Err(bad("malformatted $within arg")) };
    let corner = |corner| GeoPoint::from_json(corner).ok_or_else(|| bad("malformatted $within arg"));
    Ok(Constraint::WithinBox { southwest: corner(southwest)?, northeast: corner(northeast)? })
}

/// How many points a `$geoWithin` names.
pub(super) fn corners(value: &Value) -> usize {
    let polygon = value.get("$polygon");
    let points = polygon.and_then(|polygon| polygon.get("coordinates").unwrap_or(polygon).as_array());
    points.map_or(0, Vec::len)
}

pub(super) fn geo_within(value: &Value) -> Result<Constraint> {
    if let Some(polygon) = value.get("$polygon") {
        return polygon_ring(polygon).map(Constraint::WithinPolygon);
    }
    match value.get("$centerSphere") {
        Some(circle) => center_sphere(circle),
        None => Err(bad("bad $geoWithin value")),
    }
}

fn polygon_ring(polygon: &Value) -> Result<Vec<GeoPoint>> {
    let points = match polygon {
        Value::Object(object) if object.get("__type").is_some_and(|tag| tag == "Polygon") => {
            let pairs = object.get("coordinates").and_then(Value::as_array).filter(|pairs| pairs.len() >= 3);
            pairs.ok_or_else(|| {
                bad("bad $geoWithin value; Polygon.coordinates should contain at least 3 lon/lat pairs")
            })?
        }
        Value::Array(points) if points.len() >= 3 => points,
        Value::Array(_) => {
            return Err(bad("bad $geoWithin value; $polygon should contain at least 3 GeoPoints"));
        }
        _ => {
            return Err(bad(
                "bad $geoWithin value; $polygon should be Polygon object or Array of Parse.GeoPoint's",
            ));
        }
    };
    points.iter().map(|point| point_or_pair(point).ok_or_else(|| bad("bad $geoWithin value"))).collect()
}

fn point_or_pair(value: &Value) -> Option<GeoPoint> {
    match value.as_array().map(Vec::as_slice) {
        Some([longitude, latitude]) => GeoPoint::new(latitude.as_f64()?, longitude.as_f64()?),
        Some(_) => None,
        None => value.get("__type").and_then(|_| GeoPoint::from_json(value)),
    }
}

fn center_sphere(circle: &Value) -> Result<Constraint> {
    let parts = circle.as_array().filter(|parts| parts.len() >= 2).ok_or_else(|| {
        bad("bad $geoWithin value; $centerSphere should be an array of Parse.GeoPoint and distance")
    })?;
    let center = point_or_pair(&parts[0])
        .ok_or_else(|| bad("bad $geoWithin value; $centerSphere geo point invalid"))?;
    let radians = number(&parts[1])
        .filter(|radians| *radians >= 0.0)
        .ok_or_else(|| bad("bad $geoWithin value; $centerSphere distance invalid"))?;
    Ok(Constraint::WithinCircle { center, radians })
}

pub(super) fn intersects(value: &Value) -> Result<Constraint> {
    let point = value.get("$point").filter(|point| point.get("__type").is_some());
    point
        .and_then(GeoPoint::from_json)
        .map(Constraint::Intersects)
        .ok_or_else(|| bad("bad $geoIntersect value; $point should be GeoPoint"))
}
