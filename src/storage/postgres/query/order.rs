//! `ORDER BY`, `LIMIT` and `OFFSET` of finds and of sub-queries, and the relevance of a `$text` search.

use super::column::{Alias, Expr, Kind, kind_of};
use super::{geo, indexed, text};
use crate::query::{Constraint, Filter, OrderKey};
use crate::storage::StorageResult;
use crate::storage::postgres::sql::{Bind, IndexKind, Sql};
use crate::types::GeoPoint;
use crate::types::path::FieldPath;
use crate::types::schema::ClassSchema;

/// The `$nearSphere` centre that every matching row is measured from.
fn near_of(filter: &Filter) -> Option<(&FieldPath, GeoPoint)> {
    match filter {
        Filter::And(parts) => parts.iter().find_map(near_of),
        Filter::Field { path, constraints } => constraints.iter().find_map(|constraint| match constraint {
            Constraint::NearSphere { center, .. } => Some((path, *center)),
            _ => None,
        }),
        _ => None,
    }
}

pub fn push_score(sql: &mut Sql, schema: &ClassSchema, alias: Alias, filter: &Filter) -> StorageResult<()> {
    match text::search_of(filter) {
        Some((path, search)) if kind_of(schema, &path.root) == Some(Kind::Text) && !path.is_dotted() => {
            text::push_score(sql, Expr { alias, path }, search)
        }
        _ => {
            sql.push_sql("0::float8");
            Ok(())
        }
    }
}

/// Whether a key of an order says anything about rows of the class.
fn is_sortable(schema: &ClassSchema, path: &FieldPath) -> bool {
    match kind_of(schema, &path.root) {
        None | Some(Kind::Relation(_) | Kind::Point | Kind::Polygon) => false,
        Some(kind) => !path.is_dotted() || matches!(kind, Kind::Object | Kind::Array | Kind::Json),
    }
}

/// The column and the centre that order the rows where nothing else does.
pub fn nearest<'f>(
    schema: &ClassSchema,
    filter: &'f Filter,
    order: &[OrderKey],
) -> Option<(&'f FieldPath, GeoPoint)> {
    let by_itself = order.iter().any(|key| match key {
        OrderKey::Score => true,
        OrderKey::Field { path, .. } => is_sortable(schema, path),
    });
    if by_itself {
        return None;
    }
    near_of(filter).filter(|(path, _)| kind_of(schema, &path.root) == Some(Kind::Point) && !path.is_dotted())
}

/// ` ORDER BY …`. Fields that the class does not have, or that have no order, are passed over; where none
/// is left, nearness to the centre of a `$nearSphere` orders. With a limit, `objectId` makes the pages stable.
pub fn push_order(
    sql: &mut Sql,
    schema: &ClassSchema,
    alias: Alias,
    filter: &Filter,
    order: &[OrderKey],
    limited: bool,
) -> StorageResult<()> {
    let mut keys = 0;
    let mut next = |sql: &mut Sql| {
        sql.push_sql(if keys > 0 { ", " } else { " ORDER BY " });
        keys += 1;
    };
    let mut unique = false;
    for key in order {
        match key {
            OrderKey::Score => {
                next(sql);
                push_score(sql, schema, alias, filter)?;
                sql.push_sql(" DESC");
            }
            OrderKey::Field { path, descending } => {
                if is_sortable(schema, path) {
                    next(sql);
                    Expr { alias, path }.push(sql);
                    sql.push_sql(if *descending { " DESC" } else { " ASC" });
                    unique |= path.is("objectId");
                }
            }
        }
    }
    if keys == 0
        && let Some((path, center)) = nearest(schema, filter, order)
    {
        indexed::want(sql, schema, path, IndexKind::Near);
        keys += 1;
        sql.push_sql(" ORDER BY ");
        geo::push_radians(sql, Expr { alias, path }, center);
    }
    if keys > 0 && limited && !unique && schema.field("objectId").is_some() {
        sql.push_sql(", ");
        alias.push(sql);
        sql.push_sql(".\"objectId\"");
    }
    Ok(())
}

/// ` LIMIT $1 OFFSET $2`.
pub fn push_page(sql: &mut Sql, limit: Option<u64>, skip: u64) {
    let bound = |n: u64| Bind::Int8(i64::try_from(n).unwrap_or(i64::MAX));
    if let Some(limit) = limit {
        sql.push_sql(" LIMIT ");
        sql.push_bind(bound(limit));
    }
    if skip > 0 {
        sql.push_sql(" OFFSET ");
        sql.push_bind(bound(skip));
    }
}
