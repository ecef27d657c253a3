//! The types of one class, each built when it is first looked at.

use std::sync::Arc;

use indexmap::IndexMap;

use super::names;
use super::switches::ClassSwitches;
use super::types::{
    EnumValue, FieldDef, Fields, InputValue, Mutation, Resolver, Str, TypeDef, TypeKind, TypeRef,
};
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

/// Fields of every object; a class's own types leave them to [`every_field`].
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

    fn written(
        &self,
        chosen: Option<&Vec<String>>,
        is_create: bool,
        others: &dyn Others,
    ) -> IndexMap<Str, InputValue> {
        let mut fields = IndexMap::new();
        fields.insert("ACL".into(), InputValue::plain(TypeRef::named("ACLInput")));
        for name in self.chosen(chosen) {
            let Some(ty) = self.type_of_field(name) else { continue };
            let ty = input_type(ty, others);
            let ty = if is_create && self.is_required(name) { ty.required() } else { ty };
            fields.insert(name.to_owned().into(), InputValue::new(ty, about(name)));
        }
        fields
    }

    fn pointer(&self) -> IndexMap<Str, InputValue> {
        let class = &self.name;
        let mut fields = IndexMap::new();
        let link = format!(
            "Link an existing object from {class} class. You can use either the global or the object id."
        );
        fields.insert("link".into(), InputValue::new(TypeRef::named("ID"), link));
        if !self.switches.create.off {
            let ty = self.type_of(Part::CreateFields).unwrap_or_else(object);
            let text = format!("Create and link an object from {class} class.");
            fields.insert("createAndLink".into(), InputValue::new(ty, text));
        }
        fields
    }

    fn relation(&self) -> IndexMap<Str, InputValue> {
        let class = &self.name;
        let ids = || TypeRef::named("ID").required().list();
        let mut fields = IndexMap::new();
        let add = format!(
            "Add existing objects from the {class} class into the relation. You can use either the global or the object ids."
        );
        fields.insert("add".into(), InputValue::new(ids(), add));
        let remove = format!(
            "Remove existing objects from the {class} class out of the relation. You can use either the global or the object ids."
        );
        fields.insert("remove".into(), InputValue::new(ids(), remove));
        if !self.switches.create.off {
            let ty = self.type_of(Part::CreateFields).unwrap_or_else(object).required().list();
            let text = format!("Create and add objects of the {class} class into the relation.");
            fields.insert("createAndAdd".into(), InputValue::new(ty, text));
        }
        fields
    }

    fn constraints(&self, others: &dyn Others) -> IndexMap<Str, InputValue> {
        let chosen = match &self.switches.constraint_fields {
            Some(list) => self.chosen(Some(list)),
            None => self.fields().into_iter().chain(["id"]).collect(),
        };
        let mut fields = IndexMap::new();
        for name in chosen {
            // These are operators.
            if ["OR", "AND", "NOR"].contains(&name) {
                continue;
            }
            let ty = match name {
                "id" | "objectId" => TypeRef::named("IdWhereInput"),
                _ => match self.type_of_field(name) {
                    Some(ty) => where_type(ty, others),
                    None => continue,
                },
            };
            fields.insert(name.to_owned().into(), InputValue::new(ty, about(name)));
        }
        let own = self.type_of(Part::Where).unwrap_or_else(object);
        for name in ["OR", "AND", "NOR"] {
            let text = format!("This is the {name} operator to compound constraints.");
            fields.insert(name.into(), InputValue::new(own.clone().required().list(), text));
        }
        fields
    }

    fn related(&self) -> IndexMap<Str, InputValue> {
        let own = || self.type_of(Part::Where).unwrap_or_else(object);
        let mut fields = IndexMap::new();
        let have = "Run a relational/pointer query where at least one child object can match.";
        fields.insert("have".into(), InputValue::new(own(), have));
        let have_not = "Run an inverted relational/pointer query where at least one child object can match.";
        fields.insert("haveNot".into(), InputValue::new(own(), have_not));
        let exists = "Check if the relation/pointer contains objects.";
        fields.insert("exists".into(), InputValue::new(TypeRef::named("Boolean"), exists));
        fields
    }

    fn order(&self) -> IndexMap<Str, EnumValue> {
        let mut values = IndexMap::new();
        let mut add = |field: &str, asc: bool, desc: bool| {
            let column = if field == "id" { "objectId" } else { field };
            let value = |text: String| EnumValue { value: Some(text.into()), ..EnumValue::default() };
            if asc {
                values.insert(format!("{field}_ASC").into(), value(column.to_owned()));
            }
            if desc {
                values.insert(format!("{field}_DESC").into(), value(format!("-{column}")));
            }
        };
        match &self.switches.sort_fields {
            // An enum has one value at least.
            Some(list) if list.is_empty() => add("id", true, true),
            Some(list) => list.iter().for_each(|sort| add(&sort.field, sort.asc, sort.desc)),
            None => self.fields().into_iter().chain(["id"]).for_each(|field| add(field, true, true)),
        }
        values
    }

    fn output(&self, others: &dyn Others) -> Fields {
        let class = &self.schema.name;
        let mut fields = every_field(class);
        if class.is_user() {
            let text = "auth provider response when triggered on signUp/logIn.";
            fields.insert("authDataResponse".into(), FieldDef::new(object(), text));
        }
        for name in self.chosen(self.switches.output_fields.as_ref()) {
            if class.is_user() && name == "password" {
                continue;
            }
            let Some(ty) = self.type_of_field(name) else { continue };
            let mut field = FieldDef::new(output_type(ty, others), about(name));
            match ty {
                FieldType::Relation(target) => {
                    field.resolver = Resolver::Relation { class: class.clone(), target: target.clone() };
                    if let Some(target) = others.class(target) {
                        field.args = target.find_args();
                    }
                }
                FieldType::Polygon => field.resolver = Resolver::Polygon,
                FieldType::Array => {
                    field.resolver = Resolver::Array;
                    field.description = Some("Use Inline Fragment on Array to get results: https://graphql.org/learn/queries/#inline-fragments".into());
                }
                _ => {}
            }
            if self.is_required(name) && !field.ty.is_required() {
                field.ty = field.ty.required();
            }
            fields.insert(name.to_owned().into(), field);
        }
        fields
    }

    fn node(&self) -> TypeRef {
        self.type_of(Part::Output).unwrap_or_else(object)
    }

    fn edge(&self) -> Fields {
        let mut fields = Fields::new();
        fields.insert("node".into(), FieldDef::new(self.node(), "The item at the end of the edge"));
        let text = "A cursor for use in pagination";
        fields.insert("cursor".into(), FieldDef::new(TypeRef::named("String").required(), text));
        fields
    }

    fn connection_fields(&self) -> Fields {
        let mut fields = Fields::new();
        let page_info = TypeRef::named("PageInfo").required();
        fields.insert("pageInfo".into(), FieldDef::new(page_info, "Information to aid in pagination."));
        let edges = TypeRef::named(Part::Edge.name(&self.name)).list();
        fields.insert("edges".into(), FieldDef::new(edges, "A list of edges."));
        let count = "This is the total matched objecs count that is returned when the count flag is set.";
        fields.insert("count".into(), FieldDef::new(TypeRef::named("Int").required(), count));
        fields
    }

    /// Arguments of the query that finds objects of the class.
    pub fn find_args(&self) -> IndexMap<Str, InputValue> {
        let order = match self.type_of(Part::Order) {
            Some(order) => order.required().list(),
            None => TypeRef::named("String"),
        };
        let mut args = IndexMap::new();
        let mut add = |name: &'static str, ty: TypeRef, text: &'static str| {
            args.insert(Str::Borrowed(name), InputValue::new(ty, text));
        };
        let own = self.type_of(Part::Where).unwrap_or_else(object);
        add("where", own, "These are the conditions that the objects need to match in order to be found.");
        add("order", order, "The fields to be used when sorting the data fetched.");
        let (text, int) = (|| TypeRef::named("String"), || TypeRef::named("Int"));
        add("skip", int(), "This is the number of objects that must be skipped to return.");
        add("after", text(), "Returns the items in the list that come after the specified cursor.");
        add("first", int(), "Returns the first n items from the list.");
        add("before", text(), "Returns the items in the list that come before the specified cursor.");
        add("last", int(), "Returns the last n items from the list.");
        add("options", TypeRef::named("ReadOptionsInput"), "The read options for the query to be executed.");
        args
    }

    fn input(&self, part: Part) -> IndexMap<Str, InputValue> {
        let mut fields = IndexMap::new();
        if part != Part::CreateInput {
            let text = "This is the object id. You can use either the global or the object id.";
            fields.insert("id".into(), InputValue::new(TypeRef::named("ID").required(), text));
        }
        let written = match part {
            Part::CreateInput => {
                Some((Part::CreateFields, "These are the fields that will be used to create the new object."))
            }
            Part::UpdateInput => {
                Some((Part::UpdateFields, "These are the fields that will be used to update the object."))
            }
            _ => None,
        };
        if let Some((written, text)) = written {
            let ty = self.type_of(written).unwrap_or_else(object);
            fields.insert("fields".into(), InputValue::new(ty, text));
        }
        fields.insert("clientMutationId".into(), InputValue::plain(TypeRef::named("String")));
        fields
    }

    fn payload(&self, part: Part) -> Fields {
        let text = match part {
            Part::CreatePayload => "This is the created object.",
            Part::UpdatePayload => "This is the updated object.",
            _ => "This is the deleted object.",
        };
        let mut fields = Fields::new();
        fields.insert(names::small(&self.name).into(), FieldDef::new(self.node().required(), text));
        let mutation_id = FieldDef { description: None, ..FieldDef::new(TypeRef::named("String"), "") };
        fields.insert("clientMutationId".into(), mutation_id);
        fields
    }

    /// A mutation of the class, by its name.
    pub fn mutation(&self, input: Part, name: &str) -> FieldDef {
        let class = &self.name;
        let payload = Str::Owned(names::small(class));
        let id = self.schema.name.clone();
        let (part, mutation, text) = match input {
            Part::CreateInput => (
                Part::CreatePayload,
                Mutation::Create(id, payload),
                format!("The {name} mutation can be used to create a new object of the {class} class."),
            ),
            Part::UpdateInput => (
                Part::UpdatePayload,
                Mutation::Update(id, payload),
                format!("The {name} mutation can be used to update an object of the {class} class."),
            ),
            _ => (
                Part::DeletePayload,
                Mutation::Delete(id, payload),
                format!("The {name} mutation can be used to delete an object of the {class} class."),
            ),
        };
        let argument = InputValue::plain(TypeRef::named(input.name(class)).required());
        FieldDef::new(TypeRef::named(part.name(class)), text)
            .by(Resolver::Mutation(mutation))
            .with_arg("input", argument)
    }
}

