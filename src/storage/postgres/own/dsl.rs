//! Runs what Diesel's DSL says on an [`Executor`], for the tables of [`super::schema`]. A statement's text is
//! known by its type, so that it is prepared once on each connection; behind a pooler in transaction mode
//! nothing is kept, as with [`crate::storage::postgres::sql::Sql`].

use std::future::Future;

use diesel::data_types::PgInterval;
use diesel::deserialize::FromSqlRow;
use diesel::dsl::now;
use diesel::expression::QueryMetadata;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AsQuery, AstPass, Query, QueryFragment, QueryId};
use diesel::query_dsl::CompatibleType;
use diesel::result::{Error as DieselError, QueryResult};
use diesel::sql_types::{Interval, Nullable, Timestamptz};
use diesel_async::{AsyncConnectionCore, AsyncPgConnection};
use futures_util::TryStreamExt;

use crate::storage::StorageResult;
use crate::storage::postgres::Executor;

define_sql_function! {
    /// `timestamptz + interval`, by the name of the function behind the operator: the DSL adds an interval to
    /// a column only.
    #[sql_name = "timestamptz_pl_interval"]
    fn plus(at: Timestamptz, interval: Interval) -> Timestamptz;
}

define_sql_function! {
    /// The first of both that is there.
    #[sql_name = "coalesce"]
    fn or(first: Nullable<Timestamptz>, second: Timestamptz) -> Timestamptz;
}

/// That long from now, on the database's clock: servers need not agree on the time.
#[diesel::dsl::auto_type]
pub(crate) fn time_from_now(interval: PgInterval) -> _ {
    plus(now.into_sql::<Timestamptz>(), interval)
}

/// The statement, not to be kept by the connection.
struct Unkept<Q>(Q);

impl<Q> QueryId for Unkept<Q> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Q: Query> Query for Unkept<Q> {
    type SqlType = Q::SqlType;
}

impl<Q: QueryFragment<Pg>> QueryFragment<Pg> for Unkept<Q> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.unsafe_to_cache_prepared();
        self.0.walk_ast(out)
    }
}

impl Executor<'_> {
    /// The rows of a statement.
    pub(crate) async fn rows<Q, U, ST>(&self, query: Q) -> StorageResult<Vec<U>>
    where
        Q: AsQuery + Send,
        Q::Query: QueryFragment<Pg> + QueryId + Send,
        Q::SqlType: CompatibleType<U, Pg, SqlType = ST>,
        Pg: QueryMetadata<Q::SqlType>,
        U: FromSqlRow<ST, Pg> + Send,
    {
        let mut conn: &AsyncPgConnection = self.conn;
        let kept = self.prepared_statements;
        let query = query.as_query();
        self.bracketed(async move {
            let rows = if kept {
                AsyncConnectionCore::load(&mut conn, query).await?
            } else {
                AsyncConnectionCore::load(&mut conn, Unkept(query)).await?
            };
            let read =
                |row| async move { U::build_from_row(&row).map_err(DieselError::DeserializationError) };
            Ok(rows.and_then(read).try_collect().await?)
        })
        .await
    }

    /// The first row, if there is one.
    pub(crate) async fn row<Q, U, ST>(&self, query: Q) -> StorageResult<Option<U>>
    where
        Q: AsQuery + Send,
        Q::Query: QueryFragment<Pg> + QueryId + Send,
        Q::SqlType: CompatibleType<U, Pg, SqlType = ST>,
        Pg: QueryMetadata<Q::SqlType>,
        U: FromSqlRow<ST, Pg> + Send,
    {
        Ok(self.rows(query).await?.into_iter().next())
    }

    /// The number of rows that a statement touched.
    pub(crate) fn run<Q>(&self, statement: Q) -> impl Future<Output = StorageResult<usize>> + Send
    where
        Q: QueryFragment<Pg> + QueryId + Send,
    {
        let mut conn: &AsyncPgConnection = self.conn;
        let kept = self.prepared_statements;
        self.bracketed(async move {
            Ok(if kept {
                AsyncConnectionCore::execute_returning_count(&mut conn, statement).await?
            } else {
                AsyncConnectionCore::execute_returning_count(&mut conn, Unkept(statement)).await?
            })
        })
    }
}
