//! How much mail actors have: a count for each kind, of the process.
//!
//! actix does not tell how long a mailbox is, so whoever sends counts: a message belongs to it from the moment it is
//! sent until it is answered, given up, or its sender goes away. Depends on nothing.

use actix::{Actor, Addr};

use crate::metrics::{Counter, Page};

/// Messages to one kind of actor.
#[derive(Debug)]
pub struct Mail {
    actor: &'static str,
    sent: Counter,
    done: Counter,
}

pub(super) static SCHEMA: Mail = Mail::of("schema");
pub(super) static CLASS: Mail = Mail::of("class");
pub(super) static CLASS_REPLICA: Mail = Mail::of("class_replica");
pub(super) static SESSION: Mail = Mail::of("session");
pub(super) static SESSION_DIRECTORY: Mail = Mail::of("session_directory");
pub(super) static ROLE: Mail = Mail::of("role");
pub(super) static RATE_LIMIT: Mail = Mail::of("rate_limit");
pub(super) static JOB: Mail = Mail::of("job");
pub(super) static PUSH_QUEUE: Mail = Mail::of("push_queue");

static ALL: [&Mail; 9] =
    [&SCHEMA, &CLASS, &CLASS_REPLICA, &SESSION, &SESSION_DIRECTORY, &ROLE, &RATE_LIMIT, &JOB, &PUSH_QUEUE];

/// An actor whose mail is counted.
pub trait Mailed: Actor {
    fn mail() -> &'static Mail;
}

/// A message that is under way.
#[derive(Debug)]
pub struct Letter(&'static Mail);

impl Drop for Letter {
    fn drop(&mut self) {
        self.0.done.increment();
    }
}

impl Mail {
    const fn of(actor: &'static str) -> Self {
        Self { actor, sent: Counter::new(), done: Counter::new() }
    }
}

/// Counts a message to this actor, until what is returned is dropped.
#[must_use]
pub fn letter<A: Mailed>(_to: &Addr<A>) -> Letter {
    let mail = A::mail();
    mail.sent.increment();
    Letter(mail)
}

/// The mail of every kind of actor in this process.
pub fn report(page: &mut Page) {
    for mail in ALL {
        let labels = [("actor", mail.actor)];
        // What is done was sent before: in this order the difference is never below nothing.
        let done = mail.done.get();
        let sent = mail.sent.get();
        let waiting = usize::try_from(sent.saturating_sub(done)).unwrap_or(usize::MAX);
        let help =
            "Messages that an actor has not answered yet: those in its mailbox, and those it works on.";
        page.count("parsimony_actor_mailbox", help, &labels, waiting);
        page.counter("parsimony_actor_messages_total", "Messages that were sent to actors.", &labels, sent);
    }
}
