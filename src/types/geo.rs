//! Points and polygons on the sphere, in Parse's order: latitude first.

use serde_json::{Value, json};

use super::member::member;
use crate::types::number::number_json;

/// Mean earth radius as parse-server's PostgreSQL adapter uses it, in metres.
pub const EARTH_RADIUS_M: f64 = 6_371_000.0;
/// Miles per radian, as the SDKs and parse-server's Mongo adapter use it.
pub const MILES_PER_RADIAN: f64 = 3959.0;
/// Kilometres per radian.
pub const KILOMETERS_PER_RADIAN: f64 = 6371.0;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GeoPoint {
    /// Degrees, −90 to 90.
    pub latitude: f64,
    /// Degrees, −180 to 180.
    pub longitude: f64,
}

impl GeoPoint {
    /// `None` outside the valid ranges or for NaN.
    pub fn new(latitude: f64, longitude: f64) -> Option<Self> {
        ((-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude))
            .then_some(Self { latitude, longitude })
    }

    /// Reads `{"__type":"GeoPoint","latitude":…,"longitude":…}`; the type tag may be missing.
    pub fn from_json(value: &Value) -> Option<Self> {
        let object = value.as_object()?;
        if member(object, "__type").is_some_and(|tag| tag != "GeoPoint") {
            return None;
        }
        Self::new(member(object, "latitude")?.as_f64()?, member(object, "longitude")?.as_f64()?)
    }

    pub fn to_json(self) -> Value {
        json!({
            "__type": "GeoPoint",
            "latitude": number_json(self.latitude),
            "longitude": number_json(self.longitude),
        })
    }

    /// Central angle in radians (haversine).
    pub fn radians_to(self, other: Self) -> f64 {
        let (lat1, lat2) = (self.latitude.to_radians(), other.latitude.to_radians());
        let half_dlat = (lat2 - lat1) / 2.0;
        let half_dlng = (other.longitude - self.longitude).to_radians() / 2.0;
        let a = half_dlat.sin().powi(2) + lat1.cos() * lat2.cos() * half_dlng.sin().powi(2);
        2.0 * a.sqrt().min(1.0).asin()
    }
}
