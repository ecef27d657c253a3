//! [`Filter`] → query document. What other collections must be asked first has been asked: [`Answers`] holds it.

mod field;
mod pattern;

use std::collections::HashMap;

use bson::{Bson, Document, doc};

use crate::query::{Constraint, Filter, Operand};
use crate::storage::StorageResult;
use crate::storage::mongo::layout::names::{self, Kind};
use crate::types::path::FieldPath;
use crate::types::row::has_permission_columns;
use crate::types::{ClassSchema, GeoPoint};
use field::Constrained;

pub use pattern::regex;

/// What a part of a filter found out before the query itself.
#[derive(Clone, Debug)]
pub enum Answer {
    /// `_id`s of this class's own objects.
    Own(Vec<Bson>),
    /// Ids of the objects that a sub-query found, of this class.
    Pointed { class: String, ids: Vec<String> },
    /// Values of a sub-query's key.
    Values(Vec<Operand>),
}

/// Answers by the address of what asked; a filter does not move while it is read.
#[derive(Debug, Default)]
pub struct Answers(HashMap<usize, Answer>);

impl Answers {
    fn address<T>(part: &T) -> usize {
        std::ptr::from_ref(part) as usize
    }

    pub fn put<T>(&mut self, part: &T, answer: Answer) {
        self.0.insert(Self::address(part), answer);
    }

    fn of<T>(&self, part: &T) -> Option<&Answer> {
        self.0.get(&Self::address(part))
    }
}

/// No document.
pub fn never() -> Document {
    doc! { "_id": { "$in": [] } }
}

fn always() -> Document {
    Document::new()
}

/// All of the conditions, as one.
pub fn all_of(mut parts: Vec<Document>) -> Document {
    parts.retain(|part| !part.is_empty());
    match parts.len() {
        0 => always(),
        1 => parts.swap_remove(0),
        _ => {
            let mut flat = Document::new();
            let mut rest = Vec::new();
            for part in parts {
                let is_new = part.keys().all(|key| !key.starts_with('$') && !flat.contains_key(key));
                if is_new { flat.extend(part) } else { rest.push(Bson::Document(part)) }
            }
            if !rest.is_empty() {
                flat.insert("$and", rest);
            }
            flat
        }
    }
}

/// Rows that name one of these, or nobody.
pub fn permission(schema: &ClassSchema, column: &str, who: Option<&std::sync::Arc<[String]>>) -> Document {
    match who {
        Some(who) if has_permission_columns(&schema.name) => {
            let entries = who.iter().map(|entry| Bson::String(entry.clone()));
            let allowed: Vec<Bson> = std::iter::once(Bson::Null).chain(entries).collect();
            doc! { column: { "$in": allowed } }
        }
        _ => always(),
    }
}

/// Where `$near` may stand, and what it means where it does not order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Near {
    Orders,
    Filters,
}

pub struct Builder<'a> {
    pub schema: &'a ClassSchema,
    pub answers: &'a Answers,
    pub near: Near,
}

impl Builder<'_> {
    /// # Errors
    /// `Refused` for expressions that are none.
    pub fn build(&self, filter: &Filter) -> StorageResult<Document> {
        let each = |parts: &[Filter], near: Near| {
            let inner = Builder { near, ..*self };
            parts.iter().map(|part| inner.build(part)).collect::<StorageResult<Vec<_>>>()
        };
        Ok(match filter {
            Filter::And(parts) => all_of(each(parts, self.near)?),
            Filter::Or(parts) if parts.is_empty() => never(),
            Filter::Or(parts) => doc! { "$or": each(parts, Near::Filters)? },
            Filter::Nor(parts) if parts.is_empty() => always(),
            Filter::Nor(parts) => doc! { "$nor": each(parts, Near::Filters)? },
            Filter::Field { path, constraints } => {
                let each = constraints.iter().map(|constraint| self.constraint(path, constraint));
                all_of(each.collect::<StorageResult<_>>()?)
            }
            Filter::RelatedTo(related) => match self.answers.of(related) {
                Some(Answer::Own(ids)) => doc! { "_id": { "$in": ids.clone() } },
                _ => never(),
            },
        })
    }

    fn constraint(&self, path: &FieldPath, constraint: &Constraint) -> StorageResult<Document> {
        let kind = names::kind_of(self.schema, &path.root);
        let field = Constrained { builder: self, key: names::path_key(self.schema, path), path, kind };
        if matches!(field.kind, Some(Kind::Relation(_))) {
            return Ok(match self.answers.of(constraint) {
                Some(Answer::Own(ids)) if is_negation(constraint) => doc! { "_id": { "$nin": ids.clone() } },
                Some(Answer::Own(ids)) => doc! { "_id": { "$in": ids.clone() } },
                _ => never(),
            });
        }
        field.constraint(constraint)
    }
}

/// Whether the constraint holds where what it names is not.
pub fn is_negation(constraint: &Constraint) -> bool {
    matches!(
        constraint,
        Constraint::Ne(_)
            | Constraint::Nin(_)
            | Constraint::NotInQuery(_)
            | Constraint::DontSelect(_)
            | Constraint::Exists(false)
    )
}

/// The field of a `$text` search.
pub fn text_field(filter: &Filter) -> Option<&FieldPath> {
    found(filter, |constraint| matches!(constraint, Constraint::Text(_)))
}

/// The field and centre that nearness orders by.
pub fn near_field(filter: &Filter) -> Option<(&FieldPath, GeoPoint)> {
    let path = found(filter, |constraint| matches!(constraint, Constraint::NearSphere { .. }))?;
    let center = |filter: &Filter| match filter {
        Filter::Field { constraints, .. } => constraints.iter().find_map(|constraint| match constraint {
            Constraint::NearSphere { center, .. } => Some(*center),
            _ => None,
        }),
        _ => None,
    };
    let center = match filter {
        Filter::And(parts) => parts.iter().find_map(center),
        other => center(other),
    };
    Some((path, center?))
}

fn found(filter: &Filter, wanted: fn(&Constraint) -> bool) -> Option<&FieldPath> {
    match filter {
        Filter::And(parts) => parts.iter().find_map(|part| found(part, wanted)),
        Filter::Field { path, constraints } => constraints.iter().any(wanted).then_some(path),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
