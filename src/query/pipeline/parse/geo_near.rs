//! `$geoNear`.

use serde_json::Value;

use super::{PipelineParser, column_name, parse_names, path, refused};
use crate::error::Result;
use crate::query::Filter;
use crate::query::parse::parse_where;
use crate::query::pipeline::{DistanceUnit, GeoNear};
use crate::types::FieldType;
use crate::types::geo::GeoPoint;
use crate::types::names::FieldName;

impl PipelineParser<'_, '_> {
    /// `{near, distanceField, key, query, minDistance, maxDistance, distanceMultiplier, includeLocs, spherical}`; `near` is
    /// a point of GeoJSON, whose distances are metres, or a pair, whose distances are radians (`spherical`) or degrees.
    pub(super) fn geo_near(&self, body: &Value) -> Result<GeoNear> {
        let near =
            body.get("near").ok_or_else(|| refused("$geoNear requires a 'near' option as an Array"))?;
        let is_json = near.get("type").is_some_and(|kind| kind == "Point");
        let pair = if is_json { near.get("coordinates") } else { Some(near) };
        let center = match pair.and_then(Value::as_array).map(Vec::as_slice) {
            Some([longitude, latitude]) => longitude.as_f64().zip(latitude.as_f64()),
            _ => None,
        };
        let center = center.and_then(|(longitude, latitude)| GeoPoint::new(latitude, longitude));
        let center = center.ok_or_else(|| {
            refused("$geoNear wants 'near' to be a GeoJSON point or an array of longitude and latitude")
        })?;
        let unit = match body.get("spherical") {
            _ if is_json => DistanceUnit::Metres,
            Some(Value::Bool(true)) => DistanceUnit::Radians,
            None | Some(Value::Bool(false) | Value::Null) => DistanceUnit::Degrees,
            Some(_) => return Err(refused("$geoNear requires 'spherical' to be a boolean")),
        };
        let number = |name: &str| match body.get(name).filter(|value| !value.is_null()) {
            None => Ok(None),
            Some(value) => match value.as_f64().filter(|number| *number >= 0.0) {
                Some(number) => Ok(Some(number)),
                None => Err(refused(format!("$geoNear requires '{name}' to be a nonnegative number"))),
            },
        };
        let text = |name: &str| match body.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(refused(format!("$geoNear requires '{name}' to be a string"))),
        };
        let distance = text("distanceField")?;
        let distance =
            distance.ok_or_else(|| refused("$geoNear requires a 'distanceField' option as a String"))?;
        let filter = match body.get("query") {
            None => Filter::all(),
            Some(wanted) if wanted.is_object() => parse_where(&parse_names(wanted), &self.context())?,
            Some(_) => return Err(refused("$geoNear requires 'query' to be an object")),
        };
        Ok(GeoNear {
            center,
            unit,
            key: match text("key")? {
                Some(key) => column_name(key)?,
                None => self.only_point()?,
            },
            filter,
            least: number("minDistance")?,
            most: number("maxDistance")?,
            multiplier: number("distanceMultiplier")?.unwrap_or(1.0),
            distance: path(distance)?,
            point: text("includeLocs")?.map(path).transpose()?,
        })
    }

    /// The one field of the class that holds points.
    fn only_point(&self) -> Result<FieldName> {
        let fields = self.schema.into_iter().flat_map(|schema| &schema.fields);
        let mut points = fields.filter(|(_, field)| field.ty == FieldType::GeoPoint).map(|(name, _)| name);
        match (points.next(), points.next()) {
            (Some(only), None) => Ok(only.clone()),
            (None, _) => Err(refused("$geoNear requires a field of points")),
            (Some(_), Some(_)) => {
                Err(refused("There is more than one field of points; $geoNear requires a 'key'"))
            }
        }
    }
}
