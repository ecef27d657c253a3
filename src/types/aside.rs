//! Longer pieces of work that wait for nothing: on threads of their own, since all other requests of a request's
//! thread would wait for them, or in turns, few at a time.

use std::sync::LazyLock;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

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

/// What requests' own threads do in turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turns {
    /// Rows of a long result are read.
    Read,
    /// A long answer is written.
    Write,
}

static READ_TURNS: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(half_of_processors()));
static WRITE_TURNS: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(half_of_processors()));

/// Whoever is at it may itself wait for somebody slow, such as the database.
const LONGEST_WAIT: Duration = Duration::from_millis(500);

fn half_of_processors() -> usize {
    std::thread::available_parallelism().map_or(1, |count| (count.get() / 2).max(1))
}

/// A place among those who have turns.
#[derive(Debug)]
pub struct Lane {
    /// `None`: it took too long to get one.
    place: Option<SemaphorePermit<'static>>,
}

impl Lane {
    /// Whether it is one of the few.
    pub fn is_one(&self) -> bool {
        self.place.is_some()
    }
}

/// Lets the other requests of this thread have their turn. A short request waits for one turn of everybody who is
/// ready to go on, so only few may be: the first call for a piece of work waits for a place among them, which
/// also keeps the memory for long results in bounds.
pub async fn next_turn(lane: &mut Option<Lane>, turns: Turns) {
    if lane.is_some() {
        tokio::task::yield_now().await;
        return;
    }
    let lanes: &'static Semaphore = match turns {
        Turns::Read => &READ_TURNS,
        Turns::Write => &WRITE_TURNS,
    };
    let place = tokio::time::timeout(LONGEST_WAIT, lanes.acquire()).await;
    *lane = Some(Lane { place: place.ok().and_then(Result::ok) });
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

    #[tokio::test]
    async fn turns_are_of_few_at_a_time() {
        let mut ready = Vec::new();
        for _ in 0..half_of_processors() {
            let mut lane = None;
            next_turn(&mut lane, Turns::Write).await;
            ready.push(lane);
        }
        let mut lane = None;
        {
            let mut waiting = std::pin::pin!(next_turn(&mut lane, Turns::Write));
            assert!(futures_util::poll!(&mut waiting).is_pending());
            ready.pop();
            waiting.await;
        }
        assert!(lane.is_some_and(|lane| lane.is_one()));
    }

    #[tokio::test]
    async fn nobody_waits_long_for_a_turn() {
        let all = u32::try_from(half_of_processors()).unwrap_or(1);
        let _taken = READ_TURNS.acquire_many(all).await;
        let mut lane = None;
        next_turn(&mut lane, Turns::Read).await;
        assert!(lane.is_some_and(|lane| !lane.is_one()));
    }
}
