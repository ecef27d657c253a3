//! Figures by a name that somebody outside chose: a function, a class, a bundle. The first [`MOST`] names are
//! counted each for itself, whatever comes after them as [`OTHER`], so that nobody can make the page grow.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

/// Names that are told apart.
pub const MOST: usize = 200;
/// All others.
pub const OTHER: &str = "other";

/// Looking a known name up takes no lock; a new one copies the table, at most [`MOST`] times.
#[derive(Debug)]
pub struct Family<S> {
    known: ArcSwap<HashMap<Arc<str>, Arc<S>>>,
    other: Arc<S>,
    growing: Mutex<()>,
}

impl<S: Default> Default for Family<S> {
    fn default() -> Self {
        Self { known: ArcSwap::default(), other: Arc::default(), growing: Mutex::new(()) }
    }
}

impl<S: Default> Family<S> {
    /// The figures of this name.
    pub fn of(&self, name: &str) -> Arc<S> {
        let known = self.known.load();
        if let Some(figures) = known.get(name) {
            return figures.clone();
        }
        if name == OTHER || known.len() >= MOST {
            return self.other.clone();
        }
        drop(known);
        let _turn = self.growing.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.known.load();
        // Somebody else may have been first.
        if let Some(figures) = known.get(name) {
            return figures.clone();
        }
        if known.len() >= MOST {
            return self.other.clone();
        }
        let figures: Arc<S> = Arc::default();
        let mut grown = HashMap::clone(&known);
        grown.insert(name.into(), figures.clone());
        self.known.store(Arc::new(grown));
        figures
    }

    /// All names with their figures, in order; [`OTHER`] at the end.
    pub fn all(&self) -> Vec<(Arc<str>, Arc<S>)> {
        let known = self.known.load();
        let mut all: Vec<_> = known.iter().map(|(name, figures)| (name.clone(), figures.clone())).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all.push((OTHER.into(), self.other.clone()));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::super::Counter;
    use super::*;

    #[test]
    fn names_beyond_the_cap_are_counted_together() {
        let family = Family::<Counter>::default();
        for n in 0..MOST + 50 {
            family.of(&format!("name{n}")).increment();
        }
        family.of("name0").add(4);
        family.of(OTHER).increment();
        let all = family.all();
        assert_eq!(all.len(), MOST + 1);
        let of = |name: &str| all.iter().find(|(known, _)| &**known == name).map(|(_, count)| count.get());
        assert_eq!(
            (of("name0"), of("name199"), of("name200"), of(OTHER)),
            (Some(5), Some(1), None, Some(51))
        );
    }
}
