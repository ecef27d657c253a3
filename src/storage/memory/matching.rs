//! Which rows a filter finds, sub-queries and relations included: what one object does not decide is asked of
//! the other rows. And in which order they come.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{State, may};
use crate::query::evaluate::ask::{Answers, Question, Verdict};
use crate::query::evaluate::{Matcher, json_equals};
use crate::query::{Access, Constraint, Filter, Operand, OrderKey, SubQuery};
use crate::types::path::FieldPath;
use crate::types::{ClassName, ClassSchema, FieldName, FieldType, GeoPoint, Object};

/// A filter made ready for the rows of one class.
pub(super) struct Test {
    matcher: Matcher,
}

/// The class that a part of a query may look at, if it may look at all.
fn reachable(access: &Access) -> Option<&ClassSchema> {
    access.schema.as_deref().filter(|_| !access.denied)
}

impl State {
    pub(super) fn test(&self, class: &ClassSchema, filter: &Filter) -> Test {
        Test { matcher: Matcher::new(self.without_relations(class, filter)) }
    }

    /// Rows of the class that satisfy the filter and that `readers` may see.
    pub(super) fn select(
        &self,
        class: &ClassSchema,
        filter: &Filter,
        readers: Option<&Arc<[String]>>,
    ) -> Vec<&Object> {
        let test = self.test(class, filter);
        let rows = self.rows.get(&class.name).into_iter().flat_map(|rows| rows.values());
        rows.filter(|row| may(row, "_rperm", readers) && self.holds(&test, row)).collect()
    }

    /// Those of the rows, whatever class they are of, that satisfy the filter.
    pub(super) fn filtered(&self, filter: &Filter, rows: Vec<Object>) -> Vec<Object> {
        let test = Test { matcher: Matcher::new(filter.clone()) };
        rows.into_iter().filter(|row| self.holds(&test, row)).collect()
    }

    pub(super) fn holds(&self, test: &Test, row: &Object) -> bool {
        let mut answers = Answers::new();
        loop {
            match test.matcher.decide(row, &answers) {
                Verdict::Matches => return true,
                Verdict::Differs => return false,
                Verdict::Asks(questions) => {
                    for question in questions {
                        let answer = self.answer(&question);
                        answers.insert(question.key(), answer);
                    }
                }
            }
        }
    }

    fn answer(&self, question: &Question<'_>) -> bool {
        match question {
            Question::Found { sub, id } => {
                self.found(sub).iter().any(|row| row.get("objectId") == Some(&json!(id)))
            }
            Question::Selected { sub, values } => {
                let Some(key) = &sub.key else { return false };
                let selected: Vec<Value> = self
                    .found(sub)
                    .iter()
                    .filter_map(|row| at(row, key).map(|value| dated(key, value)))
                    .flat_map(|value| match value {
                        Value::Array(elements) => elements,
                        single => vec![single],
                    })
                    .collect();
                values.iter().any(|value| {
                    let value = value.to_json();
                    selected.iter().any(|selected| json_equals(selected, &value))
                })
            }
            Question::Related { related, id } => {
                let Some(class) = reachable(&related.access) else { return false };
                if !matches!(class.field_type(&related.key), Some(FieldType::Relation(_))) {
                    return false;
                }
                let owner = self.rows.get(&class.name).and_then(|rows| rows.get(&related.owner_id));
                let readers = related.access.readers.as_ref();
                let is_open = readers.is_none() || owner.is_some_and(|row| may(row, "_rperm", readers));
                let join = ClassName::join(&related.key, &related.owner_class);
                let pair = (related.owner_id.clone(), id.clone());
                is_open && self.joins.get(&join).is_some_and(|pairs| pairs.contains(&pair))
            }
        }
    }

    /// The rows of a sub-query.
    fn found(&self, sub: &SubQuery) -> Vec<&Object> {
        let Some(class) = reachable(&sub.access) else { return Vec::new() };
        let mut rows = self.select(class, &sub.filter, sub.access.readers.as_ref());
        sort(&mut rows, &sub.filter, &sub.order);
        let skip = usize::try_from(sub.skip).unwrap_or(usize::MAX);
        let limit = sub.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        rows.into_iter().skip(skip).take(limit).collect()
    }

    /// The filter with conditions on Relation fields said by the ids of their owners.
    fn without_relations(&self, class: &ClassSchema, filter: &Filter) -> Filter {
        let each = |parts: &[Filter]| {
            parts.iter().map(|part| self.without_relations(class, part)).collect::<Vec<_>>()
        };
        match filter {
            Filter::And(parts) => Filter::And(each(parts)),
            Filter::Or(parts) => Filter::Or(each(parts)),
            Filter::Nor(parts) => Filter::Nor(each(parts)),
            Filter::Field { path, constraints }
                if matches!(class.field_type(&path.root), Some(FieldType::Relation(_))) =>
            {
                let owned = constraints.iter().map(|constraint| self.owners(class, &path.root, constraint));
                Filter::And(owned.collect())
            }
            Filter::Field { .. } | Filter::RelatedTo(_) => filter.clone(),
        }
    }

