//! Types that are written down as text: those that every application has, and those of introspection. Parsed once
//! for the process.

use std::sync::{Arc, OnceLock};

use indexmap::IndexMap;

use super::types::{
    DirectiveDef, EnumValue, FieldDef, Fields, InputValue, Introspection, Mutation, Query, Resolver, Str,
    TypeDef, TypeKind, TypeRef,
};
use super::{Origin, Slot};
use crate::graphql::language::{self, ast};

/// Types and directives of a text, and its root fields.
#[derive(Debug, Default)]
pub struct Given {
    pub types: IndexMap<String, Arc<TypeDef>>,
    pub queries: Fields,
    pub mutations: Fields,
    pub directives: Vec<DirectiveDef>,
}

/// What every application has.
pub fn base() -> &'static Given {
    static BASE: OnceLock<Given> = OnceLock::new();
    BASE.get_or_init(|| read(include_str!("base.graphql")))
}

/// What applications have that show their users.
pub fn users() -> &'static Given {
    static USERS: OnceLock<Given> = OnceLock::new();
    USERS.get_or_init(|| read(include_str!("users.graphql")))
}

/// What applications have that have cloud functions; the enum of their names is made for each.
pub fn functions() -> &'static Given {
    static FUNCTIONS: OnceLock<Given> = OnceLock::new();
    FUNCTIONS.get_or_init(|| read(include_str!("functions.graphql")))
}

/// `__Schema` and the others.
pub(super) fn introspection() -> &'static IndexMap<String, Slot> {
    static INTROSPECTION: OnceLock<IndexMap<String, Slot>> = OnceLock::new();
    INTROSPECTION.get_or_init(|| {
        let given = read(include_str!("introspection.graphql"));
        given.types.into_iter().map(|(name, ty)| (name, Slot::from(Origin::Given(ty)))).collect()
    })
}

/// The fields that every selection may ask for, and the query type has.
pub fn meta_field(name: &str, is_query: bool) -> Option<&'static FieldDef> {
    static META: OnceLock<[FieldDef; 3]> = OnceLock::new();
    let [schema, ty, typename] = META.get_or_init(|| {
        let by =
            |ty: TypeRef, text: &'static str, what| FieldDef::new(ty, text).by(Resolver::Introspection(what));
        let text = || TypeRef::named("String").required();
        [
            by(
                TypeRef::named("__Schema").required(),
                "Access the current type schema of this server.",
                Introspection::Schema,
            ),
            by(
                TypeRef::named("__Type"),
                "Request the type information of a single type.",
                Introspection::Type,
            )
            .with_arg("name", InputValue::plain(text())),
            by(text(), "The name of the current Object type at runtime.", Introspection::Typename),
        ]
    });
    match name {
        "__typename" => Some(typename),
        "__schema" if is_query => Some(schema),
        "__type" if is_query => Some(ty),
        _ => None,
    }
}

/// A text that is part of this program is never wrong; the tests read all of them.
fn read(text: &str) -> Given {
    language::parse(text).map(|document| of_document(&document)).unwrap_or_default()
}

/// Definitions as types. Extensions are left out.
pub fn of_document(document: &ast::Document) -> Given {
    let mut given = Given::default();
    for definition in &document.definitions {
        match definition {
            ast::Definition::Type(ty) if !ty.extends => {
                let mut built = type_of(ty);
                let name = ty.name.text.as_str();
                if let ("Query" | "Mutation", Some(fields)) = (name, built.fields_mut()) {
                    let fields = std::mem::take(fields);
                    if name == "Query" {
                        given.queries.extend(fields)
                    } else {
                        given.mutations.extend(fields)
                    }
                    continue;
                }
                given.types.insert(name.to_owned(), Arc::new(built));
            }
            ast::Definition::Directive(directive) => given.directives.push(DirectiveDef {
                name: directive.name.text.clone().into(),
                description: directive.description.clone().map(Into::into),
                args: directive.arguments.iter().map(input).collect(),
                repeatable: directive.repeatable,
                locations: directive.locations.iter().map(|name| name.text.clone().into()).collect(),
            }),
            _ => {}
        }
    }
    given
}

pub fn type_of(ty: &ast::TypeDefinition) -> TypeDef {
    let owner = ty.name.text.as_str();
    let names = |names: &[ast::Name]| names.iter().map(|name| Str::Owned(name.text.clone())).collect();
    let fields =
        |fields: &[ast::FieldDefinition]| fields.iter().map(|field| field_of(owner, field)).collect();
    let kind = match &ty.body {
        ast::TypeBody::Scalar => TypeKind::Scalar,
        ast::TypeBody::Object { interfaces, fields: own } => {
            TypeKind::Object { interfaces: names(interfaces), fields: fields(own) }
        }
        ast::TypeBody::Interface { interfaces, fields: own } => {
            TypeKind::Interface { interfaces: names(interfaces), fields: fields(own) }
        }
        ast::TypeBody::Union(members) => TypeKind::Union(names(members)),
        ast::TypeBody::Enum(values) => TypeKind::Enum(values.iter().map(enum_value).collect()),
        ast::TypeBody::Input(own) => TypeKind::Input(own.iter().map(input).collect()),
    };
    TypeDef { name: ty.name.text.clone().into(), description: ty.description.clone().map(Into::into), kind }
}

