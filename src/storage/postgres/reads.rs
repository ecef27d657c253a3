//! Runs the SELECT side: which lane a read takes, the one retry a read gets, and the same statements
//! inside transactions.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use diesel_async::AsyncPgConnection;
use serde_json::Value;
use smallvec::SmallVec;

use super::column::Alias;
use super::error::{is_connection_lost, is_missing_table, is_stale_plan};
use super::pool::{Lanes, SHARED_READ_TIMEOUT};
use super::select::{self, BuiltQuery};
use super::sql::{PgRow, Sql, with_bytes};
use super::{Core, Executor, aggregate, command, distinct, row};
use crate::storage::{AggregateOptions, StorageResult};
use crate::types::query::{Constraint, FieldPath, Filter, FindHints, FindSpec, Operand};
use crate::types::{ClassSchema, FieldName, Layout, Object, RowSet};

/// Ids in one read of the pipelined lane.
const SHORT_IDS: usize = 1000;
/// Rows in one read of the pipelined lane, unless they are found by id.
const SHORT_LIMIT: u64 = 100;

/// A statement and what to make of its rows.
enum Query {
    Set(BuiltQuery),
    Rows(Sql),
}

enum Answer {
    Set(RowSet),
    Rows(Vec<PgRow>),
}

impl Query {
    fn sql(&mut self) -> &mut Sql {
        match self {
            Self::Set(built) => &mut built.sql,
            Self::Rows(sql) => sql,
        }
    }

    async fn run(&self, conn: &AsyncPgConnection) -> StorageResult<Answer> {
        Ok(match self {
            Self::Set(built) => Answer::Set(built.load(conn).await?),
            Self::Rows(sql) => Answer::Rows(sql.load(conn).await?),
        })
    }
}

impl Answer {
    fn into_set(self, layout: Arc<Layout>) -> RowSet {
        match self {
            Self::Set(set) => set,
            Self::Rows(_) => RowSet::new(layout),
        }
    }

    fn into_rows(self) -> Vec<PgRow> {
        match self {
            Self::Set(_) => Vec::new(),
            Self::Rows(rows) => rows,
        }
    }
}

/// How long a read is likely to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    /// Surely short: on the pipelined lane.
    Short,
    /// Few rows by plain comparisons: there too, once the shape proved quick.
    Learned,
    /// Anything.
    Open,
}

/// What a read may use.
#[derive(Clone, Copy)]
struct Lane {
    length: Length,
    replica: bool,
}

impl Lane {
    fn of(length: Length, hints: &FindHints) -> Self {
        Self { length, replica: hints.read_preference.allows_replica() }
    }
}

impl Core {
    fn lanes_for(&self, lane: Lane) -> &Lanes {
        if lane.replica && !self.replicas.is_empty() {
            let turn = self.next_replica.fetch_add(1, Ordering::Relaxed);
            return &self.replicas[turn % self.replicas.len()];
        }
        &self.lanes
    }

