//! The GraphQL schema of an application: which types there are is decided when classes change, a type itself is
//! built when it is first looked at. A database with many classes costs the names of its types until somebody
//! asks for them.
//!
//! Mirrors parse-server's `ParseGraphQLSchema` and its loaders: the same names in the same order, the same names
//! that are skipped because others have them. The types that every application has are text, in `base.graphql`
//! and `users.graphql`.

mod build;
pub mod class;
pub mod custom;

mod given;
pub mod names;
mod plural;
pub mod sdl;
pub mod switches;
pub mod types;

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use indexmap::IndexMap;

pub use build::{Ingredients, build};
use class::{Class, Others, Part};
use types::{DirectiveDef, FieldDef, Fields, Resolver, Str, TypeDef, TypeKind, TypeRef};

use crate::types::ClassName;

/// Types that are part of a schema because others name them.
const IMPLIED: &[&str] = &["PageInfo", "SchemaField", "UserLoginWithInput"];

/// Where a type comes from.
#[derive(Clone, Debug)]
enum Origin {
    /// It is there already.
    Given(Arc<TypeDef>),
    Of(usize, Part),
    Query,
    Mutation,
}

#[derive(Debug)]
struct Slot {
    origin: Origin,
    built: OnceLock<Arc<TypeDef>>,
}

impl From<Origin> for Slot {
    fn from(origin: Origin) -> Self {
        Self { origin, built: OnceLock::new() }
    }
}

/// A query or mutation of a class.
#[derive(Clone, Copy, Debug)]
enum Root {
    Get(usize),
    Find(usize),
    Mutate(usize, Part),
}

// Given fields are few.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Debug)]
enum RootField {
    Of(Root),
    Given(FieldDef),
}

#[derive(Debug, Default)]
pub struct Schema {
    types: IndexMap<String, Slot>,
    classes: IndexMap<ClassName, Class>,
    queries: IndexMap<String, RootField>,
    mutations: IndexMap<String, RootField>,
    directives: Vec<DirectiveDef>,
    /// Whether subscriptions are part of it.
    subscriptions: bool,
}

impl Others for Schema {
    fn class(&self, class: &ClassName) -> Option<&Class> {
        self.classes.get(class)
    }
}

impl Schema {
    pub fn get(&self, name: &str) -> Option<&TypeDef> {
        let slot = self.types.get(name).or_else(|| given::introspection().get(name))?;
        Some(slot.built.get_or_init(|| match &slot.origin {
            Origin::Given(ty) => ty.clone(),
            Origin::Of(index, part) => Arc::new(match self.classes.get_index(*index) {
                Some((_, class)) => class.build(*part, self),
                None => nothing(name),
            }),
            Origin::Query => {
                Arc::new(self.root("Query", "Query is the top level type for queries.", &self.queries))
            }
            Origin::Mutation => {
                let text = "Mutation is the top level type for mutations.";
                Arc::new(self.root("Mutation", text, &self.mutations))
            }
        }))
    }

    fn root(&self, name: &'static str, text: &'static str, fields: &IndexMap<String, RootField>) -> TypeDef {
        let fields = fields.iter().filter_map(|(name, field)| {
            let field = match field {
                RootField::Given(field) => field.clone(),
                RootField::Of(root) => self.root_field(*root, name)?,
            };
            Some((Str::Owned(name.clone()), field))
        });
        let kind = TypeKind::Object { interfaces: Vec::new(), fields: fields.collect::<Fields>() };
        TypeDef { name: name.into(), description: Some(text.into()), kind }
    }

    fn root_field(&self, root: Root, name: &str) -> Option<FieldDef> {
        let (Root::Get(index) | Root::Find(index) | Root::Mutate(index, _)) = root;
        let (id, class) = self.classes.get_index(index)?;
        let own = &class.name;
        Some(match root {
            Root::Get(_) => {
                let ty = class.type_of(Part::Output).unwrap_or_else(|| TypeRef::named("Object"));
                let text =
                    format!("The {name} query can be used to get an object of the {own} class by its id.");
                let field =
                    FieldDef::new(ty.required(), text).by(Resolver::Query(types::Query::Get(id.clone())));
                let id_text = "This is the object id. You can use either the global or the object id.";
                let options = "The read options for the query to be executed.";
                field
                    .with_arg("id", types::InputValue::new(TypeRef::named("ID").required(), id_text))
                    .with_arg("options", types::InputValue::new(TypeRef::named("ReadOptionsInput"), options))
            }
            Root::Find(_) => {
                let ty = class.connection().unwrap_or_else(|| TypeRef::named("Object"));
                let text = format!("The {name} query can be used to find objects of the {own} class.");
                let field =
                    FieldDef::new(ty.required(), text).by(Resolver::Query(types::Query::Find(id.clone())));
                FieldDef { args: class.find_args(), ..field }
            }
            Root::Mutate(_, part) => class.mutation(part, name),
        })
    }

    pub fn of(&self, ty: &TypeRef) -> Option<&TypeDef> {
        self.get(ty.name())
    }

