//! Constraints on plain columns. A value of the wrong type matches nothing; it is never an error.

use super::column::{Expr, Kind};
use super::pattern::push_regex;
use super::storable::{can_be_stored, without_nul};
use super::{geo, text};
use crate::query::{Constraint, Operand};
use crate::storage::StorageResult;
use crate::storage::postgres::sql::{Bind, Sql};
use crate::types::time::Millis;

/// Whether a row whose value is unset satisfies the constraint.
pub fn matches_unset(constraint: &Constraint) -> bool {
    match constraint {
        Constraint::Eq(operand) => *operand == Operand::Null,
        Constraint::In(list) => list.contains(&Operand::Null),
        Constraint::All(list) => !list.is_empty() && list.iter().all(|operand| *operand == Operand::Null),
        Constraint::Ne(operand) => *operand != Operand::Null,
        Constraint::Nin(list) => !list.contains(&Operand::Null),
        Constraint::Exists(set) => !set,
        Constraint::NotInQuery(_) | Constraint::DontSelect(_) => true,
        _ => false,
    }
}

/// `<`, `<=`, `>` or `>=`, with its operand.
pub fn ordering(constraint: &Constraint) -> Option<(&'static str, &Operand)> {
    Some(match constraint {
        Constraint::Lt(operand) => ("<", operand),
        Constraint::Lte(operand) => ("<=", operand),
        Constraint::Gt(operand) => (">", operand),
        Constraint::Gte(operand) => (">=", operand),
        _ => return None,
    })
}

/// The operand as the column's type; `None` when no value of the column can equal it.
pub fn bind_for(kind: &Kind, operand: &Operand) -> Option<Bind> {
    if !can_be_stored(operand) {
        return None;
    }
    Some(match (kind, operand) {
        (Kind::Text | Kind::File | Kind::Pointer(_), Operand::Text(text)) => Bind::Text(text.clone()),
        (Kind::File, Operand::File(name)) => Bind::Text(name.clone()),
        (Kind::Pointer(target), Operand::Pointer { class, id }) if target == class => Bind::Text(id.clone()),
        (Kind::Number, Operand::Number(n)) => Bind::Double(*n),
        (Kind::Bool, Operand::Bool(b)) => Bind::Bool(*b),
        (Kind::Date, Operand::Date(at)) => Bind::Timestamptz(*at),
        (Kind::Date, Operand::Text(text)) => Bind::Timestamptz(Millis::parse(text)?),
        (Kind::Object, Operand::Object(_)) | (Kind::Bytes, Operand::Bytes(_)) => {
            Bind::Jsonb(operand.to_json().to_string())
        }
        _ => return None,
    })
}

/// Several operands as one array of the column's type; those of other types can match nothing.
fn bind_list(kind: &Kind, list: &[Operand]) -> Option<Bind> {
    let binds: Vec<Bind> = list.iter().filter_map(|operand| bind_for(kind, operand)).collect();
    let mut array = match binds.first()? {
        Bind::Double(_) => Bind::DoubleArray(Vec::new()),
        Bind::Bool(_) => Bind::BoolArray(Vec::new()),
        Bind::Timestamptz(_) => Bind::TimestamptzArray(Vec::new()),
        Bind::Jsonb(_) => Bind::JsonbArray(Vec::new()),
        _ => Bind::TextArray(Vec::new()),
    };
    for bind in binds {
        match (&mut array, bind) {
            (Bind::DoubleArray(list), Bind::Double(n)) => list.push(n),
            (Bind::BoolArray(list), Bind::Bool(b)) => list.push(b),
            (Bind::TimestamptzArray(list), Bind::Timestamptz(at)) => list.push(at),
            (Bind::JsonbArray(list), Bind::Jsonb(text)) | (Bind::TextArray(list), Bind::Text(text)) => {
                list.push(text);
            }
            _ => {}
        }
    }
    Some(array)
}

