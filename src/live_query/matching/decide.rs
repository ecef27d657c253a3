//! Which event a save is for one subscriber: a pure table.

use crate::live_query::protocol::Event;

/// Everything the table looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)]
pub struct Situation {
    /// There was an object before the save.
    pub has_original: bool,
    pub original_matches: bool,
    pub original_readable: bool,
    pub current_matches: bool,
    pub current_readable: bool,
    /// `watch` is unset, or one of its fields changed.
    pub watched_changed: bool,
}

/// What is sent: the event, and which states go with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Decision {
    pub event: Event,
    /// The object's body is the state before: the reader lost the right to see the new one.
    pub object_is_original: bool,
    pub with_original: bool,
}

/// `None`: the subscriber hears nothing.
pub fn decide(s: Situation) -> Option<Decision> {
    let before = s.has_original && s.original_matches && s.original_readable;
    let now = s.current_matches && s.current_readable;
    let decision =
        |event, object_is_original, with_original| Decision { event, object_is_original, with_original };
    let decision = match (before, now) {
        (false, false) => return None,
        (true, true) => decision(Event::Update, false, true),
        (true, false) => decision(Event::Leave, !s.current_readable, true),
        (false, true) if s.has_original => decision(Event::Enter, false, s.original_readable),
        (false, true) => decision(Event::Create, false, false),
    };
    let heeds_watch = matches!(decision.event, Event::Update | Event::Create);
    (s.watched_changed || !heeds_watch).then_some(decision)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of the facts on LiveQuery §5, walked through completely.
    #[test]
    fn every_situation() {
        for bits in 0u8..64 {
            let bit = |n: u8| bits & (1 << n) != 0;
            let s = Situation {
                has_original: bit(0),
                original_matches: bit(1),
                original_readable: bit(2),
                current_matches: bit(3),
                current_readable: bit(4),
                watched_changed: bit(5),
            };
            let o = s.has_original && s.original_matches && s.original_readable;
            let c = s.current_matches && s.current_readable;
            let event = decide(s).map(|d| d.event);
            let expected = match (o, c, s.has_original) {
                (true, true, _) => s.watched_changed.then_some(Event::Update),
                (true, false, _) => Some(Event::Leave),
                (false, true, true) => Some(Event::Enter),
                (false, true, false) => s.watched_changed.then_some(Event::Create),
                (false, false, _) => None,
            };
            assert_eq!(event, expected, "{s:?}");
            if let Some(d) = decide(s) {
                // No state travels that the subscriber may not read.
                assert!(!d.with_original || s.original_readable, "{s:?}");
                assert!(d.object_is_original || s.current_readable, "{s:?}");
            }
        }
    }
}
