//! `$geoNear`.

use super::super::column::{Expr as Column, Kind, kind_of};
use super::super::geo::push_radians;
use super::Relation;
use super::project::push_column;
use super::typed::Typed;
use crate::query::pipeline::{DistanceUnit, GEO_NEAR_RADIUS_M, GeoNear, SortKey};
use crate::storage::StorageResult;
use crate::storage::postgres::sql::{Bind, Sql};
use crate::types::FieldType;
use crate::types::path::FieldPath;

impl Relation {
    pub(super) fn geo_near(&mut self, near: &GeoNear) -> StorageResult<()> {
        self.matched(&near.filter, None)?;
        let is_point = matches!(kind_of(&self.schema, &near.key), Some(Kind::Point));
        let mut rest = Sql::new(" WHERE ");
        if is_point {
            rest.append(self.column(&near.key).sql).push_sql(" IS NOT NULL");
            for (bound, comparison) in [(near.least, " >= "), (near.most, " <= ")] {
                if let Some(bound) = bound {
                    rest.push_sql(" AND ").append(self.distance(near)).push_sql(comparison);
                    rest.push_bind(Bind::Double(bound));
                }
            }
        } else {
            rest.push_sql("FALSE");
        }
        let mut distance = Sql::new("(");
        if is_point {
            distance.append(self.distance(near)).push_sql(" * ").push_bind(Bind::Double(near.multiplier));
        } else {
            distance.push_sql("NULL::float8");
        }
        distance.push_sql(")");
        let point = near.point.as_ref().map(|path| (path, self.column(&near.key)));
        let replaced = |path: &FieldPath| (!path.is_dotted()).then(|| path.root.clone());
        let dropped: Vec<_> =
            [Some(&near.distance), near.point.as_ref()].into_iter().flatten().filter_map(replaced).collect();
        let mut columns = self.kept_columns(&dropped);
        push_column(&mut columns, &near.distance, Typed::new(distance, FieldType::Number));
        if let Some((path, point)) = point {
            push_column(&mut columns, path, point);
        }
        self.replace_columns_with(columns, rest);
        self.sort = vec![SortKey { path: near.distance.clone(), descending: false }];
        Ok(())
    }

    /// From the center to the point of a row that has one.
    fn distance(&self, near: &GeoNear) -> Sql {
        let path = FieldPath::from(near.key.clone());
        let column = Column { alias: self.alias, path: &path };
        let mut sql = Sql::new("(");
        match near.unit {
            DistanceUnit::Degrees => {
                column.push(&mut sql);
                sql.push_sql(" <-> ").push_bind(Bind::Point(near.center));
            }
            DistanceUnit::Radians => push_radians(&mut sql, column, near.center),
            DistanceUnit::Metres => {
                push_radians(&mut sql, column, near.center);
                sql.push_sql(" * ").push_bind(Bind::Double(GEO_NEAR_RADIUS_M));
            }
        }
        sql.push_sql(")");
        sql
    }
}
