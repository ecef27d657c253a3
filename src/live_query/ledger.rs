//! What the clients of an app hold of this server, counted in one place. Whatever is held is taken as a
//! [`Charge`], which gives it back when it is dropped: no path has to remember to subtract.
//!
//! Everything is counted on three levels, for one socket, for one caller (an address, or a user where
//! somebody is logged in) and for the app, so that neither one socket nor one address can use up what is
//! there for all.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::config::LiveQueryServerConfig;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    Sockets,
    Subscriptions,
    /// Of memory, by subscriptions.
    Bytes,
    /// Different queries that need the database for an event.
    Asking,
    /// Bytes that wait for a client to read.
    Unread,
}

const KINDS: usize = 5;

/// Where a limit was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    Socket,
    Caller,
    App,
}

/// The most of each resource, in the order of [`Resource`].
#[derive(Clone, Debug)]
pub struct Limits {
    pub socket: [usize; KINDS],
    pub caller: [usize; KINDS],
    pub app: [usize; KINDS],
    /// Bytes of one subscription.
    pub subscription: usize,
}

const MIB: usize = 1024 * 1024;
/// Subscriptions one socket may hold.
pub const MAX_SUBSCRIPTIONS: usize = 10_000;
/// A client that has this much waiting for it is not reading: it is dropped.
pub const MAX_UNREAD: usize = 4 * 1024 * 1024;
const ASKING_OF_A_SOCKET: usize = 25;
const ASKING_OF_A_CALLER: usize = 100;

impl Limits {
    pub fn of(config: &LiveQueryServerConfig) -> Self {
        let any = usize::MAX;
        let bytes = |limit: u64| usize::try_from(limit).unwrap_or(any);
        Self {
            socket: [1, MAX_SUBSCRIPTIONS, bytes(config.max_client_bytes), ASKING_OF_A_SOCKET, MAX_UNREAD],
            caller: [
                bytes(config.max_connections_per_address),
                any,
                bytes(config.max_address_bytes),
                ASKING_OF_A_CALLER,
                64 * MIB,
            ],
            app: [bytes(config.max_connections), any, bytes(config.max_bytes), any, 256 * MIB],
            subscription: bytes(config.max_subscription_bytes),
        }
    }
}

#[derive(Debug, Default)]
struct Level([AtomicUsize; KINDS]);

impl Level {
    fn take(&self, resource: Resource, amount: usize, limit: usize) -> bool {
        let add = |used: usize| used.checked_add(amount).filter(|used| *used <= limit);
        self.0[resource as usize].fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok()
    }

    fn give_back(&self, resource: Resource, amount: usize) {
        self.0[resource as usize].fetch_sub(amount, Ordering::Relaxed);
    }

    fn used(&self, resource: Resource) -> usize {
        self.0[resource as usize].load(Ordering::Relaxed)
    }
}

/// A client, as the middle level counts it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Caller {
    Address(IpAddr),
    User(Arc<str>),
}

