//! How long a database took for what, as [`crate::storage::Session`] names it: owned by each adapter, told to the
//! page of metrics, and to the log where it was slow.

use std::future::Future;
use std::time::{Duration, Instant};

use super::{StorageError, StorageResult};
use crate::metrics::{Counter, Histogram, Page};

/// The shapes of statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Find,
    FindByIds,
    Count,
    Distinct,
    Aggregate,
    Explain,
    Insert,
    Update,
    Delete,
    Relations,
    RelationIds,
    Roles,
    Session,
    Schema,
}

const SHAPES: [(Shape, &str); 14] = [
    (Shape::Find, "find"),
    (Shape::FindByIds, "find_by_ids"),
    (Shape::Count, "count"),
    (Shape::Distinct, "distinct"),
    (Shape::Aggregate, "aggregate"),
    (Shape::Explain, "explain"),
    (Shape::Insert, "insert"),
    (Shape::Update, "update"),
    (Shape::Delete, "delete"),
    (Shape::Relations, "relations"),
    (Shape::RelationIds, "relation_ids"),
    (Shape::Roles, "roles"),
    (Shape::Session, "session"),
    (Shape::Schema, "schema"),
];

const ERRORS: [&str; 9] = [
    "duplicate",
    "refused",
    "stale_schema",
    "conflict",
    "unavailable",
    "silent",
    "exhausted",
    "timeout",
    "other",
];

/// The figures of one database.
#[derive(Debug, Default)]
pub struct Statements {
    times: [Histogram; SHAPES.len()],
    errors: [Counter; ERRORS.len()],
    /// What takes longer is logged.
    slow: Option<Duration>,
}

impl Statements {
    pub fn new(slow: Option<Duration>) -> Self {
        Self { slow, ..Self::default() }
    }

    /// Counts what `work` takes, waiting for a connection included.
    ///
    /// # Errors
    /// Those of `work`.
    pub async fn watch<T>(
        &self,
        shape: Shape,
        of: &str,
        work: impl Future<Output = StorageResult<T>>,
    ) -> StorageResult<T> {
        let begun = Instant::now();
        let outcome = work.await;
        let took = begun.elapsed();
        if self.slow.is_some_and(|slow| took >= slow) {
            let name = SHAPES.get(shape as usize).map_or("statement", |(_, name)| name);
            let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            tracing::warn!(shape = name, class = of, duration_ms, "slow {name} on {of}: {duration_ms} ms");
        }
        if let Some(times) = self.times.get(shape as usize) {
            times.observe(took);
        }
        if let Err(error) = &outcome
            && let Some(count) = self.errors.get(kind_of(error))
        {
            count.increment();
        }
        outcome
    }

    pub fn report(&self, page: &mut Page) {
        let help = "What the database was asked, by the shape of the statement.";
        for ((_, name), times) in SHAPES.iter().zip(&self.times) {
            let totals = times.totals();
            if totals.count() > 0 {
                page.histogram("parsimony_database_statement_seconds", help, &[("shape", name)], &totals);
            }
        }
        let help = "Statements that did not do what they were to do, by the reason.";
        for (name, count) in ERRORS.iter().zip(&self.errors) {
            page.counter("parsimony_database_errors_total", help, &[("reason", name)], count.get());
        }
    }
}

fn kind_of(error: &StorageError) -> usize {
    match error {
        StorageError::Duplicate { .. } => 0,
        StorageError::Refused(_) => 1,
        StorageError::StaleSchema(_) => 2,
        StorageError::Conflict(_) => 3,
        StorageError::Unavailable(_) => 4,
        StorageError::Silent => 5,
        StorageError::Exhausted => 6,
        StorageError::Timeout => 7,
        StorageError::Other(_) => 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_shape_has_its_name_and_errors_their_reason() {
        let statements = Statements::default();
        for (index, (shape, _)) in SHAPES.iter().enumerate() {
            assert_eq!(*shape as usize, index);
        }
        statements.watch(Shape::Count, "C", async { Ok(()) }).await.unwrap();
        statements
            .watch(Shape::Insert, "C", async { StorageResult::<()>::Err(StorageError::Timeout) })
            .await
            .unwrap_err();
        let mut page = Page::default();
        statements.report(&mut page);
        let text = page.render();
        for line in [
            "parsimony_database_statement_seconds_count{shape=\"count\"} 1\n",
            "parsimony_database_statement_seconds_count{shape=\"insert\"} 1\n",
            "parsimony_database_errors_total{reason=\"timeout\"} 1\n",
            "parsimony_database_errors_total{reason=\"other\"} 0\n",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
    }
}
