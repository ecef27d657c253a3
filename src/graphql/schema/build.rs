//! Which types, queries and mutations there are, in parse-server's order: what comes first has the name.

use std::collections::HashSet;
use std::sync::Arc;

use super::class::{Class, Part};
use super::plural::plural;
use super::switches::Switches;
use super::types::{EnumValue, Fields, Resolver, Str, TypeDef, TypeKind, TypeRef};
use super::{Origin, Root, RootField, Schema, Slot, given, names};
use crate::types::{ClassName, ClassSchema};

/// What a schema is made of.
#[derive(Debug, Default)]
pub struct Ingredients {
    pub classes: Vec<Arc<ClassSchema>>,
    pub switches: Switches,
    /// Cloud functions by name, in the order of their registration.
    pub functions: Vec<String>,
    /// Classes whose live queries are offered as subscriptions.
    pub subscriptions: Vec<ClassName>,
}

pub fn build(ingredients: Ingredients) -> Schema {
    let mut builder = Builder::default();
    builder.promised.extend(LATE);
    builder.base();
    builder.schema.queries.extend(take_node(&given::base().queries));
    let Ingredients { mut classes, switches, mut functions, subscriptions } = ingredients;
    classes.retain(|class| switches.shows(&class.name));
    let has_users = classes.iter().any(|class| class.name.is_user());
    // Those of parse-server first; then capitals before small letters.
    classes.sort_by_key(|class| (!class.name.is_system(), class.name.clone()));
    for class in classes {
        builder.class(class, &switches);
    }
    builder.array_result();
    builder.defaults(has_users);
    functions.retain(|name| {
        let valid = names::is_name(name);
        if !valid {
            tracing::warn!(
                "Function {name} could not be added to the auto schema because GraphQL names must match /^[_a-zA-Z][_a-zA-Z0-9]*$/."
            );
        }
        valid
    });
    builder.mutations(has_users, &functions);
    builder.roots();
    let mut schema = builder.schema;
    schema.directives = given::base().directives.clone();
    if !subscriptions.is_empty() {
        add_subscriptions(&mut schema, &subscriptions);
    }
    schema
}

/// The one query that is there before those of the classes.
fn take_node(queries: &Fields) -> Option<(String, RootField)> {
    queries.get("node").map(|field| ("node".to_owned(), RootField::Given(field.clone())))
}

#[derive(Default)]
struct Builder {
    schema: Schema,
    /// Types of the texts that come later, whose names are theirs already.
    promised: HashSet<&'static str>,
}

impl Builder {
    fn base(&mut self) {
        for (name, ty) in given::base().types.iter().filter(|(name, _)| !LATE.contains(&name.as_str())) {
            self.schema.types.insert(name.clone(), Slot::from(Origin::Given(ty.clone())));
        }
    }

    /// # Returns
    /// Whether the name was free.
    fn add(&mut self, name: String, origin: Origin, is_connection: bool) -> bool {
        let taken = names::RESERVED_TYPES.contains(&name.as_str())
            || self.schema.types.contains_key(&name)
            || self.promised.contains(name.as_str())
            || (!is_connection && name.ends_with("Connection"));
        if taken {
            tracing::warn!(
                "Type {name} could not be added to the auto schema because it collided with an existing type."
            );
            return false;
        }
        self.schema.types.insert(name, Slot::from(origin));
        true
    }

    fn class(&mut self, schema: Arc<ClassSchema>, switches: &Switches) {
        let index = self.schema.classes.len();
        let id = schema.name.clone();
        let name = names::of_class(&id);
        let switches = switches.of(&id);
        let mut has = Vec::with_capacity(16);
        for part in Part::TYPES {
            if part == Part::Connection && !has.contains(&Part::Edge) {
                continue;
            }
            if self.add(part.name(&name), Origin::Of(index, part), part == Part::Connection) {
                has.push(part);
                if part == Part::Connection && !self.schema.types.contains_key("PageInfo") {
                    self.late("PageInfo");
                }
            }
        }
        if id.is_user() {
            self.late("Viewer");
        }
        self.root(
            false,
            switches.get.off,
            switches.get.alias.clone(),
            || names::small(&name),
            Root::Get(index),
        );
        let many = || plural(&names::small(&name));
        self.root(false, switches.find.off, switches.find.alias.clone(), many, Root::Find(index));
        for (choice, input, payload, verb) in [
            (&switches.create, Part::CreateInput, Part::CreatePayload, "create"),
            (&switches.update, Part::UpdateInput, Part::UpdatePayload, "update"),
            (&switches.destroy, Part::DeleteInput, Part::DeletePayload, "delete"),
        ] {
            let both = !choice.off
                && self.add(input.name(&name), Origin::Of(index, input), false)
                && self.add(payload.name(&name), Origin::Of(index, payload), false);
            if both {
                has.extend([input, payload]);
                let own = || format!("{verb}{name}");
                self.root(true, false, choice.alias.clone(), own, Root::Mutate(index, input));
            }
        }
        self.schema.classes.insert(id, Class { schema, name, switches, has });
    }

