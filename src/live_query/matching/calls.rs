//! Events on their way through afterLiveQueryEvent: Cloud Code is called for each subscription, several at a
//! time. What comes of it leaves in the order of the subscriptions, when all have been called.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;

use super::decide::Decision;
use super::outbox::{Outbox, error_parcel, push};
use super::render::Mask;
use super::shared::{CALLS_AT_ONCE, Shared};
use super::subscription::{Audience, Rights};
use super::subscriptions::GroupKey;
use super::triggers;
use crate::error::{Error, ErrorCode};
use crate::live_query::parcel::{Parcel, Recipient};
use crate::operations::ports::ObjectEvent;
use crate::types::Object;

/// A handler that takes longer fails for its subscriber: the others wait for it.
const LONGEST: Duration = Duration::from_secs(30);

/// One subscription for which Cloud Code is to be called.
pub struct Call {
    pub decision: Decision,
    pub audience: Rc<Audience>,
    pub key: Rc<GroupKey>,
    pub recipient: Recipient,
    pub mask: Rc<Mask>,
}

pub async fn tell_through_trigger(
    shared: &Shared,
    event: &ObjectEvent,
    calls: Vec<Call>,
    rights: &HashMap<Rc<Audience>, Rights>,
    outbox: &mut Outbox,
) {
    if calls.is_empty() {
        return;
    }
    let called = futures_util::stream::iter(calls).map(|call| async move {
        // Of all events of the class that are under way, so many calls.
        let _turn = shared.calls.acquire().await;
        let parcel = match rights.get(&call.audience) {
            Some(rights) => call.run(shared, event, rights).await,
            None => None,
        };
        (call, parcel)
    });
    let mut called = std::pin::pin!(called.buffered(CALLS_AT_ONCE));
    while let Some((call, parcel)) = called.next().await {
        if let Some(parcel) = parcel {
            push(outbox, &call.key, Arc::new(vec![call.recipient]), parcel);
        }
    }
}

impl Call {
    /// `None`: the handler dropped the event.
    async fn run(&self, shared: &Shared, event: &ObjectEvent, rights: &Rights) -> Option<Parcel> {
        let Self { decision, key, recipient, mask, .. } = self;
        let state = |original: bool| if original { event.original.as_deref() } else { Some(&*event.object) };
        let asked = triggers::AfterEvent {
            class: &shared.class,
            event: decision.event,
            object: state(decision.object_is_original),
            original: state(true).filter(|_| decision.with_original),
            rights,
            installation_id: recipient.installation_id.as_deref(),
            counters: &shared.app.counters,
        };
        let answer = triggers::after_event(shared.services(), asked);
        let answer = tokio::time::timeout(LONGEST, answer).await.unwrap_or_else(|_| {
            Err(Error::parse(ErrorCode::SCRIPT_FAILED, "afterLiveQueryEvent did not answer in time"))
        });
        match answer {
            Ok(None) => None,
            Ok(Some((event, object, original))) => {
                let providers = &shared.services().auth;
                let render = |object: &Object| mask.render(object, key.keys.as_deref(), providers);
                Some(Parcel::Event {
                    event,
                    object: render(&object),
                    original: original.as_ref().map(render),
                    id: None,
                })
            }
            Err(error) => Some(error_parcel(shared.services(), &error)),
        }
    }
}
