//! What a schema says of itself: `__schema` and `__type`.

use serde_json::{Map, Value};

use super::super::language::ast::{Field, SelectionSet, ValueKind};
use super::super::schema::sdl;
use super::super::schema::types::{
    DirectiveDef, EnumValue, FieldDef, InputValue, TypeDef, TypeKind, TypeRef,
};
use super::Execution;
use super::collect::sets;

/// One field of an object of introspection: the key in the answer is the caller's business.
type Answer<'a, 'e> = &'a mut dyn FnMut(&str, &[&'e Field]) -> Value;

fn text(text: Option<&str>) -> Value {
    text.map_or(Value::Null, Value::from)
}

impl<'e> Execution<'e> {
    fn answer(&self, ty: &str, sets: &[&'e SelectionSet], answer: Answer<'_, 'e>) -> Value {
        let Some(ty) = self.schema.get(ty) else { return Value::Null };
        let collected = self.collect(ty, sets);
        let mut object = Map::with_capacity(collected.len());
        for (key, fields) in collected.iter() {
            if !self.room.take(key.len() + 4) {
                return Value::Null;
            }
            let name = fields.first().map_or("", |field| field.name.text.as_str());
            let value = if name == "__typename" { ty.name.as_ref().into() } else { answer(name, fields) };
            self.room.take(value.as_str().map_or(1, str::len));
            object.insert((*key).to_owned(), value);
        }
        Value::Object(object)
    }

    pub(super) fn introspect_schema(&self, own: &[&'e SelectionSet]) -> Value {
        let root = |name: &str, exists: bool, fields: &[&'e Field]| match self.schema.get(name) {
            Some(ty) if exists => self.named(ty, &sets(fields)),
            _ => Value::Null,
        };
        self.answer("__Schema", own, &mut |name, fields| match name {
            "types" => {
                let below = sets(fields);
                self.schema.all().into_iter().map(|ty| self.named(ty, &below)).collect()
            }
            "queryType" => root("Query", true, fields),
            "mutationType" => root("Mutation", self.schema.has_mutations(), fields),
            "subscriptionType" => root("Subscription", self.schema.has_subscriptions(), fields),
            "directives" => {
                let below = sets(fields);
                self.schema.directives().iter().map(|directive| self.directive(directive, &below)).collect()
            }
            _ => Value::Null,
        })
    }

    pub(super) fn introspect_named(&self, name: &str, own: &[&'e SelectionSet]) -> Value {
        self.schema.get(name).map_or(Value::Null, |ty| self.named(ty, own))
    }

    fn reference(&self, ty: &TypeRef, own: &[&'e SelectionSet]) -> Value {
        let (kind, inner) = match ty {
            TypeRef::Named(name) => return self.introspect_named(name, own),
            TypeRef::List(inner) => ("LIST", inner),
            TypeRef::NonNull(inner) => ("NON_NULL", inner),
        };
        self.answer("__Type", own, &mut |name, fields| match name {
            "kind" => kind.into(),
            "ofType" => self.reference(inner, &sets(fields)),
            _ => Value::Null,
        })
    }

    fn with_deprecated(&self, fields: &[&Field]) -> bool {
        let arguments = fields.first().map(|field| field.arguments.as_slice()).unwrap_or_default();
        let given = arguments.iter().find(|argument| argument.name.text == "includeDeprecated");
        match given.map(|argument| &argument.value.kind) {
            Some(ValueKind::Boolean(value)) => *value,
            Some(ValueKind::Variable(name)) => self.variables.get(name) == Some(&Value::Bool(true)),
            _ => false,
        }
    }

    fn named(&self, ty: &TypeDef, own: &[&'e SelectionSet]) -> Value {
        self.answer("__Type", own, &mut |name, fields| {
            let below = sets(fields);
            match (name, &ty.kind) {
                ("kind", kind) => match kind {
                    TypeKind::Scalar => "SCALAR",
                    TypeKind::Object { .. } => "OBJECT",
                    TypeKind::Interface { .. } => "INTERFACE",
                    TypeKind::Union(_) => "UNION",
                    TypeKind::Enum(_) => "ENUM",
                    TypeKind::Input(_) => "INPUT_OBJECT",
                }
                .into(),
                ("name", _) => ty.name.as_ref().into(),
                ("description", _) => text(ty.description.as_deref()),
                (
                    "fields",
                    TypeKind::Object { fields: own, .. } | TypeKind::Interface { fields: own, .. },
                ) => {
                    let all = self.with_deprecated(fields);
                    let shown = own.iter().filter(|(_, field)| all || field.deprecated.is_none());
                    shown.map(|(name, field)| self.field_of(name, field, &below)).collect()
                }
                (
                    "interfaces",
                    TypeKind::Object { interfaces, .. } | TypeKind::Interface { interfaces, .. },
                ) => interfaces.iter().map(|name| self.introspect_named(name, &below)).collect(),
                ("possibleTypes", TypeKind::Union(_) | TypeKind::Interface { .. }) => {
                    self.schema.possible(ty).into_iter().map(|ty| self.named(ty, &below)).collect()
                }
                ("enumValues", TypeKind::Enum(values)) => {
                    let all = self.with_deprecated(fields);
                    let shown = values.iter().filter(|(_, value)| all || value.deprecated.is_none());
                    shown.map(|(name, value)| self.enum_value(name, value, &below)).collect()
                }
                ("inputFields", TypeKind::Input(inputs)) => {
                    inputs.iter().map(|(name, input)| self.input(name, input, &below)).collect()
                }
                ("isOneOf", TypeKind::Input(_)) => false.into(),
                _ => Value::Null,
            }
        })
    }

    fn field_of(&self, own_name: &str, field: &FieldDef, own: &[&'e SelectionSet]) -> Value {
        self.answer("__Field", own, &mut |name, fields| match name {
            "name" => own_name.into(),
            "description" => text(field.description.as_deref()),
            "args" => {
                let below = sets(fields);
                field.args.iter().map(|(name, input)| self.input(name, input, &below)).collect()
            }
            "type" => self.reference(&field.ty, &sets(fields)),
            "isDeprecated" => field.deprecated.is_some().into(),
            "deprecationReason" => text(field.deprecated.as_deref()),
            _ => Value::Null,
        })
    }

    fn input(&self, own_name: &str, input: &InputValue, own: &[&'e SelectionSet]) -> Value {
        self.answer("__InputValue", own, &mut |name, fields| match name {
            "name" => own_name.into(),
            "description" => text(input.description.as_deref()),
            "type" => self.reference(&input.ty, &sets(fields)),
            "defaultValue" => {
                let shown = |value: &Value| Value::from(sdl::default_text(self.schema, &input.ty, value));
                input.default.as_ref().map_or(Value::Null, shown)
            }
            "isDeprecated" => false.into(),
            _ => Value::Null,
        })
    }

    fn enum_value(&self, own_name: &str, value: &EnumValue, own: &[&'e SelectionSet]) -> Value {
        self.answer("__EnumValue", own, &mut |name, _| match name {
            "name" => own_name.into(),
            "description" => text(value.description.as_deref()),
            "isDeprecated" => value.deprecated.is_some().into(),
            "deprecationReason" => text(value.deprecated.as_deref()),
            _ => Value::Null,
        })
    }

    fn directive(&self, directive: &DirectiveDef, own: &[&'e SelectionSet]) -> Value {
        self.answer("__Directive", own, &mut |name, fields| match name {
            "name" => directive.name.as_ref().into(),
            "description" => text(directive.description.as_deref()),
            "isRepeatable" => directive.repeatable.into(),
            "locations" => {
                directive.locations.iter().map(|location| Value::from(location.as_ref())).collect()
            }
            "args" => {
                let below = sets(fields);
                directive.args.iter().map(|(name, input)| self.input(name, input, &below)).collect()
            }
            _ => Value::Null,
        })
    }
}
