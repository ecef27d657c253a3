//! What is made for clients out of class schemas: types in their languages, and the OpenAPI description of the
//! REST API. Texts and values only: whoever calls knows where the schemas come from and where the result goes.

mod csharp;
mod dart;
mod kotlin;
mod language;
pub mod openapi;
mod swift;
mod typescript;

use std::collections::BTreeSet;

use crate::types::names::VOLATILE_CLASSES;
use crate::types::{ClassName, ClassSchema, FieldType};

/// What clients can know of an application.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// In the order of their names.
    pub classes: Vec<Class>,
    /// Cloud functions, by name.
    pub functions: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct Class {
    pub name: String,
    /// The name of its type: without the underscore of system classes, and no other's.
    pub type_name: String,
    pub base: Base,
    /// All but `objectId`, `createdAt`, `updatedAt` and `ACL`.
    pub fields: Vec<Field>,
}

#[derive(Clone, Debug)]
pub struct Field {
    pub name: String,
    pub ty: FieldType,
    pub required: bool,
}

/// Classes of which SDKs have types of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    Object,
    User,
    Role,
    Session,
    Installation,
}

/// A language of [`types`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    TypeScript,
    Swift,
    Kotlin,
    Dart,
    CSharp,
}

impl Language {
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "ts" => Self::TypeScript,
            "swift" => Self::Swift,
            "kotlin" => Self::Kotlin,
            "dart" => Self::Dart,
            "csharp" => Self::CSharp,
            _ => return None,
        })
    }
}

/// First line of every file, as a comment.
const HEAD: &str = "Made by `parsimony types` from the classes of the server. Changes here are lost.";

/// One type for each class, and the cloud functions by name.
pub fn types(model: &Model, language: Language) -> String {
    match language {
        Language::TypeScript => typescript::write(&model.beside(typescript::TAKEN, &["Attributes"])),
        Language::Swift => swift::write(&model.beside(&[swift::TAKEN, swift::RESERVED].concat(), &[])),
        Language::Kotlin => kotlin::write(&model.beside(&[kotlin::TAKEN, kotlin::RESERVED].concat(), &[])),
        Language::Dart => dart::write(&model.beside(&[dart::TAKEN, dart::RESERVED].concat(), &[])),
        Language::CSharp => csharp::write(&model.beside(csharp::TAKEN, &[])),
    }
}

impl Model {
    pub fn new<'s>(schemas: impl IntoIterator<Item = &'s ClassSchema>, functions: &[String]) -> Self {
        let mut schemas: Vec<&ClassSchema> =
            schemas.into_iter().filter(|schema| !VOLATILE_CLASSES.contains(&schema.name.as_str())).collect();
        schemas.sort_by(|a, b| a.name.cmp(&b.name));
        // Classes of the application keep their names; those of the system give way.
        let mut taken: BTreeSet<String> = schemas
            .iter()
            .map(|schema| schema.name.to_string())
            .filter(|name| !name.starts_with('_'))
            .collect();
        let classes = schemas.into_iter().map(|schema| Class::new(schema, &mut taken)).collect();
        let mut functions = functions.to_vec();
        functions.sort();
        Self { classes, functions }
    }

    /// The same beside names that are others' already. A type of that name, or one that is called as another with one
    /// of `suffixes` behind it, gets another name.
    fn beside(&self, taken: &[&str], suffixes: &[&str]) -> Self {
        let own: BTreeSet<&str> = self.classes.iter().map(|class| class.type_name.as_str()).collect();
        let mut used: BTreeSet<String> = taken.iter().map(|name| (*name).to_owned()).collect();
        let with_suffixes = |name: &str| {
            let mut names = vec![name.to_owned()];
            names.extend(suffixes.iter().map(|suffix| format!("{name}{suffix}")));
            names
        };
        let mut classes = self.classes.clone();
        for class in &mut classes {
            let mut name = class.type_name.clone();
            while with_suffixes(&name).iter().any(|name| used.contains(name))
                || (name != class.type_name && own.contains(name.as_str()))
            {
                name.push_str(if name == class.type_name { "Class" } else { "_" });
            }
            used.extend(with_suffixes(&name));
            class.type_name = name;
        }
        Self { classes, functions: self.functions.clone() }
    }

    /// The type of a class, if there is one.
    pub fn type_of(&self, class: &ClassName) -> Option<&str> {
        self.classes.iter().find(|known| *class == known.name.as_str()).map(|known| known.type_name.as_str())
    }
}

impl Class {
    fn new(schema: &ClassSchema, taken: &mut BTreeSet<String>) -> Self {
        let name = schema.name.to_string();
        let base = match name.as_str() {
            "_User" => Base::User,
            "_Role" => Base::Role,
            "_Session" => Base::Session,
            "_Installation" => Base::Installation,
            _ => Base::Object,
        };
        let type_name = match name.strip_prefix('_') {
            None => name.clone(),
            Some(plain) => {
                let mut free = plain.to_owned();
                while !taken.insert(free.clone()) {
                    free = format!("Parse{free}");
                }
                free
            }
        };
        let shown = schema.fields.iter().filter(|(name, field)| {
            !name.is_internal()
                && field.ty != FieldType::Acl
                && !matches!(name.as_str(), "objectId" | "createdAt" | "updatedAt" | "ACL")
        });
        let mut fields: Vec<Field> = shown
            .map(|(name, field)| Field {
                name: name.to_string(),
                ty: field.ty.clone(),
                required: field.required,
            })
            .collect();
        // The database keeps no order of its own.
        fields.sort_by(|a, b| a.name.cmp(&b.name));
        Self { name, type_name, base, fields }
    }
}

