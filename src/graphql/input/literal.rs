//! Literals by their types, and the arguments of fields and directives.

use indexmap::IndexMap;
use serde_json::{Map, Value};

use super::Variables;
use super::scalar::{scalar_literal, scalar_value};
use crate::graphql::errors::{Code, GraphQLError};
use crate::graphql::language::ast::{self, ValueKind};
use crate::graphql::language::print;
use crate::graphql::schema::Schema;
use crate::graphql::schema::types::{InputValue, Str, TypeKind, TypeRef};

/// Inputs within the default of an input: one may have itself as a default.
const DEEPEST_DEFAULT: usize = 6;

/// A literal as its type has it; `None` where it does not fit, or a variable in it was not given.
pub fn literal(schema: &Schema, value: &ast::Value, ty: &TypeRef, variables: &Variables) -> Option<Value> {
    if let ValueKind::Variable(name) = &value.kind {
        return variables.get(name).filter(|value| !(value.is_null() && ty.is_required())).cloned();
    }
    match ty {
        TypeRef::NonNull(inner) => match value.kind {
            ValueKind::Null => None,
            _ => literal(schema, value, inner, variables),
        },
        _ if matches!(value.kind, ValueKind::Null) => Some(Value::Null),
        TypeRef::List(inner) => match &value.kind {
            ValueKind::List(items) => {
                let items = items.iter().map(|item| match &item.kind {
                    ValueKind::Variable(name) if !variables.contains_key(name) => {
                        (!inner.is_required()).then_some(Value::Null)
                    }
                    _ => literal(schema, item, inner, variables),
                });
                items.collect::<Option<Vec<_>>>().map(Value::from)
            }
            _ => literal(schema, value, inner, variables).map(|value| vec![value].into()),
        },
        TypeRef::Named(name) => {
            let ty = schema.get(name)?;
            match &ty.kind {
                TypeKind::Input(known) => {
                    let ValueKind::Object(fields) = &value.kind else { return None };
                    let mut object = Map::new();
                    for (name, input) in known {
                        let given = fields.iter().find(|field| field.name.text == **name);
                        let is_absent = match given.map(|field| &field.value.kind) {
                            None => true,
                            Some(ValueKind::Variable(variable)) => !variables.contains_key(variable),
                            Some(_) => false,
                        };
                        match (given, is_absent) {
                            (Some(field), false) => {
                                let value = literal(schema, &field.value, &input.ty, variables)?;
                                object.insert(name.to_string(), value);
                            }
                            _ => match default_of(schema, input) {
                                Some(default) => drop(object.insert(name.to_string(), default)),
                                None if input.ty.is_required() => return None,
                                None => {}
                            },
                        }
                    }
                    Some(Value::Object(object))
                }
                TypeKind::Enum(values) => match &value.kind {
                    ValueKind::Enum(name) => {
                        let (name, value) = values.get_key_value(name.as_str())?;
                        Some(value.value.as_deref().unwrap_or(name).into())
                    }
                    _ => None,
                },
                TypeKind::Scalar => scalar_literal(name, value, Some(variables)).ok(),
                _ => None,
            }
        }
    }
}

/// What an argument or a field of an input is where nothing was given.
pub fn default_of(schema: &Schema, input: &InputValue) -> Option<Value> {
    input.default.as_ref().map(|default| completed(schema, default, &input.ty, 0))
}

/// A default by its type, as a literal would be: one value is a list of it, and inputs have their own defaults.
fn completed(schema: &Schema, value: &Value, ty: &TypeRef, level: usize) -> Value {
    if value.is_null() || level > DEEPEST_DEFAULT {
        return value.clone();
    }
    match ty {
        TypeRef::NonNull(inner) => completed(schema, value, inner, level),
        TypeRef::List(inner) => match value {
            Value::Array(items) => items.iter().map(|item| completed(schema, item, inner, level)).collect(),
            single => vec![completed(schema, single, inner, level)].into(),
        },
        TypeRef::Named(name) => match (schema.get(name).map(|ty| &ty.kind), value) {
            (Some(TypeKind::Input(known)), Value::Object(given)) => {
                let mut object = Map::new();
                for (name, input) in known {
                    if let Some(value) = given.get(&**name).or(input.default.as_ref()) {
                        object.insert(name.to_string(), completed(schema, value, &input.ty, level + 1));
                    }
                }
                Value::Object(object)
            }
            (Some(TypeKind::Enum(values)), Value::String(name)) => {
                let known = values.get(name.as_str()).and_then(|known| known.value.as_deref());
                known.unwrap_or(name).into()
            }
            (Some(TypeKind::Scalar), value) => scalar_value(name, value).unwrap_or_else(|_| value.clone()),
            _ => value.clone(),
        },
    }
}

/// The arguments of a field or a directive.
///
/// # Errors
/// For required ones that are absent.
pub fn arguments(
    schema: &Schema,
    known: &IndexMap<Str, InputValue>,
    given: &[ast::Argument],
    at: ast::Offset,
    variables: &Variables,
) -> Result<Map<String, Value>, GraphQLError> {
    let mut values = Map::new();
    for (name, input) in known {
        let fail = |text: String, at| Err(GraphQLError::new(Code::Internal, text).at(at));
        let Some(argument) = given.iter().find(|argument| argument.name.text == **name) else {
            match default_of(schema, input) {
                Some(default) => drop(values.insert(name.to_string(), default)),
                None if input.ty.is_required() => {
                    let text =
                        format!("Argument \"{name}\" of required type \"{}\" was not provided.", input.ty);
                    return fail(text, at);
                }
                None => {}
            }
            continue;
        };
        if let ValueKind::Variable(variable) = &argument.value.kind
            && !variables.contains_key(variable)
        {
            match default_of(schema, input) {
                Some(default) => drop(values.insert(name.to_string(), default)),
                None if input.ty.is_required() => {
                    let text = format!(
                        "Argument \"{name}\" of required type \"{}\" was provided the variable \"${variable}\" which was not provided a runtime value.",
                        input.ty
                    );
                    return fail(text, argument.value.at);
                }
                None => {}
            }
            continue;
        }
        match literal(schema, &argument.value, &input.ty, variables) {
            Some(Value::Null) | None if input.ty.is_required() => {
                let text = format!("Argument \"{name}\" of non-null type \"{}\" must not be null.", input.ty);
                return fail(text, argument.value.at);
            }
            Some(value) => drop(values.insert(name.to_string(), value)),
            None => {
                let text =
                    format!("Argument \"{name}\" has invalid value {}.", print::value(&argument.value));
                return fail(text, argument.value.at);
            }
        }
    }
    Ok(values)
}
