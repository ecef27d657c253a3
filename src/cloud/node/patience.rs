//! How long a caller waits, and when a host counts as standing still.
//!
//! A deadline is for the code of the call. What others' code costs, while a host that stands still is
//! replaced and the call waits in line, does not count, within one limit.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::NodeOptions;
use super::host::Reply;
use super::pool::Pool;

/// A host that stands still this long gets no calls until it goes on.
const STALL_NOTICE: Duration = Duration::from_millis(300);
/// What a replacement may need to load the application while calls wait for it.
const START_ALLOWANCE: Duration = Duration::from_secs(10);

impl NodeOptions {
    /// `cloudStallTimeout`, and never more than half of `cloudTimeout`: a host is replaced before the calls
    /// that came meanwhile would end.
    pub(super) fn stall(&self) -> Duration {
        self.call_timeout.map_or(self.stall_timeout, |timeout| self.stall_timeout.min(timeout / 2))
    }

    /// How long the event loop may stand still before calls are taken back that have not begun.
    pub(super) fn stall_notice(&self) -> Duration {
        self.call_timeout.map_or(STALL_NOTICE, |timeout| STALL_NOTICE.min(timeout / 4))
    }
}

/// The time of one call.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For its code.
    pub deadline: Duration,
    /// In line, beyond that.
    in_line: Duration,
}

impl Patience {
    /// The caller waits no longer than this, whatever the reason.
    pub fn fixed(deadline: Duration) -> Self {
        Self { deadline, in_line: Duration::ZERO }
    }

    /// Time in line does not count, as far as a host is replaced in it.
    pub fn extended(deadline: Duration, options: &NodeOptions) -> Self {
        Self { deadline, in_line: options.stall() + START_ALLOWANCE }
    }

    /// Waits for the reply; `None` when the time is over.
    pub async fn wait(
        self,
        pool: &Pool,
        id: u32,
        mut answer: oneshot::Receiver<Reply>,
    ) -> Option<Result<Reply, oneshot::error::RecvError>> {
        let submitted = Instant::now();
        let mut waited = self.deadline;
        loop {
            let left = waited.saturating_sub(submitted.elapsed());
            if let Ok(reply) = tokio::time::timeout(left, &mut answer).await {
                return Some(reply);
            }
            let given = pool.since(id).unwrap_or_else(Instant::now);
            let next = self.extend(given.saturating_duration_since(submitted));
            if next <= waited.max(submitted.elapsed()) {
                return None;
            }
            waited = next;
        }
    }

    /// How long after its submission a call ends that waited in line so long.
    fn extend(self, waited: Duration) -> Duration {
        self.deadline.saturating_add(waited.min(self.in_line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn time_in_line_counts_beyond_a_limit_only() {
        let options = NodeOptions {
            call_timeout: Some(4 * SECOND),
            stall_timeout: 3 * SECOND,
            ..NodeOptions::default()
        };
        let patience = Patience::extended(4 * SECOND, &options);
        assert_eq!(patience.extend(Duration::ZERO), 4 * SECOND);
        assert_eq!(patience.extend(3 * SECOND), 7 * SECOND);
        assert_eq!(patience.extend(100 * SECOND), 16 * SECOND);
        assert_eq!(Patience::fixed(4 * SECOND).extend(3 * SECOND), 4 * SECOND);
    }

    #[test]
    fn a_host_is_replaced_before_those_who_wait_give_up() {
        let options = |call_timeout| NodeOptions { call_timeout, ..NodeOptions::default() };
        assert_eq!(options(Some(2 * SECOND)).stall(), SECOND);
        assert_eq!(options(Some(30 * SECOND)).stall(), 5 * SECOND);
        assert_eq!(options(None).stall(), 5 * SECOND);
        assert_eq!(options(Some(SECOND)).stall_notice(), SECOND / 4);
        let unwatched = NodeOptions { stall_timeout: Duration::ZERO, ..options(Some(SECOND)) };
        assert_eq!(unwatched.stall(), Duration::ZERO);
    }
}