/// With a great first letter.
fn pascal(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// The name as an identifier: what is none of its letters becomes `_`.
fn identifier(name: &str) -> String {
    let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if plain.starts_with(|c: char| c.is_ascii_digit()) { format!("_{plain}") } else { plain }
}

/// A name that no other of the list has, for each.
fn unique(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut taken = BTreeSet::new();
    names
        .map(|mut name| {
            while !taken.insert(name.clone()) {
                name.push('_');
            }
            name
        })
        .collect()
}

/// A text in quotes, as C's children have it. `dollar`: the language puts values into texts by that sign.
fn quoted(text: &str, dollar: bool) -> String {
    let mut quoted = serde_json::Value::from(text).to_string();
    if dollar {
        quoted = quoted.replace('$', "\\$");
    }
    quoted
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::types::{Field as SchemaField, FieldName};

    pub(super) fn model() -> Model {
        let mut game = ClassSchema::with_defaults(ClassName::known("Game"));
        for (name, json) in [
            ("title", json!({ "type": "String", "required": true })),
            ("score", json!({ "type": "Number" })),
            ("done", json!({ "type": "Boolean" })),
            ("at", json!({ "type": "Date" })),
            ("class", json!({ "type": "String" })),
            ("tags", json!({ "type": "Array" })),
            ("extra", json!({ "type": "Object" })),
            ("owner", json!({ "type": "Pointer", "targetClass": "_User" })),
            ("rival", json!({ "type": "Pointer", "targetClass": "Elsewhere" })),
            ("fans", json!({ "type": "Relation", "targetClass": "_User" })),
            ("place", json!({ "type": "GeoPoint" })),
            ("area", json!({ "type": "Polygon" })),
            ("icon", json!({ "type": "File" })),
            ("raw", json!({ "type": "Bytes" })),
        ] {
            game.fields.insert(FieldName::known(name), SchemaField::from_json(&json).expect("a field"));
        }
        let classes = [game, ClassSchema::with_defaults(ClassName::known("_User"))];
        Model::new(&classes, &["hello".to_owned(), "pay.now".to_owned()])
    }

    #[test]
    fn system_classes_give_way() {
        let of = |name| ClassSchema::with_defaults(ClassName::known(name));
        let model = Model::new(&[of("User"), of("_User"), of("_Hooks")], &[]);
        let names: Vec<_> = model.classes.iter().map(|class| class.type_name.as_str()).collect();
        assert_eq!(names, ["User", "ParseUser"]);
        assert_eq!(model.type_of(&ClassName::known("_User")), Some("ParseUser"));
    }

    #[test]
    fn names_of_others_are_left_to_them() {
        let of = |name| ClassSchema::with_defaults(ClassName::known(name));
        let classes = ["Date", "DateClass", "Game", "GameInput", "User", "_User", "class"].map(of);
        let model = Model::new(&classes, &[]);
        let names = |taken: &[&str], suffixes: &[&str]| {
            let model = model.beside(taken, suffixes);
            model.classes.into_iter().map(|class| class.type_name).collect::<Vec<_>>()
        };
        assert_eq!(
            names(&["Date", "ParseUser", "class"], &[]),
            ["DateClass_", "DateClass", "Game", "GameInput", "User", "ParseUserClass", "classClass"]
        );
        assert_eq!(
            names(&[], &["Input"]),
            ["Date", "DateClass", "Game", "GameInputClass", "User", "ParseUser", "class"]
        );
    }

    #[test]
    fn no_language_has_two_types_of_one_name() {
        let words = [
            "Any",
            "CloudFunction",
            "CloudFunctions",
            "Data",
            "Date",
            "DateTime",
            "IList",
            "List",
            "Map",
            "ParseClasses",
            "ParseObject",
            "ParseUser",
            "Record",
            "String",
            "Type",
            "class",
            "default",
            "enum",
            "object",
            "string",
            "when",
        ];
        let mut classes: Vec<ClassSchema> =
            words.into_iter().map(|name| ClassSchema::with_defaults(ClassName::known(name))).collect();
        classes.push(ClassSchema::with_defaults(ClassName::known("_User")));
        let model = Model::new(&classes, &["f".to_owned()]);
        for (language, declared, free) in [
            (Language::TypeScript, "export type Date ", "export type DateClass ="),
            (Language::Swift, "struct Date:", "struct DateClass: ParseObject"),
            (Language::Kotlin, "class Date :", "class DateClass : ParseObject()"),
            (Language::Dart, "class DateTime ", "class DateTimeClass extends ParseObject"),
            (Language::CSharp, "class DateTime ", "class DateTimeClass : ParseObject"),
        ] {
            let written = types(&model, language);
            assert!(!written.contains(declared) && written.contains(free), "{written}");
            for (keyword, end) in [("struct class", ':'), ("class class", ' '), ("export type string", ' ')] {
                assert!(!written.contains(&format!("{keyword}{end}")), "{written}");
            }
        }
    }

    /// `UPDATE_GOLDEN=1` writes the files again.
    #[test]
    fn every_language_is_as_it_was() {
        for (language, file) in [
            (Language::TypeScript, "types.ts"),
            (Language::Swift, "types.swift"),
            (Language::Kotlin, "types.kt"),
            (Language::Dart, "types.dart"),
            (Language::CSharp, "types.cs"),
        ] {
            let path =
                std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/clients").join(file);
            let written = types(&model(), language);
            if std::env::var_os("UPDATE_GOLDEN").is_some() {
                std::fs::write(&path, &written).expect("written");
            }
            let golden = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(golden == written, "{file} differs:\n{written}");
        }
    }
}
