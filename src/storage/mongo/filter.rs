//! [`Filter`] → query document. What other collections must be asked first has been asked: [`Answers`] holds it.

use std::collections::HashMap;
use std::fmt::Write as _;

use bson::{Bson, Document, doc};

use super::error::refused;
use super::names::{self, Kind};
use super::value;
use crate::error::Error;
use crate::query::regex::{Dialect, WORD, translate};
use crate::query::{Constraint, Filter, Operand, RegexConstraint, TextSearch};
use crate::storage::{StorageError, StorageResult};
use crate::types::path::FieldPath;
use crate::types::row::has_permission_columns;
use crate::types::time::Millis;
use crate::types::{ClassSchema, GeoPoint};

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

/// Perl's syntax as MongoDB's engine reads it, in words that others read alike.
pub struct Pcre;

impl Dialect for Pcre {
    fn multi_line(&self) -> char {
        'm'
    }

    fn any_but_line_ends(&self) -> &'static str {
        "[^\n\r\u{2028}\u{2029}]"
    }

    fn any(&self) -> &'static str {
        r"[\s\S]"
    }

    fn never(&self) -> &'static str {
        r"(?!)"
    }

    fn boundary(&self, at_edge: bool, out: &mut String) {
        let (first, second) = if at_edge { ("!", "=") } else { ("=", "!") };
        let _ = write!(out, "(?:(?<=[{WORD}])(?{first}[{WORD}])|(?<![{WORD}])(?{second}[{WORD}]))");
    }

    fn escape_in_class(&self, c: char, out: &mut String) {
        if c.is_ascii_punctuation() {
            out.push('\\');
        }
        out.push(c);
    }

    fn refers_to_groups_inside_looks(&self) -> bool {
        true
    }
}

/// # Errors
/// `Refused` (102) for what is no expression.
pub fn regex(regex: &RegexConstraint) -> StorageResult<String> {
    Ok(translate(regex, &Pcre).map_err(StorageError::Refused)?.pattern)
}

/// The text itself, as an expression.
pub fn literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if c.is_ascii_punctuation() && c != '_' {
            out.push('\\');
        }
        out.push(c);
    }
    out
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
        let place = Place { builder: self, key: names::path_key(self.schema, path), path, kind };
        if matches!(place.kind, Some(Kind::Relation(_))) {
            return Ok(match self.answers.of(constraint) {
                Some(Answer::Own(ids)) if is_negation(constraint) => doc! { "_id": { "$nin": ids.clone() } },
                Some(Answer::Own(ids)) => doc! { "_id": { "$in": ids.clone() } },
                _ => never(),
            });
        }
        place.constraint(constraint)
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

/// A value that constraints speak of.
struct Place<'b> {
    builder: &'b Builder<'b>,
    key: String,
    path: &'b FieldPath,
    kind: Option<Kind>,
}