    /// The names of all types of its own, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.types.keys().map(String::as_str)
    }

    /// All types in the order of graphql-js: those of the schema itself, each followed by those that it is the first
    /// to name, then those of introspection.
    pub fn all(&self) -> Vec<&TypeDef> {
        let own: Vec<&str> = self.names().filter(|name| !IMPLIED.contains(name)).collect();
        let roots: HashSet<&str> = own.iter().copied().collect();
        let mut order: IndexMap<&str, &TypeDef> = IndexMap::new();
        for name in own {
            if let Some(ty) = self.get(name) {
                order.insert(&ty.name, ty);
                self.follow(ty, &roots, &mut order);
            }
        }
        for name in ["Boolean", "String", "__Schema"] {
            self.visit(name, &roots, &mut order);
        }
        order.into_values().collect()
    }

    fn visit<'s>(&'s self, name: &str, roots: &HashSet<&str>, order: &mut IndexMap<&'s str, &'s TypeDef>) {
        if roots.contains(name) || order.contains_key(name) {
            return;
        }
        if let Some(ty) = self.get(name) {
            order.insert(&ty.name, ty);
            self.follow(ty, roots, order);
        }
    }

    fn follow<'s>(
        &'s self,
        ty: &'s TypeDef,
        roots: &HashSet<&str>,
        order: &mut IndexMap<&'s str, &'s TypeDef>,
    ) {
        match &ty.kind {
            TypeKind::Union(members) => members.iter().for_each(|name| self.visit(name, roots, order)),
            TypeKind::Object { interfaces, fields } | TypeKind::Interface { interfaces, fields } => {
                interfaces.iter().for_each(|name| self.visit(name, roots, order));
                for field in fields.values() {
                    self.visit(field.ty.name(), roots, order);
                    field.args.values().for_each(|arg| self.visit(arg.ty.name(), roots, order));
                }
            }
            TypeKind::Input(fields) => {
                fields.values().for_each(|field| self.visit(field.ty.name(), roots, order));
            }
            TypeKind::Scalar | TypeKind::Enum(_) => {}
        }
    }

    pub fn has_mutations(&self) -> bool {
        !self.mutations.is_empty()
    }

    pub fn has_subscriptions(&self) -> bool {
        self.subscriptions
    }

    pub fn directives(&self) -> &[DirectiveDef] {
        &self.directives
    }

    pub fn directive(&self, name: &str) -> Option<&DirectiveDef> {
        self.directives.iter().find(|directive| directive.name == name)
    }

    pub fn class_of(&self, class: &ClassName) -> Option<&Class> {
        self.classes.get(class)
    }

    /// The class by the name that a client gave.
    pub fn class_named(&self, name: &str) -> Option<&Class> {
        self.classes.get(name)
    }

    /// The object types that a value of an abstract type may have.
    pub fn possible<'a>(&'a self, ty: &'a TypeDef) -> Vec<&'a TypeDef> {
        match &ty.kind {
            TypeKind::Union(members) => members.iter().filter_map(|name| self.get(name)).collect(),
            TypeKind::Interface { .. } => {
                self.implementations(&ty.name).into_iter().filter(|ty| ty.is_object()).collect()
            }
            _ => vec![ty],
        }
    }

    /// Objects and interfaces that implement an interface.
    fn implementations(&self, interface: &str) -> Vec<&TypeDef> {
        let may = |slot: &Slot| match &slot.origin {
            Origin::Given(ty) => ty.interfaces().iter().any(|name| name == interface),
            Origin::Of(_, part) => *part == Part::Output,
            Origin::Query | Origin::Mutation => false,
        };
        let found = self.types.iter().filter(|(_, slot)| may(slot)).filter_map(|(name, _)| self.get(name));
        found.filter(|ty| ty.interfaces().iter().any(|name| name == interface)).collect()
    }

    /// Whether a value of the abstract type may be of the other.
    pub fn is_possible(&self, abstract_type: &TypeDef, ty: &TypeDef) -> bool {
        match &abstract_type.kind {
            TypeKind::Union(members) => members.contains(&ty.name),
            TypeKind::Interface { .. } => ty.interfaces().contains(&abstract_type.name),
            _ => abstract_type.name == ty.name,
        }
    }

    /// Whether some object may be of both types.
    pub fn overlap(&self, a: &TypeDef, b: &TypeDef) -> bool {
        if a.name == b.name {
            return true;
        }
        let is_abstract = |ty: &TypeDef| !ty.is_object();
        match (is_abstract(a), is_abstract(b)) {
            (true, true) => self.possible(a).into_iter().any(|ty| self.is_possible(b, ty)),
            (true, false) => self.is_possible(a, b),
            (false, true) => self.is_possible(b, a),
            (false, false) => false,
        }
    }
}

/// For a type that cannot be built: one without fields.
fn nothing(name: &str) -> TypeDef {
    TypeDef { name: Str::Owned(name.to_owned()), description: None, kind: TypeKind::Scalar }
}

/// A field of a type, those that every type has included.
pub fn field_of<'t>(parent: &'t TypeDef, name: &str) -> Option<&'t FieldDef> {
    if name.starts_with("__") && parent.is_composite() {
        let meta = given::meta_field(name, parent.name == "Query");
        if meta.is_some() {
            return meta;
        }
    }
    parent.fields()?.get(name)
}