impl Caller {
    /// Of IPv6 the network counts: one host has as many addresses as it likes.
    pub fn at(address: IpAddr) -> Self {
        Self::Address(match address.to_canonical() {
            IpAddr::V6(address) => {
                let network = u128::from(address) >> 64 << 64;
                IpAddr::V6(Ipv6Addr::from(network))
            }
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

/// Counts of one caller, there as long as something is held.
struct CallerLevel {
    caller: Caller,
    level: Level,
    ledger: Arc<Ledger>,
}

impl Drop for CallerLevel {
    fn drop(&mut self) {
        let mut callers = self.ledger.callers();
        // Another may have been made meanwhile.
        if callers.get(&self.caller).is_some_and(|level| level.strong_count() == 0) {
            callers.remove(&self.caller);
        }
    }
}

/// The counts of one app.
pub struct Ledger {
    limits: Limits,
    app: Level,
    callers: Mutex<HashMap<Caller, Weak<CallerLevel>>>,
}

impl Ledger {
    pub fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { limits, app: Level::default(), callers: Mutex::default() })
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    fn callers(&self) -> MutexGuard<'_, HashMap<Caller, Weak<CallerLevel>>> {
        self.callers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn caller(self: &Arc<Self>, caller: Caller) -> Arc<CallerLevel> {
        let mut callers = self.callers();
        if let Some(level) = callers.get(&caller).and_then(Weak::upgrade) {
            return level;
        }
        let level =
            Arc::new(CallerLevel { caller: caller.clone(), level: Level::default(), ledger: self.clone() });
        callers.insert(caller, Arc::downgrade(&level));
        level
    }

    /// The account of a new socket, which is counted as long as its charge is held.
    ///
    /// # Errors
    /// When there are too many sockets already.
    pub fn admit(self: &Arc<Self>, address: IpAddr) -> Result<(Arc<Account>, Charge), Refused> {
        let account =
            Arc::new(Account { socket: Level::default(), caller: self.caller(Caller::at(address)) });
        let charge = account.take(&[(Resource::Sockets, 1)])?;
        Ok((account, charge))
    }

    /// Charges the app alone, beyond what its clients are told of.
    pub fn charge_app(self: &Arc<Self>, bytes: usize) -> AppCharge {
        self.app.0[Resource::Bytes as usize].fetch_add(bytes, Ordering::Relaxed);
        AppCharge { ledger: self.clone(), bytes }
    }

    /// What the whole app holds.
    pub fn used(&self, resource: Resource) -> usize {
        self.app.used(resource)
    }
}

/// Bytes of the app's own, for what its clients made it keep.
pub struct AppCharge {
    ledger: Arc<Ledger>,
    bytes: usize,
}

impl Drop for AppCharge {
    fn drop(&mut self) {
        self.ledger.app.give_back(Resource::Bytes, self.bytes);
    }
}

/// More than a limit was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    pub resource: Resource,
    pub scope: Scope,
}

/// What one socket holds.
pub struct Account {
    socket: Level,
    caller: Arc<CallerLevel>,
}

impl Account {
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.caller.ledger
    }

    /// Takes all of it or nothing, on all levels.
    ///
    /// # Errors
    /// The first limit that is met.
    pub fn take(self: &Arc<Self>, wanted: &[(Resource, usize)]) -> Result<Charge, Refused> {
        self.take_from(None, wanted)
    }

    /// In the name of a user, whatever else comes from the same address.
    ///
    /// # Errors
    /// The first limit that is met.
    pub fn take_as(self: &Arc<Self>, user: &str, wanted: &[(Resource, usize)]) -> Result<Charge, Refused> {
        self.take_from(Some(self.ledger().caller(Caller::User(user.into()))), wanted)
    }

    fn take_from(
        self: &Arc<Self>,
        user: Option<Arc<CallerLevel>>,
        wanted: &[(Resource, usize)],
    ) -> Result<Charge, Refused> {
        // Dropped on the way out, it gives back what it already has.
        let mut charge = Charge { account: self.clone(), user, amounts: [0; KINDS] };
        for (resource, amount) in wanted {
            charge.add(*resource, *amount)?;
        }
        Ok(charge)
    }

    /// What this socket holds.
    pub fn used(&self, resource: Resource) -> usize {
        self.socket.used(resource)
    }
}

/// Something held on all levels; given back when dropped.
pub struct Charge {
    account: Arc<Account>,
    /// Counts instead of the account's own caller.
    user: Option<Arc<CallerLevel>>,
    amounts: [u32; KINDS],
}

impl Charge {
    /// More of the same.
    ///
    /// # Errors
    /// The first limit that is met; nothing is taken then.
    pub fn add(&mut self, resource: Resource, amount: usize) -> Result<(), Refused> {
        let refused = |scope| Refused { resource, scope };
        let held = self.amounts[resource as usize];
        let sum = u32::try_from(amount).ok().and_then(|amount| held.checked_add(amount));
        let Some(sum) = sum else { return Err(refused(Scope::Socket)) };
        let ledger = self.account.ledger();
        let (limits, at) = (&ledger.limits, resource as usize);
        let levels = [
            (Scope::Socket, &self.account.socket, limits.socket[at]),
            (Scope::Caller, &self.caller().level, limits.caller[at]),
            (Scope::App, &ledger.app, limits.app[at]),
        ];
        for (index, (scope, level, limit)) in levels.iter().enumerate() {
            if !level.take(resource, amount, *limit) {
                levels[..index].iter().for_each(|(_, level, _)| level.give_back(resource, amount));
                return Err(refused(*scope));
            }
        }
        self.amounts[at] = sum;
        Ok(())
    }

    fn caller(&self) -> &CallerLevel {
        self.user.as_ref().unwrap_or(&self.account.caller)
    }

