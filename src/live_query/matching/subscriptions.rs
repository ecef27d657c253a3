//! The subscriptions of one class as its owner keeps them. Subscriptions with the same query are one
//! entry, matched once; those of an entry with the same rights are one audience, checked once; those of an
//! audience that are sent the same frames by the same worker are one group, told with one message.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use super::index::{EntryId, Index};
use super::subscription::{Audience, Opened};
use crate::live_query::ledger::Charge;
use crate::live_query::listening::Seat;
use crate::live_query::parcel::{ConnectionId, Recipient, Worker};

/// One client's subscription.
#[derive(Clone)]
pub struct Subscriber {
    pub connection: ConnectionId,
    pub worker: Worker,
    /// As JSON.
    pub request_id: Arc<str>,
    pub installation_id: Option<Arc<str>>,
    pub keys: Option<Arc<BTreeSet<String>>>,
    pub watch: Option<Arc<Vec<String>>>,
    /// The client wants events to carry ids.
    pub with_ids: bool,
}

/// What the subscriptions of a group have in common.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct GroupKey {
    pub worker: Worker,
    pub keys: Option<Arc<BTreeSet<String>>>,
    pub watch: Option<Arc<Vec<String>>>,
    pub with_ids: bool,
}

/// Subscriptions of one worker's connections that are sent the same frames. Messages to the worker share the
/// list of recipients: it is copied when it changes while a message is under way.
#[derive(Clone)]
pub struct Group {
    pub key: Rc<GroupKey>,
    pub recipients: Arc<Vec<Recipient>>,
}

/// Subscriptions with the same query.
struct Entry {
    opened: Rc<Opened>,
    audiences: Audiences,
    /// Where more than a few listen.
    finder: Option<Box<Finder>>,
    /// What a query that needs the database is charged with: see `class`.
    _asking: Option<Charge>,
}

/// Most queries are one client's, so few entries have one.
#[derive(Default)]
struct Finder {
    at: HashMap<Rc<Audience>, usize>,
    /// User → audiences that only this user's rights (and roles) let read.
    by_user: HashMap<String, HashSet<Rc<Audience>>>,
    /// Audiences without a user: the master key, and clients without a session.
    others: HashSet<Rc<Audience>>,
}

/// So many audiences are looked through one by one.
const FEW: usize = 8;

/// What tells one subscription from every other: its connection and its request id.
pub type SubscriptionKey = (ConnectionId, Arc<str>);

/// Where a subscription is kept: entry, audience, group, and its index among the group's recipients.
struct Spot {
    entry: EntryId,
    audience: Rc<Audience>,
    key: Rc<GroupKey>,
    at: usize,
    _seat: Seat,
}

/// An entry's audiences with their groups, as they were when an event was looked at.
pub type Audiences = Vec<(Rc<Audience>, Vec<Group>)>;

#[derive(Default)]
pub struct Subscriptions {
    pub index: Index,
    entries: HashMap<EntryId, Entry>,
    by_query: HashMap<Arc<str>, EntryId>,
    /// Sorted, so that the subscriptions of one connection stand together.
    by_key: BTreeMap<SubscriptionKey, Spot>,
    /// What most subscriptions have in common, kept once: without a session, and whole objects.
    nobody: Rc<Audience>,
    plain: Vec<Rc<GroupKey>>,
    next: EntryId,
    /// Entries whose query cannot be decided from the object alone.
    asking: usize,
}

impl Subscriptions {
    /// Opens a subscription; answers whether it replaced one with the same key.
    pub fn insert(
        &mut self,
        opened: Opened,
        audience: Audience,
        subscriber: Subscriber,
        seat: Seat,
        asking: Option<Charge>,
    ) -> bool {
        let subscription: SubscriptionKey = (subscriber.connection, subscriber.request_id.clone());
        let replaced = self.remove(&subscription);
        let id = match self.by_query.get(&opened.identity) {
            Some(id) => *id,
            None => self.add_entry(opened, asking),
        };
        let key = self.key_of(&subscriber);
        let audience = if audience == *self.nobody { self.nobody.clone() } else { Rc::new(audience) };
        let Some(entry) = self.entries.get_mut(&id) else { return replaced };
        let recipient = Recipient {
            connection: subscriber.connection,
            request_id: subscriber.request_id,
            installation_id: subscriber.installation_id,
        };
        let (audience, groups) = entry.audience(audience);
        let (key, at) = match groups.iter_mut().find(|group| group.key == key) {
            Some(group) => {
                Arc::make_mut(&mut group.recipients).push(recipient);
                (group.key.clone(), group.recipients.len() - 1)
            }
            None => {
                groups.reserve_exact(1);
                groups.push(Group { key: key.clone(), recipients: Arc::new(vec![recipient]) });
                (key, 0)
            }
        };
        self.by_key.insert(subscription, Spot { entry: id, audience, key, at, _seat: seat });
        replaced
    }

