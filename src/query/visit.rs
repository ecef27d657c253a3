//! Walks over a final query: which fields of which class it looks at, and the places where the
//! permission code must decide rights.

use crate::query::{Access, Constraint, Filter, OrderKey, RelatedTo, SubQuery};
use crate::types::names::ClassName;
use crate::types::path::FieldPath;

/// One place where a query looks at a field, so that the field must not be hidden from the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mention {
    /// The class whose field it is: the queried one, a sub-query's, or a relation's owner.
    pub class: ClassName,
    pub path: FieldPath,
    pub place: MentionedIn,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MentionedIn {
    Where,
    Order,
    /// The compared column of a `$select`.
    SelectKey,
    /// The relation of a `$relatedTo`.
    RelatedTo,
    /// The redirecting relation of a sub-query.
    Redirect,
}

/// Every mention in a query of `class`, sub-queries included.
///
/// A sub-query is listed under the class it names; when it redirects, its conditions apply to the
/// relation's target, which the permission code knows.
pub fn mentions(class: &ClassName, filter: &Filter, order: &[OrderKey]) -> Vec<Mention> {
    let mut found = Vec::new();
    collect(class, filter, &mut found);
    collect_order(class, order, &mut found);
    found
}

fn collect_order(class: &ClassName, order: &[OrderKey], found: &mut Vec<Mention>) {
    for key in order {
        if let OrderKey::Field { path, .. } = key {
            found.push(Mention { class: class.clone(), path: path.clone(), place: MentionedIn::Order });
        }
    }
}

fn collect(class: &ClassName, filter: &Filter, found: &mut Vec<Mention>) {
    match filter {
        Filter::And(parts) | Filter::Or(parts) | Filter::Nor(parts) => {
            for part in parts {
                collect(class, part, found);
            }
        }
        Filter::Field { path, constraints } => {
            found.push(Mention { class: class.clone(), path: path.clone(), place: MentionedIn::Where });
            for query in constraints.iter().filter_map(Constraint::subquery) {
                collect_subquery(query, found);
            }
        }
        Filter::RelatedTo(related) => found.push(Mention {
            class: related.owner_class.clone(),
            path: related.key.clone().into(),
            place: MentionedIn::RelatedTo,
        }),
    }
}

fn collect_subquery(query: &SubQuery, found: &mut Vec<Mention>) {
    let target = query.effective_class();
    if let Some(key) = &query.redirect_class_name_for_key {
        found.push(Mention {
            class: query.class.clone(),
            path: key.clone().into(),
            place: MentionedIn::Redirect,
        });
    }
    if let Some(key) = &query.key {
        found.push(Mention { class: target.clone(), path: key.clone(), place: MentionedIn::SelectKey });
    }
    collect(target, &query.filter, found);
    collect_order(target, &query.order, found);
}

impl SubQuery {
    /// The class whose rows are looked at: the resolved one when rights are decided, else as named.
    pub fn effective_class(&self) -> &ClassName {
        self.access.schema.as_ref().map_or(&self.class, |schema| &schema.name)
    }
}

/// A place that wants rights.
#[derive(Debug)]
pub enum Guarded<'a> {
    SubQuery(&'a mut SubQuery),
    RelatedTo(&'a mut RelatedTo),
}

impl Guarded<'_> {
    pub fn access_mut(&mut self) -> &mut Access {
        match self {
            Self::SubQuery(query) => &mut query.access,
            Self::RelatedTo(related) => &mut related.access,
        }
    }

    /// The class whose rows or object it looks at, as named by the query.
    pub fn class(&self) -> &ClassName {
        match self {
            Self::SubQuery(query) => &query.class,
            Self::RelatedTo(related) => &related.owner_class,
        }
    }
}

/// Calls `decide` for every sub-query and `$relatedTo`, outer ones first; what it puts into a
/// sub-query's filter is walked as well.
///
/// # Errors
/// The first error of `decide` ends the walk.
pub fn visit_guarded<E>(
    filter: &mut Filter,
    decide: &mut impl FnMut(Guarded<'_>) -> Result<(), E>,
) -> Result<(), E> {
    match filter {
        Filter::And(parts) | Filter::Or(parts) | Filter::Nor(parts) => {
            parts.iter_mut().try_for_each(|part| visit_guarded(part, decide))
        }
        Filter::Field { constraints, .. } => {
            constraints.iter_mut().filter_map(Constraint::subquery_mut).try_for_each(|query| {
                decide(Guarded::SubQuery(query))?;
                visit_guarded(&mut query.filter, decide)
            })
        }
        Filter::RelatedTo(related) => decide(Guarded::RelatedTo(related)),
    }
}

/// Classes whose schemas the permission code needs before [`visit_guarded`] can decide, each once.
pub fn guarded_classes(filter: &Filter) -> Vec<ClassName> {
    fn walk(filter: &Filter, classes: &mut Vec<ClassName>) {
        match filter {
            Filter::And(parts) | Filter::Or(parts) | Filter::Nor(parts) => {
                parts.iter().for_each(|part| walk(part, classes));
            }
            Filter::Field { constraints, .. } => {
                for query in constraints.iter().filter_map(Constraint::subquery) {
                    classes.push(query.class.clone());
                    walk(&query.filter, classes);
                }
            }
            Filter::RelatedTo(related) => classes.push(related.owner_class.clone()),
        }
    }
    let mut classes = Vec::new();
    walk(filter, &mut classes);
    classes.sort();
    classes.dedup();
    classes
}
