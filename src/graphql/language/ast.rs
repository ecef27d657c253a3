//! The syntax tree of a GraphQL document. Each node knows where it begins: errors show line and column, which
//! [`super::location`] counts only when they are needed.

/// A byte offset into the document.
pub type Offset = u32;

#[derive(Clone, Debug, PartialEq)]
pub struct Name {
    pub text: String,
    pub at: Offset,
}

#[derive(Clone, Debug, Default)]
pub struct Document {
    pub definitions: Vec<Definition>,
}

// One for each definition of a document: the size of the variants costs nothing.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Debug)]
pub enum Definition {
    Operation(Operation),
    Fragment(Fragment),
    /// Of a schema: not executable.
    Type(TypeDefinition),
    Directive(DirectiveDefinition),
    Schema {
        at: Offset,
        roots: Vec<(OperationKind, Name)>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationKind {
    Query,
    Mutation,
    Subscription,
}

impl OperationKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Mutation => "mutation",
            Self::Subscription => "subscription",
        }
    }
}

#[derive(Clone, Debug)]
pub struct Operation {
    pub at: Offset,
    pub kind: OperationKind,
    pub name: Option<Name>,
    pub variables: Vec<VariableDefinition>,
    pub directives: Vec<Directive>,
    pub selection: SelectionSet,
}

#[derive(Clone, Debug)]
pub struct VariableDefinition {
    pub at: Offset,
    pub name: Name,
    pub ty: Type,
    pub default: Option<Value>,
    pub directives: Vec<Directive>,
}

#[derive(Clone, Debug)]
pub struct Fragment {
    pub at: Offset,
    pub name: Name,
    pub condition: Name,
    pub directives: Vec<Directive>,
    pub selection: SelectionSet,
}

#[derive(Clone, Debug)]
pub struct SelectionSet {
    pub at: Offset,
    pub items: Vec<Selection>,
}

// Nearly all selections are fields.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Debug)]
pub enum Selection {
    Field(Field),
    Spread(Spread),
    Inline(Inline),
}

#[derive(Clone, Debug)]
pub struct Field {
    pub at: Offset,
    pub alias: Option<Name>,
    pub name: Name,
    pub arguments: Vec<Argument>,
    pub directives: Vec<Directive>,
    pub selection: Option<SelectionSet>,
}

impl Field {
    /// The key in the answer.
    pub fn key(&self) -> &str {
        self.alias.as_ref().map_or(&self.name.text, |alias| &alias.text)
    }
}

#[derive(Clone, Debug)]
pub struct Spread {
    pub at: Offset,
    pub name: Name,
    pub directives: Vec<Directive>,
}

#[derive(Clone, Debug)]
pub struct Inline {
    pub at: Offset,
    pub condition: Option<Name>,
    pub directives: Vec<Directive>,
    pub selection: SelectionSet,
}

#[derive(Clone, Debug)]
pub struct Directive {
    pub at: Offset,
    pub name: Name,
    pub arguments: Vec<Argument>,
}

#[derive(Clone, Debug)]
pub struct Argument {
    pub at: Offset,
    pub name: Name,
    pub value: Value,
}

#[derive(Clone, Debug)]
pub struct Value {
    pub at: Offset,
    pub kind: ValueKind,
}

#[derive(Clone, Debug)]
pub enum ValueKind {
    Variable(String),
    /// As written.
    Int(String),
    Float(String),
    Text {
        text: String,
        block: bool,
    },
    Boolean(bool),
    Null,
    Enum(String),
    List(Vec<Value>),
    Object(Vec<ObjectField>),
}

#[derive(Clone, Debug)]
pub struct ObjectField {
    pub at: Offset,
    pub name: Name,
    pub value: Value,
}

#[derive(Clone, Debug)]
pub enum Type {
    Named(Name),
    List(Box<Type>, Offset),
    NonNull(Box<Type>),
}

impl Type {
    pub fn at(&self) -> Offset {
        match self {
            Self::Named(name) => name.at,
            Self::List(_, at) => *at,
            Self::NonNull(inner) => inner.at(),
        }
    }

    pub fn named(&self) -> &Name {
        match self {
            Self::Named(name) => name,
            Self::List(inner, _) | Self::NonNull(inner) => inner.named(),
        }
    }
}

/// A type of a schema, or an extension of one.
#[derive(Clone, Debug)]
pub struct TypeDefinition {
    pub at: Offset,
    pub extends: bool,
    pub description: Option<String>,
    pub name: Name,
    pub directives: Vec<Directive>,
    pub body: TypeBody,
}

#[derive(Clone, Debug)]
pub enum TypeBody {
    Scalar,
    Object { interfaces: Vec<Name>, fields: Vec<FieldDefinition> },
    Interface { interfaces: Vec<Name>, fields: Vec<FieldDefinition> },
    Union(Vec<Name>),
    Enum(Vec<EnumValueDefinition>),
    Input(Vec<InputDefinition>),
}

#[derive(Clone, Debug)]
pub struct FieldDefinition {
    pub description: Option<String>,
    pub name: Name,
    pub arguments: Vec<InputDefinition>,
    pub ty: Type,
    pub directives: Vec<Directive>,
}

#[derive(Clone, Debug)]
pub struct InputDefinition {
    pub description: Option<String>,
    pub name: Name,
    pub ty: Type,
    pub default: Option<Value>,
    pub directives: Vec<Directive>,
}

#[derive(Clone, Debug)]
pub struct EnumValueDefinition {
    pub description: Option<String>,
    pub name: Name,
    pub directives: Vec<Directive>,
}

#[derive(Clone, Debug)]
pub struct DirectiveDefinition {
    pub at: Offset,
    pub description: Option<String>,
    pub name: Name,
    pub arguments: Vec<InputDefinition>,
    pub repeatable: bool,
    pub locations: Vec<Name>,
}
