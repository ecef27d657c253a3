//! Fields come and go while requests are under way: a statement that was planned for what a class is no more
//! fails as [`is_stale_schema`], and nothing was done. It is planned and sent again with what the class is now.

use crate::error::Result;
use crate::operations::Ctx;
use crate::storage::is_stale_schema;
use crate::types::ClassName;

/// So often a statement is sent altogether.
pub const TRIES: u32 = 4;

/// Runs `work`, which looks the class up and then sends one statement, until the class holds still. Inside a
/// transaction it runs once: there, all that was done before is lost with the statement.
///
/// # Errors
/// Those of `work`.
pub async fn with_fresh_class<T>(
    ctx: &Ctx,
    class: &ClassName,
    work: impl AsyncFn() -> Result<T>,
) -> Result<T> {
    let mut tries = 1;
    loop {
        match work().await {
            Err(error) if is_stale_schema(&error) && ctx.transaction.is_none() && tries < TRIES => {
                ctx.services.classes.renew(class, tries).await?;
            }
            outcome => return outcome,
        }
        tries += 1;
    }
}
