//! One event on its way to the subscribers of its class: found through the index, matched, checked
//! with the permission code of a find, rendered once for each distinct form, handed to the workers.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use actix::Addr;
use serde_json::Value;

use super::asking::Asker;
use super::decide::{Decision, Event, Situation, decide};
use super::render::{Mask, Renderer};
use super::ring::{Counter, EventId, Ring};
use super::subscription::{Audience, Opened, Rights, snapshot};
use super::subscriptions::{Audiences, Group, GroupKey, Place, Subscriptions};
use super::worker::{Deliver, Dispatch, LiveQueryWorker, Parcel, Target};
use super::{Counters, triggers};
use crate::error::{Error, Result};
use crate::operations::permissions::Protection;
use crate::operations::permissions::clp::{self, Action};
use crate::operations::services::{ObjectEvent, ObjectEventKind};
use crate::operations::{Auth, ClassSnapshot, Credentials, Services};
use crate::types::query::eval::json_equals;
use crate::types::query::eval_ask::{Answers, Verdict};
use crate::types::{Acl, ClassName, Object};

/// How many candidates are matched, or audiences told, before other work of the arbiter gets a turn.
const CHUNK: usize = 512;

/// What the owner of a class shares with the events it works on.
#[derive(Clone)]
pub struct Shared {
    pub class: ClassName,
    pub services: Arc<Services>,
    pub counters: Arc<Counters>,
    /// The hub's count of this class's subscriptions.
    pub counted: Arc<AtomicUsize>,
    pub numbers: Arc<Counter>,
    pub subscriptions: Rc<RefCell<Subscriptions>>,
    pub ring: Rc<RefCell<Ring>>,
}

impl Shared {
    /// So many subscriptions ended.
    pub fn subtract(&self, ended: usize) {
        self.counted.fetch_sub(ended, Ordering::Relaxed);
        self.counters.subscriptions.fetch_sub(ended as u64, Ordering::Relaxed);
    }
}

pub struct Work {
    shared: Shared,
    event: Arc<ObjectEvent>,
    current_acl: Option<Acl>,
    original_acl: Option<Acl>,
}

/// Whether one state satisfies a query, as far as it alone tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Match {
    Yes,
    No,
    Asks,
}

/// A query that one of the two states satisfies, or may.
struct Hit {
    opened: Rc<Opened>,
    original: Match,
    current: Match,
    audiences: Audiences,
}

/// A parcel that has no id yet.
struct Unsent {
    parcel: Parcel,
    with_ids: bool,
    targets: Arc<Vec<Target>>,
}

/// What goes to each worker. There are few workers: a list is enough.
type Outbox = Vec<(Addr<LiveQueryWorker>, Vec<Unsent>)>;

impl Work {
    pub fn new(shared: Shared, event: Arc<ObjectEvent>) -> Self {
        let acl = |object: &Object| object.get("ACL").and_then(|acl| Acl::from_json(acl).ok());
        Self {
            current_acl: acl(&event.object),
            original_acl: event.original.as_deref().and_then(acl),
            shared,
            event,
        }
    }

    /// Tells everybody concerned.
    ///
    /// # Errors
    /// When the class cannot be looked up.
    pub async fn run(self) -> Result<()> {
        let ids = self.candidates().await;
        let mut outbox = Outbox::new();
        if !ids.is_empty() {
            let class = snapshot(&self.shared.services, &self.shared.class).await?;
            let hits = ids.into_iter().map(|(id, opened, original, current)| {
                let audiences = {
                    let readers = self.readers(&class, &opened);
                    self.shared.subscriptions.borrow().audiences(id, readers.as_deref())
                };
                Hit { opened, original, current, audiences }
            });
            let hits: Vec<Hit> = hits.collect();
            self.tell(&class, hits, &mut outbox).await;
        }
        // No waiting from here on: numbers grow in the order in which frames leave.
        let number = self.shared.numbers.next();
        self.shared.ring.borrow_mut().record(number, &self.event);
        send(outbox, || self.shared.numbers.id(number));
        Ok(())
    }

    /// Tells one subscription of something that happened before.
    ///
    /// # Errors
    /// When the class cannot be looked up.
    pub async fn replay(self, place: &Place, id: EventId) -> Result<()> {
        let only = self.shared.subscriptions.borrow().only(place);
        let Some((opened, audiences)) = only else { return Ok(()) };
        let (original, current) = self.match_states(&opened);
        if (original, current) == (Match::No, Match::No) {
            return Ok(());
        }
        let class = snapshot(&self.shared.services, &self.shared.class).await?;
        let mut outbox = Outbox::new();
        self.tell(&class, vec![Hit { opened, original, current, audiences }], &mut outbox).await;
        send(outbox, || id.clone());
        Ok(())
    }

