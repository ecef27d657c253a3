//! Filters that one object alone does not decide: `$inQuery`, `$select`, their negations and
//! `$relatedTo` look at other objects. [`Matcher::decide`] goes as far as the object and the answers
//! at hand allow, and says what else would have to be known. Live queries ask the database.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::query::evaluate::{Found, Matcher};
use crate::query::{Constraint, Filter, Operand, RelatedTo, SubQuery, operand};

/// Something that only other objects tell.
#[derive(Clone, Debug)]
pub enum Question<'f> {
    /// Whether the object with this id is among those the sub-query finds.
    Found { sub: &'f SubQuery, id: String },
    /// Whether one of the values is among those of the sub-query's key.
    Selected { sub: &'f SubQuery, values: Vec<Operand> },
    /// Whether this object is in the relation.
    Related { related: &'f RelatedTo, id: String },
}

impl Question<'_> {
    /// Equal questions have equal text.
    pub fn key(&self) -> String {
        match self {
            Self::Found { sub, id } => format!("found {:p} {id}", *sub),
            Self::Selected { sub, values } => format!("selected {:p} {values:?}", *sub),
            Self::Related { related, id } => {
                format!("related {} {} {} {id}", related.owner_class, related.owner_id, related.key)
            }
        }
    }
}

/// [`Question::key`] → its answer.
pub type Answers = HashMap<String, bool>;

#[derive(Clone, Debug)]
pub enum Verdict<'f> {
    Matches,
    Differs,
    /// Not before these are answered; maybe not all of them are needed.
    Asks(Vec<Question<'f>>),
}

/// Whether anything in the filter needs other objects.
pub(super) fn asks(filter: &Filter) -> bool {
    match filter {
        Filter::And(parts) | Filter::Or(parts) | Filter::Nor(parts) => parts.iter().any(asks),
        Filter::Field { constraints, .. } => {
            constraints.iter().any(|constraint| sub_query(constraint).is_some())
        }
        Filter::RelatedTo(_) => true,
    }
}

/// A constraint's sub-query, and whether it is negated.
fn sub_query(constraint: &Constraint) -> Option<(&SubQuery, bool)> {
    match constraint {
        Constraint::InQuery(sub) | Constraint::Select(sub) => Some((sub, false)),
        Constraint::NotInQuery(sub) | Constraint::DontSelect(sub) => Some((sub, true)),
        _ => None,
    }
}

impl Matcher {
    /// Whether [`Matcher::matches`] cannot decide.
    pub fn asks(&self) -> bool {
        self.asks
    }

    /// As far as the object and the answers allow.
    pub fn decide<'f>(&'f self, object: &Map<String, Value>, answers: &Answers) -> Verdict<'f> {
        let mut open = Open { matcher: self, object, answers, questions: Vec::new() };
        match open.holds(self.filter()) {
            Some(true) => Verdict::Matches,
            Some(false) => Verdict::Differs,
            None => Verdict::Asks(open.questions),
        }
    }
}

struct Open<'f, 'a> {
    matcher: &'f Matcher,
    object: &'a Map<String, Value>,
    answers: &'a Answers,
    questions: Vec<Question<'f>>,
}

impl<'f> Open<'f, '_> {
    /// `None`: depends on questions, which are noted.
    fn holds(&mut self, filter: &'f Filter) -> Option<bool> {
        match filter {
            Filter::And(parts) => self.all(parts),
            Filter::Or(parts) => self.any(parts),
            Filter::Nor(parts) => self.any(parts).map(|any| !any),
            Filter::Field { path, constraints } => {
                let object = self.object;
                let found = Found::at(object, path);
                let mut known = Some(true);
                for constraint in constraints {
                    let holds = match sub_query(constraint) {
                        None => Some(found.satisfies(constraint, self.matcher.regexes())),
                        Some((sub, negated)) => self.member(&found, sub).map(|member| member != negated),
                    };
                    match holds {
                        Some(true) => {}
                        Some(false) => return Some(false),
                        None => known = None,
                    }
                }
                known
            }
            Filter::RelatedTo(related) => {
                let id = self.object.get("objectId").and_then(Value::as_str)?.to_owned();
                self.ask(Question::Related { related, id })
            }
        }
    }

    fn all(&mut self, parts: &'f [Filter]) -> Option<bool> {
        // What the object itself decides comes first, so that fewer questions are asked.
        let mut known = Some(true);
        for late in [false, true] {
            for part in parts.iter().filter(|part| asks(part) == late) {
                match self.holds(part) {
                    Some(true) => {}
                    Some(false) => return Some(false),
                    None => known = None,
                }
            }
        }
        known
    }

    fn any(&mut self, parts: &'f [Filter]) -> Option<bool> {
        let mut known = Some(false);
        for late in [false, true] {
            for part in parts.iter().filter(|part| asks(part) == late) {
                match self.holds(part) {
                    Some(false) => {}
                    Some(true) => return Some(true),
                    None => known = None,
                }
            }
        }
        known
    }

    fn member(&mut self, found: &Found<'_>, sub: &'f SubQuery) -> Option<bool> {
        let values = members(found);
        if values.is_empty() {
            return Some(false);
        }
        if sub.key.is_some() {
            return self.ask(Question::Selected { sub, values });
        }
        let mut known = Some(false);
        for value in values {
            let Operand::Pointer { class, id } = value else { continue };
            if class != sub.class && sub.redirect_class_name_for_key.is_none() {
                continue;
            }
            match self.ask(Question::Found { sub, id }) {
                Some(true) => return Some(true),
                Some(false) => {}
                None => known = None,
            }
        }
        known
    }

    fn ask(&mut self, question: Question<'f>) -> Option<bool> {
        let answer = self.answers.get(&question.key()).copied();
        if answer.is_none() {
            self.questions.push(question);
        }
        answer
    }
}

