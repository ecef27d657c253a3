//! What the languages of classes and properties have in common: a word for each type, what the SDK's own classes have
//! already, names that are taken.

use super::{Base, Class, Field, Model, unique};
use crate::types::{ClassName, FieldType};

/// A language's word for each type of field.
pub struct Words {
    pub string: &'static str,
    pub number: &'static str,
    pub boolean: &'static str,
    pub date: &'static str,
    pub object: &'static str,
    pub array: &'static str,
    pub geo_point: &'static str,
    pub polygon: &'static str,
    pub file: &'static str,
    pub bytes: &'static str,
    pub acl: &'static str,
    /// To an object of a class that has no type.
    pub pointer: &'static str,
    pub relation: &'static str,
}

impl Words {
    pub const fn of(&self, ty: &FieldType) -> &'static str {
        match ty {
            FieldType::String => self.string,
            FieldType::Number => self.number,
            FieldType::Boolean => self.boolean,
            FieldType::Date => self.date,
            FieldType::Object => self.object,
            FieldType::Array => self.array,
            FieldType::GeoPoint => self.geo_point,
            FieldType::Polygon => self.polygon,
            FieldType::File => self.file,
            FieldType::Bytes => self.bytes,
            FieldType::Acl => self.acl,
            FieldType::Pointer(_) => self.pointer,
            FieldType::Relation(_) => self.relation,
        }
    }

    /// The same, but for a pointer whose class has a type: that type.
    pub fn or_class<'m>(&self, model: &'m Model, ty: &FieldType) -> &'m str {
        match ty {
            FieldType::Pointer(target) => model.type_of(target).unwrap_or(self.pointer),
            other => self.of(other),
        }
    }
}

/// Fields that the SDK's own classes have as properties already.
pub struct Inherited {
    pub user: &'static [&'static str],
    pub role: &'static [&'static str],
    pub session: &'static [&'static str],
    pub installation: &'static [&'static str],
}

impl Inherited {
    /// The fields that the class adds.
    pub fn rest_of<'c>(&self, class: &'c Class) -> Vec<&'c Field> {
        let inherited: &[&str] = match class.base {
            Base::Object => &[],
            Base::User => self.user,
            Base::Role => self.role,
            Base::Session => self.session,
            Base::Installation => self.installation,
        };
        class.fields.iter().filter(|field| !inherited.contains(&field.name.as_str())).collect()
    }
}

impl Base {
    /// The SDK's class, as every SDK but JavaScript's calls it.
    pub const fn sdk_class(self) -> &'static str {
        match self {
            Self::Object => "ParseObject",
            Self::User => "ParseUser",
            Self::Role => "ParseRole",
            Self::Session => "ParseSession",
            Self::Installation => "ParseInstallation",
        }
    }
}

impl Model {
    /// The type of a relation's members.
    pub fn members_of(&self, class: &ClassName) -> &str {
        self.type_of(class).unwrap_or(Base::Object.sdk_class())
    }

    /// Each cloud function with a name for it that no other has.
    pub fn named_functions(&self, name: impl Fn(&str) -> String) -> Vec<(String, &str)> {
        let names = unique(self.functions.iter().map(|function| name(function)));
        names.into_iter().zip(self.functions.iter().map(String::as_str)).collect()
    }
}

/// In back quotes, where it is a word of the language.
pub fn back_quoted(name: &str, reserved: &[&str]) -> String {
    if reserved.contains(&name) { format!("`{name}`") } else { name.to_owned() }
}
