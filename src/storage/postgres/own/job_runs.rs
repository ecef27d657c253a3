//! The ledger of job runs: table `parsimony.job_run`. Each step is one statement, and time is the
//! database's, so that servers need not agree on it.

pub(crate) use std::collections::HashMap;

use async_trait::async_trait;

use crate::storage::postgres::sql::{Bind, Sql, millis_from_micros, with_bytes};
use crate::storage::postgres::{PostgresAdapter, column_text, spawned};
use crate::storage::{JobLedger, RunClaim, StorageResult};
use crate::types::time::Millis;

fn lease(sql: &mut Sql, lease_ms: u64) {
    sql.push_sql("now() + ");
    sql.push_bind(Bind::Int8(i64::try_from(lease_ms).unwrap_or(i64::MAX)));
    sql.push_sql(" * interval '1 millisecond'");
}

/// `app = … AND schedule = … AND server = … AND due = …`
fn is_claim(sql: &mut Sql, claim: &RunClaim) {
    sql.push_sql("app = ").push_text(&claim.app).push_sql(" AND schedule = ").push_text(&claim.schedule);
    sql.push_sql(" AND server = ").push_text(&claim.server).push_sql(" AND due = ");
    sql.push_bind(Bind::Timestamptz(claim.due));
}

impl PostgresAdapter {
    async fn execute_own(&self, sql: Sql) -> StorageResult<u64> {
        let core = self.core.clone();
        spawned(async move {
            let conn = core.lanes.get().await?;
            core.executor(&conn).execute(sql).await
        })
        .await
    }

    async fn load_marks(&self, app: &str) -> StorageResult<HashMap<String, Millis>> {
        let mut sql = Sql::new("SELECT schedule, due FROM parsimony.job_run WHERE app = ");
        sql.push_text(app);
        let rows = self.core.load(sql, false).await?;
        let mark = |row| {
            let due = with_bytes(row, 1, |bytes| bytes.try_into().ok().map(i64::from_be_bytes))??;
            Some((column_text(row, 0)?, millis_from_micros(due)))
        };
        Ok(rows.iter().filter_map(mark).collect())
    }
}

#[async_trait]
impl JobLedger for PostgresAdapter {
    async fn job_marks(
        &self,
        app: &str,
        schedules: &[(String, Millis)],
    ) -> StorageResult<HashMap<String, Millis>> {
        let mut marks = self.load_marks(app).await?;
        let mut new: Vec<_> = schedules.iter().filter(|(id, _)| !marks.contains_key(id)).collect();
        if marks.contains_key("") && new.is_empty() {
            marks.remove("");
            return Ok(marks);
        }
        let first = (String::new(), Millis(0));
        if !marks.contains_key("") {
            let mut sql = Sql::new("INSERT INTO parsimony.job_run (app, schedule, due) VALUES (");
            sql.push_text(app).push_sql(", '', date_trunc('milliseconds', now())) ON CONFLICT DO NOTHING");
            self.execute_own(sql).await?;
            new.push(&first);
        }
        let (ids, since): (Vec<_>, Vec<_>) = new.into_iter().cloned().unzip();
        let mut sql = Sql::new(
            "INSERT INTO parsimony.job_run (app, schedule, due) \
             SELECT first.app, new.id, greatest(new.since, first.due) FROM parsimony.job_run first, unnest(",
        );
        sql.push_text_array(ids).push_sql(", ").push_bind(Bind::TimestamptzArray(since));
        sql.push_sql(") AS new(id, since) WHERE first.schedule = '' AND first.app = ").push_text(app);
        sql.push_sql(" ON CONFLICT DO NOTHING");
        self.execute_own(sql).await?;
        let mut marks = self.load_marks(app).await?;
        marks.remove("");
        Ok(marks)
    }

    async fn claim_job_run(&self, claim: &RunClaim, lease_ms: u64) -> StorageResult<bool> {
        let mut sql = Sql::new("UPDATE parsimony.job_run SET status = NULL, due = ");
        sql.push_bind(Bind::Timestamptz(claim.due)).push_sql(", server = ").push_text(&claim.server);
        sql.push_sql(", lease_until = ");
        lease(&mut sql, lease_ms);
        sql.push_sql(" WHERE app = ").push_text(&claim.app);
        sql.push_sql(" AND schedule = ").push_text(&claim.schedule).push_sql(" AND (due < ");
        sql.push_bind(Bind::Timestamptz(claim.due));
        sql.push_sql(" AND lease_until IS NULL OR status IS NULL AND lease_until < now() AND due <= ");
        sql.push_bind(Bind::Timestamptz(claim.due)).push_sql(")");
        Ok(self.execute_own(sql).await? == 1)
    }

    async fn begin_job_run(&self, claim: &RunClaim, status: &str, lease_ms: u64) -> StorageResult<bool> {
        let mut sql = Sql::new("UPDATE parsimony.job_run SET status = ");
        sql.push_text(status).push_sql(", lease_until = ");
        lease(&mut sql, lease_ms);
        sql.push_sql(" WHERE status IS NULL AND lease_until IS NOT NULL AND ");
        is_claim(&mut sql, claim);
        Ok(self.execute_own(sql).await? == 1)
    }

    async fn renew_job_runs(&self, app: &str, server: &str, lease_ms: u64) -> StorageResult<()> {
        let mut sql = Sql::new("UPDATE parsimony.job_run SET lease_until = ");
        lease(&mut sql, lease_ms);
        sql.push_sql(" WHERE lease_until IS NOT NULL AND app = ").push_text(app);
        sql.push_sql(" AND server = ").push_text(server);
        self.execute_own(sql).await.map(|_| ())
    }

    async fn end_job_run(&self, claim: &RunClaim) -> StorageResult<()> {
        let mut sql = Sql::new("UPDATE parsimony.job_run SET lease_until = NULL WHERE ");
        is_claim(&mut sql, claim);
        self.execute_own(sql).await.map(|_| ())
    }

    async fn lost_job_runs(&self, app: &str) -> StorageResult<Vec<String>> {
        let mut sql = Sql::new(
            "UPDATE parsimony.job_run SET lease_until = NULL \
             WHERE status IS NOT NULL AND lease_until < now() AND app = ",
        );
        sql.push_text(app).push_sql(" RETURNING status");
        let core = self.core.clone();
        let rows = spawned(async move {
            let conn = core.lanes.get().await?;
            core.executor(&conn).load(sql).await
        })
        .await?;
        Ok(rows.iter().filter_map(|row| column_text(row, 0)).collect())
    }
}