/// The values at a path: those of an array, or the one; none when unset.
fn members(found: &Found<'_>) -> Vec<Operand> {
    match found {
        Found::Unset => Vec::new(),
        Found::Column(value) => vec![operand(value)],
        Found::Nested(Value::Array(elements)) => elements.iter().map(operand).collect(),
        Found::Nested(value) => vec![operand(value)],
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::query::{ParseContext, parse_where};

    fn matcher(condition: &Value) -> Matcher {
        Matcher::new(parse_where(condition, &ParseContext::master()).expect("a valid query"))
    }

    /// Decides with an oracle; answers also how much was asked.
    fn decided(condition: &Value, object: Value, oracle: impl Fn(&Question<'_>) -> bool) -> (bool, usize) {
        let matcher = matcher(condition);
        let object = object.as_object().cloned().unwrap_or_default();
        let mut answers = Answers::new();
        loop {
            match matcher.decide(&object, &answers) {
                Verdict::Matches => return (true, answers.len()),
                Verdict::Differs => return (false, answers.len()),
                Verdict::Asks(questions) => {
                    let question = questions.first().expect("something is asked");
                    assert!(answers.insert(question.key(), oracle(question)).is_none());
                }
            }
        }
    }

    fn pointer(id: &str) -> Value {
        json!({"__type": "Pointer", "className": "Post", "objectId": id})
    }

    #[test]
    fn asks_only_what_the_object_leaves_open() {
        let in_query = json!({"post": {"$inQuery": {"className": "Post", "where": {"open": true}}}, "n": 1});
        let oracle = |question: &Question<'_>| matches!(question, Question::Found { id, .. } if id == "p1");
        assert_eq!(decided(&in_query, json!({"post": pointer("p1"), "n": 1}), oracle), (true, 1));
        assert_eq!(decided(&in_query, json!({"post": pointer("p2"), "n": 1}), oracle), (false, 1));
        assert_eq!(decided(&in_query, json!({"post": pointer("p1"), "n": 2}), oracle), (false, 0));
        assert_eq!(decided(&in_query, json!({"n": 1}), oracle), (false, 0));
        let many = json!({"post": [pointer("p0"), pointer("p1")], "n": 1});
        assert_eq!(decided(&in_query, many, oracle), (true, 2));
        let other = json!({"__type": "Pointer", "className": "Other", "objectId": "p1"});
        assert_eq!(decided(&in_query, json!({"post": other, "n": 1}), oracle), (false, 0));
    }

    #[test]
    fn negations_hold_for_what_is_unset() {
        let not_in = json!({"post": {"$notInQuery": {"className": "Post", "where": {}}}});
        assert_eq!(decided(&not_in, json!({}), |_| panic!("nothing is asked")), (true, 0));
        assert_eq!(decided(&not_in, json!({"post": pointer("p")}), |_| true), (false, 1));
        assert_eq!(decided(&not_in, json!({"post": pointer("p")}), |_| false), (true, 1));
        let query = json!({"className": "Post", "where": {}});
        let dont = json!({"city": {"$dontSelect": {"query": query, "key": "town"}}});
        assert_eq!(decided(&dont, json!({}), |_| panic!("nothing is asked")), (true, 0));
        assert_eq!(decided(&dont, json!({"city": "a"}), |_| true), (false, 1));
    }

    #[test]
    fn alternatives_and_relations() {
        let related = json!({"object": pointer("p1"), "key": "likes"});
        let condition = json!({"$or": [{"$relatedTo": related}, {"n": {"$gt": 5}}]});
        let object = |n: u32| json!({"objectId": "o", "n": n});
        assert_eq!(decided(&condition, object(6), |_| panic!("nothing is asked")), (true, 0));
        assert_eq!(decided(&condition, object(5), |_| true), (true, 1));
        assert_eq!(decided(&condition, object(5), |_| false), (false, 1));
    }
}
