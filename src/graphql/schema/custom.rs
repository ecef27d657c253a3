//! A schema of the application's own (option `graphQLSchema`): types in GraphQL's language, which add to those that
//! are made from the classes. `@resolve(to:)` leads a field to a cloud function, `@mock(with:)` to a fixed value.

use std::sync::Arc;

use super::types::{DirectiveDef, FieldDef, Resolver, Str, TypeDef, TypeKind};
use super::{Origin, RootField, Schema, Slot, given};
use crate::config::{GivenSchema, SchemaCode};
use crate::graphql::language::{self, ast};

/// What such a schema may say of a field.
const DIRECTIVES: &str =
    "directive @resolve(to: String) on FIELD_DEFINITION directive @mock(with: Any!) on FIELD_DEFINITION";

/// The additions, read once.
#[derive(Debug)]
pub struct Additions {
    document: ast::Document,
    /// Of a schema that was made in JavaScript.
    code: Option<SchemaCode>,
}

impl Additions {
    /// # Errors
    /// What is wrong, for the operator.
    pub fn read(given: &GivenSchema) -> Result<Self, String> {
        let GivenSchema { text: given, code } = given;
        let text = if given.contains('{') || code.is_some() {
            given.clone()
        } else {
            std::fs::read_to_string(given)
                .map_err(|error| format!("graphQLSchema: {given} cannot be read: {error}"))?
        };
        let document = language::parse(&text).map_err(|error| {
            let (line, column) = language::location(&text, error.at);
            format!("graphQLSchema: {} ({line}:{column})", error.message)
        })?;
        Ok(Self { document, code: code.clone() })
    }

    /// Adds what is there to a schema.
    pub fn apply(&self, schema: &mut Schema) {
        let mut directives = declared();
        for definition in &self.document.definitions {
            match definition {
                ast::Definition::Type(ty) => self.add(schema, ty),
                ast::Definition::Directive(_) => {
                    let one = ast::Document { definitions: vec![definition.clone()] };
                    directives.extend(given::of_document(&one).directives);
                }
                _ => {}
            }
        }
        // Before those of the language.
        directives.retain(|directive| schema.directive(&directive.name).is_none());
        schema.directives.splice(..0, directives);
    }

    /// A field as its directives, or its code, have it; `known` is what it was before.
    fn resolved(
        &self,
        owner: &str,
        definition: &ast::FieldDefinition,
        mut field: FieldDef,
        known: Option<&FieldDef>,
    ) -> FieldDef {
        if let Some(known) = known {
            field.resolver = known.resolver.clone();
            field.description = field.description.or_else(|| known.description.clone());
        }
        let argument = |name: &str, argument: &str| {
            let directive = definition.directives.iter().find(|directive| directive.name.text == name)?;
            let value = directive.arguments.iter().find(|given| given.name.text == argument);
            Some(value.and_then(|given| given::constant(&given.value)))
        };
        if let Some(to) = argument("resolve", "to") {
            let name = to.as_ref().and_then(|to| to.as_str()).filter(|to| !to.is_empty());
            field.resolver = Resolver::Function(name.unwrap_or(&definition.name.text).to_owned());
        }
        if let Some(value) = argument("mock", "with") {
            field.resolver = Resolver::Mock(value.unwrap_or_default());
        }
        let named = format!("{owner}.{}", definition.name.text);
        if let Some(code) = self.code.as_ref().filter(|code| code.fields.contains(&named)) {
            field.resolver = Resolver::Code(code.resolve);
        }
        field
    }

    fn add(&self, schema: &mut Schema, definition: &ast::TypeDefinition) {
        let name = definition.name.text.as_str();
        if let ("Query" | "Mutation", ast::TypeBody::Object { fields, .. }) = (name, &definition.body) {
            let roots = if name == "Query" { &mut schema.queries } else { &mut schema.mutations };
            for field in fields {
                let (key, built) = given::field_of("", field);
                roots.insert(key.to_string(), RootField::Given(self.resolved(name, field, built, None)));
            }
            return;
        }
        let mut built = given::type_of(definition);
        let known = schema.get(name).cloned();
        // Fields of the same name as known ones are other fields of another owner here.
        if let (
            Some(fields),
            ast::TypeBody::Object { fields: own, .. } | ast::TypeBody::Interface { fields: own, .. },
        ) = (built.fields_mut(), &definition.body)
        {
            for field in own {
                let before = known.as_ref().and_then(|known| known.fields()?.get(field.name.text.as_str()));
                let (key, made) = given::field_of("", field);
                fields.insert(key, self.resolved(name, field, made, before));
            }
        }
        let merged = match known {
            Some(known) => merged(known, built),
            None => built,
        };
        schema.types.insert(name.to_owned(), Slot::from(Origin::Given(Arc::new(merged))));
    }
}