fn about(field: &str) -> Str {
    format!("This is the object {field}.").into()
}

/// What every object has.
fn every_field(class: &ClassName) -> Fields {
    let mut fields = Fields::new();
    let required = |name: &'static str| TypeRef::named(name).required();
    let id = FieldDef::new(required("ID"), "The ID of an object").by(Resolver::GlobalId(class.clone()));
    fields.insert("id".into(), id);
    fields.insert("objectId".into(), FieldDef::new(required("ID"), "This is the object id."));
    let created = "This is the date in which the object was created.";
    fields.insert("createdAt".into(), FieldDef::new(required("Date"), created));
    let updated = "This is the date in which the object was las updated.";
    fields.insert("updatedAt".into(), FieldDef::new(required("Date"), updated));
    let acl = FieldDef { description: None, ..FieldDef::new(required("ACL"), "") };
    fields.insert("ACL".into(), acl.by(Resolver::Acl));
    fields
}

fn input_type(ty: &FieldType, others: &dyn Others) -> TypeRef {
    let of_target = |target: &ClassName, part| {
        others.class(target).and_then(|class| class.type_of(part)).unwrap_or_else(object)
    };
    match ty {
        FieldType::String => TypeRef::named("String"),
        FieldType::Number => TypeRef::named("Float"),
        FieldType::Boolean => TypeRef::named("Boolean"),
        FieldType::Array => TypeRef::named("Any").list(),
        FieldType::Object => object(),
        FieldType::Date => TypeRef::named("Date"),
        FieldType::Pointer(target) => of_target(target, Part::Pointer),
        FieldType::Relation(target) => of_target(target, Part::Relation),
        FieldType::File => TypeRef::named("FileInput"),
        FieldType::GeoPoint => TypeRef::named("GeoPointInput"),
        FieldType::Polygon => TypeRef::named("GeoPointInput").required().list(),
        FieldType::Bytes => TypeRef::named("Bytes"),
        FieldType::Acl => TypeRef::named("ACLInput"),
    }
}

