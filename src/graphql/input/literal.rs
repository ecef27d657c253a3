//! Literals by their types, and the arguments of fields and directives.

use indexmap::IndexMap;
use serde_json::{Map, Value};

use super::Variables;
use super::scalar::scalar_literal;
use crate::graphql::errors::{Code, GraphQLError};
use crate::graphql::language::ast::{self, ValueKind};
use crate::graphql::language::print;
use crate::graphql::schema::Schema;
use crate::graphql::schema::types::{InputValue, Str, TypeKind, TypeRef};

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
                            _ => match &input.default {
                                Some(default) => drop(object.insert(name.to_string(), default.clone())),
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
            match &input.default {
                Some(default) => drop(values.insert(name.to_string(), default.clone())),
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
            match &input.default {
                Some(default) => drop(values.insert(name.to_string(), default.clone())),
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
