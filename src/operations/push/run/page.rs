//! Pages of installations: a batch is one, and writes the next one down.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::Runner;
use crate::error::{Error, Result};
use crate::operations::ClassSnapshot;
use crate::operations::push::campaign::{Campaign, Job};
use crate::operations::push::record::Batch;
use crate::operations::push::request::Badge;
use crate::operations::push::zones::Wave;
use crate::operations::push::{item, settled, status};
use crate::operations::services::Services;
use crate::push::Device;
use crate::query::{Constraint, Filter, FindSpec, Operand};
use crate::storage::{Claimed, NewWork, Returning, WriteFilter};
use crate::types::app_scope::carry;
use crate::types::time::Millis;
use crate::types::update::Op;
use crate::types::{FieldName, RowSet, Update};

/// Between two pages of a push whose rate is low.
const LONGEST_PAUSE: Duration = Duration::from_secs(86_400 * 365);

/// The page that an item is of.
pub(super) struct Page<'a> {
    pub after: &'a str,
    pub is_first: bool,
    pub wave: Option<&'a Wave>,
    pub claimed: &'a Claimed,
}

/// What writing the next page down brought about.
#[derive(Default)]
struct Extended {
    /// The page's rows, where badges changed them.
    badged: Option<RowSet>,
    /// The status, where this page is what began the push.
    begun: Option<status::Change>,
}

impl Runner {
    /// What stands for whoever listens.
    pub(super) async fn listeners(
        &self,
        campaign: &Campaign,
        job: &Job,
        batch: &mut Batch<'_>,
    ) -> Result<Vec<Device>> {
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
    pub(super) async fn page(
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
        let extended =
            settled(async || self.extended(class, campaign, &page, (&upto, &next, is_last), &rows).await);
        let Some(Extended { badged, begun }) = extended.await? else { return Ok(None) };
        rows = badged.unwrap_or(rows);
        if page.is_first {
            if !is_last {
                // The first devices do not wait for it.
                let counting =
                    count_batches(self.services.clone(), class.clone(), campaign.clone(), own, size);
                tokio::task::spawn_local(carry(counting));
            }
            status::told(&self.services, begun).await;
        }
        if !next.is_empty() {
            self.services.state.pushes.wake();
        }
        Ok(Some(self.devices(&rows)))
    }

    /// Notes how far the page's item is, with the next one, and changes badges. `None`: the lease is lost.
    async fn extended(
        &self,
        class: &Arc<ClassSnapshot>,
        campaign: &Campaign,
        page: &Page<'_>,
        (upto, next, is_last): (&str, &[NewWork], bool),
        rows: &RowSet,
    ) -> Result<Option<Extended>> {
        let statuses = status::schema(&self.services).await?;
        let shown = status::shown(&self.services).await?;
        let transaction = self.services.storage.begin().await?;
        let writer = transaction.push_writer().ok_or_else(|| Error::internal("no pushes are kept"))?;
        let progress = json!({ "upto": upto });
        if !writer.extend_push(self.app(), &campaign.id, &page.claimed.lease, &progress, next).await? {
            transaction.rollback().await?;
            return Ok(None);
        }
        let mut extended = Extended::default();
        if page.is_first {
            let batches = i64::from(is_last);
            let session = transaction.as_session();
            extended.begun = status::begin(session, &statuses, &campaign.id, batches, shown).await?;
        }
        let id = |constraint| Filter::field(FieldName::known("objectId"), constraint);
        if let Some(badge) = campaign.badge {
            let ids = rows.iter().map(|row| Operand::Text(row.object_id().to_owned())).collect();
            let target = WriteFilter { filter: id(Constraint::In(ids)), writers: None };
            let op = match badge {
                Badge::Set(value) => Op::Set(crate::types::number::number_json(value)),
                Badge::Increment(amount) => Op::Increment(amount),
            };
            let mut update =
                Update::default().set(FieldName::known("updatedAt"), Millis::now().to_iso().into());
            update.ops.push((FieldName::known("badge").into(), op));
            let returning = Returning { after: true, ..Returning::default() };
            let changed = transaction.update(&class.schema, &target, &update, returning).await?;
            extended.badged = changed.after;
        }
        transaction.commit().await?;
        Ok(Some(extended))
    }

    /// A push that reaches nobody has begun, too.
    async fn begin(&self, campaign: &Campaign, batches: i64) -> Result<()> {
        let statuses = status::schema(&self.services).await?;
        let session = self.services.storage.as_session();
        status::begin(session, &statuses, &campaign.id, batches, Returning::default()).await.map(drop)
    }

    fn next_page(&self, campaign: &Campaign, upto: &str, page: &Page<'_>, sent: usize) -> NewWork {
        let mut payload = json!({ "after": upto });
        if let Some(wave) = page.wave {
            payload["wave"] = wave.at.0.into();
        }
        let after = campaign.rate.map(|rate| {
            // How late this page is, as far as the clocks of server and storage agree.
            let late = (Millis::now().0 - page.claimed.item.run_at.0).clamp(0, 1000);
            let pause =
                Duration::try_from_secs_f64(sent as f64 / rate).unwrap_or(LONGEST_PAUSE).min(LONGEST_PAUSE);
            pause.saturating_sub(Duration::from_millis(late.unsigned_abs()))
        });
        NewWork { after, ..item(&campaign.id, payload, None) }
    }

    /// Nothing of the push is sent any more: whoever is left is counted.
    pub(super) async fn expire(
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
        // A full last page is followed by an empty one.
        let batches = i64::try_from(total / size as u64 + 1).unwrap_or(i64::MAX);
        let statuses = status::schema(&services).await?;
        status::add_batches(services.storage.as_session(), &statuses, &campaign.id, batches).await
    };
    if let Err(error) = counted.await {
        tracing::debug!(%error, push = campaign.id, "the batches of a push could not be counted");
    }
}
