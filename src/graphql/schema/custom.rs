//! A schema of the application's own (option `graphQLSchema`): types in GraphQL's language, which add to those that
//! are made from the classes. `@resolve(to:)` leads a field to a cloud function, `@mock(with:)` to a fixed value.
//! A function in JavaScript makes a schema out of the server's own: then it also tells what it took away.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::Value;

use super::types::{Code, DirectiveDef, FieldDef, OwnSchema, Resolver, Str, TypeDef, TypeKind};
use super::{Origin, RootField, Schema, Slot, given};
use crate::config::{CallbackId, GivenSchema};
use crate::graphql::language::{self, ast};

/// What such a schema may say of a field.
const DIRECTIVES: &str =
    "directive @resolve(to: String) on FIELD_DEFINITION directive @mock(with: Any!) on FIELD_DEFINITION";

/// The additions, read once; those that a function makes, with each schema of the server's own.
#[derive(Debug)]
pub struct Additions {
    document: ast::Document,
    /// Of a schema that was made in JavaScript.
    code: Option<FieldCode>,
    /// Types, and fields and values as `Type.field`, that are to be there no more.
    gone: Vec<String>,
}

#[derive(Debug)]
struct FieldCode {
    function: CallbackId,
    /// `Type.field` of each field whose value it makes.
    fields: HashSet<String>,
    made_from: Option<Arc<OwnSchema>>,
}

fn parsed(text: &str) -> Result<ast::Document, String> {
    language::parse(text).map_err(|error| {
        let (line, column) = language::location(text, error.at);
        format!("graphQLSchema: {} ({line}:{column})", error.message)
    })
}

impl Additions {
    /// # Errors
    /// What is wrong, for the operator.
    pub fn read(given: &GivenSchema) -> Result<Self, String> {
        let GivenSchema { text: given, code, .. } = given;
        let text = if given.contains('{') || code.is_some() {
            given.clone()
        } else {
            std::fs::read_to_string(given)
                .map_err(|error| format!("graphQLSchema: {given} cannot be read: {error}"))?
        };
        let code = code.as_ref().map(|code| FieldCode {
            function: code.resolve,
            fields: code.fields.clone(),
            made_from: None,
        });
        Ok(Self { document: parsed(&text)?, code, gone: Vec::new() })
    }

    /// What a function made out of the server's own schema, as its host tells.
    ///
    /// # Errors
    /// What is wrong, for the operator.
    pub fn made(told: &Value, function: CallbackId, own: Arc<OwnSchema>) -> Result<Self, String> {
        let names = |key: &str| {
            let list = told.get(key).and_then(Value::as_array).into_iter().flatten();
            list.filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
        };
        let document = match told.get("text").and_then(Value::as_str).unwrap_or_default() {
            "" => ast::Document::default(),
            text => parsed(text)?,
        };
        let fields = names("fields").into_iter().collect();
        let code = Some(FieldCode { function, fields, made_from: Some(own) });
        Ok(Self { document, code, gone: names("gone") })
    }

