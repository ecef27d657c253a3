//! Work in a transaction: begun, committed or rolled back, and then heard of.
//!
//! The open transaction itself is [`crate::operations::transactions`]'s.

use crate::error::Result;
use crate::operations::Ctx;
pub use crate::operations::transactions::{Effect, Extent};

/// Runs `work` in a transaction of its own: committed when it succeeds, then its effects; rolled back
/// when it fails.
///
/// # Errors
/// Those of `work`, and those of the commit.
///
/// # Cancel safety
/// Dropped half-way, the connection is closed, and the database rolls back.
pub async fn within<T>(ctx: &Ctx, extent: Extent, work: impl AsyncFnOnce(&Ctx) -> Result<T>) -> Result<T> {
    let begun = ctx.services.storage.begin().await?;
    let open = ctx.services.state.transactions.enter(begun, extent, ctx.depth);
    let inside = Ctx { transaction: Some(open.clone()), ..ctx.clone() };
    let outcome = work(&inside).await;
    let transaction = open.close().await?;
    match outcome {
        Ok(answer) => {
            transaction.commit().await?;
            for effect in open.take_effects() {
                ctx.run_effect(effect).await;
            }
            Ok(answer)
        }
        Err(error) => {
            if let Err(rollback) = transaction.rollback().await {
                tracing::warn!(error = %rollback, "a rollback failed; the connection is given up");
            }
            Err(error)
        }
    }
}
