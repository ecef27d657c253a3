//! What is asked of one field: each constraint as a condition on its key, by the way its values are kept.

use bson::{Bson, Document, doc};

use super::pattern::{literal, regex};
use super::{Answer, Builder, Near, all_of, never};
use crate::query::{Constraint, Operand, TextSearch};
use crate::storage::StorageResult;
use crate::storage::mongo::layout::names::Kind;
use crate::storage::mongo::layout::value;
use crate::types::GeoPoint;
use crate::types::path::FieldPath;
use crate::types::time::Millis;

/// A value that constraints speak of.
pub struct Constrained<'b> {
    pub builder: &'b Builder<'b>,
    pub key: String,
    pub path: &'b FieldPath,
    pub kind: Option<Kind>,
}

impl Constrained<'_> {
    fn on(&self, operator: &str, value: impl Into<Bson>) -> Document {
        doc! { self.key.as_str(): { operator: value.into() } }
    }

    /// Values are kept as inside objects: an array, or something below a column.
    fn is_nested(&self) -> bool {
        self.path.is_dotted() || self.kind.as_ref().is_none_or(Kind::has_inside)
    }

    /// # Errors
    /// `Refused` for expressions that are none.
    pub fn constraint(&self, constraint: &Constraint) -> StorageResult<Document> {
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

    /// The operand as values of this field are kept.
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
