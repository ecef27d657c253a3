//! Where connections find what they are to send: one [`Outlet`] for each, filled by the one task of its thread
//! that takes [`Delivery`]s, for all of the thread's connections together. A connection takes everything
//! that came meanwhile, as far as its socket has room.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context as TaskContext, Poll, Waker};

use futures_util::Stream;
use tokio::sync::mpsc;

use super::ledger::{Account, Charge, Resource};
use super::parcel::{ConnectionId, Delivery, Parcel, Worker};

/// Bytes that may wait on any socket without being charged, and the least that is charged beyond them.
const FREE: usize = 64 * 1024;
const STEP: usize = 256 * 1024;

/// Where a connection finds what it is to send.
pub struct Outlet {
    letters: RefCell<VecDeque<Letter>>,
    /// Of what waits.
    bytes: Cell<usize>,
    /// More than this waiting: the connection is not keeping up, and what waits is thrown away.
    limit: usize,
    overflowed: Cell<bool>,
    /// Whose bytes wait, and what they were charged with beyond the first few.
    account: Option<Arc<Account>>,
    charge: RefCell<Option<Charge>>,
    /// Bytes the connection has room for at the moment: frames are made when they can be sent.
    room: Cell<usize>,
    waker: RefCell<Option<Waker>>,
}

pub type Letter = (Arc<Parcel>, Arc<str>);

/// What the connection is to send now.
pub enum Batch {
    Letters(Vec<Letter>),
    /// There was more than the limit.
    Overflow,
}

impl Outlet {
    pub fn new(limit: usize, account: Option<Arc<Account>>) -> Rc<Self> {
        Rc::new(Self {
            account,
            charge: RefCell::new(None),
            letters: RefCell::default(),
            bytes: Cell::new(0),
            limit,
            overflowed: Cell::new(false),
            room: Cell::new(0),
            waker: RefCell::new(None),
        })
    }

    /// The connection can send so many bytes; a letter that is begun is sent as a whole.
    pub fn make_room(&self, bytes: usize) {
        self.room.set(bytes);
    }

    /// Whether something waits for room alone.
    pub fn wants_room(&self) -> bool {
        self.room.get() == 0 && !self.letters.borrow().is_empty()
    }

    /// Answers whether this letter was one too many.
    fn push(&self, parcel: &Arc<Parcel>, request_id: &Arc<str>) -> bool {
        if self.overflowed.get() {
            return false;
        }
        let bytes = self.bytes.get() + weight(parcel);
        self.bytes.set(bytes);
        if bytes > self.limit || (bytes > FREE && !self.is_charged(bytes)) {
            *self.letters.borrow_mut() = VecDeque::new();
            self.charge.take();
            self.overflowed.set(true);
        } else {
            self.letters.borrow_mut().push_back((parcel.clone(), request_id.clone()));
        }
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
        self.overflowed.get()
    }

    /// Whether the client may have so much waiting, and the app on all sockets. Charged in
    /// steps: most frames find what they need charged already.
    fn is_charged(&self, bytes: usize) -> bool {
        let Some(account) = &self.account else { return true };
        let mut charge = self.charge.borrow_mut();
        let held = FREE + charge.as_ref().map_or(0, |charge| charge.amount(Resource::Unread));
        if bytes <= held {
            return true;
        }
        let more = (bytes - held).max(STEP);
        match &mut *charge {
            Some(charge) => charge.add(Resource::Unread, more).is_ok(),
            None => account.take(&[(Resource::Unread, more)]).map(|taken| *charge = Some(taken)).is_ok(),
        }
    }

    fn take(&self) -> Vec<Letter> {
        let mut waiting = self.letters.borrow_mut();
        let (mut room, mut taken) = (self.room.get(), Vec::new());
        while room > 0
            && let Some(letter) = waiting.pop_front()
        {
            let weight = weight(&letter.0);
            room = room.saturating_sub(weight);
            self.bytes.set(self.bytes.get().saturating_sub(weight));
            taken.push(letter);
        }
        if waiting.is_empty() {
            // Nothing of a burst is kept.
            *waiting = VecDeque::new();
            self.charge.take();
        }
        self.room.set(room);
        taken
    }
}

/// Roughly the bytes that a frame takes.
fn weight(parcel: &Parcel) -> usize {
    parcel.size() + 64
}

/// The connection's end of its outlet; never ends.
pub struct Letters(pub Rc<Outlet>);

impl Stream for Letters {
    type Item = Batch;

