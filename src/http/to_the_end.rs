//! Work that goes on although nobody waits for it any more: a write whose client left.
//!
//! It is driven by whoever waits, which costs nothing, and becomes a task of its own when they stop waiting.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

/// A piece of work, until it is done.
pub struct ToTheEnd<F: Future<Output: 'static> + 'static> {
    work: Option<Pin<Box<F>>>,
    /// What nobody ever asked for is not begun by being let go.
    is_begun: bool,
}

impl<F: Future<Output: 'static> + 'static> ToTheEnd<F> {
    pub fn new(work: F) -> Self {
        Self { work: Some(Box::pin(work)), is_begun: false }
    }
}

impl<F: Future<Output: 'static> + 'static> Future for ToTheEnd<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.is_begun = true;
        let Some(work) = self.work.as_mut() else { return Poll::Pending };
        let outcome = work.as_mut().poll(cx);
        if outcome.is_ready() {
            self.work = None;
        }
        outcome
    }
}

impl<F: Future<Output: 'static> + 'static> Drop for ToTheEnd<F> {
    fn drop(&mut self) {
        let Some(work) = self.work.take().filter(|_| self.is_begun && !std::thread::panicking()) else {
            return;
        };
        // Where the thread ends with its tasks nothing can be begun on it; a panic must not leave from here.
        let spawned = catch_unwind(AssertUnwindSafe(|| actix_web::rt::spawn(work)));
        if spawned.is_err() {
            tracing::error!("A write was cut short: its thread ended.");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use futures_util::poll;
    use tokio::sync::oneshot;

    use super::*;

    fn work(
        done: &Rc<Cell<bool>>,
        wait: oneshot::Receiver<()>,
    ) -> ToTheEnd<impl Future<Output = u8> + use<>> {
        let done = done.clone();
        ToTheEnd::new(async move {
            let _ = wait.await;
            done.set(true);
            7
        })
    }

    #[actix_web::test]
    async fn what_nobody_waits_for_is_done_all_the_same() {
        let done = Rc::new(Cell::new(false));
        let (go, wait) = oneshot::channel();
        let mut left = work(&done, wait);
        assert!(poll!(&mut left).is_pending());
        drop(left);
        assert!(go.send(()).is_ok(), "it waits still");
        while !done.get() {
            tokio::task::yield_now().await;
        }
    }

    #[actix_web::test]
    async fn what_is_waited_for_is_done_once_and_what_was_not_begun_never() {
        let done = Rc::new(Cell::new(false));
        let (go, wait) = oneshot::channel();
        assert!(go.send(()).is_ok());
        assert_eq!(work(&done, wait).await, 7);
        let (go, wait) = oneshot::channel();
        drop(work(&done, wait));
        assert!(go.send(()).is_err(), "nobody waits for it");
    }
}
