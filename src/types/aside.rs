//! Longer pieces of work that wait for nothing, on threads of their own: on the thread of a request all its other
//! requests would wait for them.

use std::sync::LazyLock;

use tokio::sync::Semaphore;

use crate::error::{Error, Result};

/// Bytes of text whose reading or writing takes longer than going to another thread and back by far.
pub const LONG: usize = 256 * 1024;

/// Pieces at the same time: more than there are processors would only take them from short requests.
static LANES: LazyLock<Semaphore> =
    LazyLock::new(|| Semaphore::new(std::thread::available_parallelism().map_or(2, std::num::NonZero::get)));

/// Runs it there; what it begins it ends, although nobody may wait for it any more.
///
/// # Errors
/// When it panics.
pub async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let lane = LANES.acquire().await.map_err(Error::internal)?;
    let work = move || {
        let done = work();
        drop(lane);
        done
    };
    tokio::task::spawn_blocking(work).await.map_err(Error::internal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_piece_that_panics_leaves_its_lane() {
        fn panics() {
            panic!("on purpose");
        }
        for _ in 0..100 {
            assert!(aside(panics).await.is_err());
        }
        assert_eq!(aside(|| 7).await.ok(), Some(7));
    }
}