    /// Adds what is there to a schema, and takes away what is to go.
    pub fn apply(&self, schema: &mut Schema) {
        // A function has the directives that it takes.
        let is_made = self.code.as_ref().is_some_and(|code| code.made_from.is_some());
        let mut directives = if is_made { Vec::new() } else { declared() };
        self.gone.iter().for_each(|name| remove(schema, name));
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
        // Somebody may have looked at them.
        for (name, origin) in [("Query", Origin::Query), ("Mutation", Origin::Mutation)] {
            if let Some(slot) = schema.types.get_mut(name) {
                *slot = Slot::from(origin);
            }
        }
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
            field.resolver = Resolver::Code(Box::new(Code {
                function: code.function,
                made_from: code.made_from.clone(),
                before: field.resolver,
            }));
        }
        field
    }

    fn add(&self, schema: &mut Schema, definition: &ast::TypeDefinition) {
        let name = definition.name.text.as_str();
        if let ("Query" | "Mutation", ast::TypeBody::Object { fields, .. }) = (name, &definition.body) {
            let is_query = name == "Query";
            for field in fields {
                let (key, built) = given::field_of("", field);
                let roots = if is_query { &schema.queries } else { &schema.mutations };
                let known = match roots.get(&*key) {
                    Some(RootField::Given(known)) => Some(known.clone()),
                    Some(RootField::Of(root)) => schema.root_field(*root, &key),
                    None => None,
                };
                let field = RootField::Given(self.resolved(name, field, built, known.as_ref()));
                let roots = if is_query { &mut schema.queries } else { &mut schema.mutations };
                roots.insert(key.to_string(), field);
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

/// Takes a type away, or a field or a value of one.
fn remove(schema: &mut Schema, gone: &str) {
    let Some((owner, member)) = gone.split_once('.') else {
        match gone {
            "Query" => schema.queries.clear(),
            "Mutation" => schema.mutations.clear(),
            _ => {}
        }
        schema.types.shift_remove(gone);
        return;
    };
    match owner {
        "Query" => drop(schema.queries.shift_remove(member)),
        "Mutation" => drop(schema.mutations.shift_remove(member)),
        _ => {
            let Some(mut known) = schema.get(owner).cloned() else { return };
            match &mut known.kind {
                TypeKind::Object { fields, .. } | TypeKind::Interface { fields, .. } => {
                    fields.shift_remove(member);
                }
                TypeKind::Input(fields) => drop(fields.shift_remove(member)),
                TypeKind::Enum(values) => drop(values.shift_remove(member)),
                TypeKind::Scalar | TypeKind::Union(_) => {}
            }
            schema.types.insert(owner.to_owned(), Slot::from(Origin::Given(Arc::new(known))));
        }
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
    use serde_json::json;

    use super::super::{Ingredients, build};
    use super::*;
    use crate::config::SchemaCode;

    #[test]
    fn additions_extend_and_override() {
        let text = r#"
            type Extra { name: String! @mock(with: "fixed") other: Int }
            extend type Query { extra(a: Int): Extra @resolve(to: "makeExtra") plain: String @resolve }
            extend type FileInfo { size: Int @resolve(to: "sizeOf") }
            extend enum ReadPreference { ANYWHERE }
        "#;
        let mut schema = build(Ingredients::default());
        let given = |text: &str| GivenSchema { text: text.to_owned(), code: None, make: None };
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
        let text_of_made = "type Query { made: Int } type Extra { other: Int }".to_owned();
        let made = GivenSchema { text: text_of_made, code, make: None };
        let mut schema = build(Ingredients::default());
        Additions::read(&given(text)).unwrap().apply(&mut schema);
        Additions::read(&made).unwrap().apply(&mut schema);
        let query = schema.get("Query").unwrap().fields().unwrap();
        assert!(matches!(&query["made"].resolver, Resolver::Code(code) if code.function == resolve));
        let extra = schema.get("Extra").unwrap().fields().unwrap();
        assert!(matches!(&extra["other"].resolver, Resolver::Code(code) if code.function == resolve));
        assert!(matches!(extra["name"].resolver, Resolver::Mock(_)));
        assert!(Additions::read(&given("type {")).unwrap_err().contains("(1:6)"));
    }

    #[test]
    fn a_function_adds_changes_and_takes_away() {
        let mut schema = build(Ingredients::default());
        // It has been looked at.
        assert!(schema.get("Query").unwrap().fields().unwrap().contains_key("classes"));
        let told = json!({
            "text": "type Query { health: Boolean! more: Int }",
            "fields": ["Query.health"],
            "gone": ["Query.classes", "FileInfo.url", "ReadPreference.NEAREST", "PublicACLInput"],
        });
        let own = Arc::new(OwnSchema { key: "k".to_owned(), text: String::new() });
        Additions::made(&told, CallbackId(3), own.clone()).unwrap().apply(&mut schema);
        let query = schema.get("Query").unwrap().fields().unwrap();
        assert!(query.contains_key("more") && !query.contains_key("classes"));
        let code = match &query["health"].resolver {
            Resolver::Code(code) => Some(code),
            _ => None,
        };
        assert!(
            code.is_some_and(|code| matches!(code.before, Resolver::Query(_)) && code.made_from.is_some())
        );
        let info = schema.get("FileInfo").unwrap().fields().unwrap();
        assert!(info.contains_key("name") && !info.contains_key("url"));
        let preference = &schema.get("ReadPreference").unwrap().kind;
        assert!(matches!(preference, TypeKind::Enum(values) if values.len() == 4));
        assert!(schema.get("PublicACLInput").is_none());
        // A function that changes nothing.
        let nothing = json!({ "text": "", "fields": [], "gone": [] });
        assert!(Additions::made(&nothing, CallbackId(3), own).is_ok());
    }
}