    /// Reads are sent once more when the connection broke or its plan went stale.
    async fn read(&self, mut query: Query, lane: Lane) -> StorageResult<Answer> {
        if self.prepared_statements {
            self.shapes.admit(query.sql());
        } else {
            query.sql().uncacheable();
        }
        let lanes = self.lanes_for(lane);
        let learned = (lane.length == Length::Learned).then(|| query.sql().shape());
        let shares = match learned {
            Some(shape) => self.pace.is_quick(shape),
            None => lane.length == Length::Short,
        };
        if shares && let Ok(Some(shared)) = lanes.shared().await {
            match tokio::time::timeout(SHARED_READ_TIMEOUT, query.run(&shared)).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) if is_connection_lost(&error) || is_stale_plan(&error) => shared.retire(),
                Ok(Err(error)) => return Err(error),
                // Whoever is in the way stays on that connection; nobody else joins it.
                Err(_) => {
                    shared.retire();
                    if let Some(shape) = learned {
                        self.pace.blocked(shape);
                    }
                }
            }
        }
        let mut retried = false;
        loop {
            let conn = lanes.get().await?;
            let began = Instant::now();
            let outcome = if self.prepared_statements {
                query.run(&conn).await
            } else {
                self.run_bracketed(&conn, &query).await
            };
            match outcome {
                Err(error) if !retried && is_connection_lost(&error) => {}
                Err(error) if !retried && is_stale_plan(&error) => conn.set_dirty(true),
                outcome => {
                    if let Some(shape) = learned {
                        self.pace.measured(shape, began.elapsed());
                    }
                    return outcome;
                }
            }
            retried = true;
        }
    }

    async fn run_bracketed(&self, conn: &AsyncPgConnection, query: &Query) -> StorageResult<Answer> {
        command(conn, &self.begin).await?;
        let outcome = query.run(conn).await;
        command(conn, if outcome.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
        outcome
    }

    pub(super) async fn find(&self, class: &Arc<ClassSchema>, spec: &FindSpec) -> StorageResult<RowSet> {
        let built = select::find_shared(class, spec)?;
        let lane = Lane::of(length(class, spec), &spec.hints);
        self.set(built, lane).await
    }

    /// Rows of a class whose table is not there yet are no rows.
    async fn set(&self, built: BuiltQuery, lane: Lane) -> StorageResult<RowSet> {
        let layout = built.layout.clone();
        match self.read(Query::Set(built), lane).await {
            Ok(answer) => Ok(answer.into_set(layout)),
            Err(error) if is_missing_table(&error) => Ok(RowSet::new(layout)),
            Err(error) => Err(error),
        }
    }

    /// One statement for what every request with a session that is not in memory needs.
    pub(super) async fn session_with_user(
        &self,
        sessions: &Arc<ClassSchema>,
        users: &Arc<ClassSchema>,
        token: &str,
    ) -> StorageResult<Option<(Object, Object)>> {
        let (session, user) = (select::layout(sessions, None, false), select::layout(users, None, false));
        let mut sql = Sql::new("SELECT ");
        select::push_layout(&mut sql, Alias(1), &session);
        sql.push_sql(", ");
        select::push_layout(&mut sql, Alias::MAIN, &user);
        sql.push_sql(" FROM ").push_class(&sessions.name);
        sql.push_sql(" t1 JOIN ").push_class(&users.name);
        sql.push_sql(" t0 ON t0.\"objectId\" = t1.\"user\" WHERE t1.\"sessionToken\" = ");
        sql.push_text(token.to_owned()).push_sql(" LIMIT 1");
        let rows = self.rows(sql, Lane::of(Length::Short, &FindHints::default())).await?;
        let Some(found) = rows.first() else { return Ok(None) };
        let object = |layout: &Arc<Layout>, first: usize| {
            let mut set = RowSet::new(layout.clone());
            row::push_row(&mut set, found, first, layout.columns.len());
            set.first().map(|row| row.to_object()).unwrap_or_default()
        };
        Ok(Some((object(&session, 0), object(&user, session.columns.len()))))
    }

    async fn rows(&self, sql: Sql, lane: Lane) -> StorageResult<Vec<PgRow>> {
        match self.read(Query::Rows(sql), lane).await {
            Ok(answer) => Ok(answer.into_rows()),
            Err(error) if is_missing_table(&error) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn find_by_ids(
        &self,
        class: &Arc<ClassSchema>,
        ids: &[String],
        readers: Option<&Arc<[String]>>,
        columns: Option<&[FieldName]>,
        hints: &FindHints,
    ) -> StorageResult<RowSet> {
        let mut built = select::find_by_ids(class, ids, readers, columns)?;
        built.room = hints.room.clone();
        let length = if ids.len() <= SHORT_IDS { Length::Short } else { Length::Open };
        self.set(built, Lane::of(length, hints)).await
    }

    pub(super) async fn count(&self, class: &Arc<ClassSchema>, spec: &FindSpec) -> StorageResult<u64> {
        let sql = select::count(class, spec)?;
        let length = match plain_parts(&spec.filter) {
            Some(parts) if parts.by_id => Length::Short,
            Some(_) => Length::Learned,
            None => Length::Open,
        };
        Ok(number(&self.rows(sql, Lane::of(length, &spec.hints)).await?))
    }

    pub(super) async fn explain(&self, class: &Arc<ClassSchema>, spec: &FindSpec) -> StorageResult<Value> {
        let sql = explained(select::find(class, spec)?.sql);
        Ok(plan(&self.rows(sql, Lane::of(Length::Open, &spec.hints)).await?))
    }

    pub(super) async fn distinct(
        &self,
        class: &Arc<ClassSchema>,
        path: &FieldPath,
        spec: &FindSpec,
    ) -> StorageResult<Vec<Value>> {
        let Some(sql) = distinct::build(class, path, spec)? else { return Ok(Vec::new()) };
        let rows = self.rows(sql, Lane::of(Length::Open, &spec.hints)).await?;
        Ok(distinct::decode(&rows, is_plain_date(path)))
    }

    pub(super) async fn aggregate(
        &self,
        class: &Arc<ClassSchema>,
        pipeline: &[Value],
        options: &AggregateOptions,
        schemas: &[Arc<ClassSchema>],
    ) -> StorageResult<Vec<Object>> {
        let mut built = aggregate::build(class, pipeline, options, schemas)?;
        let lane = Lane::of(Length::Open, &options.hints);
        if options.explain {
            let sql = explained(std::mem::take(&mut built.query.sql));
            return Ok(plan_objects(plan(&self.rows(sql, lane).await?)));
        }
        let rows = self.set(built.query.clone(), lane).await?;
        Ok(built.objects(&rows))
    }

    /// Rows of a statement that some other part built.
    pub(super) async fn load(&self, sql: Sql, short: bool) -> StorageResult<Vec<PgRow>> {
        let length = if short { Length::Short } else { Length::Open };
        Ok(self.read(Query::Rows(sql), Lane { length, replica: false }).await?.into_rows())
    }
}

fn number(rows: &[PgRow]) -> u64 {
    let count = rows.first().and_then(|row| {
        with_bytes(row, 0, |bytes| bytes.try_into().map(i64::from_be_bytes).unwrap_or_default())
    });
    count.and_then(|n| u64::try_from(n).ok()).unwrap_or_default()
}

fn explained(sql: Sql) -> Sql {
    let mut explained = Sql::new("EXPLAIN (FORMAT JSON) ");
    explained.append(sql).uncacheable();
    explained
}

/// `EXPLAIN` answers one row of JSON text.
fn plan(rows: &[PgRow]) -> Value {
    let json = rows.first().and_then(|row| with_bytes(row, 0, |bytes| serde_json::from_slice(bytes).ok()));
    json.flatten().unwrap_or_default()
}

/// A plan as the rows of an answer.
fn plan_objects(plan: Value) -> Vec<Object> {
    let list = match plan {
        Value::Array(list) => list,
        other => vec![other],
    };
    list.into_iter().filter_map(|entry| entry.as_object().cloned()).collect()
}

/// These two are plain texts in answers.
fn is_plain_date(path: &FieldPath) -> bool {
    path.is("createdAt") || path.is("updatedAt")
}

/// What a filter of comparisons joined by AND finds its rows by.
struct PlainParts<'a> {
    by_id: bool,
    /// The columns that are compared with one value.
    equal: SmallVec<[&'a FieldName; 4]>,
}

/// `None` when there is anything in it that costs more than a comparison.
fn plain_parts(filter: &Filter) -> Option<PlainParts<'_>> {
    let conjuncts = match filter {
        Filter::And(parts) => parts.as_slice(),
        single => std::slice::from_ref(single),
    };
    let mut found = PlainParts { by_id: false, equal: SmallVec::new() };
    for part in conjuncts {
        let Filter::Field { path, constraints } = part else { return None };
        if path.is_dotted() || !constraints.iter().all(is_plain) {
            return None;
        }
        for constraint in constraints {
            match constraint {
                Constraint::Eq(Operand::Text(_)) if path.is("objectId") => found.by_id = true,
                Constraint::In(ids) if path.is("objectId") && ids.len() <= SHORT_IDS => found.by_id = true,
                Constraint::Eq(operand) if *operand != Operand::Null => found.equal.push(&path.root),
                _ => {}
            }
        }
    }
    Some(found)
}

/// Surely short: found by id, or by an indexed column with few rows asked for, and nothing in the
/// filter that costs more than a comparison. Without an index to go by, experience tells.
fn length(class: &ClassSchema, spec: &FindSpec) -> Length {
    let Some(parts) = plain_parts(&spec.filter) else { return Length::Open };
    let few = spec.limit.is_some_and(|limit| limit <= SHORT_LIMIT) && spec.skip <= SHORT_LIMIT;
    if parts.by_id || (few && parts.equal.iter().any(|column| is_indexed(class, column))) {
        return Length::Short;
    }
    if few { Length::Learned } else { Length::Open }
}

/// One object by its id, with nothing beside it that costs more than a comparison.
pub(super) fn is_by_id(filter: &Filter) -> bool {
    let parts = match filter {
        Filter::And(parts) => parts.as_slice(),
        single => std::slice::from_ref(single),
    };
    plain_parts(filter).is_some() && parts.iter().any(|part| part.exact_id().is_some())
}

fn is_plain(constraint: &Constraint) -> bool {
    matches!(
        constraint,
        Constraint::Eq(_)
            | Constraint::Ne(_)
            | Constraint::Lt(_)
            | Constraint::Lte(_)
            | Constraint::Gt(_)
            | Constraint::Gte(_)
            | Constraint::Exists(_)
    ) || matches!(constraint, Constraint::In(list) | Constraint::Nin(list) if list.len() <= SHORT_IDS)
}

/// Start-up indexes, and the first column of those of the schema API.
fn is_indexed(class: &ClassSchema, column: &FieldName) -> bool {
    let column = column.as_str();
    let built_in: &[&str] = match class.name.as_str() {
        "_User" => &["username", "email", "_email_verify_token", "_perishable_token"],
        "_Session" => &["sessionToken", "user"],
        "_Installation" => &["installationId", "deviceToken"],
        "_Role" => &["name"],
        "_Idempotency" => &["reqId"],
        _ => &[],
    };
    built_in.contains(&column)
        || class.indexes.values().any(|columns| {
            columns.as_object().and_then(|c| c.keys().next()).is_some_and(|first| first == column)
        })
}

// The same reads inside a transaction: on its connection, without retries.

pub(super) async fn find(
    db: &Executor<'_>,
    class: &Arc<ClassSchema>,
    spec: &FindSpec,
) -> StorageResult<RowSet> {
    let mut built = select::find(class, spec)?;
    db.admit(&mut built.sql);
    Ok(built.load(db.conn).await?)
}

pub(super) async fn find_by_ids(
    db: &Executor<'_>,
    class: &Arc<ClassSchema>,
    ids: &[String],
    readers: Option<&Arc<[String]>>,
    columns: Option<&[FieldName]>,
) -> StorageResult<RowSet> {
    let mut built = select::find_by_ids(class, ids, readers, columns)?;
    db.admit(&mut built.sql);
    Ok(built.load(db.conn).await?)
}

pub(super) async fn count(
    db: &Executor<'_>,
    class: &Arc<ClassSchema>,
    spec: &FindSpec,
) -> StorageResult<u64> {
    Ok(number(&db.load(select::count(class, spec)?).await?))
}

pub(super) async fn explain(
    db: &Executor<'_>,
    class: &Arc<ClassSchema>,
    spec: &FindSpec,
) -> StorageResult<Value> {
    Ok(plan(&db.load(explained(select::find(class, spec)?.sql)).await?))
}

pub(super) async fn distinct(
    db: &Executor<'_>,
    class: &Arc<ClassSchema>,
    path: &FieldPath,
    spec: &FindSpec,
) -> StorageResult<Vec<Value>> {
    let Some(sql) = distinct::build(class, path, spec)? else { return Ok(Vec::new()) };
    Ok(distinct::decode(&db.load(sql).await?, is_plain_date(path)))
}

pub(super) async fn aggregate(
    db: &Executor<'_>,
    class: &Arc<ClassSchema>,
    pipeline: &[Value],
    options: &AggregateOptions,
    schemas: &[Arc<ClassSchema>],
) -> StorageResult<Vec<Object>> {
    let mut built = aggregate::build(class, pipeline, options, schemas)?;
    if options.explain {
        let sql = explained(std::mem::take(&mut built.query.sql));
        return Ok(plan_objects(plan(&db.load(sql).await?)));
    }
    let rows = built.query.load(db.conn).await?;
    Ok(built.objects(&rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::query::{RegexConstraint, TextSearch};
    use crate::types::{ClassName, ObjectId};

    fn short(filter: Filter, limit: Option<u64>) -> bool {
        let class = ClassSchema::with_defaults(ClassName::known("_Session"));
        let mut spec = FindSpec::new(filter);
        spec.limit = limit;
        length(&class, &spec) == Length::Short
    }

    #[test]
    fn only_cheap_reads_are_pipelined() {
        let token = || Filter::eq("sessionToken", Operand::Text("r:x".into()));
        let id = ObjectId::new("a").unwrap();
        assert!(short(Filter::by_id(&id), None));
        assert!(short(token(), Some(1)));
        assert!(!short(token(), None));
        assert!(!short(token(), Some(1000)));
        assert!(!short(Filter::all(), Some(1)));
        assert!(!short(Filter::eq("installationId", Operand::Text("x".into())), Some(1)));
        let regex = RegexConstraint { pattern: "a".into(), options: String::new() };
        let costly = Filter::field(FieldName::known("createdWith"), Constraint::Regex(regex));
        assert!(!short(token().and(costly), Some(1)));
        let search = TextSearch {
            term: "x".into(),
            language: None,
            case_sensitive: false,
            diacritic_sensitive: false,
        };
        let costly = Filter::field(FieldName::known("sessionToken"), Constraint::Text(search));
        assert!(!short(token().and(costly), Some(1)));
        assert!(!short(Filter::Or(vec![token(), Filter::by_id(&id)]), Some(1)));
        let class = ClassSchema::with_defaults(ClassName::known("Game"));
        let mut spec = FindSpec::new(Filter::all()).limit(100);
        assert_eq!(length(&class, &spec), Length::Learned);
        spec.limit = None;
        assert_eq!(length(&class, &spec), Length::Open);
    }
}
