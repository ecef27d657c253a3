//! Runs the SELECT side: which lane a read takes, and the one retry a read gets.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use diesel_async::AsyncPgConnection;
use serde_json::Value;

use super::answers::{explained, is_plain_date, number, plan, plan_objects};
use super::column::Alias;
use super::length::{Length, SHORT_IDS, length, plain_parts};
use super::select::{self, BuiltQuery};
use crate::error::Error;
use crate::metrics::{Counter, Page};
use crate::query::{FindHints, FindSpec, Pipeline, ReadPreference};
use crate::storage::postgres::connection::error::{is_connection_lost, is_missing_table, is_stale_plan};
use crate::storage::postgres::connection::held::Held;
use crate::storage::postgres::connection::pool::{Lanes, SharedConn};
use crate::storage::postgres::connection::pooled::PgConn;
use crate::storage::postgres::connection::replica::{Replica, is_preferred_only};
use crate::storage::postgres::query::{aggregate, distinct, row};
use crate::storage::postgres::sql::{PgRow, Sql};
use crate::storage::postgres::{Core, command};
use crate::storage::{AggregateOptions, StorageError, StorageResult};
use crate::types::path::FieldPath;
use crate::types::{ClassSchema, FieldName, Layout, Object, RowSet};

/// Tries of a read whose plan went stale while the schema was being changed.
const TRIES: u32 = 4;
/// The longest that a statement may run which is hurried ([`Sql::hurry`]).
const HURRY: Duration = Duration::from_secs(2);

/// How reads went: over a connection shared with others, or one of their own.
#[derive(Debug, Default)]
pub struct Reads {
    shared: Counter,
    sent_again: Counter,
    alone: Counter,
}