    fn owners(&self, class: &ClassSchema, field: &FieldName, constraint: &Constraint) -> Filter {
        let ids = |list: &[Operand]| {
            let id = |operand: &Operand| match operand {
                Operand::Pointer { id, .. } | Operand::Text(id) => Some(id.clone()),
                _ => None,
            };
            list.iter().filter_map(id).collect::<Vec<String>>()
        };
        let found = |sub: &SubQuery| {
            let id = |row: &&Object| row.get("objectId").and_then(Value::as_str).map(str::to_owned);
            self.found(sub).iter().filter_map(id).collect::<Vec<String>>()
        };
        let (members, negated) = match constraint {
            Constraint::Eq(operand) => (Some(ids(std::slice::from_ref(operand))), false),
            Constraint::Ne(operand) => (Some(ids(std::slice::from_ref(operand))), true),
            Constraint::In(list) => (Some(ids(list)), false),
            Constraint::Nin(list) => (Some(ids(list)), true),
            Constraint::InQuery(sub) => (Some(found(sub)), false),
            Constraint::NotInQuery(sub) => (Some(found(sub)), true),
            Constraint::Exists(wanted) => (None, !wanted),
            _ => return Filter::Or(Vec::new()),
        };
        let pairs = self.joins.get(&ClassName::join(field, &class.name)).into_iter().flatten();
        let owners: BTreeSet<String> = pairs
            .filter(|(_, member)| members.as_ref().is_none_or(|members| members.contains(member)))
            .map(|(owner, _)| owner.clone())
            .collect();
        let owners = owners.into_iter().map(Operand::Text).collect();
        let constraint = if negated { Constraint::Nin(owners) } else { Constraint::In(owners) };
        Filter::field(FieldName::known("objectId"), constraint)
    }
}

/// `createdAt` and `updatedAt` are stored as texts.
fn dated(path: &FieldPath, value: &Value) -> Value {
    match value {
        Value::String(iso) if path.is("createdAt") || path.is("updatedAt") => {
            json!({ "__type": "Date", "iso": iso })
        }
        value => value.clone(),
    }
}

/// By the order asked for; else by the distance from the centre of a `$nearSphere`.
pub(super) fn sort(rows: &mut [&Object], filter: &Filter, order: &[OrderKey]) {
    let near = near_of(filter).filter(|_| order.is_empty());
    rows.sort_by(|a, b| {
        let mut orders = order.iter().map(|key| match key {
            OrderKey::Score => Ordering::Equal,
            OrderKey::Field { path, descending } => {
                let order = compare(at(a, path), at(b, path));
                if *descending { order.reverse() } else { order }
            }
        });
        let asked = orders.find(|order| order.is_ne()).unwrap_or(Ordering::Equal);
        let distance = |row: &Object| {
            let (path, center) = near?;
            Some(center.radians_to(GeoPoint::from_json(at(row, path)?)?))
        };
        asked.then_with(|| distance(a).partial_cmp(&distance(b)).unwrap_or(Ordering::Equal))
    });
}

fn near_of(filter: &Filter) -> Option<(&FieldPath, GeoPoint)> {
    match filter {
        Filter::And(parts) => parts.iter().find_map(near_of),
        Filter::Field { path, constraints } => constraints.iter().find_map(|constraint| match constraint {
            Constraint::NearSphere { center, .. } => Some((path, *center)),
            _ => None,
        }),
        _ => None,
    }
}

/// `null` after everything else; otherwise by the natural order of the type.
fn compare(a: Option<&Value>, b: Option<&Value>) -> Ordering {
    fn key(value: &Value) -> &Value {
        value.get("iso").unwrap_or(value)
    }
    match (a.map(key), b.map(key)) {
        (None, None) => Ordering::Equal,
        (None, _) => Ordering::Greater,
        (_, None) => Ordering::Less,
        (Some(Value::String(a)), Some(Value::String(b))) => a.cmp(b),
        (Some(Value::Bool(a)), Some(Value::Bool(b))) => a.cmp(b),
        (Some(a), Some(b)) => a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(Ordering::Equal),
    }
}

pub(super) fn at<'a>(object: &'a Object, path: &FieldPath) -> Option<&'a Value> {
    let mut value = object.get(path.root.as_str())?;
    for key in &path.rest {
        value = match value {
            Value::Array(elements) => elements.get(key.parse::<usize>().ok()?)?,
            other => other.get(key)?,
        };
    }
    Some(value)
}
