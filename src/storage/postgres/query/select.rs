//! SELECT statements: find, find by ids, count. Building is apart from running, so that statements
//! can be shown in tests and in `explain`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, Weak};

use diesel::result::QueryResult;
use diesel_async::AsyncPgConnection;

use super::column::{Alias, Expr};
use super::filter::{PermissionColumn, push_condition};
use super::order::{nearest, push_order, push_page, push_score};
use super::{indexed, row};
use crate::query::{Filter, FindSpec};
use crate::storage::StorageResult;
use crate::storage::postgres::sql::{Bind, IndexKind, Sql, with_bytes};
use crate::types::room::Lent;
use crate::types::row::{ColumnKind, Layout, RowSet};
use crate::types::schema::ClassSchema;
use crate::types::{ClassName, FieldName};

/// A statement and the columns its rows have.
#[derive(Clone, Debug)]
pub struct BuiltQuery {
    pub sql: Sql,
    pub layout: Arc<Layout>,
    pub room: Lent,
}

impl BuiltQuery {
    /// Runs the statement; a shared connection pipelines it. `is_long` hears of a result that others should not wait
    /// behind, while it arrives.
    ///
    /// # Errors
    /// Whatever PostgreSQL says.
    pub async fn load(&self, conn: &AsyncPgConnection, is_long: impl Fn()) -> QueryResult<RowSet> {
        // Room for a few rows; most finds answer few.
        let mut rows = RowSet::with_capacity(Arc::clone(&self.layout), 4);
        rows.account_to(&self.room);
        row::collect(self.sql.stream(conn).await?, &mut rows, is_long).await?;
        Ok(rows)
    }
}

/// Runs a statement of one number.
///
/// # Errors
/// Whatever PostgreSQL says.
pub async fn load_count(sql: &Sql, conn: &AsyncPgConnection) -> QueryResult<u64> {
    let rows = sql.load(conn).await?;
    let count = rows
        .first()
        .and_then(|row| with_bytes(row, 0, |bytes| bytes.try_into().ok().map(i64::from_be_bytes)).flatten());
    Ok(count.and_then(|n| u64::try_from(n).ok()).unwrap_or(0))
}

/// `SELECT columns FROM class WHERE … ORDER BY … LIMIT … OFFSET …`.
///
/// # Errors
/// `Refused` (102) for what PostgreSQL cannot say.
pub fn find(schema: &ClassSchema, spec: &FindSpec) -> StorageResult<BuiltQuery> {
    let layout = match &spec.layout {
        Some(layout) => layout.clone(),
        None => Arc::new(Layout::asked(schema, spec.columns.as_deref(), spec.with_score)),
    };
    find_with_layout(schema, spec, layout)
}

/// As [`find`], reusing the layout of the last find of the same schema on this thread.
///
/// # Errors
/// Those of [`find`].
pub fn find_shared(schema: &Arc<ClassSchema>, spec: &FindSpec) -> StorageResult<BuiltQuery> {
    if spec.columns.is_some() || spec.with_score {
        return find(schema, spec);
    }
    let (layout, head) = kept_head(schema);
    if let Some(found) = nearest_first(schema, spec, &layout)? {
        return Ok(found);
    }
    let mut sql = Sql::default();
    sql.reserve(head.len() + 200);
    push_comment(&mut sql, spec.hints.comment.as_deref());
    sql.push_sql(&head);
    finish(sql, schema, spec, layout)
}

/// A layout and the statement's text up to and with `WHERE`.
type Head = (Arc<Layout>, Arc<str>);

thread_local! {
    /// Heads by class. A weak reference keeps the schema's address from being used again, so equal
    /// addresses are equal schemas.
    static HEADS: RefCell<HashMap<ClassName, (Weak<ClassSchema>, Head)>> = RefCell::default();
}

/// Classes whose heads a thread keeps.
const MAX_HEADS: usize = 1000;

fn kept_head(schema: &Arc<ClassSchema>) -> Head {
    HEADS.with_borrow_mut(|heads| {
        if let Some((known, kept)) = heads.get(&schema.name)
            && std::ptr::eq(known.as_ptr(), Arc::as_ptr(schema))
        {
            return kept.clone();
        }
        let layout = Arc::new(Layout::of(schema));
        let mut sql = Sql::new("SELECT ");
        push_layout(&mut sql, Alias::MAIN, &layout);
        push_table(&mut sql, schema);
        let made = (layout, sql.to_text().into());
        if heads.len() >= MAX_HEADS {
            heads.clear();
        }
        heads.insert(schema.name.clone(), (Arc::downgrade(schema), Head::clone(&made)));
        made
    })
}

/// As [`find`], for callers that keep layouts.
///
/// # Errors
/// Those of [`find`].
pub fn find_with_layout(
    schema: &ClassSchema,
    spec: &FindSpec,
    layout: Arc<Layout>,
) -> StorageResult<BuiltQuery> {
    if let Some(found) = nearest_first(schema, spec, &layout)? {
        return Ok(found);
    }
    let mut sql = Sql::default();
    push_comment(&mut sql, spec.hints.comment.as_deref());
    sql.push_sql("SELECT ");
    push_columns(&mut sql, schema, &layout, &spec.filter)?;
    push_table(&mut sql, schema);
    finish(sql, schema, spec, layout)
}