    async fn candidates(&self) -> Vec<(u64, Rc<Opened>, Match, Match)> {
        let states = || std::iter::once(&*self.event.object).chain(self.event.original.as_deref());
        let candidates = self.shared.subscriptions.borrow().index.candidates(states());
        let mut found = Vec::new();
        for chunk in candidates.chunks(CHUNK) {
            {
                let subscriptions = self.shared.subscriptions.borrow();
                for (id, opened) in chunk.iter().filter_map(|id| Some((*id, subscriptions.opened(*id)?))) {
                    let (original, current) = self.match_states(opened);
                    if (original, current) != (Match::No, Match::No) {
                        found.push((id, opened.clone(), original, current));
                    }
                }
            }
            if candidates.len() > CHUNK {
                tokio::task::yield_now().await;
            }
        }
        found
    }

    fn match_states(&self, opened: &Opened) -> (Match, Match) {
        let state = |object: &Object| {
            let matcher = &opened.matcher;
            if !matcher.asks() {
                return if matcher.matches(object) { Match::Yes } else { Match::No };
            }
            match matcher.decide(object, &Answers::new()) {
                Verdict::Matches => Match::Yes,
                Verdict::Differs => Match::No,
                Verdict::Asks(_) => Match::Asks,
            }
        };
        (self.event.original.as_deref().map_or(Match::No, state), state(&self.event.object))
    }

    /// The users whom alone the ACLs of both states let read; `None` when that does not leave anybody
    /// out. Where class permissions refuse, the refusal is told to all.
    fn readers(&self, class: &ClassSnapshot, opened: &Opened) -> Option<Vec<String>> {
        let anonymous = Auth { credentials: Credentials::Client, principal: None };
        clp::check(&anonymous, class, opened.op, Action::Read).ok()?;
        let mut readers = self.current_acl.as_ref()?.read.clone();
        if self.event.original.is_some() {
            readers.extend_from_slice(&self.original_acl.as_ref()?.read);
        }
        let everybody = readers.iter().any(|reader| reader == "*" || reader.starts_with("role:"));
        (!everybody).then_some(readers)
    }