    /// The socket that holds it.
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    pub fn amount(&self, resource: Resource) -> usize {
        self.amounts[resource as usize] as usize
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        use Resource::{Asking, Bytes, Sockets, Subscriptions, Unread};
        for resource in [Sockets, Subscriptions, Bytes, Asking, Unread] {
            let amount = self.amount(resource);
            if amount > 0 {
                let app = &self.account.ledger().app;
                for level in [&self.account.socket, &self.caller().level, app] {
                    level.give_back(resource, amount);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    fn limits() -> Limits {
        Limits {
            socket: [1, 6, 1000, 2, 500],
            caller: [3, 100, 2000, 3, 800],
            app: [5, 100, 4000, 100, 1200],
            subscription: 600,
        }
    }

    fn address(n: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(10, 0, 0, n))
    }

    #[test]
    fn each_level_has_its_limit_and_refusals_take_nothing() {
        let ledger = Ledger::new(limits());
        let (one, _socket) = ledger.admit(address(1)).unwrap();
        let (two, _other) = ledger.admit(address(1)).unwrap();
        let refused = |scope, resource| Some(Refused { resource, scope });
        let first = one.take(&[(Resource::Subscriptions, 1), (Resource::Bytes, 900)]).unwrap();
        let second = one.take(&[(Resource::Subscriptions, 1), (Resource::Bytes, 200)]);
        assert_eq!(second.err(), refused(Scope::Socket, Resource::Bytes));
        assert_eq!(one.used(Resource::Subscriptions), 1, "nothing stays of what was refused");
        let asking: Vec<Charge> = (0..2).map(|_| one.take(&[(Resource::Asking, 1)]).unwrap()).collect();
        assert_eq!(one.take(&[(Resource::Asking, 1)]).err(), refused(Scope::Socket, Resource::Asking));
        let _last = two.take(&[(Resource::Asking, 1)]).unwrap();
        assert_eq!(two.take(&[(Resource::Asking, 1)]).err(), refused(Scope::Caller, Resource::Asking));
        // A user has an allowance of their own, whatever the address used up.
        let _users = two.take_as("ann", &[(Resource::Asking, 1)]).unwrap();
        drop((first, asking));
        assert_eq!((one.used(Resource::Bytes), one.used(Resource::Asking)), (0, 0));
    }

    #[test]
    fn sockets_are_counted_for_addresses_and_the_app() {
        let ledger = Ledger::new(limits());
        let held: Vec<_> = (0..3).map(|_| ledger.admit(address(1)).unwrap()).collect();
        assert_eq!(ledger.admit(address(1)).err().map(|refused| refused.scope), Some(Scope::Caller));
        let more: Vec<_> = (2..4).map(|n| ledger.admit(address(n)).unwrap()).collect();
        assert_eq!(ledger.admit(address(9)).err().map(|refused| refused.scope), Some(Scope::App));
        drop((held, more));
        assert_eq!(ledger.used(Resource::Sockets), 0);
        assert!(ledger.callers().is_empty());
        let network: IpAddr = "2001:db8::1".parse().unwrap();
        assert_eq!(Caller::at(network), Caller::at("2001:db8::ffff".parse().unwrap()));
        assert_eq!(Caller::at("::ffff:10.0.0.1".parse().unwrap()), Caller::at(address(1)));
    }

    proptest! {
        /// Whatever is taken, refused, replaced and dropped in whatever order: what is counted is what
        /// is held, and in the end nothing.
        #[test]
        fn what_is_counted_is_what_is_held(
            steps in prop::collection::vec((0u8..6, 0usize..5, 0usize..5, 1usize..700), 0..200)
        ) {
            let ledger = Ledger::new(limits());
            let mut sockets: Vec<Option<(Arc<Account>, Charge)>> = (0..5).map(|_| None).collect();
            let mut held: Vec<(usize, Charge)> = Vec::new();
            for (step, socket, other, amount) in steps {
                let account = sockets[socket].as_ref().map(|(account, _)| account.clone());
                let wanted = [(Resource::Subscriptions, 1), (Resource::Bytes, amount)];
                match (step, account) {
                    (0, None) => sockets[socket] = ledger.admit(address(u8::from(other > 2))).ok(),
                    (1, Some(account)) => held.extend(account.take(&wanted).ok().map(|c| (socket, c))),
                    (2, Some(account)) => {
                        let wanted = [(Resource::Asking, 1)];
                        let taken = account.take_as(if other > 2 { "ann" } else { "bob" }, &wanted);
                        held.extend(taken.ok().map(|charge| (socket, charge)));
                    }
                    (3, _) => {
                        if let Some((_, charge)) = held.get_mut(other) {
                            let _ = charge.add(Resource::Unread, amount);
                        }
                    }
                    (4, _) if other < held.len() => drop(held.swap_remove(other)),
                    (5, _) => {
                        // The socket may go before what was taken on it.
                        sockets[socket] = None;
                        if other > 2 {
                            held.retain(|(owner, _)| *owner != socket);
                        }
                    }
                    _ => {}
                }
                for resource in [Resource::Subscriptions, Resource::Bytes, Resource::Asking, Resource::Unread] {
                    let sum: usize = held.iter().map(|(_, charge)| charge.amount(resource)).sum();
                    prop_assert_eq!(ledger.used(resource), sum);
                    prop_assert!(sum <= ledger.limits.app[resource as usize]);
                }
                prop_assert_eq!(ledger.used(Resource::Sockets), sockets.iter().flatten().count());
            }
            drop((sockets, held));
            for level in &ledger.app.0 {
                prop_assert_eq!(level.load(Ordering::Relaxed), 0);
            }
            prop_assert!(ledger.callers().is_empty());
        }
    }
}