/// # Errors
/// `Refused` for regular expressions PostgreSQL cannot say and unknown text-search languages.
pub fn push_constraint(
    sql: &mut Sql,
    column: Expr<'_>,
    kind: &Kind,
    constraint: &Constraint,
) -> StorageResult<()> {
    if *kind == Kind::Point && geo::push_point_constraint(sql, column, constraint) {
        return Ok(());
    }
    if let Some((operator, operand)) = ordering(constraint) {
        push_ordering(sql, column, kind, operator, operand);
        return Ok(());
    }
    match constraint {
        Constraint::Eq(operand) => push_eq(sql, column, kind, operand),
        Constraint::In(list) => push_in(sql, column, kind, list),
        Constraint::Exists(_) => {
            column.push(sql);
            sql.push_sql(" IS NOT NULL");
        }
        // A single value contains all of a list when it equals each member.
        Constraint::All(list) if *kind != Kind::TextArray => {
            for (index, operand) in list.iter().enumerate() {
                sql.push_sql(if index > 0 { " AND " } else { "" });
                push_eq(sql, column, kind, operand);
            }
            if list.is_empty() {
                sql.push_sql("FALSE");
            }
        }
        Constraint::All(list) | Constraint::ContainedBy(list) if *kind == Kind::TextArray => {
            let texts = list.iter().filter_map(text_of).collect::<Vec<_>>();
            let all = matches!(constraint, Constraint::All(_));
            if all && (list.is_empty() || texts.len() < list.len()) {
                sql.push_sql("FALSE");
                return Ok(());
            }
            column.push(sql);
            sql.push_sql(if all { " @> " } else { " <@ " });
            sql.push_text_array(texts);
        }
        Constraint::AllStartingWith(prefixes) if matches!(kind, Kind::Text | Kind::File) => {
            for (index, prefix) in prefixes.iter().enumerate() {
                sql.push_sql(if index > 0 { " AND starts_with(" } else { "starts_with(" });
                column.push(sql);
                sql.push_sql(", ");
                sql.push_text(without_nul(prefix));
                sql.push_sql(")");
            }
            if prefixes.is_empty() {
                sql.push_sql("FALSE");
            }
        }
        Constraint::EqIgnoreCase(text) if matches!(kind, Kind::Text | Kind::File) => {
            // What the case-insensitive look-up indexes are made on.
            sql.push_sql("lower(");
            column.push(sql);
            sql.push_sql(") = lower(").push_text(without_nul(text)).push_sql(")");
        }
        // Of a pointer its id is looked at, as parse-server does on PostgreSQL.
        Constraint::Regex(regex) if matches!(kind, Kind::Text | Kind::File | Kind::Pointer(_)) => {
            column.push(sql);
            push_regex(sql, regex)?;
        }
        Constraint::Text(search) if *kind == Kind::Text => text::push_match(sql, column, search)?,
        Constraint::Intersects(point) if *kind == Kind::Polygon => {
            column.push(sql);
            sql.push_sql(" @> ");
            sql.push_bind(Bind::Point(*point));
        }
        _ => {
            sql.push_sql("FALSE");
        }
    }
    Ok(())
}

fn text_of(operand: &Operand) -> Option<String> {
    match operand {
        Operand::Text(text) if can_be_stored(operand) => Some(text.clone()),
        _ => None,
    }
}

fn push_eq(sql: &mut Sql, column: Expr<'_>, kind: &Kind, operand: &Operand) {
    match (kind, operand) {
        (_, Operand::Null) => {
            column.push(sql);
            sql.push_sql(" IS NULL");
        }
        (Kind::Point, Operand::GeoPoint(point)) => geo::push_same_point(sql, column, *point),
        (Kind::Polygon, Operand::Polygon(ring)) => {
            column.push(sql);
            sql.push_sql(" ~= ");
            sql.push_bind(Bind::Polygon(geo::closed_ring(ring)));
        }
        (Kind::TextArray, Operand::Text(text)) if can_be_stored(operand) => {
            sql.push_text(text.clone());
            sql.push_sql(" = ANY(");
            column.push(sql);
            sql.push_sql(")");
        }
        _ => match bind_for(kind, operand) {
            Some(bind) => {
                column.push(sql);
                sql.push_sql(" = ");
                sql.push_bind(bind);
            }
            None => {
                sql.push_sql("FALSE");
            }
        },
    }
}

fn push_in(sql: &mut Sql, column: Expr<'_>, kind: &Kind, list: &[Operand]) {
    let mut branches = 0;
    let mut branch = |sql: &mut Sql| {
        sql.push_sql(if branches > 0 { " OR " } else { "(" });
        branches += 1;
    };
    if list.contains(&Operand::Null) {
        branch(sql);
        column.push(sql);
        sql.push_sql(" IS NULL");
    }
    match kind {
        Kind::Point | Kind::Polygon => {
            for operand in list.iter().filter(|operand| **operand != Operand::Null) {
                branch(sql);
                push_eq(sql, column, kind, operand);
            }
        }
        Kind::TextArray => {
            branch(sql);
            column.push(sql);
            sql.push_sql(" && ");
            sql.push_text_array(list.iter().filter_map(text_of).collect());
        }
        _ => {
            if let Some(bind) = bind_list(kind, list) {
                branch(sql);
                column.push(sql);
                sql.push_sql(" = ANY(");
                sql.push_bind(bind);
                sql.push_sql(")");
            }
        }
    }
    sql.push_sql(if branches > 0 { ")" } else { "FALSE" });
}

fn push_ordering(sql: &mut Sql, column: Expr<'_>, kind: &Kind, operator: &str, operand: &Operand) {
    let orderable =
        matches!(kind, Kind::Text | Kind::Number | Kind::Bool | Kind::Date | Kind::Pointer(_) | Kind::File);
    match bind_for(kind, operand).filter(|_| orderable) {
        Some(bind) => {
            column.push(sql);
            sql.push_sql(" ");
            sql.push_sql(operator);
            sql.push_sql(" ");
            sql.push_bind(bind);
        }
        None => {
            sql.push_sql("FALSE");
        }
    }
}
