//! Pushes: accepted with their `_PushStatus` row, sent batch by batch from the work queue, paused, cancelled,
//! repeated, counted (parse-server's `PushController`, `PushQueue`, `PushWorker`, `pushStatusHandler`).
//!
//! [`send`] writes the status, the push and its first batch in one transaction and answers. A server's
//! [`Runner`], which `actors::push_queue` drives, claims batches: each reads the next page of installations by
//! their ids, writes the next batch down together with how far it is itself, hands its devices to the
//! [`crate::push::PushAdapter`], and ends in one transaction with its counts and without the tokens that are dead.
//! So at any moment a push is a handful of rows, whatever its size; a server that dies loses none, and repeats
//! at most the devices of the batches it had claimed.

mod campaign;
mod hash;
mod hooks;
mod manage;
pub mod module;
mod opened;
mod receipts;
mod record;
mod recurring;
mod request;
mod run;
mod status;
mod texts;
mod tickets;
mod tokens;
mod zones;

use std::time::Duration;

use serde_json::{Value, json};

pub use self::manage::{change, report};
pub use self::opened::{by_hash, opened};
use self::request::Accepted;
pub use self::run::{Runner, Taken};
use crate::error::{Error, ErrorCode, Result};
use crate::operations::context::Ctx;
use crate::operations::services::Services;
use crate::pubsub::Notice;
use crate::push::Broadcast;
use crate::query::{Filter, Operand};
use crate::storage::push::{NewPush, PushState, queue_of};
use crate::storage::{NewWork, Retry, Returning, WriteFilter, is_conflict};
use crate::types::time::Millis;
use crate::types::update::Op;
use crate::types::{ClassName, FieldName, Object, ObjectId, Update};

/// Servers tell each other that pushes came or changed.
pub const CHANNEL: &str = "push";
/// Between tries of an item, which the queue itself never makes: see `record`.
const PAUSE: std::time::Duration = std::time::Duration::from_secs(1);
/// Items are kept past the deadline of their push, so that what becomes of them is said by who takes them.
const KEPT_MS: i64 = 400 * 24 * 3600 * 1000;

/// Accepts a push and answers the id of its status.
///
/// # Errors
/// 119 for the read-only master key, 115 for what parse-server refuses.
pub async fn send(ctx: &Ctx, body: Object) -> Result<String> {
    if ctx.auth.is_read_only() {
        return Err(Error::forbidden("read-only masterKey isn't allowed to send push notifications."));
    }
    let misconfigured = |text| Error::parse(ErrorCode::PUSH_MISCONFIGURED, text);
    request::condition(&body)?;
    if ctx.config().push.push.is_none() {
        return Err(misconfigured("Missing push configuration"));
    }
    let services = &ctx.services;
    if services.storage.push_ledger().is_none() {
        return Err(misconfigured("Push controller is not set"));
    }
    let body = hooks::before(ctx, body).await?;
    let condition = request::condition(&body)?;
    let scheduled = ctx.config().push.scheduled_push;
    let accepted = request::read(body, condition, Millis::now(), scheduled)?;
    let broadcast = accepted.condition.get(request::BROADCAST).and_then(|to| Broadcast::read(to).ok());
    if let (Some(broadcast), Some(adapter)) = (broadcast, &services.push)
        && adapter.reaches(&broadcast).is_none()
    {
        return Err(misconfigured("No sender can do this broadcast."));
    }
    // What parse-server finds out too late to refuse it.
    let refused = campaign::check(services, &accepted.condition).await.err();
    let id = ObjectId::generate(ctx.config().schema.object_id_size).to_string();
    let row = settled(async || accept(services, &id, &accepted, refused.as_ref()).await).await?;
    status::told(services, Some(status::Change::made(&row))).await;
    if refused.is_none() {
        tell(services).await;
    }
    Ok(id)
}

/// The status and the push: both or neither.
/// Times that a transaction is begun again.
const TRIES: u32 = 10;

/// Does what is one transaction, and anew where it collided with another: a database without locks on rows ends one of
/// the two.
async fn settled<T>(work: impl AsyncFn() -> Result<T>) -> Result<T> {
    let mut tries = 0;
    loop {
        match work().await {
            Err(error) if is_conflict(&error) && tries < TRIES => {
                tries += 1;
                let most = 5 << tries.min(7);
                tokio::time::sleep(Duration::from_millis(rand::random_range(most / 2..=most))).await;
            }
            outcome => return outcome,
        }
    }
}

async fn accept(
    services: &Services,
    id: &str,
    accepted: &Accepted,
    refused: Option<&Error>,
) -> Result<Object> {
    let schema = status::schema(services).await?;
    let row = status::row(id, accepted, refused)?;
    let transaction = services.storage.begin().await?;
    transaction.create(&schema, std::slice::from_ref(&row)).await?;
    if let Some(audience) = &accepted.audience
        && let Some(audiences) = services.classes.admit(&ClassName::known("_Audience")).await?
    {
        let used = json!({ "__type": "Date", "iso": Millis::now().to_iso() });
        let mut update = Update::default()
            .set(FieldName::known("lastUsed"), used)
            .set(FieldName::known("updatedAt"), Millis::now().to_iso().into());
        update.ops.push((FieldName::known("timesUsed").into(), Op::Increment(1.0)));
        let target =
            WriteFilter { filter: Filter::eq("objectId", Operand::Text(audience.clone())), writers: None };
        transaction.update(&audiences.schema, &target, &update, Returning::default()).await?;
    }
    if refused.is_none() {
        let writer = transaction.push_writer().ok_or_else(|| Error::internal("no pushes can be kept"))?;
        let (push, items) = write_down(services, id, accepted);
        writer.add_push(&services.config.app_id, &push, &items).await?;
    }
    transaction.commit().await?;
    Ok(row)
}

/// The push and its first items.
fn write_down(services: &Services, id: &str, accepted: &Accepted) -> (NewPush, Vec<NewWork>) {
    let push = NewPush {
        id: id.to_owned(),
        state: if accepted.cron.is_some() { PushState::Recurring } else { PushState::Active },
        due_at: accepted.due_at,
        deadline: accepted.deadline,
        body: campaign::written(&accepted.body),
        condition: Value::Object(accepted.condition.clone()),
        settings: accepted.settings(services),
        hash: accepted.hash.clone(),
    };
    let items = match (&accepted.cron, &accepted.local) {
        (Some(_), _) => Vec::new(),
        (None, Some(local)) => {
            let waves = zones::waves(*local).into_iter();
            waves.map(|wave| item(id, json!({ "after": "", "wave": wave.at.0 }), Some(wave.at))).collect()
        }
        (None, None) => vec![item(id, json!({ "after": "" }), accepted.due_at)],
    };
    (push, items)
}

/// An item of a push's queue.
fn item(push: &str, payload: Value, run_at: Option<Millis>) -> NewWork {
    let deadline = Millis(run_at.unwrap_or_else(Millis::now).0.saturating_add(KEPT_MS));
    let retry = Retry::Until { deadline, pause: PAUSE };
    NewWork { run_at, retry, ..NewWork::new(queue_of(push), payload) }
}

/// Tells the runners of all servers.
async fn tell(services: &Services) {
    services.state.pushes.wake();
    let notice = Notice::Other { channel: CHANNEL.to_owned(), payload: String::new() };
    if let Err(error) = services.pubsub.notify(notice).await {
        tracing::debug!(%error, "other servers could not be told of a push");
    }
}
