//! `LiveQueryWorker`: one for each thread that holds connections. Class owners send it one message
//! for all of its connections; it hands each its part.

use std::cell::RefCell;
use std::collections::HashMap;

use actix::{Actor, Addr, Context, Handler, Message, Recipient};
use bytes::Bytes;
use serde_json::Value;

use super::decide::Event;

pub type ConnectionId = u64;

/// What a connection is to send.
#[derive(Clone, Debug)]
pub enum Parcel {
    Event { event: Event, object: Bytes, original: Option<Bytes> },
    Error { code: i32, message: String },
}

#[derive(Clone, Debug)]
pub struct Delivery {
    pub connection: ConnectionId,
    pub request_id: Value,
    pub parcel: Parcel,
}

/// A connection's part of a [`Deliver`].
pub struct Hand(pub Vec<Delivery>);

impl Message for Hand {
    type Result = ();
}

/// Events for any of this thread's connections.
pub struct Deliver(pub Vec<Delivery>);

impl Message for Deliver {
    type Result = ();
}

#[derive(Default)]
pub struct LiveQueryWorker {}

thread_local! {
    static CONNECTIONS: RefCell<HashMap<ConnectionId, Recipient<Hand>>> = RefCell::default();
    static WORKER: RefCell<Option<Addr<LiveQueryWorker>>> = const { RefCell::new(None) };
}

impl LiveQueryWorker {
    /// This thread's worker.
    pub fn here() -> Addr<Self> {
        WORKER.with_borrow_mut(|worker| match worker {
            Some(addr) if addr.connected() => addr.clone(),
            _ => {
                let addr = Self::default().start();
                *worker = Some(addr.clone());
                addr
            }
        })
    }

    pub fn register(id: ConnectionId, connection: Recipient<Hand>) {
        CONNECTIONS.with_borrow_mut(|connections| connections.insert(id, connection));
    }

    pub fn forget(id: ConnectionId) {
        CONNECTIONS.with_borrow_mut(|connections| connections.remove(&id));
    }
}

impl Actor for LiveQueryWorker {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(1 << 20);
    }
}

impl Handler<Deliver> for LiveQueryWorker {
    type Result = ();

    fn handle(&mut self, Deliver(deliveries): Deliver, _: &mut Self::Context) {
        let mut parts: HashMap<ConnectionId, Vec<Delivery>> = HashMap::new();
        for delivery in deliveries {
            parts.entry(delivery.connection).or_default().push(delivery);
        }
        CONNECTIONS.with_borrow(|connections| {
            for (id, part) in parts {
                if let Some(connection) = connections.get(&id)
                    && connection.try_send(Hand(part)).is_err()
                {
                    tracing::debug!(connection = id, "a live query connection is going away");
                }
            }
        });
    }
}
