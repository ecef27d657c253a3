//! For which application a task works, where a process has several: what it logs is shown to that one alone.
//! Kept beside the task, so that it costs neither a lookup nor a copy; a task that is spawned has to be told
//! ([`carry`]).

use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};

/// One application of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppNumber(u32);

impl AppNumber {
    /// A number that no application had before.
    pub fn fresh() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

tokio::task_local! {
    static APP: Option<AppNumber>;
}

/// The application that the present task works for, if that is known.
pub fn current() -> Option<AppNumber> {
    APP.try_with(|app| *app).ok().flatten()
}

/// The future works for this application, or for nobody that is known.
pub fn within<F: Future>(app: Option<AppNumber>, future: F) -> impl Future<Output = F::Output> {
    APP.scope(app, future)
}

/// The same for what does not wait.
pub fn within_now<T>(app: Option<AppNumber>, work: impl FnOnce() -> T) -> T {
    APP.sync_scope(app, work)
}

/// For a task that is spawned: it works for whom the present one works for.
pub fn carry<F: Future>(future: F) -> impl Future<Output = F::Output> {
    APP.scope(current(), future)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_works_for_one_application_and_its_tasks_with_it() {
        let (one, other) = (AppNumber::fresh(), AppNumber::fresh());
        assert_ne!(one, other);
        assert_eq!(current(), None);
        within(Some(one), async {
            assert_eq!(current(), Some(one));
            within_now(Some(other), || assert_eq!(current(), Some(other)));
            assert_eq!(tokio::spawn(carry(async { current() })).await.unwrap(), Some(one));
            assert_eq!(tokio::spawn(async { current() }).await.unwrap(), None, "nobody told it");
        })
        .await;
        assert_eq!(current(), None);
    }
}
