//! A selection as `keys` and `include` of a read: what is not asked for is not read.

use super::super::execute::collect::Names;
use super::super::schema::Schema;
use super::super::schema::class::{Class, Part};
use crate::types::{FieldType, Object};

#[derive(Debug, Default)]
pub struct Projection {
    /// `None`: all fields.
    keys: Option<Vec<String>>,
    include: Vec<String>,
}

impl Projection {
    pub fn of(schema: &Schema, class: &Class, names: Option<&Names<'_>>) -> Self {
        let mut projection = Self { keys: Some(Vec::new()), include: Vec::new() };
        if !class.has(Part::Output) {
            // Shown as JSON, which has no selection.
            projection.all();
        } else if let Some(names) = names {
            projection.add(schema, class, names, "");
        }
        projection
    }

    /// Whether anything but these fields is asked for.
    pub fn asks_beyond(&self, known: &[&str]) -> bool {
        match &self.keys {
            None => true,
            Some(keys) => keys.iter().any(|key| !known.contains(&key.as_str())),
        }
    }

    pub fn asks_for_nothing(&self) -> bool {
        self.keys.as_ref().is_some_and(Vec::is_empty)
    }

    /// Fields of the object itself whose objects are read with it.
    pub fn included(&self) -> impl Iterator<Item = &str> {
        self.include.iter().map(String::as_str).filter(|path| !path.contains('.'))
    }

    fn all(&mut self) {
        self.keys = None;
    }

    fn key(&mut self, key: String) {
        if let Some(keys) = &mut self.keys {
            keys.push(key);
        }
    }

    fn add(&mut self, schema: &Schema, class: &Class, names: &Names<'_>, prefix: &str) {
        for (name, below) in &names.below {
            let name = match *name {
                "__typename" => continue,
                "id" => "objectId",
                name => name,
            };
            let path = format!("{prefix}{name}");
            if name == "ACL" {
                self.key(path);
                continue;
            }
            match class.schema.field_type(name) {
                // A field of the application's own: whatever its resolver needs.
                None => self.all(),
                Some(_) if name == "authData" => self.all(),
                Some(FieldType::Pointer(target)) => {
                    self.include.push(path.clone());
                    let has_fields = |class: &&Class| class.has(Part::Output) && !below.below.is_empty();
                    let Some(target) = schema.class_of(target).filter(has_fields) else {
                        // Shown as JSON: the object with all of its fields.
                        self.key(path);
                        continue;
                    };
                    let before = self.keys.as_ref().map(Vec::len);
                    self.add(schema, target, below, &format!("{path}."));
                    // The type alone was asked for.
                    if self.keys.as_ref().map(Vec::len) == before {
                        self.key(format!("{path}.objectId"));
                    }
                }
                Some(FieldType::Array) => {
                    self.include.push(path.clone());
                    self.nested(below, &path);
                    self.key(path);
                }
                Some(_) => self.key(path),
            }
        }
    }

    /// Objects within the objects of an array, of whatever class they are.
    fn nested(&mut self, names: &Names<'_>, prefix: &str) {
        for (name, below) in &names.below {
            let is_connection = below.has("edges") || below.has("pageInfo") || below.has("count");
            if below.below.is_empty() || is_connection || *name == "ACL" {
                continue;
            }
            let path = format!("{prefix}.{name}");
            self.include.push(path.clone());
            self.nested(below, &path);
        }
    }

    pub fn apply(&self, params: &mut Object) {
        if let Some(keys) = &self.keys {
            let keys = if keys.is_empty() { "objectId".to_owned() } else { keys.join(",") };
            params.insert("keys".to_owned(), keys.into());
        }
        if !self.include.is_empty() {
            params.insert("include".to_owned(), self.include.join(",").into());
        }
    }
}
