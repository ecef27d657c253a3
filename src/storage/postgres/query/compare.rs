//! Constraints on plain columns. A value of the wrong type matches nothing; it is never an error.

use serde_json::Value;

use super::column::{Expr, Kind};
use super::{geo, text};
use crate::query::regex::{Dialect, translate};
use crate::query::{Constraint, Operand, RegexConstraint};
use crate::storage::postgres::sql::{Bind, Sql};
use crate::storage::{StorageError, StorageResult};
use crate::types::time::Millis;

/// PostgreSQL texts hold no NUL character, so nothing stored equals a text that has one.
pub fn can_be_stored(operand: &Operand) -> bool {
    fn clean(value: &Value) -> bool {
        match value {
            Value::String(text) => !text.contains('\0'),
            Value::Array(list) => list.iter().all(clean),
            Value::Object(object) => object.iter().all(|(key, value)| !key.contains('\0') && clean(value)),
            _ => true,
        }
    }
    match operand {
        Operand::Text(text)
        | Operand::File(text)
        | Operand::Bytes(text)
        | Operand::Pointer { id: text, .. } => !text.contains('\0'),
        Operand::Object(value) => clean(value),
        Operand::Array(list) => list.iter().all(clean),
        _ => true,
    }
}

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
        Constraint::Regex(regex) if matches!(kind, Kind::Text | Kind::File) => {
            if let Some(text) = whole_text(regex) {
                // What the case-insensitive look-up indexes are made on.
                sql.push_sql("lower(");
                column.push(sql);
                sql.push_sql(") = lower(").push_text(without_nul(&text)).push_sql(")");
            } else {
                column.push(sql);
                push_regex(sql, regex)?;
            }
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

/// The text of a fully anchored literal (`^\Q…\E$`, or escaped) with option `i`: a comparison that
/// does not mind case.
fn whole_text(regex: &RegexConstraint) -> Option<String> {
    if regex.options != "i" {
        return None;
    }
    let body = regex.pattern.strip_prefix('^')?.strip_suffix('$')?;
    if let Some(quoted) = body.strip_prefix("\\Q").and_then(|rest| rest.strip_suffix("\\E")) {
        return (!quoted.contains("\\E")).then(|| quoted.to_owned());
    }
    let mut text = String::with_capacity(body.len());
    let mut rest = body.chars();
    while let Some(c) = rest.next() {
        text.push(match c {
            '\\' => rest.next().filter(|escaped| !escaped.is_alphanumeric())?,
            '.' | '+' | '*' | '?' | '(' | ')' | '|' | '[' | ']' | '{' | '}' | '^' | '$' => return None,
            literal => literal,
        });
    }
    Some(text)
}

/// The id a pointer (or a bare id) names.
pub fn text_id(operand: &Operand) -> Option<String> {
    match operand {
        Operand::Pointer { id, .. } | Operand::Text(id) if can_be_stored(operand) => Some(id.clone()),
        _ => None,
    }
}

/// ` ~ $1`, the pattern translated.
///
/// # Errors
/// `Refused`, 102.
pub fn push_regex(sql: &mut Sql, regex: &RegexConstraint) -> StorageResult<()> {
    let translated = translate(regex, Dialect::Postgres).map_err(StorageError::Refused)?;
    sql.push_sql(" ~ ");
    sql.push_text(translated.pattern);
    Ok(())
}

/// For prefixes and search terms: a NUL becomes the replacement character, which is as unlikely.
pub fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchored_literals_are_recognised() {
        let text = |pattern: &str, options: &str| {
            whole_text(&RegexConstraint { pattern: pattern.to_owned(), options: options.to_owned() })
        };
        assert_eq!(text(r"^\Qa.b\E$", "i").as_deref(), Some("a.b"));
        assert_eq!(text(r"^a\.b@c\-d$", "i").as_deref(), Some("a.b@c-d"));
        assert_eq!(text(r"^a\b$", "i"), None);
        assert_eq!(text("^a.b$", "i"), None);
        assert_eq!(text("^ab$", ""), None);
        assert_eq!(text("ab$", "i"), None);
        assert_eq!(text(r"^ab\$", "i"), None);
    }
}