impl Place<'_> {
    fn on(&self, operator: &str, value: impl Into<Bson>) -> Document {
        doc! { self.key.as_str(): { operator: value.into() } }
    }

    /// Values are kept as inside objects: an array, or something below a column.
    fn is_nested(&self) -> bool {
        self.path.is_dotted() || self.kind.as_ref().is_none_or(Kind::has_inside)
    }

    fn constraint(&self, constraint: &Constraint) -> StorageResult<Document> {
        Ok(match constraint {
            Constraint::Eq(operand) => self.equal(operand)?,
            Constraint::Ne(operand) => not(self.equal(operand)?),
            Constraint::In(list) => self.any(list)?,
            Constraint::Nin(list) => not(self.any(list)?),
            Constraint::Lt(operand) => self.ordered("$lt", operand)?,
            Constraint::Lte(operand) => self.ordered("$lte", operand)?,
            Constraint::Gt(operand) => self.ordered("$gt", operand)?,
            Constraint::Gte(operand) => self.ordered("$gte", operand)?,
            Constraint::All(list) if list.is_empty() => never(),
            Constraint::All(list) => {
                let each = list.iter().map(|operand| self.equal(operand));
                let each: Vec<Document> = each.collect::<StorageResult<_>>()?;
                if each.len() == 1 {
                    all_of(each)
                } else {
                    doc! { "$and": each }
                }
            }
            Constraint::AllStartingWith(prefixes) if prefixes.is_empty() => never(),
            Constraint::AllStartingWith(prefixes) => {
                let starts = |prefix: &String| self.on("$regex", format!("^{}", literal(prefix)));
                doc! { "$and": prefixes.iter().map(starts).collect::<Vec<_>>() }
            }
            Constraint::ContainedBy(list) => {
                let allowed: Vec<Bson> =
                    list.iter().map(|o| self.operand(o)).collect::<StorageResult<_>>()?;
                not(self.on("$elemMatch", doc! { "$nin": allowed }))
            }
            Constraint::Exists(wanted) => self.on("$exists", *wanted),
            Constraint::EqIgnoreCase(text) => {
                let pattern = doc! { "$regex": format!("^{}$", literal(text)), "$options": "i" };
                let same = doc! { self.key.as_str(): pattern };
                match self.builder.answers.of(constraint) {
                    // Found by an index that does not mind case; the expression has the last word.
                    Some(Answer::Own(ids)) => all_of(vec![doc! { "_id": { "$in": ids.clone() } }, same]),
                    _ => same,
                }
            }
            Constraint::Regex(expression) => self.on("$regex", regex(expression)?),
            Constraint::Text(search) => text(search),
            Constraint::NearSphere { center, max_radians } => self.near(*center, *max_radians),
            Constraint::WithinCircle { center, radians } => self.within_circle(*center, *radians),
            Constraint::WithinBox { southwest, northeast } => {
                let (a, b) = (southwest, northeast);
                let corner = |latitude: fn(f64, f64) -> f64| {
                    let longitude = latitude(a.longitude, b.longitude);
                    value::pair(GeoPoint { latitude: latitude(a.latitude, b.latitude), longitude })
                };
                self.on("$geoWithin", doc! { "$box": [corner(f64::min), corner(f64::max)] })
            }
            Constraint::WithinPolygon(ring) => {
                let ring: Vec<Bson> = ring.iter().map(|point| value::pair(*point)).collect();
                self.on("$geoWithin", doc! { "$polygon": ring })
            }
            Constraint::Intersects(point) => {
                let shape = doc! { "type": "Point", "coordinates": value::pair(*point) };
                self.on("$geoIntersects", doc! { "$geometry": shape })
            }
            Constraint::InQuery(sub) => self.pointed(self.builder.answers.of(&**sub))?,
            Constraint::NotInQuery(sub) => not(self.pointed(self.builder.answers.of(&**sub))?),
            Constraint::Select(sub) => self.selected(self.builder.answers.of(&**sub))?,
            Constraint::DontSelect(sub) => not(self.selected(self.builder.answers.of(&**sub))?),
        })
    }

    fn near(&self, center: GeoPoint, max_radians: Option<f64>) -> Document {
        if self.builder.near == Near::Filters {
            return self.within_circle(center, max_radians.unwrap_or(std::f64::consts::PI));
        }
        let mut near = doc! { "$nearSphere": value::pair(center) };
        if let Some(radians) = max_radians {
            near.insert("$maxDistance", radians);
        }
        doc! { self.key.as_str(): near }
    }

    fn within_circle(&self, center: GeoPoint, radians: f64) -> Document {
        let circle = vec![value::pair(center), Bson::Double(radians)];
        self.on("$geoWithin", doc! { "$centerSphere": circle })
    }

    fn pointed(&self, answer: Option<&Answer>) -> StorageResult<Document> {
        let Some(Answer::Pointed { class, ids }) = answer else { return Ok(never()) };
        match &self.kind {
            Some(Kind::Pointer(target)) if !self.path.is_dotted() && *target == **class => {
                let pointers: Vec<String> = ids.iter().map(|id| format!("{class}${id}")).collect();
                Ok(self.on("$in", pointers))
            }
            _ if self.is_nested() => {
                if ids.is_empty() {
                    return Ok(never());
                }
                let one_of = doc! { "__type": "Pointer", "className": class, "objectId": { "$in": ids } };
                let element = self.on("$elemMatch", one_of);
                if !self.path.is_dotted() {
                    return Ok(element);
                }
                let pointers: Vec<Document> = ids.iter().map(|id| value::nested_pointer(class, id)).collect();
                Ok(doc! { "$or": [element, self.on("$in", pointers)] })
            }
            _ => Ok(never()),
        }
    }

    fn selected(&self, answer: Option<&Answer>) -> StorageResult<Document> {
        match answer {
            Some(Answer::Values(values)) if !values.is_empty() => self.any(values),
            _ => Ok(never()),
        }
    }

    fn ordered(&self, operator: &str, operand: &Operand) -> StorageResult<Document> {
        Ok(match self.operand(operand)? {
            Bson::Null | Bson::Array(_) | Bson::Document(_) => never(),
            value => self.on(operator, value),
        })
    }

    fn equal(&self, operand: &Operand) -> StorageResult<Document> {
        if self.kind == Some(Kind::Id)
            && let Operand::Text(id) = operand
        {
            return Ok(self.id(std::iter::once(id)));
        }
        if self.is_nested()
            && let Some(keys) = known_by(operand)
        {
            let element = self.on("$elemMatch", keys.clone());
            if !self.path.is_dotted() {
                return Ok(element);
            }
            let inside = keys.into_iter().map(|(key, value)| (format!("{}.{key}", self.key), value));
            let mut itself: Document = inside.collect();
            itself.insert("$nor", vec![self.on("$type", "array")]);
            return Ok(doc! { "$or": [element, itself] });
        }
        Ok(self.on("$eq", self.operand(operand)?))
    }

    fn any(&self, list: &[Operand]) -> StorageResult<Document> {
        if self.kind == Some(Kind::Id) && list.iter().all(|operand| matches!(operand, Operand::Text(_))) {
            return Ok(self.id(list.iter().filter_map(|operand| match operand {
                Operand::Text(id) => Some(id),
                _ => None,
            })));
        }
        let is_compound = |operand: &&Operand| self.is_nested() && known_by(operand).is_some();
        let plain = list.iter().filter(|operand| !is_compound(operand));
        let plain: Vec<Bson> = plain.map(|operand| self.operand(operand)).collect::<StorageResult<_>>()?;
        let compound: Vec<&Operand> = list.iter().filter(is_compound).collect();
        if compound.is_empty() {
            return Ok(self.on("$in", plain));
        }
        let mut branches = vec![self.on("$in", plain)];
        for operand in compound {
            branches.push(self.equal(operand)?);
        }
        Ok(doc! { "$or": branches })
    }

    /// Ids of imports may be kept as `ObjectId`s, which clients write as 24 digits.
    fn id<'i>(&self, ids: impl Iterator<Item = &'i String>) -> Document {
        let class = &self.builder.schema.name;
        let mut values: Vec<Bson> = Vec::new();
        for id in ids {
            values.push(value::id(class, id));
            if id.len() == 24
                && let Ok(native) = bson::oid::ObjectId::parse_str(id)
            {
                values.push(Bson::ObjectId(native));
            }
        }
        match values.len() {
            1 => doc! { self.key.as_str(): values.swap_remove(0) },
            _ => self.on("$in", values),
        }
    }

    /// The operand as values of this place are kept.
    fn operand(&self, operand: &Operand) -> StorageResult<Bson> {
        if self.path.is_dotted() {
            return nested(operand);
        }
        let class = &self.builder.schema.name;
        Ok(match (&self.kind, operand) {
            (Some(Kind::Id), Operand::Text(id)) => value::id(class, id),
            (Some(Kind::Pointer(_)), Operand::Pointer { class, id }) => Bson::String(format!("{class}${id}")),
            (Some(Kind::Pointer(target)), Operand::Text(id)) => Bson::String(format!("{target}${id}")),
            (Some(Kind::Date), Operand::Text(text)) => match Millis::parse(text) {
                Some(at) => value::date(at),
                None => Bson::String(text.clone()),
            },
            (Some(Kind::Point), Operand::GeoPoint(point)) => value::point(*point),
            (Some(Kind::Polygon), Operand::Polygon(ring)) => value::polygon(ring),
            (Some(Kind::File), Operand::File(name)) => Bson::String(name.clone()),
            _ => nested(operand)?,
        })
    }
}

