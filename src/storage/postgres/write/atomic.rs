//! Writes of several statements that happen together or not at all: one object and its relations.

use std::sync::Arc;

use crate::storage::postgres::connection::error::is_stale_plan;
use crate::storage::postgres::schema::ddl::Change;
use crate::storage::postgres::write::{insert, relations, update};
use crate::storage::postgres::{Core, Executor};
use crate::storage::{Changed, Related, Returning, StorageError, StorageResult, WriteFilter};
use crate::types::{ClassName, ClassSchema, Object, Update};

/// Tries of a write whose plan or join tables were not there.
const TRIES: u32 = 3;

/// What is written beside the relations.
pub enum Beside {
    Nothing,
    Row(Arc<ClassSchema>, Object),
    Update(Arc<ClassSchema>, WriteFilter, Update, Returning),
}

impl Core {
    /// `None` where nothing is answered. Without the row, there are no relations either.
    pub(crate) async fn write_related(
        &self,
        class: &ClassName,
        beside: &Beside,
        related: &Related,
    ) -> StorageResult<Option<Changed>> {
        let mut tries = 1;
        loop {
            let error = match self.try_related(class, beside, related, tries > 1).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            // Rolled back: the tables are made, then everything is done again.
            let missing = matches!(error, StorageError::StaleSchema(_));
            if tries >= TRIES || !(missing || is_stale_plan(&error)) {
                return Err(error);
            }
            if missing {
                self.make_join_tables(class, related).await?;
            }
            tries += 1;
        }
    }

    async fn make_join_tables(&self, class: &ClassName, related: &Related) -> StorageResult<()> {
        for change in &related.changes {
            let join = ClassName::join(&change.field, class);
            self.change_schema(Change::JoinTable(&join)).await?;
        }
        Ok(())
    }

    async fn try_related(
        &self,
        class: &ClassName,
        beside: &Beside,
        related: &Related,
        fresh: bool,
    ) -> StorageResult<Option<Changed>> {
        let conn = self.lanes.get().await?;
        let db = Executor { fresh, ..self.executor(&conn) };
        db.begin().await?;
        let inside = Executor { in_transaction: true, ..db };
        let outcome = db.end(write(&inside, class, beside, related).await).await;
        if outcome.as_ref().is_err_and(is_stale_plan) {
            // Its prepared statements are the problem.
            conn.set_dirty(true);
        }
        outcome
    }
}

/// Inside a transaction: the row, then its relations.
///
/// # Errors
/// Those of the statements. The transaction cannot go on.
pub async fn write(
    db: &Executor<'_>,
    class: &ClassName,
    beside: &Beside,
    related: &Related,
) -> StorageResult<Option<Changed>> {
    let answer = match beside {
        Beside::Nothing => None,
        Beside::Row(schema, row) => {
            insert::run(db, schema, std::slice::from_ref(row)).await?;
            None
        }
        Beside::Update(schema, target, changes, returning) => {
            Some(update::run(db, schema, target, changes, *returning).await?)
        }
    };
    if answer.as_ref().is_none_or(|changed| changed.count > 0) {
        for change in &related.changes {
            relations::change(db, class, &related.owner, change).await?;
        }
    }
    Ok(answer)
}