/// The nearest from an index, where the class has one. The index knows distances alone: as many as are asked for are
/// taken from it, with all that are as far as the last, and what is equally far comes in the order of ids as ever.
fn nearest_first(
    schema: &ClassSchema,
    spec: &FindSpec,
    layout: &Arc<Layout>,
) -> StorageResult<Option<BuiltQuery>> {
    let Some((path, center)) = nearest(schema, &spec.filter, &spec.order) else { return Ok(None) };
    let Some(limit) = spec.limit else { return Ok(None) };
    if spec.with_score
        || schema.field("objectId").is_none()
        || !indexed::is_there(schema, path, IndexKind::Near)
    {
        return Ok(None);
    }
    let mut sql = Sql::default();
    push_comment(&mut sql, spec.hints.comment.as_deref());
    sql.push_sql("SELECT ");
    push_columns(&mut sql, schema, layout, &spec.filter)?;
    sql.push_sql(" FROM (SELECT t0.*, ");
    indexed::push_distance(&mut sql, Expr { alias: Alias::MAIN, path }, center);
    sql.push_sql(" AS ").push_identifier(indexed::DISTANCE);
    push_from(&mut sql, schema, spec)?;
    sql.push_sql(" ORDER BY ").push_identifier(indexed::DISTANCE).push_sql(" FETCH FIRST (");
    let most = i64::try_from(limit.saturating_add(spec.skip)).unwrap_or(i64::MAX);
    sql.push_bind(Bind::Int8(most)).push_sql(") ROWS WITH TIES) t0 ORDER BY t0.");
    sql.push_identifier(indexed::DISTANCE).push_sql(", t0.\"objectId\"");
    push_page(&mut sql, spec.limit, spec.skip);
    Ok(Some(BuiltQuery { sql, layout: layout.clone(), room: spec.hints.room.clone() }))
}

/// What comes after `WHERE`.
fn finish(
    mut sql: Sql,
    schema: &ClassSchema,
    spec: &FindSpec,
    layout: Arc<Layout>,
) -> StorageResult<BuiltQuery> {
    push_where(&mut sql, schema, spec)?;
    push_order(&mut sql, schema, Alias::MAIN, &spec.filter, &spec.order, spec.limit.is_some())?;
    push_page(&mut sql, spec.limit, spec.skip);
    Ok(BuiltQuery { sql, layout, room: spec.hints.room.clone() })
}

/// One statement for the targets of an include.
pub fn find_by_ids(
    schema: &ClassSchema,
    ids: &[String],
    readers: Option<&Arc<[String]>>,
    columns: Option<&[FieldName]>,
) -> StorageResult<BuiltQuery> {
    let layout = Arc::new(Layout::asked(schema, columns, false));
    let mut sql = Sql::new("SELECT ");
    push_columns(&mut sql, schema, &layout, &Filter::all())?;
    sql.push_sql(" FROM ");
    sql.push_class(&schema.name);
    if schema.field("objectId").is_none() {
        sql.push_sql(" t0 WHERE FALSE");
        return Ok(BuiltQuery { sql, layout, room: Lent::default() });
    }
    sql.push_sql(" t0 WHERE t0.\"objectId\" = ANY(");
    sql.push_bind(Bind::TextArray(ids.to_vec()));
    sql.push_sql(")");
    if let Some(readers) = readers {
        sql.push_sql(" AND ");
        let permission = Some((PermissionColumn::Read, readers));
        push_condition(&mut sql, schema, Alias::MAIN, &Filter::all(), permission)?;
    }
    Ok(BuiltQuery { sql, layout, room: Lent::default() })
}

/// `SELECT count(*) …`; order, limit and skip do not matter.
///
/// # Errors
/// Those of [`find`].
pub fn count(schema: &ClassSchema, spec: &FindSpec) -> StorageResult<Sql> {
    let mut sql = Sql::default();
    push_comment(&mut sql, spec.hints.comment.as_deref());
    sql.push_sql("SELECT count(*)");
    push_from(&mut sql, schema, spec)?;
    Ok(sql)
}

/// ` FROM "Class" t0 WHERE filter AND acl`.
pub(super) fn push_from(sql: &mut Sql, schema: &ClassSchema, spec: &FindSpec) -> StorageResult<()> {
    push_table(sql, schema);
    push_where(sql, schema, spec)
}

fn push_table(sql: &mut Sql, schema: &ClassSchema) {
    sql.push_sql(" FROM ");
    sql.push_class(&schema.name);
    sql.push_sql(" t0 WHERE ");
}

fn push_where(sql: &mut Sql, schema: &ClassSchema, spec: &FindSpec) -> StorageResult<()> {
    let permission = spec.readers.as_ref().map(|readers| (PermissionColumn::Read, readers));
    push_condition(sql, schema, Alias::MAIN, &spec.filter, permission)
}

fn push_columns(sql: &mut Sql, schema: &ClassSchema, layout: &Layout, filter: &Filter) -> StorageResult<()> {
    for (index, column) in layout.columns.iter().enumerate() {
        if index > 0 {
            sql.push_sql(", ");
        }
        if column.kind == ColumnKind::Score {
            push_score(sql, schema, Alias::MAIN, filter)?;
            continue;
        }
        sql.push_sql("t0.");
        sql.push_field(&column.name);
    }
    Ok(())
}

/// The columns of a layout under an alias; for `RETURNING` lists. A score cannot occur there.
pub fn push_layout(sql: &mut Sql, alias: Alias, layout: &Layout) {
    for (index, column) in layout.columns.iter().enumerate() {
        if index > 0 {
            sql.push_sql(", ");
        }
        alias.push(sql);
        sql.push_sql(".");
        sql.push_field(&column.name);
    }
}

/// Client text in a statement's comment: whatever could end it is taken out. Such statements differ
/// all the time, so they are not prepared.
fn push_comment(sql: &mut Sql, comment: Option<&str>) {
    let Some(comment) = comment else { return };
    let safe: String = comment
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_' | '.' | ':' | ',' | '='))
        .take(200)
        .collect();
    sql.push_sql("/* ");
    sql.push_sql(&safe);
    sql.push_sql(" */ ");
    sql.uncacheable();
}
