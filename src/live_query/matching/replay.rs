//! What a client missed while it was away, told later on. The rights of then count, as for every event, and
//! those of now: what everybody could read once and only its owner can read now is not told. Where that leaves
//! something out the client is told to ask anew, since it cannot learn the rest from here.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use super::event::Work;
use super::outbox::send;
use super::present::Present;
use super::ring::EventId;
use super::shared::Shared;
use super::subscriptions::SubscriptionKey;
use crate::error::Result;
use crate::live_query::ledger::MAX_UNREAD;
use crate::operations::ports::{ObjectEvent, ObjectEventKind};
use crate::query::{Constraint, Filter, FindSpec, Operand};
use crate::types::FieldName;

/// Objects that are looked up with one statement.
const LOT: usize = 500;
/// Bytes of frames that are sent to a client that comes back; with more, a find is cheaper.
const MOST_BYTES: usize = MAX_UNREAD / 2;

type Missed = Vec<(EventId, Arc<ObjectEvent>)>;

/// Tells one subscription of all of it, or of nothing and answers `false`.
///
/// # Errors
/// When the class or the objects cannot be read.
pub async fn run(shared: &Shared, subscription: &SubscriptionKey, missed: Missed) -> Result<bool> {
    let present = present(shared, &missed).await?;
    let mut letters = Vec::new();
    let mut bytes = 0;
    for (id, event) in missed {
        let state = id_of(&event).and_then(|id| present.get(id)).cloned().unwrap_or(Present::Gone);
        let work = Work::of_the_past(shared.clone(), event, state);
        let Some(outbox) = work.replay(subscription).await? else { return Ok(false) };
        bytes +=
            outbox.iter().flat_map(|(_, parcels)| parcels).map(|unsent| unsent.parcel.size()).sum::<usize>();
        if bytes > MOST_BYTES {
            return Ok(false);
        }
        letters.push((id, outbox));
    }
    for (id, outbox) in letters {
        send(outbox, || id.seal(&shared.services().state.seal), None);
    }
    Ok(true)
}

fn id_of(event: &ObjectEvent) -> Option<&str> {
    event.object.get("objectId").and_then(Value::as_str)
}

/// The objects as they are now; deleted ones as they were then.
async fn present(shared: &Shared, missed: &Missed) -> Result<HashMap<String, Present>> {
    let mut present: HashMap<String, Present> = HashMap::new();
    for (_, event) in missed {
        let Some(id) = id_of(event) else { continue };
        let last = match event.kind {
            ObjectEventKind::Deleted => Present::Known(event.object.clone()),
            ObjectEventKind::Saved => Present::Gone,
        };
        present.insert(id.to_owned(), last);
    }
    let Some(class) = shared.services().classes.admit(&shared.class).await? else { return Ok(present) };
    let ids: Vec<Operand> = present.keys().map(|id| Operand::Text(id.clone())).collect();
    for lot in ids.chunks(LOT) {
        let by_id = Filter::field(FieldName::known("objectId"), Constraint::In(lot.to_vec()));
        let spec = FindSpec::new(by_id).limit(LOT as u64);
        for row in shared.services().storage.find(&class.schema, &spec).await?.iter() {
            let mut object = row.to_object();
            object.retain(|key, _| !key.starts_with('_'));
            object.insert("className".to_owned(), shared.class.as_str().into());
            present.insert(row.object_id().to_owned(), Present::Known(Arc::new(object)));
        }
    }
    Ok(present)
}
