//! Round trips of a beforeSave, and that none writes what nobody changed.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn object(value: Value) -> Object {
    value.as_object().cloned().unwrap()
}

fn run(original: Value, sent: Value, answered: Value) -> Value {
    Value::Object(changes(Some(&object(original)), &object(sent), object(answered), false))
}

#[test]
fn parts_that_the_client_set_stay_parts() {
    let original = json!({"config": {"a": {"b": 1, "e": 3}, "f": 4}});
    let sent = json!({"config.a.e": 9});
    let untouched = json!({"config": {"a": {"b": 1, "e": 9}, "f": 4}});
    assert_eq!(run(original.clone(), sent.clone(), untouched), sent);
    // A change of the trigger beside it, below it, and above it.
    let beside = json!({"config": {"a": {"b": 1, "e": 9}, "f": 5, "g": [1]}});
    let expected = json!({"config.a.e": 9, "config.f": 5, "config.g": [1]});
    assert_eq!(run(original.clone(), sent.clone(), beside), expected);
    let other = json!({"config": {"a": {"b": 1, "e": 10}, "f": 4}});
    assert_eq!(run(original.clone(), sent.clone(), other), json!({"config.a.e": 10}));
    let gone = json!({"config": {"f": 4}});
    assert_eq!(run(original.clone(), sent.clone(), gone), json!({"config.a": {"__op": "Delete"}}));
    let whole = json!({"config": {"__op": "Delete"}});
    assert_eq!(run(original.clone(), sent.clone(), whole.clone()), whole);
    let deeper = json!({"config.a": {"e": {"x": 1}}});
    let answered = json!({"config": {"a": {"e": {"x": 1, "y": 2}}, "f": 4}});
    assert_eq!(run(original.clone(), deeper, answered), json!({"config.a": {"e": {"x": 1, "y": 2}}}));
    // Taken back.
    assert_eq!(run(original, sent, json!({"n": 1})), json!({"n": 1}));
}

#[test]
fn operators_stay_operators() {
    let original = json!({"config": {"n": 1, "a": 1}, "n": 1});
    let sent = json!({"config.n": {"__op": "Increment", "amount": 2}, "config.a": 5});
    for shown in [json!({"n": 3, "a": 5}), json!({"n": 1, "a": 5})] {
        let answered = json!({"config": shown, "config.n": {"__op": "Increment", "amount": 2}});
        assert_eq!(run(original.clone(), sent.clone(), answered), sent);
    }
}

#[test]
fn an_echo_changes_nothing() {
    let original = object(json!({"n": 1, "s": "x", "o": {"a": 1, "b": 2}, "gone": 1}));
    let sent = object(json!({"n": {"__op": "Increment", "amount": 1}, "gone": {"__op": "Delete"}}));
    let mut echoed = original.clone();
    echoed.extend(sent.clone());
    assert_eq!(changes(Some(&original), &sent, echoed.clone(), true), sent);
    echoed.insert("o".to_owned(), json!({"a": 2, "b": 2}));
    let mut expected = sent.clone();
    expected.insert("o.a".to_owned(), json!(2));
    assert_eq!(changes(Some(&original), &sent, echoed, true), expected);
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![any::<i8>().prop_map(Value::from), any::<bool>().prop_map(Value::from)];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::hash_map("[a-c]", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    /// Applied to the object the trigger was shown, the changes give what the trigger answered.
    #[test]
    fn changes_lead_to_the_answer(stored in values(), part in values(), answered in values()) {
        let original = object(json!({"o": {"k": stored}}));
        let sent = object(json!({"o.k.a": part}));
        let answered = object(json!({"o": {"k": answered}}));
        let written = changes(Some(&original), &sent, answered.clone(), false);
        prop_assert_eq!(merged(Some(&original), &written), answered);
        for path in written.keys() {
            prop_assert!(written.keys().all(|other| other == path || !is_within(other, path)));
        }
    }

    /// What is not touched is not written, whatever is stored.
    #[test]
    fn untouched_fields_are_not_written(stored in values(), part in values()) {
        let original = object(json!({"o": {"k": stored}, "list": [1]}));
        let sent = object(json!({"o.k.a": part}));
        let shown = merged(Some(&original), &sent);
        prop_assert_eq!(changes(Some(&original), &sent, shown, true), sent);
    }
}
