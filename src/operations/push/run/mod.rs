//! [`Runner`]: claims batches of pushes and sends them. [`page`]: which devices a batch is of; [`deliver`]: what they
//! are sent.

mod deliver;
mod page;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use self::page::Page;
use super::campaign::{self, Campaign, Job};
use super::record::{Batch, Ended};
use super::{hooks, receipts, recurring, tickets};
use crate::error::{Error, Result};
use crate::operations::held::{Held, Holding};
use crate::operations::services::Services;
use crate::push::{Outcome, PushAdapter};
use crate::storage::push::{PushLedger, queue_of};
use crate::storage::{Claimed, Wanted, WorkQueue};
use crate::types::ObjectId;
use crate::types::time::Millis;

/// A server that does not renew its batches for so long is taken for dead.
const LEASE: Duration = Duration::from_secs(20);
const RENEW: Duration = Duration::from_secs(5);
/// Pushes that are looked at in one pass.
const MOST_READY: usize = 64;
/// Devices that a server sends to at a time, and batches.
const MOST_DEVICES: usize = 2000;
const MOST_BATCHES: usize = 16;
/// Pushes that are remembered.
const MOST_KNOWN: usize = 512;
/// How often what ended is removed.
const SWEEP_MS: i64 = 600_000;
/// A push whose service fails is left alone for so long at most.
const LONGEST_COOLING: Duration = Duration::from_secs(30);

/// What one server sends of the pushes of one app.
pub struct Runner {
    services: Arc<Services>,
    adapter: Arc<dyn PushAdapter>,
    holder: Arc<str>,
    held: Arc<Held>,
    stopped: AtomicBool,
    renewed: Mutex<Option<Instant>>,
    known: Mutex<HashMap<String, Arc<Campaign>>>,
    /// Pushes whose services fail: until when, and for how long the last time.
    cooling: Mutex<HashMap<String, (Instant, Duration)>>,
    swept: AtomicI64,
}