    fn key_of(&mut self, subscriber: &Subscriber) -> Rc<GroupKey> {
        let key = GroupKey {
            worker: subscriber.worker.clone(),
            keys: subscriber.keys.clone(),
            watch: subscriber.watch.clone(),
            with_ids: subscriber.with_ids,
        };
        if let Some(known) = self.plain.iter().find(|known| ***known == key) {
            return known.clone();
        }
        let is_plain = key.keys.is_none() && key.watch.is_none();
        let key = Rc::new(key);
        if is_plain {
            // One or two for each worker that is there.
            self.plain.retain(|known| known.worker.is_there());
            self.plain.push(key.clone());
        }
        key
    }

    fn add_entry(&mut self, opened: Opened, asking: Option<Charge>) -> EntryId {
        self.next += 1;
        let id = self.next;
        self.asking += usize::from(opened.matcher.asks());
        self.index.insert(id, opened.matcher.filter());
        self.by_query.insert(opened.identity.clone(), id);
        let entry = Entry { opened: Rc::new(opened), audiences: Vec::new(), finder: None, _asking: asking };
        self.entries.insert(id, entry);
        id
    }

    /// Ends one subscription; answers whether there was one.
    pub fn remove(&mut self, subscription: &SubscriptionKey) -> bool {
        let Some(spot) = self.by_key.remove(subscription) else { return false };
        let Some(entry) = self.entries.get_mut(&spot.entry) else { return true };
        if let Some(moved) = entry.take(&spot)
            && let Some(other) = self.by_key.get_mut(&moved)
        {
            other.at = spot.at;
        }
        if entry.audiences.is_empty()
            && let Some(entry) = self.entries.remove(&spot.entry)
        {
            self.by_query.remove(&entry.opened.identity);
            self.index.remove(spot.entry);
            self.asking -= usize::from(entry.opened.matcher.asks());
        }
        true
    }

    /// Ends all subscriptions of a connection; answers how many there were.
    pub fn remove_connection(&mut self, connection: ConnectionId) -> usize {
        let first: SubscriptionKey = (connection, "".into());
        let theirs = self.by_key.range(first..).take_while(|(subscription, _)| subscription.0 == connection);
        let theirs: Vec<SubscriptionKey> = theirs.map(|(subscription, _)| subscription.clone()).collect();
        theirs.iter().filter(|subscription| self.remove(subscription)).count()
    }

    pub fn opened(&self, id: EntryId) -> Option<&Rc<Opened>> {
        self.entries.get(&id).map(|entry| &entry.opened)
    }

    /// The audiences of an entry. With `readers`, audiences of other users are
    /// left out.
    pub fn audiences(&self, id: EntryId, readers: Option<&[String]>) -> Audiences {
        let Some(entry) = self.entries.get(&id) else { return Vec::new() };
        match (readers, &entry.finder) {
            (None, _) => entry.audiences.clone(),
            (Some(readers), None) => {
                let concerned = |audience: &Audience| {
                    audience.users.is_empty() || audience.users.iter().any(|user| readers.contains(user))
                };
                let found = entry.audiences.iter().filter(|(audience, _)| concerned(audience));
                found.cloned().collect()
            }
            (Some(readers), Some(finder)) => {
                let theirs = readers.iter().filter_map(|user| finder.by_user.get(user)).flatten();
                let found: HashSet<&Rc<Audience>> = theirs.chain(&finder.others).collect();
                let found = found.into_iter().filter_map(|audience| finder.at.get(audience));
                found.filter_map(|at| entry.audiences.get(*at).cloned()).collect()
            }
        }
    }

    /// One subscription alone.
    pub fn only(&self, subscription: &SubscriptionKey) -> Option<(Rc<Opened>, Audiences)> {
        let spot = self.by_key.get(subscription)?;
        let entry = self.entries.get(&spot.entry)?;
        let (_, groups) = entry.audiences.get(entry.position(&spot.audience)?)?;
        let recipient = groups.iter().find(|group| group.key == spot.key)?.recipients.get(spot.at)?.clone();
        let group = Group { key: spot.key.clone(), recipients: Arc::new(vec![recipient]) };
        Some((entry.opened.clone(), vec![(spot.audience.clone(), vec![group])]))
    }

    /// Everybody who is subscribed to the class.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.entries.values().flat_map(|entry| &entry.audiences).flat_map(|(_, groups)| groups)
    }

    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// Different queries that cannot be decided from the object alone.
    pub fn asking(&self) -> usize {
        self.asking
    }

    /// Whether there is a subscription with this query.
    pub fn knows(&self, identity: &str) -> bool {
        self.by_query.contains_key(identity)
    }
}