fn declared() -> Vec<DirectiveDef> {
    language::parse(DIRECTIVES).map(|document| given::of_document(&document).directives).unwrap_or_default()
}

fn merged(mut known: TypeDef, added: TypeDef) -> TypeDef {
    let union = |known: &mut Vec<Str>, added: Vec<Str>| {
        for name in added {
            if !known.contains(&name) {
                known.push(name);
            }
        }
    };
    match (&mut known.kind, added.kind) {
        (
            TypeKind::Object { interfaces, fields } | TypeKind::Interface { interfaces, fields },
            TypeKind::Object { interfaces: more, fields: new }
            | TypeKind::Interface { interfaces: more, fields: new },
        ) => {
            union(interfaces, more);
            fields.extend(new);
        }
        (TypeKind::Union(members), TypeKind::Union(more)) => union(members, more),
        (TypeKind::Enum(values), TypeKind::Enum(more)) => values.extend(more),
        (TypeKind::Input(fields), TypeKind::Input(more)) => fields.extend(more),
        // Of another kind than before: as it was.
        _ => {}
    }
    if added.description.is_some() {
        known.description = added.description;
    }
    known
}

#[cfg(test)]
mod tests {
    use super::super::{Ingredients, build};
    use super::*;
    use crate::config::CallbackId;

    #[test]
    fn additions_extend_and_override() {
        let text = r#"
            type Extra { name: String! @mock(with: "fixed") other: Int }
            extend type Query { extra(a: Int): Extra @resolve(to: "makeExtra") plain: String @resolve }
            extend type FileInfo { size: Int @resolve(to: "sizeOf") }
            extend enum ReadPreference { ANYWHERE }
        "#;
        let mut schema = build(Ingredients::default());
        let given = |text: &str| GivenSchema { text: text.to_owned(), code: None };
        Additions::read(&given(text)).unwrap().apply(&mut schema);
        let query = schema.get("Query").unwrap().fields().unwrap();
        assert!(matches!(&query["extra"].resolver, Resolver::Function(name) if name == "makeExtra"));
        assert!(matches!(&query["plain"].resolver, Resolver::Function(name) if name == "plain"));
        assert!(query.contains_key("health"));
        let info = schema.get("FileInfo").unwrap().fields().unwrap();
        assert!(info.contains_key("name") && info.contains_key("size"));
        let extra = schema.get("Extra").unwrap().fields().unwrap();
        assert!(matches!(&extra["name"].resolver, Resolver::Mock(value) if value == "fixed"));
        assert!(schema.directive("resolve").is_some());
        // The code of a schema that was made in JavaScript.
        let resolve = CallbackId(7);
        let code =
            Some(SchemaCode { resolve, fields: ["Query.made".to_owned(), "Extra.other".to_owned()].into() });
        let made =
            GivenSchema { text: "type Query { made: Int } type Extra { other: Int }".to_owned(), code };
        let mut schema = build(Ingredients::default());
        Additions::read(&given(text)).unwrap().apply(&mut schema);
        Additions::read(&made).unwrap().apply(&mut schema);
        let query = schema.get("Query").unwrap().fields().unwrap();
        assert!(matches!(query["made"].resolver, Resolver::Code(id) if id == resolve));
        let extra = schema.get("Extra").unwrap().fields().unwrap();
        assert!(matches!(extra["other"].resolver, Resolver::Code(id) if id == resolve));
        assert!(matches!(extra["name"].resolver, Resolver::Mock(_)));
        assert!(Additions::read(&given("type {")).unwrap_err().contains("(1:6)"));
    }
}
