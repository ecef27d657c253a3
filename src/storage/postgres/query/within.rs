//! The reads of [`super::reads`] inside a transaction: on its connection, without retries.

use std::sync::Arc;

use serde_json::Value;

use super::answers::{explained, is_plain_date, number, plan, plan_objects};
use super::reads::too_large;
use super::{aggregate, distinct, select};
use crate::error::Error;
use crate::query::{FindSpec, Pipeline};
use crate::storage::postgres::Executor;
use crate::storage::postgres::sql::Sql;
use crate::storage::{AggregateOptions, StorageError, StorageResult};
use crate::types::path::FieldPath;
use crate::types::{ClassSchema, FieldName, Object, RowSet};

pub(crate) async fn find(
    db: &Executor<'_>,
    class: &Arc<ClassSchema>,
    spec: &FindSpec,
) -> StorageResult<RowSet> {
    let mut built = select::find(class, spec)?;
    check_pace(&built.sql)?;
    db.admit(&mut built.sql);
    Ok(built.load(db.conn, || ()).await?)
}

/// A statement that is given up takes its transaction with it.
fn check_pace(sql: &Sql) -> StorageResult<()> {
    if sql.is_too_large() {
        return Err(too_large());
    }
    if sql.is_hurried() {
        let text = "$regex is not supported: back-references in a transaction";
        return Err(StorageError::Refused(Error::invalid_query(text)));
    }
    Ok(())
}

pub(crate) async fn find_by_ids(
    db: &Executor<'_>,
    class: &Arc<ClassSchema>,
    ids: &[String],
    readers: Option<&Arc<[String]>>,
    columns: Option<&[FieldName]>,
) -> StorageResult<RowSet> {
    let mut built = select::find_by_ids(class, ids, readers, columns)?;
    db.admit(&mut built.sql);
    Ok(built.load(db.conn, || ()).await?)
}

pub(crate) async fn count(
    db: &Executor<'_>,
    class: &Arc<ClassSchema>,
    spec: &FindSpec,
) -> StorageResult<u64> {
    let sql = select::count(class, spec)?;
    check_pace(&sql)?;
    Ok(number(&db.load(sql).await?))
}

pub(crate) async fn explain(
    db: &Executor<'_>,
    class: &Arc<ClassSchema>,
    spec: &FindSpec,
) -> StorageResult<Value> {
    Ok(plan(&db.load(explained(select::find(class, spec)?.sql)).await?))
}

pub(crate) async fn distinct(
    db: &Executor<'_>,
    class: &Arc<ClassSchema>,
    path: &FieldPath,
    spec: &FindSpec,
) -> StorageResult<Vec<Value>> {
    let Some(sql) = distinct::build(class, path, spec)? else { return Ok(Vec::new()) };
    Ok(distinct::decode(&db.load(sql).await?, is_plain_date(path)))
}

pub(crate) async fn aggregate(
    db: &Executor<'_>,
    class: &Arc<ClassSchema>,
    pipeline: &Pipeline,
    options: &AggregateOptions,
) -> StorageResult<Vec<Object>> {
    let mut built = aggregate::build(class, pipeline, options)?;
    if options.explain {
        let sql = explained(std::mem::take(&mut built.query.sql));
        return Ok(plan_objects(plan(&db.load(sql).await?)));
    }
    check_pace(&built.query.sql)?;
    let rows = built.query.load(db.conn, || ()).await?;
    built.objects(&rows)
}
