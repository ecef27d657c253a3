//! [`Runner`]: claims batches of pushes and sends them.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::campaign::{self, Campaign, Job};
use super::record::{Batch, Ended};
use super::request::{Badge, later};
use super::status;
use super::zones::Wave;
use super::{hooks, item, receipts, recurring, tickets};
use crate::error::{Error, Result};
use crate::operations::ClassSnapshot;
use crate::operations::services::Services;
use crate::push::{Device, Message, Outcome, PushAdapter};
use crate::query::{Constraint, Filter, FindSpec, Operand, OrderKey};
use crate::storage::push::{PushLedger, queue_of};
use crate::storage::{Claimed, NewWork, Returning, Target, Wanted, WorkQueue};
use crate::types::app_scope::carry;
use crate::types::row::CellRef;
use crate::types::time::Millis;
use crate::types::update::Op;
use crate::types::{FieldName, ObjectId, RowRef, RowSet, Update};

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
    pub(super) services: Arc<Services>,
    pub(super) adapter: Arc<dyn PushAdapter>,
    holder: Arc<str>,
    stopped: AtomicBool,
    renewed: Mutex<Option<Instant>>,
    known: Mutex<HashMap<String, Arc<Campaign>>>,
    /// Pushes whose services fail: until when, and for how long the last time.
    cooling: Mutex<HashMap<String, (Instant, Duration)>>,
    swept: AtomicI64,
}

/// Devices that get the same message: the text by its language, and the badge.
type Kind = (Option<usize>, Option<i64>);

/// An item that is this server's to do.
pub struct Taken {
    pub push: String,
    claimed: Claimed,
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

    pub(super) fn app(&self) -> &str {
        &self.services.config.app_id
    }

    pub(super) fn ledger(&self) -> Result<&dyn PushLedger> {
        self.services.storage.push_ledger().ok_or_else(|| Error::internal("no pushes are kept"))
    }

    pub(super) fn work(&self) -> Result<&dyn WorkQueue> {
        self.services.storage.work_queue().ok_or_else(|| Error::internal("no work is kept"))
    }

