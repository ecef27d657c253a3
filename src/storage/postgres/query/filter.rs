//! [`Filter`] → SQL condition. Every expression made here is used as "true or not": NULL counts as
//! not matching, and negations are written `IS NOT TRUE`, so that rows whose field is unset are kept
//! by `$ne`, `$nin` and `$nor`.
//!
//! Also used by updates and deletes: the table must carry the alias the caller names.

mod related;

use std::sync::Arc;

use super::column::{Alias, Expr, Kind, kind_of};
use super::{compare, indexed, json};
use crate::query::{Constraint, Filter};
use crate::storage::StorageResult;
use crate::storage::postgres::sql::{Bind, Sql};
use crate::types::path::FieldPath;
use crate::types::row::has_permission_columns;
use crate::types::schema::ClassSchema;

/// State of one statement's conditions.
#[derive(Debug)]
pub struct FilterBuilder {
    next_alias: u32,
}

/// Statements with more parts than this are not worth preparing.
const MAX_CACHED_BINDS: usize = 40;

/// Appends the condition that rows of `alias` match `filter` and that `readers` may see them.
///
/// # Errors
/// `Refused` (102) for expressions PostgreSQL cannot say.
pub fn push_condition(
    sql: &mut Sql,
    schema: &ClassSchema,
    alias: Alias,
    filter: &Filter,
    permission: Option<(PermissionColumn, &Arc<[String]>)>,
) -> StorageResult<()> {
    FilterBuilder { next_alias: alias.0 + 1 }.condition(sql, schema, alias, filter, permission)?;
    if sql.bind_count() > MAX_CACHED_BINDS {
        sql.uncacheable();
    }
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PermissionColumn {
    Read,
    Write,
}

impl FilterBuilder {
    pub(super) fn new_alias(&mut self) -> Alias {
        let alias = Alias(self.next_alias);
        self.next_alias += 1;
        alias
    }

    pub(super) fn condition(
        &mut self,
        sql: &mut Sql,
        schema: &ClassSchema,
        alias: Alias,
        filter: &Filter,
        permission: Option<(PermissionColumn, &Arc<[String]>)>,
    ) -> StorageResult<()> {
        let guarded = permission.filter(|_| has_permission_columns(&schema.name));
        if filter.is_all() {
            match guarded {
                None => {
                    sql.push_sql("TRUE");
                }
                Some((column, entries)) => push_permission(sql, alias, column, entries),
            }
            return Ok(());
        }
        self.filter(sql, schema, alias, filter)?;
        if let Some((column, entries)) = guarded {
            sql.push_sql(" AND ");
            push_permission(sql, alias, column, entries);
        }
        Ok(())
    }

    pub(super) fn filter(
        &mut self,
        sql: &mut Sql,
        schema: &ClassSchema,
        alias: Alias,
        filter: &Filter,
    ) -> StorageResult<()> {
        match filter {
            Filter::And(parts) => self.joined(sql, schema, alias, parts, " AND ", "TRUE"),
            Filter::Or(parts) => self.joined(sql, schema, alias, parts, " OR ", "FALSE"),
            Filter::Nor(parts) => {
                self.joined(sql, schema, alias, parts, " OR ", "FALSE")?;
                sql.push_sql(" IS NOT TRUE");
                Ok(())
            }
            Filter::Field { path, constraints } => {
                sql.push_sql("(");
                for (index, constraint) in constraints.iter().enumerate() {
                    if index > 0 {
                        sql.push_sql(" AND ");
                    }
                    self.constraint(sql, schema, alias, path, constraint)?;
                }
                if constraints.is_empty() {
                    sql.push_sql("TRUE");
                }
                sql.push_sql(")");
                Ok(())
            }
            Filter::RelatedTo(related) => {
                self.related_to(sql, alias, related);
                Ok(())
            }
        }
    }

    fn joined(
        &mut self,
        sql: &mut Sql,
        schema: &ClassSchema,
        alias: Alias,
        parts: &[Filter],
        joint: &str,
        none: &str,
    ) -> StorageResult<()> {
        sql.push_sql("(");
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                sql.push_sql(joint);
            }
            self.filter(sql, schema, alias, part)?;
        }
        if parts.is_empty() {
            sql.push_sql(none);
        }
        sql.push_sql(")");
        Ok(())
    }

    fn constraint(
        &mut self,
        sql: &mut Sql,
        schema: &ClassSchema,
        alias: Alias,
        path: &FieldPath,
        constraint: &Constraint,
    ) -> StorageResult<()> {
        // Negations are the complement of what they negate, unset rows included.
        let positive = match constraint {
            Constraint::Ne(operand) => Some(Constraint::Eq(operand.clone())),
            Constraint::Nin(list) => Some(Constraint::In(list.clone())),
            Constraint::NotInQuery(query) => Some(Constraint::InQuery(query.clone())),
            Constraint::DontSelect(query) => Some(Constraint::Select(query.clone())),
            Constraint::Exists(false) => Some(Constraint::Exists(true)),
            _ => None,
        };
        if let Some(positive) = positive {
            sql.push_sql("(");
            self.positive(sql, schema, alias, path, &positive)?;
            sql.push_sql(") IS NOT TRUE");
            return Ok(());
        }
        self.positive(sql, schema, alias, path, constraint)
    }

    fn positive(
        &mut self,
        sql: &mut Sql,
        schema: &ClassSchema,
        alias: Alias,
        path: &FieldPath,
        constraint: &Constraint,
    ) -> StorageResult<()> {
        let Some(kind) = kind_of(schema, &path.root) else {
            sql.push_sql(if compare::matches_unset(constraint) { "TRUE" } else { "FALSE" });
            return Ok(());
        };
        let expr = Expr { alias, path };
        match constraint {
            Constraint::InQuery(query) => self.in_query(sql, &schema.name, expr, &kind, query),
            Constraint::Select(query) => self.select(sql, expr, &kind, query),
            _ if path.is_dotted() => match kind {
                Kind::Object | Kind::Array | Kind::Bytes | Kind::Json => {
                    json::push_constraint(sql, expr, json::Leaf::Nested, constraint)
                }
                _ => {
                    sql.push_sql(if compare::matches_unset(constraint) { "TRUE" } else { "FALSE" });
                    Ok(())
                }
            },
            _ => match kind {
                Kind::Array => json::push_constraint(sql, expr, json::Leaf::ArrayColumn, constraint),
                Kind::Json => json::push_constraint(sql, expr, json::Leaf::Nested, constraint),
                Kind::Relation(_) => {
                    related::push_relation_constraint(sql, &schema.name, expr, constraint);
                    Ok(())
                }
                kind => {
                    indexed::push_narrowing(sql, schema, expr, &kind, constraint);
                    compare::push_constraint(sql, expr, &kind, constraint)
                }
            },
        }
    }
}

/// `(t0."_rperm" IS NULL OR t0."_rperm" && $1)`.
fn push_permission(sql: &mut Sql, alias: Alias, column: PermissionColumn, entries: &Arc<[String]>) {
    let name = match column {
        PermissionColumn::Read => "_rperm",
        PermissionColumn::Write => "_wperm",
    };
    sql.push_sql("(");
    alias.push(sql);
    sql.push_sql(".");
    sql.push_identifier(name);
    sql.push_sql(" IS NULL OR ");
    alias.push(sql);
    sql.push_sql(".");
    sql.push_identifier(name);
    sql.push_sql(" && ");
    sql.push_bind(Bind::TextArray(entries.to_vec()));
    sql.push_sql(")");
}