    /// A query or a mutation of a class.
    fn root(&mut self, writes: bool, off: bool, alias: Option<String>, own: impl Fn() -> String, root: Root) {
        if off {
            return;
        }
        let name = alias.unwrap_or_else(own);
        let (fields, reserved, given) = if writes {
            (&mut self.schema.mutations, names::RESERVED_MUTATIONS, "Mutation")
        } else {
            (&mut self.schema.queries, names::RESERVED_QUERIES, "Query")
        };
        let promised = writes
            && [given::base(), given::users(), given::functions()]
                .iter()
                .any(|given| given.mutations.contains_key(name.as_str()));
        if reserved.contains(&name.as_str())
            || fields.contains_key(&name)
            || promised
            || !names::is_name(&name)
        {
            tracing::warn!(
                "{given} {name} could not be added to the auto schema because it collided with an existing field."
            );
            return;
        }
        fields.insert(name, RootField::Of(root));
    }

    /// A type of the texts whose turn has come.
    fn late(&mut self, name: &str) {
        let found = [given::base(), given::users(), given::functions()]
            .into_iter()
            .find_map(|given| given.types.get(name));
        if let Some(ty) = found {
            self.schema.types.insert(name.to_owned(), Slot::from(Origin::Given(ty.clone())));
        }
    }

    fn array_result(&mut self) {
        let classes = self.schema.classes.values().filter(|class| class.has(Part::Output));
        let members = classes.map(|class| Str::Owned(class.name.clone()));
        let members: Vec<Str> = std::iter::once(Str::Borrowed("Element")).chain(members).collect();
        let text = "Use Inline Fragment on Array to get results: https://graphql.org/learn/queries/#inline-fragments";
        let ty = TypeDef {
            name: "ArrayResult".into(),
            description: Some(text.into()),
            kind: TypeKind::Union(members),
        };
        self.schema.types.insert("ArrayResult".to_owned(), Slot::from(Origin::Given(Arc::new(ty))));
    }

    /// The queries that every application has, after those of its classes.
    fn defaults(&mut self, has_users: bool) {
        self.late("ConfigValue");
        let (base, users) = (&given::base().queries, &given::users().queries);
        for name in ["health", "viewer", "class", "classes", "cloudConfig"] {
            let field = base.get(name).or_else(|| users.get(name).filter(|_| has_users));
            if let Some(field) = field {
                self.schema.queries.insert(name.to_owned(), RootField::Given(field.clone()));
            }
        }
    }

    fn mutations(&mut self, has_users: bool, functions: &[String]) {
        self.mutation("createFile", &["CreateFileInput", "CreateFilePayload"]);
        if has_users {
            for (name, ty) in [
                ("signUp", "SignUp"),
                ("logInWith", "LogInWith"),
                ("logIn", "LogIn"),
                ("logOut", "LogOut"),
                ("resetPassword", "ResetPassword"),
                ("confirmResetPassword", "ConfirmResetPassword"),
                ("sendVerificationEmail", "SendVerificationEmail"),
                ("challenge", "Challenge"),
            ] {
                let (input, payload) = (format!("{ty}Input"), format!("{ty}Payload"));
                self.mutation(name, &[&input, &payload]);
                if name == "logInWith" {
                    self.login_with_fields();
                }
            }
        }
        if !functions.is_empty() {
            let values = functions.iter().map(|name| (Str::Owned(name.clone()), EnumValue::default()));
            let text =
                "The CloudCodeFunction enum type contains a list of all available cloud code functions.";
            let ty = TypeDef {
                name: "CloudCodeFunction".into(),
                description: Some(text.into()),
                kind: TypeKind::Enum(values.collect()),
            };
            self.schema.types.insert("CloudCodeFunction".to_owned(), Slot::from(Origin::Given(Arc::new(ty))));
            self.mutation("callCloudCode", &["CallCloudCodeInput", "CallCloudCodePayload"]);
        }
        self.mutation("createClass", &["CreateClassInput", "CreateClassPayload"]);
        self.mutation("updateClass", &["UpdateClassInput", "UpdateClassPayload"]);
        self.mutation("deleteClass", &["DeleteClassInput", "DeleteClassPayload"]);
        self.mutation("updateCloudConfig", &["UpdateCloudConfigInput", "UpdateCloudConfigPayload"]);
    }

    fn mutation(&mut self, name: &str, types: &[&str]) {
        for ty in types {
            self.late(ty);
        }
        let found = [given::base(), given::users(), given::functions()]
            .into_iter()
            .find_map(|given| given.mutations.get(name));
        if let Some(field) = found {
            self.schema.mutations.insert(name.to_owned(), RootField::Given(field.clone()));
        }
    }