pub fn enum_value(value: &ast::EnumValueDefinition) -> (Str, EnumValue) {
    let description = value.description.clone().map(Into::into);
    let deprecated = deprecation(&value.directives);
    (value.name.text.clone().into(), EnumValue { description, value: None, deprecated })
}

pub fn input(definition: &ast::InputDefinition) -> (Str, InputValue) {
    let value = InputValue {
        description: definition.description.clone().map(Into::into),
        ty: TypeRef::from_ast(&definition.ty),
        default: definition.default.as_ref().and_then(constant),
    };
    (definition.name.text.clone().into(), value)
}

pub fn field_of(owner: &str, field: &ast::FieldDefinition) -> (Str, FieldDef) {
    let name = field.name.text.as_str();
    let built = FieldDef {
        description: field.description.clone().map(Into::into),
        args: field.arguments.iter().map(input).collect(),
        ty: TypeRef::from_ast(&field.ty),
        resolver: resolver_of(owner, name),
        deprecated: deprecation(&field.directives),
    };
    (Str::Owned(name.to_owned()), built)
}

fn deprecation(directives: &[ast::Directive]) -> Option<Str> {
    let directive = directives.iter().find(|directive| directive.name.text == "deprecated")?;
    let reason = directive.arguments.iter().find(|argument| argument.name.text == "reason");
    Some(match reason.map(|argument| &argument.value.kind) {
        Some(ast::ValueKind::Text { text, .. }) => text.clone().into(),
        _ => "No longer supported".into(),
    })
}

/// A value without variables, as JSON; a name stands for itself.
pub fn constant(value: &ast::Value) -> Option<serde_json::Value> {
    use serde_json::Value;
    Some(match &value.kind {
        ast::ValueKind::Variable(_) => return None,
        ast::ValueKind::Int(text) | ast::ValueKind::Float(text) => {
            serde_json::from_str(text).unwrap_or(Value::Null)
        }
        ast::ValueKind::Text { text, .. } | ast::ValueKind::Enum(text) => text.clone().into(),
        ast::ValueKind::Boolean(value) => (*value).into(),
        ast::ValueKind::Null => Value::Null,
        ast::ValueKind::List(items) => items.iter().filter_map(constant).collect(),
        ast::ValueKind::Object(fields) => fields
            .iter()
            .filter_map(|field| Some((field.name.text.clone(), constant(&field.value)?)))
            .collect(),
    })
}

/// What stands behind the fields of the types above; all others are properties of their objects.
fn resolver_of(owner: &str, field: &str) -> Resolver {
    let mutation = |mutation| Resolver::Mutation(mutation);
    match (owner, field) {
        ("ACL", "users") => Resolver::AclUsers,
        ("ACL", "roles") => Resolver::AclRoles,
        ("ACL", "public") => Resolver::AclPublic,
        ("Query", "node") => Resolver::Query(Query::Node),
        ("Query", "health") => Resolver::Query(Query::Health),
        ("Query", "viewer") => Resolver::Query(Query::Viewer),
        ("Query", "class") => Resolver::Query(Query::Class),
        ("Query", "classes") => Resolver::Query(Query::Classes),
        ("Query", "cloudConfig") => Resolver::Query(Query::CloudConfig),
        ("Mutation", "createFile") => mutation(Mutation::CreateFile),
        ("Mutation", "signUp") => mutation(Mutation::SignUp),
        ("Mutation", "logInWith") => mutation(Mutation::LogInWith),
        ("Mutation", "logIn") => mutation(Mutation::LogIn),
        ("Mutation", "logOut") => mutation(Mutation::LogOut),
        ("Mutation", "resetPassword") => mutation(Mutation::ResetPassword),
        ("Mutation", "confirmResetPassword") => mutation(Mutation::ConfirmResetPassword),
        ("Mutation", "sendVerificationEmail") => mutation(Mutation::SendVerificationEmail),
        ("Mutation", "challenge") => mutation(Mutation::Challenge),
        ("Mutation", "callCloudCode") => mutation(Mutation::CallCloudCode),
        ("Mutation", "createClass") => mutation(Mutation::CreateClass),
        ("Mutation", "updateClass") => mutation(Mutation::UpdateClass),
        ("Mutation", "deleteClass") => mutation(Mutation::DeleteClass),
        ("Mutation", "updateCloudConfig") => mutation(Mutation::UpdateCloudConfig),
        _ => Resolver::Property,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_can_be_read() {
        for text in [
            include_str!("base.graphql"),
            include_str!("users.graphql"),
            include_str!("functions.graphql"),
            include_str!("introspection.graphql"),
        ] {
            language::parse(text).unwrap();
        }
    }

    #[test]
    fn root_fields_have_resolvers() {
        for given in [base(), users(), functions()] {
            for (name, field) in given.queries.iter().chain(&given.mutations) {
                assert!(!matches!(field.resolver, Resolver::Property), "{name}");
            }
        }
    }
}
