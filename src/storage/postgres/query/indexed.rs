//! Expressions that indexes are made on when a query first wants them, the conditions and orders that use
//! them, and whether they are there. What is built and what is asked are written by the same functions,
//! since PostgreSQL compares them part by part.
//!
//! A point as a unit vector (extension `cube`) has a straight distance to another that grows with the way over
//! the sphere, so that a GiST index answers the nearest exactly, across poles and the date line.

use super::column::{Expr, Kind};
use super::text;
use crate::query::Constraint;
use crate::storage::postgres::sql::{Bind, IndexKind, Sql, WantedIndex};
use crate::types::GeoPoint;
use crate::types::path::FieldPath;
use crate::types::schema::ClassSchema;

/// The distance of a row, in the inner query of a search for the nearest. No field can be called so.
pub const DISTANCE: &str = "parsimony:distance";
/// Wider than any rounding of unit vectors.
const MARGIN: f64 = 1e-9;

/// Whether the class has the index.
pub fn is_there(schema: &ClassSchema, path: &FieldPath, kind: IndexKind) -> bool {
    let word = kind.word();
    !path.is_dotted()
        && schema.indexes.values().filter_map(serde_json::Value::as_object).any(|columns| {
            columns.len() == 1
                && columns.get(path.root.as_str()).is_some_and(|said| match kind {
                    // Whatever else is said of a point makes an index of its area.
                    IndexKind::Area => said != "near",
                    _ => said.as_str() == Some(word.as_str()),
                })
        })
}

/// Notes that the statement could have used this index.
pub fn want(sql: &mut Sql, schema: &ClassSchema, path: &FieldPath, kind: IndexKind) {
    if !path.is_dotted() && !is_there(schema, path, kind) {
        sql.want(WantedIndex { class: schema.name.clone(), field: path.root.clone(), kind });
    }
}

/// What an index can say about the constraint beside the constraint itself, followed by ` AND `.
pub fn push_narrowing(
    sql: &mut Sql,
    schema: &ClassSchema,
    column: Expr<'_>,
    kind: &Kind,
    constraint: &Constraint,
) {
    let path = column.path;
    match (kind, constraint) {
        (
            Kind::Point,
            Constraint::NearSphere { center, max_radians: Some(radians) }
            | Constraint::WithinCircle { center, radians },
        ) => {
            if is_there(schema, path, IndexKind::Near) {
                push_within_reach(sql, column, *center, *radians);
            } else {
                want(sql, schema, path, IndexKind::Near);
            }
        }
        (Kind::Point, Constraint::WithinBox { .. } | Constraint::WithinPolygon(_))
        | (Kind::Polygon, Constraint::Intersects(_)) => want(sql, schema, path, IndexKind::Area),
        (Kind::Text, Constraint::Text(search)) => {
            if let Ok(configuration) = text::configuration(search) {
                let kind = if search.diacritic_sensitive { IndexKind::Text } else { IndexKind::Folded };
                want(sql, schema, path, kind(configuration));
            }
        }
        _ => {}
    }
}

/// `unit <@ box AND `: the vectors whose straight distance is not beyond that of `radians`.
fn push_within_reach(sql: &mut Sql, column: Expr<'_>, center: GeoPoint, radians: f64) {
    if !(0.0..std::f64::consts::PI).contains(&radians) {
        return;
    }
    let chord = 2.0 * (radians / 2.0).sin() + MARGIN;
    let unit = unit_vector(center);
    push_unit(sql, |sql| column.push(sql));
    sql.push_sql(" OPERATOR(public.<@) public.cube(");
    push_array(sql, unit.map(|part| part - chord));
    sql.push_sql(", ");
    push_array(sql, unit.map(|part| part + chord));
    sql.push_sql(") AND ");
}

/// The straight distance between the column and `center`, which grows with the way over the sphere.
pub fn push_distance(sql: &mut Sql, column: Expr<'_>, center: GeoPoint) {
    push_unit(sql, |sql| column.push(sql));
    sql.push_sql(" OPERATOR(public.<->) public.cube(");
    push_array(sql, unit_vector(center));
    sql.push_sql(")");
}

fn push_array(sql: &mut Sql, parts: [f64; 3]) {
    for (index, part) in parts.into_iter().enumerate() {
        sql.push_sql(if index > 0 { ", " } else { "ARRAY[" });
        sql.push_bind(Bind::Double(part));
    }
    sql.push_sql("]");
}

fn unit_vector(point: GeoPoint) -> [f64; 3] {
    let (latitude, longitude) = (point.latitude.to_radians(), point.longitude.to_radians());
    [latitude.cos() * longitude.cos(), latitude.cos() * longitude.sin(), latitude.sin()]
}

/// A point column as a unit vector; `cube` refuses NULL among its numbers.
pub fn push_unit(sql: &mut Sql, mut column: impl FnMut(&mut Sql)) {
    let pieces = [
        "(CASE WHEN ",
        " IS NULL THEN NULL ELSE public.cube(ARRAY[cos(radians((",
        ")[1])) * cos(radians((",
        ")[0])), cos(radians((",
        ")[1])) * sin(radians((",
        ")[0])), sin(radians((",
    ];
    for piece in pieces {
        sql.push_sql(piece);
        column(sql);
    }
    sql.push_sql(")[1]))]) END)");
}
