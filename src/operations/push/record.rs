//! The end of a batch: what became of its devices, written down in one transaction.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::campaign::{self, Campaign};
use super::status::{self, Counts};
use super::tokens::remove_tokens;
use super::zones::Wave;
use super::{item, tickets};
use crate::error::{Error, Result};
use crate::operations::services::Services;
use crate::push::{Device, Outcome};
use crate::storage::push::{Delivery, Ending};
use crate::storage::{Lease, NewWork};
use crate::types::time::Millis;

/// Between the tries of a device: this, doubled each time, and never longer than the other.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// How long results are offered to a database that is away, and how often.
const PATIENCE: Duration = Duration::from_secs(15 * 60);
const OFFER: Duration = Duration::from_millis(500);
/// Bytes of a reason.
const LONGEST_REASON: usize = 120;

/// What there is to record of one item.
pub struct Batch<'a> {
    campaign: &'a Campaign,
    lease: Lease,
    wave: Option<i64>,
    /// A page of the push, of which `count` tells.
    pub is_page: bool,
    pub tries: u32,
    /// Devices that may have got it before, from a server that died.
    pub repeated: i64,
    counts: Counts,
    reasons: BTreeMap<String, i64>,
    log: Vec<Delivery>,
    again: Vec<String>,
    again_after: Option<Duration>,
    again_reason: String,
    unsent: Vec<String>,
    dead: Vec<(String, String)>,
    tickets: Vec<tickets::Ticket>,
    retried: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Item,
    /// The last item of its push.
    Push,
    /// Somebody else has it.
    Lost,
}

impl<'a> Batch<'a> {
    pub fn new(campaign: &'a Campaign, lease: Lease, wave: Option<&Wave>) -> Self {
        Self {
            campaign,
            lease,
            wave: wave.map(|wave| wave.at.0),
            is_page: false,
            tries: 1,
            repeated: 0,
            counts: Counts { offset: wave.map(|wave| wave.offset.clone()), ..Counts::default() },
            reasons: BTreeMap::new(),
            log: Vec::new(),
            again: Vec::new(),
            again_after: None,
            again_reason: String::new(),
            unsent: Vec::new(),
            dead: Vec::new(),
            tickets: Vec::new(),
            retried: 0,
        }
    }

    /// The outcomes of devices, in their order.
    pub fn take(&mut self, devices: Vec<Device>, outcomes: Vec<Outcome>) {
        for (device, outcome) in devices.into_iter().zip(outcomes) {
            let kind = device.device_type.as_deref().or(device.push_type.as_deref());
            match outcome {
                Outcome::Accepted { ticket } => {
                    self.counts.add(kind, true);
                    self.note(&device, "accepted", None);
                    if let Some(ticket) = ticket {
                        let (installation, token) = (device.id, device.token);
                        self.tickets.push(tickets::Ticket { ticket, installation, token });
                    }
                }
                Outcome::Rejected { reason, is_dead } => {
                    self.fail(&device, "rejected", &reason);
                    if is_dead && device.broadcast.is_none() {
                        self.dead.push((device.id, device.token));
                    }
                }
                Outcome::Retry { reason, after, maybe_sent } => {
                    let pause = after.unwrap_or_default().max(self.pause());
                    let next = Millis::now().0.saturating_add(millis(pause));
                    if next > self.campaign.deadline.0 {
                        self.fail(&device, "expired", &reason);
                        continue;
                    }
                    self.retried += 1;
                    self.repeated += i64::from(maybe_sent);
                    self.note(&device, "retried", Some(&reason));
                    self.again_after = self.again_after.max(after);
                    self.again_reason = clipped(&reason);
                    self.again.push(device.id);
                }
                Outcome::Unsent => self.unsent.push(device.id),
                Outcome::Unknown => {}
            }
        }
    }

    fn pause(&self) -> Duration {
        FIRST_PAUSE.saturating_mul(1 << self.tries.clamp(1, 16).saturating_sub(1)).min(LONGEST_PAUSE)
    }

    fn fail(&mut self, device: &Device, result: &str, reason: &str) {
        self.counts.add(device.device_type.as_deref().or(device.push_type.as_deref()), false);
        let reason = clipped(reason);
        self.note(device, result, Some(&reason));
        *self.reasons.entry(reason).or_default() += 1;
    }

    fn note(&mut self, device: &Device, result: &str, reason: Option<&str>) {
        self.log.push(Delivery {
            id: 0,
            installation: device.id.clone(),
            device_type: device.device_type.clone(),
            result: result.to_owned(),
            reason: reason.map(clipped),
            at: None,
        });
    }