impl Entry {
    fn position(&self, audience: &Audience) -> Option<usize> {
        match &self.finder {
            Some(finder) => finder.at.get(audience).copied(),
            None => self.audiences.iter().position(|(known, _)| **known == *audience),
        }
    }

    /// The audience as it is known here, made known if it is new, with its groups.
    fn audience(&mut self, audience: Rc<Audience>) -> (Rc<Audience>, &mut Vec<Group>) {
        let at = self.position(&audience).unwrap_or_else(|| {
            let at = self.audiences.len();
            if at == 0 {
                self.audiences.reserve_exact(1);
            }
            self.audiences.push((audience.clone(), Vec::new()));
            if let Some(finder) = &mut self.finder {
                finder.add(&audience, at);
            } else if self.audiences.len() > FEW {
                let mut finder = Finder::default();
                self.audiences.iter().enumerate().for_each(|(at, (audience, _))| finder.add(audience, at));
                self.finder = Some(Box::new(finder));
            }
            at
        });
        let (audience, groups) = &mut self.audiences[at];
        (audience.clone(), groups)
    }

    fn forget_audience(&mut self, at: usize) {
        let (gone, _) = self.audiences.swap_remove(at);
        if self.audiences.len() <= FEW / 2 {
            self.finder = None;
        }
        if let Some(finder) = &mut self.finder {
            finder.remove(&gone);
            if let Some((moved, _)) = self.audiences.get(at) {
                finder.at.insert(moved.clone(), at);
            }
        }
    }

    /// Takes a recipient out; answers the subscription whose recipient took its index.
    fn take(&mut self, spot: &Spot) -> Option<SubscriptionKey> {
        let audience = self.position(&spot.audience)?;
        let (_, groups) = self.audiences.get_mut(audience)?;
        let index = groups.iter().position(|group| group.key == spot.key)?;
        let recipients = Arc::make_mut(&mut groups[index].recipients);
        if spot.at < recipients.len() {
            recipients.swap_remove(spot.at);
        }
        let moved =
            recipients.get(spot.at).map(|recipient| (recipient.connection, recipient.request_id.clone()));
        if recipients.is_empty() {
            groups.swap_remove(index);
            if groups.is_empty() {
                self.forget_audience(audience);
            }
        }
        moved
    }
}

impl Finder {
    fn add(&mut self, audience: &Rc<Audience>, at: usize) {
        self.at.insert(audience.clone(), at);
        if audience.users.is_empty() {
            self.others.insert(audience.clone());
        }
        for user in &audience.users {
            self.by_user.entry(user.clone()).or_default().insert(audience.clone());
        }
    }

