//! Waiting for conditions instead of for time.

use std::future::Future;
use std::time::{Duration, Instant};

/// No test waits longer; a busy machine is slow, a hung one is a failure.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Blocks until `condition` holds; panics with `what` when it never does.
#[track_caller]
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "still waiting for: {what}");
        pause();
    }
}

/// The same for something asked asynchronously: returns its first `Some`.
pub async fn until_some<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "still waiting for: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[allow(clippy::disallowed_methods)]
fn pause() {
    std::thread::sleep(Duration::from_millis(5));
}