fn where_type(ty: &FieldType, others: &dyn Others) -> TypeRef {
    TypeRef::named(match ty {
        FieldType::String => "StringWhereInput",
        FieldType::Number => "NumberWhereInput",
        FieldType::Boolean => "BooleanWhereInput",
        FieldType::Array => "ArrayWhereInput",
        FieldType::Object | FieldType::Acl => "ObjectWhereInput",
        FieldType::Date => "DateWhereInput",
        FieldType::File => "FileWhereInput",
        FieldType::GeoPoint => "GeoPointWhereInput",
        FieldType::Polygon => "PolygonWhereInput",
        FieldType::Bytes => "BytesWhereInput",
        FieldType::Pointer(target) | FieldType::Relation(target) => {
            let related = others.class(target).and_then(|class| class.type_of(Part::RelationWhere));
            return related.unwrap_or_else(object);
        }
    })
}

fn output_type(ty: &FieldType, others: &dyn Others) -> TypeRef {
    match ty {
        FieldType::String => TypeRef::named("String"),
        FieldType::Number => TypeRef::named("Float"),
        FieldType::Boolean => TypeRef::named("Boolean"),
        FieldType::Array => TypeRef::named("ArrayResult").list(),
        FieldType::Object => object(),
        FieldType::Date => TypeRef::named("Date"),
        FieldType::Pointer(target) => {
            others.class(target).and_then(|class| class.type_of(Part::Output)).unwrap_or_else(object)
        }
        FieldType::Relation(target) => {
            others.class(target).and_then(Class::connection).unwrap_or_else(object).required()
        }
        FieldType::File => TypeRef::named("FileInfo"),
        FieldType::GeoPoint => TypeRef::named("GeoPoint"),
        FieldType::Polygon => TypeRef::named("GeoPoint").required().list(),
        FieldType::Bytes => TypeRef::named("Bytes"),
        FieldType::Acl => TypeRef::named("ACL").required(),
    }
}
