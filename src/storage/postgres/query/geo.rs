//! Distances and areas on `point` and `polygon` columns without PostGIS: a bounding box that a GiST
//! index can answer, then the exact great-circle distance.
//!
//! Stored points are (longitude, latitude), so `col[0]` is the longitude.

use super::column::Expr;
use crate::query::Constraint;
use crate::storage::postgres::sql::{Bind, Sql};
use crate::types::geo::GeoPoint;

/// Central angle in radians between the column and `center`; the same haversine formula as
/// [`GeoPoint::radians_to`].
pub fn push_radians(sql: &mut Sql, column: Expr<'_>, center: GeoPoint) {
    sql.push_sql("2 * asin(least(1, sqrt(power(sin(radians((");
    column.push(sql);
    sql.push_sql(")[1] - ");
    sql.push_bind(Bind::Double(center.latitude));
    sql.push_sql(") / 2), 2) + cos(radians((");
    column.push(sql);
    sql.push_sql(")[1])) * ");
    sql.push_bind(Bind::Double(center.latitude.to_radians().cos()));
    sql.push_sql(" * power(sin(radians((");
    column.push(sql);
    sql.push_sql(")[0] - ");
    sql.push_bind(Bind::Double(center.longitude));
    sql.push_sql(") / 2), 2))))");
}

fn push_in_box(sql: &mut Sql, column: Expr<'_>, southwest: GeoPoint, northeast: GeoPoint) {
    column.push(sql);
    sql.push_sql(" <@ box(");
    sql.push_bind(Bind::Point(southwest));
    sql.push_sql(", ");
    sql.push_bind(Bind::Point(northeast));
    sql.push_sql(")");
}

/// A box that holds every point within `radians` of `center`, a little larger for rounding.
fn bounding_box(center: GeoPoint, radians: f64) -> Option<(GeoPoint, GeoPoint)> {
    const MARGIN: f64 = 1e-6;
    let reach = radians.to_degrees() + MARGIN;
    if !reach.is_finite() || reach >= 180.0 {
        return None;
    }
    let (south, north) = (center.latitude - reach, center.latitude + reach);
    let mut west = -180.0;
    let mut east = 180.0;
    if south > -90.0 && north < 90.0 {
        // The circle's widest point lies nearer to the pole than its centre.
        let spread = (radians.sin() / center.latitude.to_radians().cos()).clamp(-1.0, 1.0).asin();
        let spread = spread.to_degrees() + MARGIN;
        let (w, e) = (center.longitude - spread, center.longitude + spread);
        // Across the date line the box would have two halves; the latitude band alone is right too.
        if w >= -180.0 && e <= 180.0 && radians < std::f64::consts::FRAC_PI_2 {
            (west, east) = (w, e);
        }
    }
    let corner = |latitude: f64, longitude| GeoPoint { latitude, longitude };
    Some((corner(south, west), corner(north, east)))
}

fn push_within(sql: &mut Sql, column: Expr<'_>, center: GeoPoint, radians: f64) {
    if radians.is_nan() || radians < 0.0 {
        sql.push_sql("FALSE");
        return;
    }
    sql.push_sql("(");
    match bounding_box(center, radians) {
        Some((southwest, northeast)) => push_in_box(sql, column, southwest, northeast),
        // `least` passes over NULL, so an unset point would have a distance.
        None => {
            column.push(sql);
            sql.push_sql(" IS NOT NULL");
        }
    }
    sql.push_sql(" AND ");
    push_radians(sql, column, center);
    sql.push_sql(" <= ");
    sql.push_bind(Bind::Double(radians));
    sql.push_sql(")");
}

/// A geo condition on a `point` column; `false` when the constraint is none of those.
pub fn push_point_constraint(sql: &mut Sql, column: Expr<'_>, constraint: &Constraint) -> bool {
    match constraint {
        Constraint::NearSphere { max_radians: None, .. } => {
            column.push(sql);
            sql.push_sql(" IS NOT NULL");
        }
        Constraint::NearSphere { center, max_radians: Some(radians) }
        | Constraint::WithinCircle { center, radians } => push_within(sql, column, *center, *radians),
        Constraint::WithinBox { southwest, northeast } => push_in_box(sql, column, *southwest, *northeast),
        Constraint::WithinPolygon(ring) => {
            column.push(sql);
            sql.push_sql(" <@ ");
            sql.push_bind(Bind::Polygon(ring.clone()));
        }
        _ => return false,
    }
    true
}

/// Exactly this point: the same-as operator answers from an index but rounds.
pub fn push_same_point(sql: &mut Sql, column: Expr<'_>, point: GeoPoint) {
    sql.push_sql("(");
    column.push(sql);
    sql.push_sql(" ~= ");
    sql.push_bind(Bind::Point(point));
    sql.push_sql(" AND (");
    column.push(sql);
    sql.push_sql(")[0] = ");
    sql.push_bind(Bind::Double(point.longitude));
    sql.push_sql(" AND (");
    column.push(sql);
    sql.push_sql(")[1] = ");
    sql.push_bind(Bind::Double(point.latitude));
    sql.push_sql(")");
}

/// The stored ring is closed; so is what we compare it with.
pub fn closed_ring(ring: &[GeoPoint]) -> Vec<GeoPoint> {
    let mut closed = ring.to_vec();
    if let (Some(first), Some(last)) = (ring.first(), ring.last())
        && first != last
    {
        closed.push(*first);
    }
    closed
}