    async fn tell(&self, class: &ClassSnapshot, hits: Vec<Hit>, outbox: &mut Outbox) {
        let mut rights: HashMap<Rc<Audience>, Rights> = HashMap::new();
        let mut renderer = Renderer::new(&self.event);
        let mut told = 0;
        for hit in hits {
            for (audience, groups) in &hit.audiences {
                if !rights.contains_key(audience) {
                    rights.insert(audience.clone(), audience.resolve(&self.shared.services).await);
                }
                let Some(rights) = rights.get(audience) else { continue };
                self.tell_audience(class, &hit, rights, groups, &mut renderer, outbox).await;
                told += 1;
                if told % CHUNK == 0 {
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    async fn tell_audience(
        &self,
        class: &ClassSnapshot,
        hit: &Hit,
        rights: &Rights,
        groups: &[Group],
        renderer: &mut Renderer<'_>,
        outbox: &mut Outbox,
    ) {
        match rights.admitted(class, hit.opened.op, &self.event.object) {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                self.tell_error(&error, groups, outbox);
                return;
            }
        }
        let current_readable = rights.may_read(self.current_acl.as_ref());
        let original_readable = self.event.original.is_some() && rights.may_read(self.original_acl.as_ref());
        if !current_readable && !original_readable {
            return;
        }
        let owner_exempt = self.shared.services.config.users.protected_fields_owner_exempt;
        let exact = hit.opened.matcher.filter().exact_id();
        let protection = Protection::resolve(&rights.auth, class, exact, owner_exempt);
        // Protected since it was opened: hearing of a match would tell the field's value.
        if hit.opened.looks_at.iter().any(|field| protection.forbids(field)) {
            return;
        }
        let (original_matches, current_matches) = self.matches_for(class, hit, rights).await;
        let mask = Mask::of(class, &rights.auth, &protection, &self.event);
        let by_trigger = triggers::has_after_event(&self.shared.services, &self.shared.class);
        for Group { key, targets } in groups {
            if key.watch.iter().flat_map(|watch| watch.iter()).any(|field| protection.forbids(field)) {
                continue;
            }
            let decision = match self.event.kind {
                // With a state before: a deletion that those who saw that state know of (see `order`).
                ObjectEventKind::Deleted => {
                    let knows = original_matches && original_readable;
                    (current_matches && current_readable && !knows).then_some(Decision {
                        event: Event::Delete,
                        object_is_original: false,
                        with_original: false,
                    })
                }
                ObjectEventKind::Saved => decide(Situation {
                    has_original: self.event.original.is_some(),
                    original_matches,
                    original_readable,
                    current_matches,
                    current_readable,
                    watched_changed: self.watched_changed(key),
                }),
            };
            let Some(decision) = decision else { continue };
            if by_trigger {
                for target in targets.iter() {
                    self.tell_through_trigger(decision, rights, key, target, &mask, outbox).await;
                }
                continue;
            }
            let object = renderer.render(decision.object_is_original, &mask, key.keys.as_ref());
            let original = decision.with_original.then(|| renderer.render(true, &mask, key.keys.as_ref()));
            let parcel = Parcel::Event { event: decision.event, object, original, id: None };
            push(outbox, key, targets.clone(), parcel);
        }
    }

    /// Whether the state before and the one now satisfy the query, for this audience.
    async fn matches_for(&self, class: &ClassSnapshot, hit: &Hit, rights: &Rights) -> (bool, bool) {
        let plain = |state: Match| state == Match::Yes;
        if hit.original != Match::Asks && hit.current != Match::Asks {
            return (plain(hit.original), plain(hit.current));
        }
        let Some(mut asker) = Asker::new(&self.shared.services, class, rights, &hit.opened).await else {
            return (plain(hit.original), plain(hit.current));
        };
        let original = match (hit.original, self.event.original.as_deref()) {
            (Match::Asks, Some(object)) => asker.matches(object).await,
            (known, _) => plain(known),
        };
        let current = match hit.current {
            Match::Asks => asker.matches(&self.event.object).await,
            known => plain(known),
        };
        (original, current)
    }

    fn watched_changed(&self, key: &GroupKey) -> bool {
        let Some(watch) = &key.watch else { return true };
        let value = |object: Option<&Object>, field: &str| {
            object.and_then(|object| object.get(field)).cloned().unwrap_or(Value::Null)
        };
        watch.iter().any(|field| {
            let now = value(Some(&*self.event.object), field);
            !json_equals(&now, &value(self.event.original.as_deref(), field))
        })
    }

    async fn tell_through_trigger(
        &self,
        decision: Decision,
        rights: &Rights,
        key: &GroupKey,
        target: &Target,
        mask: &Mask,
        outbox: &mut Outbox,
    ) {
        let state = |original: bool| {
            if original { self.event.original.as_deref() } else { Some(&*self.event.object) }
        };
        let call = triggers::AfterEvent {
            class: &self.shared.class,
            event: decision.event,
            object: state(decision.object_is_original),
            original: state(true).filter(|_| decision.with_original),
            rights,
            installation_id: target.installation_id.as_deref(),
            counters: &self.shared.counters,
        };
        let parcel = match triggers::after_event(&self.shared.services, call).await {
            Ok(None) => return,
            Ok(Some((object, original))) => {
                let render = |object: &Object| mask.render(object, key.keys.as_deref());
                Parcel::Event {
                    event: decision.event,
                    object: render(&object),
                    original: original.as_ref().map(render),
                    id: None,
                }
            }
            Err(error) => self.error(&error),
        };
        push(outbox, key, Arc::new(vec![target.clone()]), parcel);
    }

    fn error(&self, error: &Error) -> Parcel {
        let code = error.code().map_or(141, |code| code.0);
        let message = error.public_message(self.shared.services.config.http.sanitize_errors).to_owned();
        Parcel::Error { code, message }
    }

    fn tell_error(&self, error: &Error, groups: &[Group], outbox: &mut Outbox) {
        for Group { key, targets } in groups {
            push(outbox, key, targets.clone(), self.error(error));
        }
    }
}

fn push(outbox: &mut Outbox, key: &GroupKey, targets: Arc<Vec<Target>>, parcel: Parcel) {
    let unsent = Unsent { parcel, with_ids: key.with_ids, targets };
    match outbox.iter_mut().find(|(worker, _)| *worker == key.worker) {
        Some((_, parcels)) => parcels.push(unsent),
        None => outbox.push((key.worker.clone(), vec![unsent])),
    }
}

/// One message to each worker.
fn send(outbox: Outbox, id: impl FnOnce() -> EventId) {
    let wants_ids = outbox.iter().any(|(_, parcels)| parcels.iter().any(|unsent| unsent.with_ids));
    let text: Option<Arc<str>> = wants_ids.then(|| id().to_string().into());
    for (worker, parcels) in outbox {
        let dispatches = parcels.into_iter().map(|mut unsent| {
            if let (true, Parcel::Event { id, .. }) = (unsent.with_ids, &mut unsent.parcel) {
                id.clone_from(&text);
            }
            Dispatch { parcel: Arc::new(unsent.parcel), targets: unsent.targets }
        });
        if worker.try_send(Deliver(dispatches.collect())).is_err() {
            tracing::warn!("a worker takes no live query events any more");
        }
    }
}
