//! A migration while the application goes on: a copy, then the changes made meanwhile, a comparison of everything, and
//! the last changes once the application was stopped.
//!
//! The place in the source's feed of changes is written down before anything is copied, so whatever is changed later is
//! taken over, however often the run is killed and started again.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tokio::sync::watch;

use super::apply::{self, Touched};
use super::state::State;
use super::verify::{Difference, Tell};
use super::{Progress, Report, Side, classes, copy};
use crate::error::{Error, Result};
use crate::storage::changes::{Change, ChangeFeed, Told};
use crate::storage::{StorageError, StorageResult};

/// Changes that are taken over at a time.
const BATCH: usize = 2000;
/// How long a batch waits for more.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long the end of what was changed is waited for.
const MARK_PATIENCE: Duration = Duration::from_secs(60);
/// Times that the last changes are waited for, while the source is still written to.
const LAST_TRIES: u32 = 20;

/// How a run that follows goes on and ends.
#[derive(Debug)]
pub struct Follow {
    /// Where it writes down how far it is.
    pub state: PathBuf,
    /// `true` once the application no longer writes to the source.
    pub stopped: watch::Receiver<bool>,
}

/// Copies, follows, compares, and ends when the application was stopped and everything is at the target.
///
/// # Errors
/// When the source tells no changes, a side cannot be read, or the target cannot be written to. The run can then be
/// started again.
pub async fn follow(from: &Side<'_>, to: &Side<'_>, follow: Follow, tell: Tell<'_>) -> Result<Report> {
    let Some(feed) = from.storage.change_feed() else {
        return Err(Error::invalid_query("The source tells no changes: it is no replica set"));
    };
    let mut run = Run::begin(from, to, feed, State::load(&follow.state), tell).await?;
    run.copy(tell).await?;
    run.catch_up(tell).await?;
    let suspects = run.compare(tell).await?;
    run.apply(&suspects).await?;
    let mut stopped = follow.stopped;
    // What was changed since the comparison began, and what differed, is compared again at the end.
    let mut again = suspects;
    again.extend(&std::mem::take(&mut run.seen));
    let differing = apply::differences(from, to, &again).await?.len() as u64;
    tell(Progress::Ready { different: differing });
    run.until(&mut stopped, tell).await?;
    for tries in 0.. {
        run.catch_up(tell).await?;
        again.extend(&std::mem::take(&mut run.seen));
        run.apply(&again).await?;
        // Whoever still writes is heard between two marks.
        run.catch_up(tell).await?;
        if run.seen.is_empty() || tries == LAST_TRIES {
            break;
        }
        tell(Progress::StillWritten);
        again.extend(&std::mem::take(&mut run.seen));
    }
    again.extend(&run.seen);
    let mut report = run.report;
    for difference in apply::differences(from, to, &again).await? {
        // What the target does not take is said with the reason.
        let why = match &difference {
            Difference::Object { class, id, .. } => {
                let known = classes(from.storage).await?;
                match known.iter().find(|known| known.name == *class.as_str()) {
                    Some(known) => apply::refusal(from.storage, to.storage, known, id).await?,
                    None => None,
                }
            }
            _ => None,
        };
        match (why, &difference) {
            (Some(why), Difference::Object { class, id, .. }) => {
                report.refused.add_once(format!("{class} {id}: {why}"));
            }
            _ => report.different.add(difference.to_string()),
        }
    }
    super::left_behind(from, &mut report).await?;
    if report.is_clean() {
        run.state.remove();
    }
    Ok(report)
}

struct Run<'a> {
    from: &'a Side<'a>,
    to: &'a Side<'a>,
    feed: &'a dyn ChangeFeed,
    stream: BoxStream<'static, StorageResult<Told>>,
    state: State,
    report: Report,
    /// What the target refused: perhaps because of what was to come.
    postponed: Touched,
    /// Everything that was taken over since this was last looked at.
    seen: Touched,
    changes: u64,
}

impl<'a> Run<'a> {
    async fn begin(
        from: &'a Side<'a>,
        to: &'a Side<'a>,
        feed: &'a dyn ChangeFeed,
        mut state: State,
        tell: Tell<'_>,
    ) -> Result<Self> {
        let stream = match state.place() {
            None => None,
            Some(place) => match feed.follow(place).await {
                Ok(stream) => Some(stream),
                Err(StorageError::StaleSchema(error)) => {
                    tracing::warn!(%error, "the migration begins anew: {error}");
                    tell(Progress::Anew);
                    None
                }
                Err(error) => return Err(error.into()),
            },
        };
        let stream = match stream {
            Some(stream) => stream,
            None => {
                let place = feed.place().await?;
                state.begin(place.clone()).map_err(Error::internal)?;
                feed.follow(&place).await?
            }
        };
        let (postponed, seen) = (Touched::default(), Touched::default());
        let report = Report::default();
        Ok(Self { from, to, feed, stream, state, report, postponed, seen, changes: 0 })
    }