    fn remove(&mut self, audience: &Rc<Audience>) {
        self.at.remove(audience);
        self.others.remove(audience);
        for user in &audience.users {
            if let Some(audiences) = self.by_user.get_mut(user) {
                audiences.remove(audience);
                if audiences.is_empty() {
                    self.by_user.remove(user);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::live_query::ledger::{Account, Ledger, Limits, Resource};
    use crate::live_query::listening::{CLASS_WEIGHT, Counters, Listening};
    use crate::live_query::waiting::Waiting;
    use crate::query::evaluate::Matcher;
    use crate::query::{ParseContext, parse_where};
    use crate::types::{ClassName, Operation};

    fn opened(room: u64) -> Opened {
        let condition = json!({ "room": room });
        let filter = parse_where(&condition, &ParseContext::master()).expect("a valid query");
        Opened {
            class: ClassName::known("Chat"),
            matcher: Matcher::new(filter),
            identity: condition.to_string().into(),
            op: Operation::Find,
            keys: None,
            watch: None,
            looks_at: vec!["room".to_owned()],
            weight: 100,
        }
    }

    fn subscriber(worker: &Worker, connection: u64, request: u64) -> Subscriber {
        Subscriber {
            connection,
            worker: worker.clone(),
            request_id: request.to_string().into(),
            installation_id: None,
            keys: None,
            watch: request.is_multiple_of(3).then(|| Arc::new(vec!["a".to_owned()])),
            with_ids: false,
        }
    }

    /// What everybody holds, and a class's count.
    struct Counts {
        ledger: Arc<Ledger>,
        counters: Arc<Counters>,
        listening: Arc<Listening>,
        accounts: Vec<(Arc<Account>, Charge)>,
    }

    impl Counts {
        fn new() -> Self {
            let config = crate::config::AppConfig::for_tests(json!({}));
            let ledger = Ledger::new(Limits::of(&config.live_query_server));
            let address = |n: u8| std::net::IpAddr::from([10, 0, 0, n % 3]);
            let accounts = (0..7).map(|n| ledger.admit(address(n)).expect("room")).collect();
            let counters: Arc<Counters> = Arc::default();
            let waiting = Waiting::of_app().of_class();
            let listening = Listening::new(counters.clone(), ledger.clone(), waiting);
            Self { ledger, counters, listening, accounts }
        }

        fn seat(&self, connection: u64) -> Seat {
            let wanted = [(Resource::Subscriptions, 1), (Resource::Bytes, 100)];
            let (account, _) = &self.accounts[connection as usize];
            Seat::new(account.take(&wanted).expect("room"), self.listening.clone())
        }

        /// Everything counts as many as there are.
        fn agree(&self, held: usize) {
            let subscriptions = self.counters.subscriptions.load(std::sync::atomic::Ordering::Relaxed);
            assert_eq!(subscriptions, held as u64);
            assert_eq!(self.listening.is_listened_to(), held > 0);
            assert_eq!(self.ledger.used(Resource::Subscriptions), held);
            let class = if held > 0 { CLASS_WEIGHT } else { 0 };
            assert_eq!(self.ledger.used(Resource::Bytes), held * 100 + class);
        }
    }

    /// Opens, replaces, fails and ends at random; compares with a plain map.
    #[test]
    fn agrees_with_a_plain_map() {
        let (queue, _open) = tokio::sync::mpsc::unbounded_channel();
        let worker = Worker::new(0, queue);
        let counts = Counts::new();
        let mut subscriptions = Subscriptions::default();
        let mut model: BTreeMap<(u64, String), u64> = BTreeMap::new();
        let mut many = 0;
        for step in 0..4000u64 {
            let random = step.wrapping_mul(6_364_136_223_846_793_005).rotate_left(29) >> 3;
            let (connection, request, room) = (random % 7, (random >> 8) % 50, (random >> 16) % 5);
            match (random >> 40) & 7 {
                0 if step % 16 == 0 => {
                    let count = model.len();
                    model.retain(|(owner, _), _| *owner != connection);
                    assert_eq!(subscriptions.remove_connection(connection), count - model.len());
                }
                1 | 2 => {
                    let subscription = (connection, Arc::from(request.to_string().as_str()));
                    let known = model.remove(&(connection, request.to_string())).is_some();
                    assert_eq!(subscriptions.remove(&subscription), known);
                }
                _ => {
                    // In one room nobody is anybody, in another there are more than a few.
                    let who = if room == 4 { random % 31 } else { room };
                    let token = who.to_string();
                    let mut audience =
                        Audience::new(false, (room > 1).then_some("token"), (room > 0).then_some(&*token));
                    audience.users = (room > 2).then(|| format!("u{who}")).into_iter().collect();
                    let (seat, subscriber) =
                        (counts.seat(connection), subscriber(&worker, connection, request));
                    if step % 5 == 0 {
                        // Refused, or too late: the message goes, and the seat with it.
                        drop((seat, subscriber));
                        continue;
                    }
                    let replaced = subscriptions.insert(opened(room), audience, subscriber, seat, None);
                    let known = model.insert((connection, request.to_string()), room).is_some();
                    assert_eq!(replaced, known);
                }
            }
            assert_eq!(subscriptions.len(), model.len());
            counts.agree(model.len());
            let room = subscriptions.by_query.get(&opened(4).identity);
            many = many.max(room.map_or(0, |id| subscriptions.audiences(*id, None).len()));
        }
        let mut found: BTreeMap<(u64, String), u64> = BTreeMap::new();
        for (room, id) in (0..5).filter_map(|room| {
            let id = subscriptions.by_query.get(&opened(room).identity)?;
            Some((room, *id))
        }) {
            let recipients = subscriptions.audiences(id, None).into_iter().flat_map(|(_, groups)| groups);
            for recipient in recipients.flat_map(|group| group.recipients.to_vec()) {
                found.insert((recipient.connection, recipient.request_id.to_string()), room);
            }
            let concerned = subscriptions.audiences(id, Some(&["u3".to_owned()]));
            let all = subscriptions.audiences(id, None);
            let wanted =
                |audience: &Audience| audience.users.is_empty() || audience.users.contains(&"u3".to_owned());
            assert_eq!(concerned.len(), all.iter().filter(|(audience, _)| wanted(audience)).count());
            assert!(concerned.iter().all(|(audience, _)| wanted(audience)), "room {room}");
        }
        assert_eq!(found, model);
        assert!(many > FEW, "{many}");
        for subscription in model.keys() {
            let subscription: SubscriptionKey = (subscription.0, subscription.1.as_str().into());
            let (_, audiences) = subscriptions.only(&subscription).expect("a subscription");
            let recipient = &audiences[0].1[0].recipients[0];
            assert_eq!((recipient.connection, recipient.request_id.clone()), subscription);
        }
        for connection in 0..7 {
            subscriptions.remove_connection(connection);
        }
        assert!(subscriptions.is_empty() && subscriptions.entries.is_empty());
        assert!(subscriptions.by_query.is_empty());
        counts.agree(0);
    }
}
