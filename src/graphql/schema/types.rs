//! What a schema is made of: types, fields, arguments. Immutable once built; shared by all requests.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::Value;

use crate::config::CallbackId;
use crate::graphql::language::ast;
use crate::types::ClassName;

pub type Str = Cow<'static, str>;

/// A type as a field or an argument has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TypeRef {
    Named(Str),
    List(Box<TypeRef>),
    NonNull(Box<TypeRef>),
}

impl TypeRef {
    pub fn named(name: impl Into<Str>) -> Self {
        Self::Named(name.into())
    }

    #[must_use]
    pub fn list(self) -> Self {
        Self::List(Box::new(self))
    }

    #[must_use]
    pub fn required(self) -> Self {
        Self::NonNull(Box::new(self))
    }

    /// The name at its heart.
    pub fn name(&self) -> &str {
        match self {
            Self::Named(name) => name,
            Self::List(inner) | Self::NonNull(inner) => inner.name(),
        }
    }

    pub fn is_required(&self) -> bool {
        matches!(self, Self::NonNull(_))
    }

    /// Without the outermost `!`.
    pub fn nullable(&self) -> &Self {
        match self {
            Self::NonNull(inner) => inner,
            other => other,
        }
    }

    pub fn from_ast(ty: &ast::Type) -> Self {
        match ty {
            ast::Type::Named(name) => Self::Named(Str::Owned(name.text.clone())),
            ast::Type::List(inner, _) => Self::from_ast(inner).list(),
            ast::Type::NonNull(inner) => Self::from_ast(inner).required(),
        }
    }
}

impl fmt::Display for TypeRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => f.write_str(name),
            Self::List(inner) => write!(f, "[{inner}]"),
            Self::NonNull(inner) => write!(f, "{inner}!"),
        }
    }
}

#[derive(Clone, Debug)]
pub struct TypeDef {
    pub name: Str,
    pub description: Option<Str>,
    pub kind: TypeKind,
}

#[derive(Clone, Debug)]
pub enum TypeKind {
    Scalar,
    Object { interfaces: Vec<Str>, fields: Fields },
    Interface { interfaces: Vec<Str>, fields: Fields },
    Union(Vec<Str>),
    Enum(IndexMap<Str, EnumValue>),
    Input(IndexMap<Str, InputValue>),
}

pub type Fields = IndexMap<Str, FieldDef>;

impl TypeDef {
    pub fn is_input(&self) -> bool {
        matches!(self.kind, TypeKind::Scalar | TypeKind::Enum(_) | TypeKind::Input(_))
    }

    pub fn is_leaf(&self) -> bool {
        matches!(self.kind, TypeKind::Scalar | TypeKind::Enum(_))
    }

    pub fn is_composite(&self) -> bool {
        matches!(self.kind, TypeKind::Object { .. } | TypeKind::Interface { .. } | TypeKind::Union(_))
    }

    pub fn is_object(&self) -> bool {
        matches!(self.kind, TypeKind::Object { .. })
    }

    /// The fields of an object or an interface.
    pub fn fields(&self) -> Option<&Fields> {
        match &self.kind {
            TypeKind::Object { fields, .. } | TypeKind::Interface { fields, .. } => Some(fields),
            _ => None,
        }
    }

    pub fn fields_mut(&mut self) -> Option<&mut Fields> {
        match &mut self.kind {
            TypeKind::Object { fields, .. } | TypeKind::Interface { fields, .. } => Some(fields),
            _ => None,
        }
    }

    pub fn inputs(&self) -> Option<&IndexMap<Str, InputValue>> {
        match &self.kind {
            TypeKind::Input(fields) => Some(fields),
            _ => None,
        }
    }

    pub fn interfaces(&self) -> &[Str] {
        match &self.kind {
            TypeKind::Object { interfaces, .. } | TypeKind::Interface { interfaces, .. } => interfaces,
            _ => &[],
        }
    }
}