impl Reads {
    pub fn report(&self, page: &mut Page) {
        let (name, help) =
            ("parsimony_database_reads_total", "Reads, by the kind of connection they went over.");
        let all = [("shared", &self.shared), ("shared_again", &self.sent_again), ("pool", &self.alone)];
        for (lane, count) in all {
            page.counter(name, help, &[("lane", lane)], count.get());
        }
    }
}

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

    async fn run(&self, conn: &AsyncPgConnection, is_long: impl Fn()) -> StorageResult<Answer> {
        Ok(match self {
            Self::Set(built) => Answer::Set(built.load(conn, is_long).await?),
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

/// What a read may use.
#[derive(Clone, Copy)]
struct Lane {
    length: Length,
    preference: ReadPreference,
}

impl Lane {
    fn of(length: Length, hints: &FindHints) -> Self {
        Self { length, preference: hints.read_preference }
    }
}

impl Core {
    /// The replica whose turn it is, of those that are there. Who reads from replicas alone asks one that is away, too.
    fn replica_for(&self, preference: ReadPreference) -> Option<&Replica> {
        if !preference.allows_replica() || self.replicas.is_empty() {
            return None;
        }
        let count = self.replicas.len();
        let first = self.next_replica.fetch_add(1, Ordering::Relaxed) % count;
        let mut in_turn = self.replicas.iter().cycle().skip(first).take(count);
        let present = in_turn.find(|replica| replica.is_to_be_asked());
        present.or_else(|| self.replicas.get(first).filter(|_| !is_preferred_only(preference)))
    }

    async fn read(&self, mut query: Query, lane: Lane) -> StorageResult<Answer> {
        if query.sql().is_too_large() {
            return Err(too_large());
        }
        if self.prepared_statements {
            self.shapes.admit(query.sql());
        } else {
            query.sql().uncacheable();
        }
        if let Some(replica) = self.replica_for(lane.preference) {
            match Box::pin(self.read_from(&replica.lanes, &mut query, lane.length)).await {
                Err(error) if replica.has_failed(&error) => {
                    if !is_preferred_only(lane.preference) {
                        return Err(error);
                    }
                }
                outcome => {
                    if outcome.is_ok() {
                        replica.has_answered();
                    }
                    return outcome;
                }
            }
        }
        self.read_from(&self.lanes, &mut query, lane.length).await
    }

    /// Reads are sent once more when the connection broke or its plan went stale.
    async fn read_from(&self, lanes: &Lanes, query: &mut Query, length: Length) -> StorageResult<Answer> {
        // What such a statement takes says nothing of others of its shape, and nobody shall wait behind it.
        let hurried = query.sql().is_hurried();
        let learned = (length == Length::Learned && !hurried).then(|| query.sql().shape());
        let shares = match learned {
            _ if hurried => false,
            Some(shape) => self.pace.is_quick(shape),
            None => length == Length::Short,
        };
        let mut is_long = !shares;
        if shares && let Ok(Some(shared)) = lanes.shared().await {
            self.reads.shared.increment();
            match self.read_shared(lanes, &shared, query, learned).await {
                None => {
                    self.reads.sent_again.increment();
                    // It may be what was in the way itself.
                    is_long = learned.is_some();
                }
                Some(Err(error)) if is_stale_plan(&error) => {
                    shared.retire();
                    query.sql().uncacheable();
                }
                Some(Err(error)) if is_connection_lost(&error) => shared.retire(),
                Some(outcome) => return outcome,
            }
        }
        self.reads.alone.increment();
        let mut tries = 1;
        loop {
            let (free, _turn) = if is_long {
                let (free, turn) = lanes.get_for_long_read().await?;
                (free, Some(turn))
            } else {
                (lanes.get().await?, None)
            };
            let held = Held::new(free);
            let conn = held.conn()?;
            let began = Instant::now();
            let run = async {
                if self.prepared_statements {
                    query.run(conn, || ()).await
                } else {
                    self.run_bracketed(conn, query).await
                }
            };
            let outcome = if hurried {
                // Dropped, the connection ends what runs on it.
                match tokio::time::timeout(HURRY, run).await {
                    Ok(outcome) => outcome,
                    Err(_) => return Err(StorageError::Timeout),
                }
            } else {
                run.await
            };
            if outcome.as_ref().is_err_and(is_stale_plan) {
                // What it prepared is the problem: the connection goes with it, and the next one plans anew.
                conn.set_dirty(true);
                query.sql().uncacheable();
            }
            held.released();
            match outcome {
                Err(error) if tries < TRIES && is_stale_plan(&error) => {}
                Err(error) if tries == 1 && is_connection_lost(&error) => {}
                outcome => {
                    if let Some(shape) = learned {
                        // A long way to the database is not the statement's fault.
                        self.pace.measured(shape, began.elapsed().saturating_sub(lanes.patience.usual()));
                    }
                    return outcome;
                }
            }
            tries += 1;
        }
    }

    /// `None`: something long is in front of it, so it shall be sent again elsewhere.
    async fn read_shared(
        &self,
        lanes: &Lanes,
        shared: &SharedConn,
        query: &Query,
        learned: Option<u64>,
    ) -> Option<StorageResult<Answer>> {
        let patience = &lanes.patience;
        let (began, limit) = (Instant::now(), patience.limit());
        // Nobody new shall wait behind a long result, nor the next one of its kind be put in front of others.
        let is_long = || {
            shared.retire();
            if let Some(shape) = learned {
                self.pace.blocked(shape);
            }
        };
        let mut answer = pin!(query.run(shared, is_long));
        let outcome = match tokio::time::timeout(limit, &mut answer).await {
            Ok(outcome) => outcome,
            Err(_) => {
                tokio::select! {
                    outcome = &mut answer => outcome,
                    () = is_in_the_way(lanes, shared) => {
                        if patience.spend() {
                            return None;
                        }
                        answer.await
                    }
                }
            }
        };
        let took = began.elapsed();
        patience.answered(took);
        if took > limit
            && let Some(shape) = learned
        {
            self.pace.blocked(shape);
        }
        Some(outcome)
    }

    async fn run_bracketed(&self, conn: &PgConn, query: &Query) -> StorageResult<Answer> {
        let db = self.executor(conn);
        db.begin().await?;
        db.end(query.run(conn, || ()).await).await
    }

    pub(crate) async fn find(&self, class: &Arc<ClassSchema>, spec: &FindSpec) -> StorageResult<RowSet> {
        let built = select::find_shared(class, spec)?;
        self.miss(&built.sql);
        let lane = Lane::of(length(class, spec), &spec.hints);
        self.set(built, lane).await
    }

    /// Notes the indexes that the statement could have used.
    fn miss(&self, sql: &Sql) {
        if !sql.wanted().is_empty()
            && let Some(wishes) = &self.wishes
        {
            wishes.note(sql.wanted());
        }
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
    pub(crate) async fn session_with_user(
        &self,
        sessions: &Arc<ClassSchema>,
        users: &Arc<ClassSchema>,
        token: &str,
    ) -> StorageResult<Option<(Object, Object)>> {
        let (session, user) = (Arc::new(Layout::of(sessions)), Arc::new(Layout::of(users)));
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

    pub(crate) async fn find_by_ids(
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

    pub(crate) async fn count(&self, class: &Arc<ClassSchema>, spec: &FindSpec) -> StorageResult<u64> {
        let sql = select::count(class, spec)?;
        self.miss(&sql);
        let length = match plain_parts(&spec.filter) {
            Some(parts) if parts.by_id => Length::Short,
            Some(_) => Length::Learned,
            None => Length::Open,
        };
        Ok(number(&self.rows(sql, Lane::of(length, &spec.hints)).await?))
    }

    pub(crate) async fn explain(&self, class: &Arc<ClassSchema>, spec: &FindSpec) -> StorageResult<Value> {
        let sql = explained(select::find(class, spec)?.sql);
        Ok(plan(&self.rows(sql, Lane::of(Length::Open, &spec.hints)).await?))
    }

    pub(crate) async fn distinct(
        &self,
        class: &Arc<ClassSchema>,
        path: &FieldPath,
        spec: &FindSpec,
    ) -> StorageResult<Vec<Value>> {
        let Some(sql) = distinct::build(class, path, spec)? else { return Ok(Vec::new()) };
        let rows = self.rows(sql, Lane::of(Length::Open, &spec.hints)).await?;
        Ok(distinct::decode(&rows, is_plain_date(path)))
    }

    pub(crate) async fn aggregate(
        &self,
        class: &Arc<ClassSchema>,
        pipeline: &Pipeline,
        options: &AggregateOptions,
    ) -> StorageResult<Vec<Object>> {
        let mut built = aggregate::build(class, pipeline, options)?;
        let lane = Lane::of(Length::Open, &options.hints);
        if options.explain {
            let sql = explained(std::mem::take(&mut built.query.sql));
            return Ok(plan_objects(plan(&self.rows(sql, lane).await?)));
        }
        let rows = self.set(built.query.clone(), lane).await?;
        built.objects(&rows)
    }

    /// Rows of a statement that some other part built.
    pub(crate) async fn load(&self, sql: Sql, short: bool) -> StorageResult<Vec<PgRow>> {
        let length = if short { Length::Short } else { Length::Open };
        Ok(self
            .read(Query::Rows(sql), Lane { length, preference: ReadPreference::default() })
            .await?
            .into_rows())
    }
}

pub(super) fn too_large() -> StorageError {
    StorageError::Refused(Error::invalid_query("The request is too complex"))
}

/// Until the connection is known to be held up while the database answers others. One reader at a time
/// asks it something small; the rest hear of it.
async fn is_in_the_way(lanes: &Lanes, shared: &SharedConn) {
    let Some(_question) = lanes.patience.ask() else { return shared.retired().await };
    let limit = lanes.patience.limit();
    let trip = async {
        let held = Held::new(lanes.get().await?);
        let began = Instant::now();
        command(held.conn()?, "").await?;
        held.released();
        StorageResult::Ok(began.elapsed())
    };
    match trip.await {
        Ok(took) if took < limit / 2 => shared.retire(),
        Ok(took) => {
            lanes.patience.at_least(took);
            shared.retired().await;
        }
        Err(_) => shared.retired().await,
    }
}