    /// An installation that was to be tried again is gone, or has no token any more.
    pub fn lost(&mut self, id: &str) {
        self.fail(&Device { id: id.to_owned(), ..Device::default() }, "rejected", "the installation is gone");
    }

    pub fn expired_one(&mut self, id: &str, reason: &str) {
        let reason = if reason.is_empty() { "expired" } else { reason };
        self.fail(&Device { id: id.to_owned(), ..Device::default() }, "expired", reason);
    }

    /// Devices that nobody sent to before the push expired.
    pub fn expired(&mut self, count: u64) {
        self.counts.failed += count;
        if count > 0 {
            *self.reasons.entry("expired".to_owned()).or_default() +=
                i64::try_from(count).unwrap_or(i64::MAX);
        }
    }

    fn items(&self) -> Vec<NewWork> {
        let again = |ids: &[String], tries: u32, after: Option<Duration>| {
            let mut payload = json!({ "ids": ids, "try": tries, "reason": self.again_reason });
            if let Some(wave) = self.wave {
                payload["wave"] = wave.into();
            }
            NewWork { after, ..item(&self.campaign.id, payload, None) }
        };
        let mut items = Vec::new();
        if !self.again.is_empty() {
            let whole = millis(self.pause()).max(2);
            // So that those who failed together do not come back together.
            let jittered = rand::random_range(whole / 2..=whole).max(self.again_after.map_or(0, millis));
            let after = Duration::from_millis(jittered.unsigned_abs());
            items.push(again(&self.again, self.tries.saturating_add(1), Some(after)));
        }
        if !self.unsent.is_empty() {
            items.push(again(&self.unsent, self.tries, None));
        }
        items
    }

    /// Writes it down, however long the database may be away: it has been sent.
    ///
    /// # Errors
    /// When that took too long.
    pub async fn record(mut self, services: &Arc<Services>) -> Result<Ended> {
        self.counts.repeated = self.repeated;
        self.counts.batches = if self.is_page { -1 } else { 0 };
        let ending = Ending {
            more: self.items(),
            log: if services.state.pushes.log_days().is_some() {
                std::mem::take(&mut self.log)
            } else {
                Vec::new()
            },
            reasons: std::mem::take(&mut self.reasons).into_iter().collect(),
            retried: self.retried,
            repeated: self.repeated,
        };
        let began = std::time::Instant::now();
        let (ended, change) = loop {
            match self.write(services, &ending).await {
                Ok(written) => break written,
                Err(error) if began.elapsed() > PATIENCE => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, push = self.campaign.id, "results of a push could not be stored yet");
                    tokio::time::sleep(OFFER).await;
                }
            }
        };
        let has_results = self.counts.sent + self.counts.failed > 0;
        status::told_results(services, change, ended == Ended::Push && has_results).await;
        if !ending.more.is_empty() {
            services.state.pushes.wake();
        }
        Ok(ended)
    }

    async fn write(
        &self,
        services: &Arc<Services>,
        ending: &Ending,
    ) -> Result<(Ended, Option<status::Change>)> {
        let (statuses, returning) = (status::schema(services).await?, status::shown(services).await?);
        let class = match self.dead.is_empty() {
            true => None,
            false => campaign::installations(services).await?,
        };
        let transaction = services.storage.begin().await?;
        let writer = transaction.push_writer().ok_or_else(|| Error::internal("no pushes are kept"))?;
        let id = &self.campaign.id;
        let Some(is_over) = writer.finish_push_item(&services.config.app_id, id, &self.lease, ending).await?
        else {
            transaction.rollback().await?;
            return Ok((Ended::Lost, None));
        };
        let counts = Counts { status: is_over.then_some("succeeded"), ..self.counts.clone() };
        let mut change = None;
        if is_over || !counts.is_empty() {
            change = status::count(transaction.as_session(), &statuses, id, &counts, returning).await?;
        }
        if let Some(class) = class {
            remove_tokens(transaction.as_session(), &class, &self.dead).await?;
        }
        if !self.tickets.is_empty()
            && let Some(work) = transaction.work()
        {
            work.enqueue(&services.config.app_id, &tickets::items(id, &self.tickets)).await?;
        }
        transaction.commit().await?;
        Ok((if is_over { Ended::Push } else { Ended::Item }, change))
    }
}

fn millis(pause: Duration) -> i64 {
    i64::try_from(pause.as_millis()).unwrap_or(i64::MAX)
}

fn clipped(reason: &str) -> String {
    reason.chars().filter(|c| !c.is_control()).take(LONGEST_REASON).collect()
}
