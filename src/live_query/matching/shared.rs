//! What the owner of a class and the events it works on have in common.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::ring::{Counter, Ring};
use super::subscriptions::Subscriptions;
use super::triggers;
use crate::live_query::listening::Counters;
use crate::operations::Services;
use crate::types::ClassName;

/// Calls of afterLiveQueryEvent, and questions to the database, that are under way at a time for one class.
pub const CALLS_AT_ONCE: usize = 16;

/// What the live queries of an app have in common.
pub struct LiveApp {
    pub services: Arc<Services>,
    pub counters: Arc<Counters>,
    pub numbers: Arc<Counter>,
}

/// Of one class.
#[derive(Clone)]
pub struct Shared {
    pub class: ClassName,
    pub app: Arc<LiveApp>,
    pub subscriptions: Rc<RefCell<Subscriptions>>,
    pub ring: Rc<RefCell<Ring>>,
    /// Calls of Cloud Code, and questions to the database, that may be under way at a time.
    pub calls: Rc<Semaphore>,
}

impl Shared {
    pub fn new(class: ClassName, app: Arc<LiveApp>) -> Self {
        let calls = Rc::new(Semaphore::new(CALLS_AT_ONCE));
        Self { class, app, subscriptions: Rc::default(), ring: Rc::default(), calls }
    }

    pub fn services(&self) -> &Arc<Services> {
        &self.app.services
    }

    /// Whether events wait for Cloud Code, or for the database, on their way.
    pub fn waits_for_others(&self) -> bool {
        triggers::has_after_event(self.services(), &self.class) || self.subscriptions.borrow().asking() > 0
    }
}