    fn poll_next(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Batch>> {
        if self.0.overflowed.get() {
            self.0.bytes.set(0);
            self.0.overflowed.set(false);
            return Poll::Ready(Some(Batch::Overflow));
        }
        let letters = self.0.take();
        if letters.is_empty() {
            *self.0.waker.borrow_mut() = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Some(Batch::Letters(letters)))
    }
}

thread_local! {
    static OUTLETS: RefCell<HashMap<ConnectionId, Rc<Outlet>>> = RefCell::default();
    static WORKER: RefCell<Option<Worker>> = const { RefCell::new(None) };
}

/// The way to this thread's outlets, from any thread. Call it inside a local task set, as
/// every worker thread has one.
pub fn worker_here() -> Worker {
    static NUMBERS: AtomicU64 = AtomicU64::new(0);
    WORKER.with_borrow_mut(|worker| match worker {
        Some(known) if known.is_there() => known.clone(),
        _ => {
            let (sender, queue) = mpsc::unbounded_channel();
            let fresh = Worker::new(NUMBERS.fetch_add(1, Ordering::Relaxed), sender);
            *worker = Some(fresh.clone());
            tokio::task::spawn_local(fill_outlets(queue));
            fresh
        }
    })
}

pub fn register(connection: ConnectionId, outlet: Rc<Outlet>) {
    OUTLETS.with_borrow_mut(|outlets| outlets.insert(connection, outlet));
}

/// Also while the thread ends.
pub fn forget(connection: ConnectionId) {
    let _ = OUTLETS.try_with(|outlets| outlets.borrow_mut().remove(&connection));
}

async fn fill_outlets(mut queue: mpsc::UnboundedReceiver<Delivery>) {
    while let Some(delivery) = queue.recv().await {
        OUTLETS.with_borrow(|outlets| {
            for dispatch in &delivery.dispatches {
                for recipient in dispatch.recipients.iter() {
                    // Otherwise it is going away.
                    if let Some(outlet) = outlets.get(&recipient.connection)
                        && outlet.push(&dispatch.parcel, &recipient.request_id)
                    {
                        let connection = recipient.connection;
                        tracing::warn!(connection, "a live query client does not read: it will be dropped");
                    }
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use futures_util::{FutureExt, StreamExt};

    use super::*;
    use crate::live_query::ledger::{Ledger, Limits};

    #[test]
    fn an_outlet_gives_what_there_is_room_for_and_is_bounded() {
        let parcel = Arc::new(Parcel::Error { code: 1, message: "m".repeat(100) });
        let outlet = Outlet::new(1000, None);
        let mut letters = Letters(outlet.clone());
        outlet.make_room(10_000);
        assert!(letters.next().now_or_never().is_none());
        for _ in 0..5 {
            outlet.push(&parcel, &"1".into());
        }
        assert!(matches!(letters.next().now_or_never(), Some(Some(Batch::Letters(all))) if all.len() == 5));
        assert_eq!(outlet.bytes.get(), 0);
        for _ in 0..5 {
            outlet.push(&parcel, &"1".into());
        }
        // What is begun is sent as a whole.
        outlet.make_room(165);
        assert!(matches!(letters.next().now_or_never(), Some(Some(Batch::Letters(all))) if all.len() == 2));
        assert!(letters.next().now_or_never().is_none());
        assert!(outlet.wants_room());
        outlet.make_room(1);
        assert!(matches!(letters.next().now_or_never(), Some(Some(Batch::Letters(all))) if all.len() == 1));
        let overflows = (0..100).filter(|_| outlet.push(&parcel, &"1".into())).count();
        assert_eq!(overflows, 1, "told once");
        assert!(outlet.letters.borrow().is_empty() && outlet.letters.borrow().capacity() == 0);
        assert!(matches!(letters.next().now_or_never(), Some(Some(Batch::Overflow))));
        assert!(letters.next().now_or_never().is_none());
    }

    #[test]
    fn what_waits_on_many_sockets_is_bounded_together() {
        let mut limits =
            Limits::of(&crate::config::AppConfig::for_tests(serde_json::json!({})).live_query_server);
        limits.caller[Resource::Unread as usize] = 10 * STEP;
        let ledger = Ledger::new(limits);
        let parcel = Arc::new(Parcel::Error { code: 1, message: "m".repeat(FREE) });
        let sockets: Vec<_> = (0..8)
            .map(|_| ledger.admit(IpAddr::V4(Ipv4Addr::LOCALHOST)).unwrap())
            .map(|(account, charge)| (Outlet::new(usize::MAX, Some(account)), charge))
            .collect();
        let mut overflows = 0;
        for _ in 0..10 {
            for (outlet, _) in &sockets {
                overflows += usize::from(outlet.push(&parcel, &"1".into()));
            }
        }
        assert!(overflows > 0 && overflows < 8, "{overflows}");
        assert!(ledger.used(Resource::Unread) <= 10 * STEP);
        for (outlet, _) in &sockets {
            outlet.make_room(usize::MAX);
            outlet.take();
        }
        assert_eq!(ledger.used(Resource::Unread), 0, "given back when it was sent");
    }
}