    /// Claims up to `free` items that are due; `busy`: the pushes that this server is sending.
    ///
    /// # Errors
    /// When storage fails.
    pub async fn pass(self: &Arc<Self>, free: usize, busy: &[String]) -> Result<Vec<Taken>> {
        self.renew(!busy.is_empty()).await?;
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
        Ok(claimed.into_iter().map(|claimed| Taken { push: push_of(&claimed), claimed }).collect())
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
    async fn renew(&self, is_busy: bool) -> Result<()> {
        let due = locked(&self.renewed).is_none_or(|at| at.elapsed() >= RENEW);
        if is_busy && due {
            self.work()?.renew(self.app(), &self.holder, LEASE).await?;
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
        let length =
            cooling.get(push).map_or(Duration::from_secs(1), |(_, length)| *length * 2).min(LONGEST_COOLING);
        cooling.insert(push.to_owned(), (Instant::now() + length, length));
        if cooling.len() > MOST_KNOWN {
            let now = Instant::now();
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
        let Taken { push, claimed } = taken;
        let lease = claimed.lease.clone();
        let done = match claimed.item.queue.as_str() {
            tickets::QUEUE => receipts::run(&self.services, &*self.adapter, &claimed).await,
            _ => self.send(&push, claimed).await,
        };
        let Err(error) = done else { return };
        tracing::warn!(%error, push, "a batch of push {push} could not be sent now");
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

    /// What stands for whoever listens.
    async fn listeners(&self, campaign: &Campaign, job: &Job, batch: &mut Batch<'_>) -> Result<Vec<Device>> {
        match job {
            Job::Page { .. } => {
                batch.is_page = true;
                self.begin(campaign, 1).await?;
            }
            Job::Again { tries, .. } => batch.tries = *tries,
        }
        if Millis::now() > campaign.deadline {
            batch.expired(1);
            return Ok(Vec::new());
        }
        let push_type = campaign.broadcast.as_ref().and_then(|to| self.adapter.reaches(to));
        let (push_type, broadcast) = (push_type.map(str::to_owned), campaign.broadcast.clone());
        Ok(vec![Device { push_type, broadcast, ..Device::default() }])
    }

    /// Reads a page, and writes the next one down together with how far this one goes.
    async fn page(
        &self,
        campaign: &Arc<Campaign>,
        class: &Arc<ClassSnapshot>,
        page: Page<'_>,
        batch: &mut Batch<'_>,
    ) -> Result<Option<Vec<Device>>> {
        batch.is_page = true;
        let own = campaign.filter(&self.services, class, page.wave).await?;
        let id = |constraint| Filter::field(FieldName::known("objectId"), constraint);
        let after = id(Constraint::Gt(Operand::Text(page.after.to_owned())));
        let filter = if page.after.is_empty() { own.clone() } else { own.clone().and(after) };
        let size = campaign.page();
        let progress =
            page.claimed.item.progress.as_ref().and_then(|progress| progress.get("upto")?.as_str());
        if let Some(upto) = progress {
            // Its server died, or gave it back: the next page is written down, badges are counted.
            let filter = filter.and(id(Constraint::Lte(Operand::Text(upto.to_owned()))));
            let rows = self.rows(class, filter, None).await?;
            return Ok(Some(self.devices(&rows)));
        }
        let mut rows = self.rows(class, filter, Some(size)).await?;
        let is_last = rows.len() < size;
        let Some(last) = rows.len().checked_sub(1).and_then(|last| rows.get(last)) else {
            if page.is_first {
                self.begin(campaign, 1).await?;
            }
            return Ok(Some(Vec::new()));
        };
        let upto = last.object_id().to_owned();
        let next = match is_last {
            true => Vec::new(),
            false => vec![self.next_page(campaign, &upto, &page, rows.len())],
        };
        if next.is_empty() && campaign.badge.is_none() && !page.is_first {
            return Ok(Some(self.devices(&rows)));
        }
        let statuses = status::schema(&self.services).await?;
        let transaction = self.services.storage.begin().await?;
        let writer = transaction.push_writer().ok_or_else(|| Error::internal("no pushes are kept"))?;
        let progress = json!({ "upto": upto });
        if !writer.extend_push(self.app(), &campaign.id, &page.claimed.lease, &progress, &next).await? {
            transaction.rollback().await?;
            return Ok(None);
        }
        if page.is_first {
            let batches = i64::from(is_last);
            status::begin(transaction.as_session(), &statuses, &campaign.id, batches).await?;
        }
        if let Some(badge) = campaign.badge {
            let ids = rows.iter().map(|row| Operand::Text(row.object_id().to_owned())).collect();
            let target = Target { filter: id(Constraint::In(ids)), writers: None };
            let op = match badge {
                Badge::Set(value) => Op::Set(crate::types::number::number_json(value)),
                Badge::Increment(amount) => Op::Increment(amount),
            };
            let mut update =
                Update::default().set(FieldName::known("updatedAt"), Millis::now().to_iso().into());
            update.ops.push((FieldName::known("badge").into(), op));
            let returning = Returning { after: true, ..Returning::default() };
            let changed = transaction.update(&class.schema, &target, &update, returning).await?;
            rows = changed.after.unwrap_or(rows);
        }
        transaction.commit().await?;
        if page.is_first {
            if !is_last {
                // The first devices do not wait for it.
                let counting =
                    count_batches(self.services.clone(), class.clone(), campaign.clone(), own, size);
                tokio::task::spawn_local(carry(counting));
            }
            status::told(&self.services, &campaign.id).await;
        }
        if !next.is_empty() {
            self.services.state.pushes.wake();
        }
        Ok(Some(self.devices(&rows)))
    }

    /// A push that reaches nobody has begun, too.
    async fn begin(&self, campaign: &Campaign, batches: i64) -> Result<()> {
        let statuses = status::schema(&self.services).await?;
        status::begin(self.services.storage.as_session(), &statuses, &campaign.id, batches).await
    }

    fn next_page(&self, campaign: &Campaign, upto: &str, page: &Page<'_>, sent: usize) -> NewWork {
        let mut payload = json!({ "after": upto });
        if let Some(wave) = page.wave {
            payload["wave"] = wave.at.0.into();
        }
        let run_at = campaign.rate.map(|rate| {
            let began = page.claimed.item.run_at.max(Millis(Millis::now().0 - 1000));
            later(began, sent as f64 / rate)
        });
        item(&campaign.id, payload, run_at)
    }

    async fn again(&self, class: &Arc<ClassSnapshot>, ids: &[String]) -> Result<Vec<Device>> {
        let ids = ids.iter().map(|id| Operand::Text(id.clone())).collect();
        let filter = Filter::field(FieldName::known("objectId"), Constraint::In(ids));
        Ok(self.devices(&self.rows(class, filter, None).await?))
    }

    async fn rows(&self, class: &Arc<ClassSnapshot>, filter: Filter, limit: Option<usize>) -> Result<RowSet> {
        const COLUMNS: &[&str] =
            &["deviceToken", "deviceType", "pushType", "appIdentifier", "localeIdentifier", "badge"];
        let mut spec = FindSpec::new(filter);
        spec.limit = limit.map(|limit| limit as u64);
        spec.order = vec![OrderKey::Field { path: FieldName::known("objectId").into(), descending: false }];
        if !self.adapter.wants_objects() {
            spec.columns = Some(COLUMNS.iter().map(|name| FieldName::known(name)).collect());
        }
        Ok(self.services.storage.as_session().find(&class.schema, &spec).await?)
    }

    fn devices(&self, rows: &RowSet) -> Vec<Device> {
        rows.iter().filter_map(|row| self.device(row)).collect()
    }

    /// Without a token there is nothing to send to.
    fn device(&self, row: RowRef<'_>) -> Option<Device> {
        let text = |name: &str| row.text(name).map(str::to_owned);
        let token = text("deviceToken").filter(|token| !token.is_empty())?;
        let badge = match row.by_name("badge") {
            CellRef::Number(badge) => Some(badge),
            _ => None,
        };
        Some(Device {
            id: row.object_id().to_owned(),
            token,
            device_type: text("deviceType"),
            push_type: text("pushType"),
            app_identifier: text("appIdentifier"),
            locale: text("localeIdentifier"),
            badge,
            broadcast: None,
            object: self.adapter.wants_objects().then(|| {
                let mut object = row.to_object();
                object.retain(|key, _| !key.starts_with('_'));
                object
            }),
        })
    }

    /// Gives the devices to the adapter, a message for each text and badge.
    async fn hand_over(&self, campaign: &Campaign, wave: Option<&Wave>, devices: &[Device]) -> Vec<Outcome> {
        let counts_badges = matches!(campaign.badge, Some(Badge::Increment(_)));
        let mut groups: Vec<(Kind, Vec<usize>)> = Vec::new();
        let mut places: HashMap<Kind, usize> = HashMap::new();
        for (index, device) in devices.iter().enumerate() {
            let badge = counts_badges.then(|| device.badge.unwrap_or(0.0) as i64);
            let key = (campaign.texts.choose(device.locale.as_deref()), badge);
            let place = *places.entry(key).or_insert_with(|| {
                groups.push((key, Vec::new()));
                groups.len() - 1
            });
            if let Some((_, indices)) = groups.get_mut(place) {
                indices.push(index);
            }
        }
        let sending = groups.into_iter().map(|((choice, badge), indices)| {
            let data = campaign.texts.data(choice, badge.map(|badge| badge as f64));
            let mut body = campaign.body.clone();
            if body.contains_key("data") {
                body.insert("data".to_owned(), Value::Object(data.clone()));
            }
            let expires_at = campaign.expires_at(wave);
            if let Some(at) = expires_at {
                body.insert("expiration_time".to_owned(), at.0.into());
            }
            if self.adapter.wants_objects() {
                body.insert("where".to_owned(), Value::Object(campaign.condition.clone()));
            }
            let message =
                Message { push_id: campaign.id.clone(), body, data, expires_at, halt: campaign.halt.clone() };
            let group: Vec<Device> =
                indices.iter().filter_map(|index| devices.get(*index).cloned()).collect();
            async move {
                let known: Vec<Device> = group.iter().map(Device::without_row).collect();
                let sent = self.adapter.send(&message, group).await;
                self.services.state.figures.pushed(&known, &sent);
                (indices, sent)
            }
        });
        let mut outcomes = vec![Outcome::Unknown; devices.len()];
        for (indices, sent) in futures_util::future::join_all(sending).await {
            for (index, outcome) in indices.into_iter().zip(sent) {
                if let Some(slot) = outcomes.get_mut(index) {
                    *slot = outcome;
                }
            }
        }
        outcomes
    }

    /// Nothing of the push is sent any more: whoever is left is counted.
    async fn expire(
        &self,
        campaign: &Campaign,
        class: &Arc<ClassSnapshot>,
        job: &Job,
        wave: Option<&Wave>,
        batch: &mut Batch<'_>,
    ) -> Result<()> {
        match job {
            Job::Page { after, .. } => {
                batch.is_page = true;
                let after = Constraint::Gt(Operand::Text(after.clone()));
                let rest = Filter::field(FieldName::known("objectId"), after);
                let filter = campaign.filter(&self.services, class, wave).await?.and(rest);
                let spec = FindSpec::new(filter);
                let count = self.services.storage.as_session().count(&class.schema, &spec).await?;
                batch.expired(count);
            }
            Job::Again { ids, reason, .. } => ids.iter().for_each(|id| batch.expired_one(id, reason)),
        }
        Ok(())
    }
}

struct Page<'a> {
    after: &'a str,
    is_first: bool,
    wave: Option<&'a Wave>,
    claimed: &'a Claimed,
}

/// Tells the status how many batches there are.
async fn count_batches(
    services: Arc<Services>,
    class: Arc<ClassSnapshot>,
    campaign: Arc<Campaign>,
    filter: Filter,
    size: usize,
) {
    let counted = async {
        let total = services.storage.as_session().count(&class.schema, &FindSpec::new(filter)).await?;
        let batches = i64::try_from(total.div_ceil(size as u64)).unwrap_or(i64::MAX);
        let statuses = status::schema(&services).await?;
        status::add_batches(services.storage.as_session(), &statuses, &campaign.id, batches).await
    };
    if let Err(error) = counted.await {
        tracing::debug!(%error, push = campaign.id, "the batches of a push could not be counted");
    }
}