    /// The fields of `CreateUserFieldsInput` but for those that say who it is.
    fn login_with_fields(&mut self) {
        let users = self.schema.classes.get("_User");
        let Some(create) = users.filter(|class| class.has(Part::CreateFields)) else { return };
        let TypeDef { kind: TypeKind::Input(mut fields), .. } =
            create.build(Part::CreateFields, &self.schema)
        else {
            return;
        };
        fields.retain(|name, _| !["password", "username", "authData"].contains(&&**name));
        let ty =
            TypeDef { name: "UserLoginWithInput".into(), description: None, kind: TypeKind::Input(fields) };
        self.schema.types.insert("UserLoginWithInput".to_owned(), Slot::from(Origin::Given(Arc::new(ty))));
    }

    fn roots(&mut self) {
        self.schema.types.insert("Query".to_owned(), Slot::from(Origin::Query));
        self.schema.types.insert("Mutation".to_owned(), Slot::from(Origin::Mutation));
    }
}

/// Types of the texts that have their place after those of the classes.
const LATE: &[&str] = &[
    "PageInfo",
    "Viewer",
    "ConfigValue",
    "CreateFileInput",
    "CreateFilePayload",
    "SignUpInput",
    "SignUpPayload",
    "LogInWithInput",
    "LogInWithPayload",
    "UserLoginWithInput",
    "LogInInput",
    "LogInPayload",
    "LogOutInput",
    "LogOutPayload",
    "ResetPasswordInput",
    "ResetPasswordPayload",
    "ConfirmResetPasswordInput",
    "ConfirmResetPasswordPayload",
    "SendVerificationEmailInput",
    "SendVerificationEmailPayload",
    "ChallengeInput",
    "ChallengePayload",
    "CallCloudCodeInput",
    "CallCloudCodePayload",
    "CreateClassInput",
    "CreateClassPayload",
    "UpdateClassInput",
    "UpdateClassPayload",
    "DeleteClassInput",
    "DeleteClassPayload",
    "UpdateCloudConfigInput",
    "UpdateCloudConfigPayload",
];

/// One field for each class, called like one of its objects.
fn add_subscriptions(schema: &mut Schema, live: &[ClassName]) {
    let mut fields = Fields::new();
    let mut types: Vec<TypeDef> = Vec::new();
    for class in schema.classes.values().filter(|class| class.has(Part::Output)) {
        let event = event_type(class);
        // A class of that name has it.
        if !live.contains(&class.schema.name) || schema.types.contains_key(&event) {
            continue;
        }
        let text = format!("Events of the objects of the {} class that match.", class.name);
        let field = super::FieldDef::new(TypeRef::named(event.clone()).required(), text)
            .by(Resolver::Subscription(class.schema.name.clone()));
        let own = class.type_of(Part::Where).unwrap_or_else(|| TypeRef::named("Object"));
        let text = "These are the conditions that the objects need to match.";
        let field = field.with_arg("where", super::types::InputValue::new(own, text));
        fields.insert(names::small(&class.name).into(), field);
        types.push(event_of(class, event));
    }
    if fields.is_empty() {
        return;
    }
    schema.subscriptions = true;
    let root = TypeDef {
        name: "Subscription".into(),
        description: Some("Subscription is the top level type for subscriptions.".into()),
        kind: TypeKind::Object { interfaces: Vec::new(), fields },
    };
    for ty in types.into_iter().chain([root]) {
        schema.types.insert(ty.name.to_string(), Slot::from(Origin::Given(Arc::new(ty))));
    }
}

fn event_of(class: &Class, name: String) -> TypeDef {
    let mut fields = Fields::new();
    let kind = "What happened: create, enter, update, leave or delete.";
    fields.insert("event".into(), super::FieldDef::new(TypeRef::named("String").required(), kind));
    let node = TypeRef::named(class.name.clone());
    fields.insert("node".into(), super::FieldDef::new(node, "The object as it is now."));
    TypeDef {
        name: name.into(),
        description: Some(format!("An event of an object of the {} class.", class.name).into()),
        kind: TypeKind::Object { interfaces: Vec::new(), fields },
    }
}

fn event_type(class: &Class) -> String {
    format!("{}Event", class.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Field, FieldName, FieldType};

    fn classes(many: usize) -> Vec<Arc<ClassSchema>> {
        let class = |n: usize| {
            let mut schema =
                ClassSchema::with_defaults(ClassName::valid(&format!("Class{n}")).expect("a class"));
            for field in 0..20 {
                let name = FieldName::valid(&format!("field{field}")).expect("a field");
                schema.fields.insert(name, Field::of(FieldType::String));
            }
            Arc::new(schema)
        };
        (0..many).map(class).collect()
    }

    /// A change of the schema costs the names of its types; each is built when a document names it.
    #[test]
    fn types_are_built_when_they_are_looked_at() {
        let schema = build(Ingredients { classes: classes(500), ..Ingredients::default() });
        let built = || schema.types.values().filter(|slot| slot.built.get().is_some()).count();
        assert_eq!(built(), 0);
        let fields = schema.get("Class7").and_then(TypeDef::fields).map_or(0, Fields::len);
        assert_eq!((fields, built()), (25, 1));
    }
}