#[derive(Clone, Debug)]
pub struct FieldDef {
    pub description: Option<Str>,
    pub args: IndexMap<Str, InputValue>,
    pub ty: TypeRef,
    pub resolver: Resolver,
    /// Why it is deprecated.
    pub deprecated: Option<Str>,
}

impl FieldDef {
    pub fn new(ty: TypeRef, description: impl Into<Str>) -> Self {
        Self {
            description: Some(description.into()),
            args: IndexMap::new(),
            ty,
            resolver: Resolver::Property,
            deprecated: None,
        }
    }

    #[must_use]
    pub fn by(self, resolver: Resolver) -> Self {
        Self { resolver, ..self }
    }

    #[must_use]
    pub fn with_arg(mut self, name: impl Into<Str>, value: InputValue) -> Self {
        self.args.insert(name.into(), value);
        self
    }
}

#[derive(Clone, Debug)]
pub struct InputValue {
    pub description: Option<Str>,
    pub ty: TypeRef,
    /// Already what a resolver gets.
    pub default: Option<Value>,
}

impl InputValue {
    pub fn new(ty: TypeRef, description: impl Into<Str>) -> Self {
        Self { description: Some(description.into()), ty, default: None }
    }

    pub fn plain(ty: TypeRef) -> Self {
        Self { description: None, ty, default: None }
    }

    /// Whether it has to be given.
    pub fn is_required(&self) -> bool {
        self.ty.is_required() && self.default.is_none()
    }
}

#[derive(Clone, Debug, Default)]
pub struct EnumValue {
    pub description: Option<Str>,
    /// What a resolver gets; `None`: the name.
    pub value: Option<Str>,
    pub deprecated: Option<Str>,
}

#[derive(Clone, Debug)]
pub struct DirectiveDef {
    pub name: Str,
    pub description: Option<Str>,
    pub args: IndexMap<Str, InputValue>,
    pub repeatable: bool,
    pub locations: Vec<Str>,
}

/// Where the value of a field comes from.
#[derive(Clone, Debug)]
pub enum Resolver {
    /// The object's property of the field's name.
    Property,
    /// The global id of an object of this class.
    GlobalId(ClassName),
    /// The object's access rights; those of an object without any are everybody's.
    Acl,
    AclUsers,
    AclRoles,
    AclPublic,
    Polygon,
    Array,
    /// The objects that a relation leads to.
    Relation {
        class: ClassName,
        target: ClassName,
    },
    Query(Query),
    Mutation(Mutation),
    Subscription(ClassName),
    /// `@resolve`: the result of a cloud function.
    Function(String),
    /// Code of a schema that was made in JavaScript.
    Code(Box<Code>),
    /// `@mock`
    Mock(Value),
    Introspection(Introspection),
}

/// The code behind a field.
#[derive(Clone, Debug)]
pub struct Code {
    pub function: CallbackId,
    /// The server's own schema, where a function made the field's out of it.
    pub made_from: Option<Arc<OwnSchema>>,
    /// What the field has without that code, which may leave it to that.
    pub before: Resolver,
}

/// The schema of the server's own as text, and what it is told by.
#[derive(Debug)]
pub struct OwnSchema {
    pub key: String,
    pub text: String,
}

#[derive(Clone, Debug)]
pub enum Query {
    Node,
    Health,
    Viewer,
    Class,
    Classes,
    CloudConfig,
    Get(ClassName),
    Find(ClassName),
}

#[derive(Clone, Debug)]
pub enum Mutation {
    /// With the name of the payload's field.
    Create(ClassName, Str),
    Update(ClassName, Str),
    Delete(ClassName, Str),
    CreateFile,
    SignUp,
    LogInWith,
    LogIn,
    LogOut,
    ResetPassword,
    ConfirmResetPassword,
    SendVerificationEmail,
    Challenge,
    CallCloudCode,
    CreateClass,
    UpdateClass,
    DeleteClass,
    UpdateCloudConfig,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Introspection {
    Schema,
    Type,
    Typename,
}
