//! How long a read is likely to take, by its filter: short ones share connections.

use smallvec::SmallVec;

use crate::query::{Constraint, Filter, FindSpec, Operand};
use crate::types::{ClassSchema, FieldName};

/// Ids in one read of the pipelined lane.
pub const SHORT_IDS: usize = 1000;
/// Rows in one read of the pipelined lane, unless they are found by id.
const SHORT_LIMIT: u64 = 100;

/// How long a read is likely to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// Surely short: on the pipelined lane.
    Short,
    /// Few rows by plain comparisons: there too, once the shape proved quick.
    Learned,
    /// Anything.
    Open,
}

/// What a filter of comparisons joined by AND finds its rows by.
pub struct PlainParts<'a> {
    pub by_id: bool,
    /// The columns that are compared with one value.
    equal: SmallVec<[&'a FieldName; 4]>,
}

/// `None` when there is anything in it that costs more than a comparison.
pub fn plain_parts(filter: &Filter) -> Option<PlainParts<'_>> {
    let conjuncts = match filter {
        Filter::And(parts) => parts.as_slice(),
        single => std::slice::from_ref(single),
    };
    let mut found = PlainParts { by_id: false, equal: SmallVec::new() };
    for part in conjuncts {
        let Filter::Field { path, constraints } = part else { return None };
        if path.is_dotted() || !constraints.iter().all(is_plain) {
            return None;
        }
        for constraint in constraints {
            match constraint {
                Constraint::Eq(Operand::Text(_)) if path.is("objectId") => found.by_id = true,
                Constraint::In(ids) if path.is("objectId") && ids.len() <= SHORT_IDS => found.by_id = true,
                Constraint::Eq(operand) if *operand != Operand::Null => found.equal.push(&path.root),
                _ => {}
            }
        }
    }
    Some(found)
}

/// Surely short: found by id, or by an indexed column with few rows asked for, and nothing in the
/// filter that costs more than a comparison. Without an index to go by, experience tells.
pub fn length(class: &ClassSchema, spec: &FindSpec) -> Length {
    let Some(parts) = plain_parts(&spec.filter) else { return Length::Open };
    let few = spec.limit.is_some_and(|limit| limit <= SHORT_LIMIT) && spec.skip <= SHORT_LIMIT;
    if parts.by_id || (few && parts.equal.iter().any(|column| is_indexed(class, column))) {
        return Length::Short;
    }
    if few { Length::Learned } else { Length::Open }
}

/// One object by its id, with nothing beside it that costs more than a comparison.
pub fn is_by_id(filter: &Filter) -> bool {
    let parts = match filter {
        Filter::And(parts) => parts.as_slice(),
        single => std::slice::from_ref(single),
    };
    plain_parts(filter).is_some() && parts.iter().any(|part| part.exact_id().is_some())
}

fn is_plain(constraint: &Constraint) -> bool {
    matches!(
        constraint,
        Constraint::Eq(_)
            | Constraint::Ne(_)
            | Constraint::Lt(_)
            | Constraint::Lte(_)
            | Constraint::Gt(_)
            | Constraint::Gte(_)
            | Constraint::Exists(_)
    ) || matches!(constraint, Constraint::In(list) | Constraint::Nin(list) if list.len() <= SHORT_IDS)
}

/// Start-up indexes, and the first column of those of the schema API.
fn is_indexed(class: &ClassSchema, column: &FieldName) -> bool {
    let column = column.as_str();
    let built_in: &[&str] = match class.name.as_str() {
        "_User" => &["username", "email", "_email_verify_token", "_perishable_token"],
        "_Session" => &["sessionToken", "user"],
        "_Installation" => &["installationId", "deviceToken"],
        "_Role" => &["name"],
        "_Idempotency" => &["reqId"],
        _ => &[],
    };
    built_in.contains(&column)
        || class.indexes.values().any(|columns| {
            columns.as_object().and_then(|c| c.keys().next()).is_some_and(|first| first == column)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::{RegexConstraint, TextSearch};
    use crate::types::{ClassName, ObjectId};

    fn short(filter: Filter, limit: Option<u64>) -> bool {
        let class = ClassSchema::with_defaults(ClassName::known("_Session"));
        let mut spec = FindSpec::new(filter);
        spec.limit = limit;
        length(&class, &spec) == Length::Short
    }

    #[test]
    fn only_cheap_reads_are_pipelined() {
        let token = || Filter::eq("sessionToken", Operand::Text("r:x".into()));
        let id = ObjectId::new("a").unwrap();
        assert!(short(Filter::by_id(&id), None));
        assert!(short(token(), Some(1)));
        assert!(!short(token(), None));
        assert!(!short(token(), Some(1000)));
        assert!(!short(Filter::all(), Some(1)));
        assert!(!short(Filter::eq("installationId", Operand::Text("x".into())), Some(1)));
        let regex = RegexConstraint { pattern: "a".into(), options: String::new() };
        let costly = Filter::field(FieldName::known("createdWith"), Constraint::Regex(regex));
        assert!(!short(token().and(costly), Some(1)));
        let search = TextSearch {
            term: "x".into(),
            language: None,
            case_sensitive: false,
            diacritic_sensitive: false,
        };
        let costly = Filter::field(FieldName::known("sessionToken"), Constraint::Text(search));
        assert!(!short(token().and(costly), Some(1)));
        assert!(!short(Filter::Or(vec![token(), Filter::by_id(&id)]), Some(1)));
        let class = ClassSchema::with_defaults(ClassName::known("Game"));
        let mut spec = FindSpec::new(Filter::all()).limit(100);
        assert_eq!(length(&class, &spec), Length::Learned);
        spec.limit = None;
        assert_eq!(length(&class, &spec), Length::Open);
    }
}