    async fn copy(&mut self, tell: Tell<'_>) -> Result<()> {
        let classes = classes(self.from.storage).await?;
        self.report.classes = classes.len() as u64;
        for class in &classes {
            let (from, to) = (self.from.storage, self.to.storage);
            copy::class(from, to, class, Some(&mut self.state), &mut self.report, tell).await?;
        }
        copy::files(self.from, self.to, &mut self.report, tell).await?;
        // What was changed while it was copied is taken over anew: what the target did not take is judged by then.
        self.report.refused = super::Named::default();
        Ok(())
    }

    /// Everything of both sides. What differs may be on its way.
    async fn compare(&mut self, tell: Tell<'_>) -> Result<Touched> {
        self.seen = Touched::default();
        let mut found = Vec::new();
        let classes = classes(self.from.storage).await?;
        for class in &classes {
            let see = &mut |difference| found.push(difference);
            super::verify::class(self.from.storage, self.to.storage, class, see, tell).await?;
            self.batch(Duration::ZERO, tell).await?;
        }
        super::verify::files(self.from, self.to, &mut |difference| found.push(difference)).await?;
        let mut suspects = Touched::default();
        for difference in found {
            suspects.note(match difference {
                Difference::Object { class, id, .. } => Change::Object { class, id },
                Difference::Members { class, field, .. } => Change::Relation { class, field },
                Difference::Class { class, .. } => Change::Schema { class },
                Difference::File(_) => Change::Files,
            });
        }
        Ok(suspects)
    }

    async fn apply(&mut self, touched: &Touched) -> Result<()> {
        let mut all = std::mem::take(&mut self.postponed);
        all.extend(touched);
        self.postponed = apply::apply(self.from, self.to, &all, &mut self.report).await?;
        Ok(())
    }

    /// Takes over what comes, for at most `wait` until the first change; answers the marks among it, `None` where
    /// nothing came.
    async fn batch(&mut self, wait: Duration, tell: Tell<'_>) -> Result<Option<BTreeSet<String>>> {
        let (mut touched, mut marks, mut place) = (Touched::default(), BTreeSet::new(), None);
        let mut patience = wait;
        let mut taken = 0;
        while taken < BATCH {
            let Ok(next) = tokio::time::timeout(patience, self.stream.next()).await else { break };
            let told = match next {
                Some(told) => told?,
                None => return Err(Error::internal(std::io::Error::other("the feed of changes ended"))),
            };
            taken += 1;
            patience = PATIENCE;
            place = Some(told.place);
            if let Change::Mark(mark) = told.change {
                // What comes behind it may come for ever.
                marks.insert(mark);
                break;
            }
            touched.note(told.change);
        }
        let Some(place) = place else { return Ok(None) };
        if !touched.is_empty() {
            self.apply(&touched).await?;
            self.changes += touched.changes;
            self.seen.extend(&touched);
        }
        // Only now: whoever begins here finds everything before it at the target.
        self.state.set_place(place).map_err(Error::internal)?;
        tell(Progress::Followed { changes: self.changes, behind: None });
        Ok(Some(marks))
    }

    /// Takes over everything that was changed up to now.
    async fn catch_up(&mut self, tell: Tell<'_>) -> Result<()> {
        let mark = format!("{:032x}", rand::random::<u128>());
        self.feed.mark(&mark).await?;
        let asked = Instant::now();
        loop {
            let marks = self.batch(MARK_PATIENCE, tell).await?;
            match marks {
                Some(marks) if marks.contains(&mark) => {
                    let behind = Some(asked.elapsed());
                    tell(Progress::Followed { changes: self.changes, behind });
                    return Ok(());
                }
                Some(_) => {}
                None => {
                    let silent = "the feed of changes does not tell what was changed";
                    return Err(Error::internal(std::io::Error::other(silent)));
                }
            }
        }
    }

    /// Follows until the application was stopped.
    async fn until(&mut self, stopped: &mut watch::Receiver<bool>, tell: Tell<'_>) -> Result<()> {
        while !*stopped.borrow_and_update() {
            self.batch(Duration::from_millis(500), tell).await?;
        }
        Ok(())
    }
}
