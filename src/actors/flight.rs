//! One look-up for all who ask at the same time. An actor owns the flight; the look-up itself runs on the thread
//! of whoever asked first. An invalidation that comes meanwhile overtakes it: then it is repeated a few times,
//! and after that its outcome counts for those who waited only.

use std::collections::HashMap;
use std::hash::Hash;

use tokio::sync::oneshot;

const RETRIES: u32 = 3;

/// A look-up under way.
pub struct Flight<T> {
    waiting: Vec<oneshot::Sender<T>>,
    overtaken: bool,
    repeated: u32,
}

/// What a finished look-up is good for.
pub enum Landing<T> {
    /// It was overtaken by an invalidation: look again.
    Again(Flight<T>),
    /// Answer the requests that waited; the outcome may be remembered when `counts`.
    Done { waiting: Vec<oneshot::Sender<T>>, counts: bool },
}

impl<T> Default for Flight<T> {
    fn default() -> Self {
        Self { waiting: Vec::new(), overtaken: false, repeated: 0 }
    }
}

impl<T> Flight<T> {
    pub fn wait(&mut self) -> oneshot::Receiver<T> {
        let (sender, receiver) = oneshot::channel();
        self.waiting.push(sender);
        receiver
    }

    /// What is being read may be old already.
    pub fn overtake(&mut self) {
        self.overtaken = true;
    }

    pub fn land(mut self) -> Landing<T> {
        if self.overtaken && self.repeated < RETRIES {
            self.overtaken = false;
            self.repeated += 1;
            return Landing::Again(self);
        }
        Landing::Done { waiting: self.waiting, counts: !self.overtaken }
    }
}

/// Gives everybody who waited the same answer.
pub fn answer_all<T: Clone>(waiting: Vec<oneshot::Sender<T>>, answer: &T) {
    for waiter in waiting {
        // Whoever stopped waiting needs no answer.
        let _ = waiter.send(answer.clone());
    }
}

/// Look-ups under way, by what is looked up.
pub struct Flights<K, T>(HashMap<K, Flight<T>>);

impl<K, T> Default for Flights<K, T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Hash + Eq, T> Flights<K, T> {
    /// True for the first, who has to look.
    pub fn join(&mut self, key: K) -> (bool, oneshot::Receiver<T>) {
        let mut leads = false;
        let flight = self.0.entry(key).or_insert_with(|| {
            leads = true;
            Flight::default()
        });
        (leads, flight.wait())
    }

    /// Invalidates the look-ups of the keys that `concerned` names.
    pub fn overtake(&mut self, concerned: impl Fn(&K) -> bool) {
        for (_, flight) in self.0.iter_mut().filter(|(key, _)| concerned(key)) {
            flight.overtake();
        }
    }

    /// `None` when the look-up has to be repeated; otherwise who waits, and whether the outcome counts.
    pub fn land(&mut self, key: K) -> Option<(Vec<oneshot::Sender<T>>, bool)> {
        match self.0.remove(&key)?.land() {
            Landing::Again(flight) => {
                self.0.insert(key, flight);
                None
            }
            Landing::Done { waiting, counts } => Some((waiting, counts)),
        }
    }

    /// The look-up ended without an outcome: those who wait are told by their closed channel.
    pub fn abandon(&mut self, key: &K) {
        self.0.remove(key);
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_overtaken_is_looked_up_again_but_not_for_ever() {
        let mut flights: Flights<&str, u32> = Flights::default();
        let (leads, mut first) = flights.join("a");
        let (leads_too, _second) = flights.join("a");
        assert!(leads && !leads_too);
        for _ in 0..RETRIES {
            flights.overtake(|key| *key == "a");
            assert!(flights.land("a").is_none());
        }
        flights.overtake(|_| true);
        let (waiting, counts) = flights.land("a").expect("landed");
        assert_eq!((waiting.len(), counts), (2, false));
        answer_all(waiting, &7);
        assert_eq!(first.try_recv(), Ok(7));

        let (leads, mut lost) = flights.join("b");
        assert!(leads);
        flights.overtake(|key| *key == "a");
        assert_eq!(flights.len(), 1);
        flights.abandon(&"b");
        assert!(lost.try_recv().is_err());
        assert!(flights.join("b").0);
        assert!(flights.land("b").is_some_and(|(_, counts)| counts));
    }
}
