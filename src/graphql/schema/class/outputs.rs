//! What is answered: objects, connections, and what mutations come to.

use super::{Class, Others, Part, about, object};
use crate::graphql::schema::names;
use crate::graphql::schema::types::{FieldDef, Fields, InputValue, Mutation, Resolver, Str, TypeRef};
use crate::types::{ClassName, FieldType};

impl Class {
    pub(super) fn output(&self, others: &dyn Others) -> Fields {
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

    pub(super) fn edge(&self) -> Fields {
        let mut fields = Fields::new();
        fields.insert("node".into(), FieldDef::new(self.node(), "The item at the end of the edge"));
        let text = "A cursor for use in pagination";
        fields.insert("cursor".into(), FieldDef::new(TypeRef::named("String").required(), text));
        fields
    }

    pub(super) fn connection_fields(&self) -> Fields {
        let mut fields = Fields::new();
        let page_info = TypeRef::named("PageInfo").required();
        fields.insert("pageInfo".into(), FieldDef::new(page_info, "Information to aid in pagination."));
        let edges = TypeRef::named(Part::Edge.name(&self.name)).list();
        fields.insert("edges".into(), FieldDef::new(edges, "A list of edges."));
        let count = "This is the total matched objecs count that is returned when the count flag is set.";
        fields.insert("count".into(), FieldDef::new(TypeRef::named("Int").required(), count));
        fields
    }

    pub(super) fn payload(&self, part: Part) -> Fields {
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
