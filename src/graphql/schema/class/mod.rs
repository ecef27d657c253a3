//! The types of one class, each built when it is first looked at.

mod inputs;
mod outputs;

use std::sync::Arc;

use super::switches::ClassSwitches;
use super::types::{Str, TypeDef, TypeKind, TypeRef};
use crate::types::{ClassName, ClassSchema, FieldType};

/// Which type of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    CreateFields,
    UpdateFields,
    Pointer,
    Relation,
    Where,
    RelationWhere,
    Order,
    Output,
    Edge,
    Connection,
    CreateInput,
    CreatePayload,
    UpdateInput,
    UpdatePayload,
    DeleteInput,
    DeletePayload,
}

impl Part {
    /// In the order in which parse-server adds them.
    pub const TYPES: [Self; 10] = [
        Self::CreateFields,
        Self::UpdateFields,
        Self::Pointer,
        Self::Relation,
        Self::Where,
        Self::RelationWhere,
        Self::Order,
        Self::Output,
        Self::Edge,
        Self::Connection,
    ];

    /// The type's name, for a class that is called `name`.
    pub fn name(self, name: &str) -> String {
        match self {
            Self::CreateFields => format!("Create{name}FieldsInput"),
            Self::UpdateFields => format!("Update{name}FieldsInput"),
            Self::Pointer => format!("{name}PointerInput"),
            Self::Relation => format!("{name}RelationInput"),
            Self::Where => format!("{name}WhereInput"),
            Self::RelationWhere => format!("{name}RelationWhereInput"),
            Self::Order => format!("{name}Order"),
            Self::Output => name.to_owned(),
            Self::Edge => format!("{name}Edge"),
            Self::Connection => format!("{name}Connection"),
            Self::CreateInput => format!("Create{name}Input"),
            Self::CreatePayload => format!("Create{name}Payload"),
            Self::UpdateInput => format!("Update{name}Input"),
            Self::UpdatePayload => format!("Update{name}Payload"),
            Self::DeleteInput => format!("Delete{name}Input"),
            Self::DeletePayload => format!("Delete{name}Payload"),
        }
    }
}

/// Fields of every object; a class's own types leave them to `every_field`.
pub const COMMON: [&str; 4] = ["objectId", "createdAt", "updatedAt", "ACL"];

/// One class of the schema: what it has, and which of its types found their names free.
#[derive(Debug)]
pub struct Class {
    pub schema: Arc<ClassSchema>,
    /// As types call it.
    pub name: String,
    pub switches: ClassSwitches,
    pub has: Vec<Part>,
}

/// What a class's types need to know of the others.
pub trait Others {
    /// The class, when it is part of the schema.
    fn class(&self, class: &ClassName) -> Option<&Class>;
}

fn object() -> TypeRef {
    TypeRef::named("Object")
}

impl Class {
    pub fn has(&self, part: Part) -> bool {
        self.has.contains(&part)
    }

    /// The type, or `None` where its name was taken.
    pub fn type_of(&self, part: Part) -> Option<TypeRef> {
        self.has(part).then(|| TypeRef::named(part.name(&self.name)))
    }

    /// Connections need their edges too.
    pub fn connection(&self) -> Option<TypeRef> {
        if self.has(Part::Edge) { self.type_of(Part::Connection) } else { None }
    }

    /// The fields' names in order.
    pub fn fields(&self) -> Vec<&str> {
        let mut fields: Vec<&str> = self
            .schema
            .fields
            .keys()
            .map(|name| name.as_str())
            .filter(|name| !name.starts_with('_'))
            .collect();
        if !fields.contains(&"ACL") {
            fields.push("ACL");
        }
        fields.sort_unstable();
        fields
    }

    fn type_of_field(&self, name: &str) -> Option<&FieldType> {
        if name == "ACL" { Some(&FieldType::Acl) } else { self.schema.field_type(name) }
    }

    fn is_required(&self, name: &str) -> bool {
        self.schema.field(name).is_some_and(|field| field.required)
    }

    fn custom(&self) -> Vec<&str> {
        self.fields().into_iter().filter(|name| !COMMON.contains(name) && *name != "id").collect()
    }

    fn chosen(&self, list: Option<&Vec<String>>) -> Vec<&str> {
        let mut fields = self.custom();
        if let Some(list) = list {
            fields.retain(|name| list.iter().any(|known| known == name));
        }
        fields
    }

    /// Builds one of the class's types.
    pub fn build(&self, part: Part, others: &dyn Others) -> TypeDef {
        let name = part.name(&self.name);
        let class = &self.name;
        let (description, kind) = match part {
            Part::CreateFields => (
                format!(
                    "The {name} input type is used in operations that involve creation of objects in the {class} class."
                ),
                TypeKind::Input(self.written(self.switches.create_fields.as_ref(), true, others)),
            ),
            Part::UpdateFields => (
                format!(
                    "The {name} input type is used in operations that involve creation of objects in the {class} class."
                ),
                TypeKind::Input(self.written(self.switches.update_fields.as_ref(), false, others)),
            ),
            Part::Pointer => (
                format!("Allow to link OR add and link an object of the {class} class."),
                TypeKind::Input(self.pointer()),
            ),
            Part::Relation => (
                format!(
                    "Allow to add, remove, createAndAdd objects of the {class} class into a relation field."
                ),
                TypeKind::Input(self.relation()),
            ),
            Part::Where => (
                format!(
                    "The {name} input type is used in operations that involve filtering objects of {class} class."
                ),
                TypeKind::Input(self.constraints(others)),
            ),
            Part::RelationWhere => (
                format!(
                    "The {name} input type is used in operations that involve filtering objects of {class} class."
                ),
                TypeKind::Input(self.related()),
            ),
            Part::Order => (
                format!("The {name} input type is used when sorting objects of the {class} class."),
                TypeKind::Enum(self.order()),
            ),
            Part::Output => (
                format!(
                    "The {name} object type is used in operations that involve outputting objects of {class} class."
                ),
                TypeKind::Object {
                    interfaces: vec!["ParseObject".into(), "Node".into()],
                    fields: self.output(others),
                },
            ),
            Part::Edge => (
                "An edge in a connection.".to_owned(),
                TypeKind::Object { interfaces: Vec::new(), fields: self.edge() },
            ),
            Part::Connection => (
                "A connection to a list of items.".to_owned(),
                TypeKind::Object { interfaces: Vec::new(), fields: self.connection_fields() },
            ),
            Part::CreateInput | Part::UpdateInput | Part::DeleteInput => {
                return TypeDef {
                    name: name.into(),
                    description: None,
                    kind: TypeKind::Input(self.input(part)),
                };
            }
            Part::CreatePayload | Part::UpdatePayload | Part::DeletePayload => {
                let kind = TypeKind::Object { interfaces: Vec::new(), fields: self.payload(part) };
                return TypeDef { name: name.into(), description: None, kind };
            }
        };
        TypeDef { name: name.into(), description: Some(description.into()), kind }
    }
}

fn about(field: &str) -> Str {
    format!("This is the object {field}.").into()
}