/// An item that is this server's to do.
pub struct Taken {
    pub push: String,
    claimed: Claimed,
    holding: Holding,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Runner {
    pub fn new(services: Arc<Services>, adapter: Arc<dyn PushAdapter>) -> Arc<Self> {
        let holder = format!("push.{}.{}", std::process::id(), ObjectId::generate(16));
        Arc::new(Self {
            services,
            adapter,
            holder: holder.into(),
            held: Arc::default(),
            stopped: AtomicBool::new(false),
            renewed: Mutex::default(),
            known: Mutex::default(),
            cooling: Mutex::default(),
            swept: AtomicI64::new(0),
        })
    }

    /// From now on nothing more is begun.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// How many items may be under way at a time.
    pub fn slots(&self) -> usize {
        (MOST_DEVICES / self.adapter.batch_size().max(1)).clamp(2, MOST_BATCHES)
    }

    fn app(&self) -> &str {
        &self.services.config.app_id
    }

    fn ledger(&self) -> Result<&dyn PushLedger> {
        self.services.storage.push_ledger().ok_or_else(|| Error::internal("no pushes are kept"))
    }

    fn work(&self) -> Result<&dyn WorkQueue> {
        self.services.storage.work_queue().ok_or_else(|| Error::internal("no work is kept"))
    }

    /// Claims up to `free` items that are due; `busy`: the pushes that this server is sending.
    ///
    /// # Errors
    /// When storage fails.
    pub async fn pass(self: &Arc<Self>, free: usize, busy: &[String]) -> Result<Vec<Taken>> {
        self.renew().await?;
        self.heed_halts(busy).await?;
        if self.is_stopped() || free == 0 {
            return Ok(Vec::new());
        }
        recurring::fire(&self.services).await?;
        self.sweep().await?;
        let cooling = self.cooling_now();
        let mut ready = self.ledger()?.ready_pushes(self.app(), MOST_READY + cooling.len()).await?;
        ready.retain(|push| !cooling.contains(push));
        ready.truncate(MOST_READY);
        let mut queues: Vec<String> = ready.iter().map(|push| queue_of(push)).collect();
        queues.push(tickets::QUEUE.to_owned());
        let names: Vec<&str> = queues.iter().map(String::as_str).collect();
        let wanted = Wanted {
            app: self.app(),
            queues: &names,
            keys: None,
            holder: &self.holder,
            lease: LEASE,
            most: free,
        };
        let claimed = self.work()?.claim(&wanted).await?;
        let push_of =
            |claimed: &Claimed| claimed.item.queue.strip_prefix("push:").unwrap_or_default().to_owned();
        let taken = claimed.into_iter().map(|claimed| {
            let holding = self.held.hold(claimed.lease.id);
            Taken { push: push_of(&claimed), claimed, holding }
        });
        Ok(taken.collect())
    }

    /// When something is due next, as far as is known.
    ///
    /// # Errors
    /// When storage fails.
    pub async fn next(&self) -> Result<Option<Millis>> {
        let next = self.ledger()?.next_push(self.app()).await?;
        let receipts = self.work()?.next_due(self.app(), &[tickets::QUEUE]).await?;
        Ok(next.into_iter().chain(receipts).min())
    }

    /// Before anything is claimed: what was this server's before the database was away is so still.
    async fn renew(&self) -> Result<()> {
        let due = locked(&self.renewed).is_none_or(|at| at.elapsed() >= RENEW);
        let ids = self.held.ids();
        if !ids.is_empty() && due {
            self.work()?.renew(self.app(), &self.holder, &ids, LEASE).await?;
            *locked(&self.renewed) = Some(Instant::now());
        }
        Ok(())
    }

    /// Stops what was paused or cancelled, here or by another server.
    async fn heed_halts(&self, busy: &[String]) -> Result<()> {
        let mut halted: HashSet<String> = self.services.state.pushes.take_halted();
        if !busy.is_empty() {
            halted.extend(self.ledger()?.halted_pushes(self.app(), busy).await?);
        }
        let mut known = locked(&self.known);
        for push in halted {
            if let Some(campaign) = known.remove(&push) {
                campaign.halt.set();
            }
        }
        Ok(())
    }

    async fn sweep(&self) -> Result<()> {
        let now = Millis::now();
        let before = self.swept.load(Ordering::Relaxed);
        if now.0 - before < SWEEP_MS {
            return Ok(());
        }
        self.swept.store(now.0, Ordering::Relaxed);
        if before != 0 {
            let days = self.services.state.pushes.log_days().unwrap_or(30.0);
            let oldest = Millis(now.0 - (days * 86_400_000.0) as i64);
            self.ledger()?.forget_deliveries(self.app(), oldest).await?;
        }
        Ok(())
    }

    fn cooling_now(&self) -> HashSet<String> {
        let now = Instant::now();
        let cooling = locked(&self.cooling);
        cooling.iter().filter(|(_, (until, _))| *until > now).map(|(push, _)| push.clone()).collect()
    }

    /// Notes how a batch went: a service that takes nothing is not asked at once for all others too.
    fn note_health(&self, push: &str, outcomes: &[Outcome]) {
        let retried = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Retry { .. })).count();
        let mut cooling = locked(&self.cooling);
        if outcomes.is_empty() || retried * 10 < outcomes.len() * 9 {
            cooling.remove(push);
            return;
        }
        let now = Instant::now();
        let length = match cooling.get(push) {
            // What was under way together fails together: that is one failure.
            Some((until, _)) if *until > now => return,
            Some((_, length)) => (*length * 2).min(LONGEST_COOLING),
            None => Duration::from_secs(1),
        };
        cooling.insert(push.to_owned(), (now + length, length));
        if cooling.len() > MOST_KNOWN {
            cooling.retain(|_, (until, _)| *until > now);
        }
    }

    async fn campaign(&self, push: &str) -> Result<Option<Arc<Campaign>>> {
        if let Some(known) = locked(&self.known).get(push) {
            return Ok(Some(known.clone()));
        }
        let Some(stored) = self.ledger()?.push(self.app(), push).await? else { return Ok(None) };
        let campaign = Arc::new(Campaign::of(stored));
        let mut known = locked(&self.known);
        if known.len() >= MOST_KNOWN {
            known.clear();
        }
        Ok(Some(known.entry(push.to_owned()).or_insert(campaign).clone()))
    }

    /// Does one item to its end. What fails before anything was sent is given back.
    pub async fn run(self: &Arc<Self>, taken: Taken) {
        let Taken { push, claimed, holding } = taken;
        let lease = claimed.lease.clone();
        let done = match claimed.item.queue.as_str() {
            tickets::QUEUE => receipts::run(&self.services, &*self.adapter, &claimed).await,
            _ => self.send(&push, claimed).await,
        };
        let Err(error) = done else { return };
        tracing::warn!(%error, push, "a batch of push {push} could not be sent now");
        drop(holding);
        // The lease runs out where this does not work either.
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            match self.work() {
                Ok(work) if work.release(&lease).await.is_err() => {}
                _ => return,
            }
        }
    }

    async fn send(self: &Arc<Self>, push: &str, claimed: Claimed) -> Result<()> {
        let Some(campaign) = self.campaign(push).await? else {
            self.work()?.complete(&[claimed.lease], None).await?;
            return Ok(());
        };
        let job = Job::read(&claimed.item.payload)?;
        let wave = job.wave().and_then(|at| campaign.wave(at)).cloned();
        let mut batch = Batch::new(&campaign, claimed.lease.clone(), wave.as_ref());
        let class = campaign::installations(&self.services).await?;
        let devices = match (&job, class) {
            _ if campaign.broadcast.is_some() => self.listeners(&campaign, &job, &mut batch).await?,
            (_, None) => Vec::new(),
            (_, Some(class)) if Millis::now() > campaign.deadline => {
                self.expire(&campaign, &class, &job, wave.as_ref(), &mut batch).await?;
                Vec::new()
            }
            (Job::Page { after, is_first, .. }, Some(class)) => {
                let page = Page { after, is_first: *is_first, wave: wave.as_ref(), claimed: &claimed };
                match self.page(&campaign, &class, page, &mut batch).await? {
                    Some(devices) => devices,
                    // Somebody else has it.
                    None => return Ok(()),
                }
            }
            (Job::Again { ids, tries, .. }, Some(class)) => {
                batch.tries = *tries;
                let devices = self.again(&class, ids).await?;
                let found: HashSet<&str> = devices.iter().map(|device| device.id.as_str()).collect();
                for id in ids.iter().filter(|id| !found.contains(id.as_str())) {
                    batch.lost(id);
                }
                devices
            }
        };
        if claimed.item.attempts > 1 {
            batch.repeated = i64::try_from(devices.len()).unwrap_or(i64::MAX);
        }
        let outcomes = self.hand_over(&campaign, wave.as_ref(), &devices).await;
        self.note_health(&campaign.id, &outcomes);
        batch.take(devices, outcomes);
        if batch.record(&self.services).await? == Ended::Push {
            locked(&self.known).remove(push);
            locked(&self.cooling).remove(push);
            hooks::after(&self.services, push).await;
        }
        Ok(())
    }
}
