//! Events of one class that wait for Cloud Code or for the database on their way. Those of different objects
//! are under way at the same time; those of one object one after another, so that every subscription hears
//! of it in order.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;

use futures_util::FutureExt;
use serde_json::Value;
use tokio::sync::Notify;

use super::event::Work;
use super::shared::Shared;
use crate::live_query::waiting::WaitingBytes;
use crate::operations::ports::ObjectEvent;

/// Events of a class that are under way at a time.
const MOST_UNDER_WAY: usize = 16;

/// An event that is to be told.
pub struct Untold {
    pub event: Arc<ObjectEvent>,
    pub waiting: Arc<WaitingBytes>,
}

impl Untold {
    /// Tells everybody concerned.
    pub async fn run(self, shared: Shared) {
        if let Err(error) = Work::new(shared, self.event).run(self.waiting).await {
            tracing::error!(%error, "a live query event was lost");
        }
    }
}

/// Which event is worked on when.
struct Queues<T> {
    /// Of each object that one is under way of, or waits to be: what waits for it.
    objects: HashMap<String, VecDeque<T>>,
    /// Objects whose turn comes when another one ends.
    next: VecDeque<String>,
    under_way: usize,
    most: usize,
}

impl<T> Queues<T> {
    fn new(most: usize) -> Self {
        Self { objects: HashMap::new(), next: VecDeque::new(), under_way: 0, most }
    }

    /// What may start at once.
    fn admit(&mut self, object: String, one: T) -> Option<(String, T)> {
        if let Some(waiting) = self.objects.get_mut(&object) {
            waiting.push_back(one);
            return None;
        }
        if self.under_way >= self.most {
            self.objects.insert(object.clone(), VecDeque::from([one]));
            self.next.push_back(object);
            return None;
        }
        self.under_way += 1;
        self.objects.insert(object.clone(), VecDeque::new());
        Some((object, one))
    }

    /// The one of this object has ended: what starts now.
    fn ended(&mut self, object: String) -> Option<(String, T)> {
        if self.objects.get(&object).is_some_and(|waiting| !waiting.is_empty()) {
            // Behind the other objects.
            self.next.push_back(object);
        } else {
            self.objects.remove(&object);
        }
        let start = self.next.pop_front().and_then(|object| {
            let one = self.objects.get_mut(&object)?.pop_front()?;
            Some((object, one))
        });
        if start.is_none() {
            self.under_way -= 1;
        }
        start
    }
}

pub struct Lanes {
    queues: RefCell<Queues<Untold>>,
    under_way: Cell<usize>,
    idle: Notify,
}

impl Default for Lanes {
    fn default() -> Self {
        let queues = RefCell::new(Queues::new(MOST_UNDER_WAY));
        Self { queues, under_way: Cell::new(0), idle: Notify::new() }
    }
}

impl Lanes {
    pub fn is_idle(&self) -> bool {
        self.under_way.get() == 0
    }

    /// Once everything that was taken has been told. Nothing may be taken meanwhile.
    pub async fn until_idle(&self) {
        while !self.is_idle() {
            self.idle.notified().await;
        }
    }

    /// Tells of the event when the lane of its object is free. Call it inside a local task set.
    pub fn take(self: &Rc<Self>, untold: Untold, shared: &Shared) {
        // Without an id they are of one object: in order.
        let object =
            untold.event.object.get("objectId").and_then(Value::as_str).unwrap_or_default().to_owned();
        let start = self.queues.borrow_mut().admit(object, untold);
        if let Some((object, untold)) = start {
            self.under_way.set(self.under_way.get() + 1);
            tokio::task::spawn_local(self.clone().work(object, untold, shared.clone()));
        }
    }

    async fn work(self: Rc<Self>, object: String, untold: Untold, shared: Shared) {
        let mut start = Some((object, untold));
        while let Some((object, untold)) = start {
            if AssertUnwindSafe(untold.run(shared.clone())).catch_unwind().await.is_err() {
                tracing::error!("a live query event was lost: telling of it panicked");
            }
            start = self.queues.borrow_mut().ended(object);
        }
        self.under_way.set(self.under_way.get() - 1);
        if self.is_idle() {
            self.idle.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However long each takes: those of one object in order, never two of one at a time, never more
        /// than the most, and all of them.
        #[test]
        fn order_is_kept_for_each_object(
            steps in prop::collection::vec((any::<bool>(), 0usize..6, 0usize..4), 0..200)
        ) {
            let mut queues: Queues<usize> = Queues::new(3);
            let mut under_way: Vec<(String, usize)> = Vec::new();
            let mut begun: HashMap<String, Vec<usize>> = HashMap::new();
            let mut taken = 0;
            let mut start = |one: Option<(String, usize)>, under_way: &mut Vec<(String, usize)>| {
                if let Some((object, number)) = one {
                    begun.entry(object.clone()).or_default().push(number);
                    under_way.push((object, number));
                }
            };
            for (is_new, object, which) in steps {
                if is_new {
                    taken += 1;
                    start(queues.admit(object.to_string(), taken), &mut under_way);
                } else if which < under_way.len() {
                    let (object, _) = under_way.swap_remove(which);
                    start(queues.ended(object), &mut under_way);
                }
                prop_assert!(under_way.len() <= 3);
                let mut objects: Vec<&String> = under_way.iter().map(|(object, _)| object).collect();
                objects.sort_unstable();
                objects.dedup();
                prop_assert_eq!(objects.len(), under_way.len());
            }
            while let Some((object, _)) = under_way.pop() {
                start(queues.ended(object), &mut under_way);
            }
            prop_assert_eq!(begun.values().map(Vec::len).sum::<usize>(), taken);
            prop_assert!(begun.values().all(|numbers| numbers.is_sorted()));
            prop_assert!(queues.objects.is_empty() && queues.next.is_empty() && queues.under_way == 0);
        }
    }
}