/// Inside JSON these are known by some of their keys; the stored object may have more.
fn known_by(operand: &Operand) -> Option<Document> {
    match operand {
        Operand::Pointer { class, id } => Some(value::nested_pointer(class, id)),
        Operand::File(name) => Some(doc! { "__type": "File", "name": name }),
        _ => None,
    }
}

fn nested(operand: &Operand) -> StorageResult<Bson> {
    Ok(match operand {
        Operand::Number(n) => value::number(*n),
        Operand::Text(text) => Bson::String(text.clone()),
        Operand::Date(at) => value::date(*at),
        other => value::nested(&other.to_json())?,
    })
}

fn not(condition: Document) -> Document {
    // One comparison of one key has a negation of its own, which indexes understand.
    if condition.len() == 1
        && let Some((key, Bson::Document(test))) = condition.iter().next()
        && test.len() == 1
    {
        let negated = match test.iter().next() {
            Some((operator, value)) if operator == "$eq" => Some(("$ne", value.clone())),
            Some((operator, value)) if operator == "$in" => Some(("$nin", value.clone())),
            _ => None,
        };
        if let Some((operator, value)) = negated {
            return doc! { key: { operator: value } };
        }
    }
    doc! { "$nor": [condition] }
}

fn text(search: &TextSearch) -> Document {
    let mut text = doc! { "$search": search.term.as_str() };
    if let Some(language) = &search.language {
        text.insert("$language", language.as_str());
    }
    if search.case_sensitive {
        text.insert("$caseSensitive", true);
    }
    if search.diacritic_sensitive {
        text.insert("$diacriticSensitive", true);
    }
    doc! { "$text": text }
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

/// # Errors
/// 102 for a path below a `$select`'s key that leads nowhere.
pub fn check_key(schema: &ClassSchema, key: &FieldPath) -> StorageResult<()> {
    let is_open =
        names::kind_of(schema, &key.root).is_none_or(|kind| kind.has_inside() || kind == Kind::Bytes);
    if key.is_dotted() && !is_open {
        let text = format!("There is nothing inside {}: {}", key.root, key.to_dotted());
        return Err(refused(Error::invalid_query(text)));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
