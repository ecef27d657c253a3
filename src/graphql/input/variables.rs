//! The values of an operation's variables, and everything that is wrong with them.

use std::fmt::Write;

use indexmap::IndexMap;
use serde_json::{Map, Value};

use super::literal::{default_of, literal};
use super::scalar::scalar_value;
use super::shown::inspect;
use super::{Refused, Variables};
use crate::graphql::errors::{Code, GraphQLError};
use crate::graphql::language::ast;
use crate::graphql::schema::Schema;
use crate::graphql::schema::types::{EnumValue, Str, TypeDef, TypeKind, TypeRef};
use crate::graphql::suggest::{did_you_mean, near};

/// More errors than this are not told.
const MOST_ERRORS: usize = 50;

struct Coercion<'a> {
    schema: &'a Schema,
    variable: &'a ast::VariableDefinition,
    errors: &'a mut Vec<GraphQLError>,
    path: Vec<String>,
}

/// The values of an operation's variables.
///
/// # Errors
/// Everything that is wrong with them.
pub fn variables(
    schema: &Schema,
    operation: &ast::Operation,
    given: &Map<String, Value>,
) -> Result<Variables, Vec<GraphQLError>> {
    let mut values = Variables::new();
    let mut errors = Vec::new();
    for variable in &operation.variables {
        let name = &variable.name.text;
        let ty = TypeRef::from_ast(&variable.ty);
        let mut fail = |text: String| {
            errors.push(GraphQLError::new(Code::BadUserInput, text).at(variable.at));
        };
        match given.get(name) {
            None => match &variable.default {
                Some(default) => {
                    if let Some(value) = literal(schema, default, &ty, &Variables::new()) {
                        values.insert(name.clone(), value);
                    }
                }
                None if ty.is_required() => {
                    fail(format!("Variable \"${name}\" of required type \"{ty}\" was not provided."));
                }
                None => {}
            },
            Some(Value::Null) if ty.is_required() => {
                fail(format!("Variable \"${name}\" of non-null type \"{ty}\" must not be null."));
            }
            Some(value) => {
                let mut coercion = Coercion { schema, variable, errors: &mut errors, path: Vec::new() };
                if let Some(value) = coercion.value(value, &ty) {
                    values.insert(name.clone(), value);
                }
            }
        }
        if errors.len() >= MOST_ERRORS {
            errors.truncate(MOST_ERRORS);
            let text = "Too many errors processing variables, error limit reached. Execution aborted.";
            errors.push(GraphQLError::new(Code::Internal, text));
            break;
        }
    }
    if errors.is_empty() { Ok(values) } else { Err(errors) }
}

impl Coercion<'_> {
    fn fail(&mut self, value: &Value, text: &str) {
        if self.errors.len() > MOST_ERRORS {
            return;
        }
        let name = &self.variable.name.text;
        let mut message = format!("Variable \"${name}\" got invalid value {}", inspect(value));
        if !self.path.is_empty() {
            let _ = write!(message, " at \"{name}{}\"", self.path.concat());
        }
        let _ = write!(message, "; {text}");
        self.errors.push(GraphQLError::new(Code::BadUserInput, message).at(self.variable.at));
    }

    fn value(&mut self, value: &Value, ty: &TypeRef) -> Option<Value> {
        if self.errors.len() > MOST_ERRORS {
            return None;
        }
        match ty {
            TypeRef::NonNull(inner) if !value.is_null() => self.value(value, inner),
            TypeRef::NonNull(_) => {
                self.fail(value, &format!("Expected non-nullable type \"{ty}\" not to be null."));
                None
            }
            _ if value.is_null() => Some(Value::Null),
            TypeRef::List(inner) => match value {
                Value::Array(items) => {
                    let mut coerced = Vec::with_capacity(items.len());
                    for (index, item) in items.iter().enumerate() {
                        self.path.push(format!("[{index}]"));
                        let item = self.value(item, inner);
                        self.path.pop();
                        coerced.push(item.unwrap_or_default());
                    }
                    Some(coerced.into())
                }
                single => self.value(single, inner).map(|value| vec![value].into()),
            },
            TypeRef::Named(name) => {
                let schema = self.schema;
                self.named(value, schema.get(name)?)
            }
        }
    }

    fn named(&mut self, value: &Value, ty: &TypeDef) -> Option<Value> {
        match &ty.kind {
            TypeKind::Input(known) => {
                let Value::Object(given) = value else {
                    self.fail(value, &format!("Expected type \"{}\" to be an object.", ty.name));
                    return None;
                };
                let mut object = Map::new();
                for (name, input) in known {
                    let Some(field) = given.get(&**name) else {
                        match default_of(self.schema, input) {
                            Some(default) => drop(object.insert(name.to_string(), default)),
                            None if input.ty.is_required() => {
                                let text = format!(
                                    "Field \"{name}\" of required type \"{}\" was not provided.",
                                    input.ty
                                );
                                self.fail(value, &text);
                            }
                            None => {}
                        }
                        continue;
                    };
                    self.path.push(format!(".{name}"));
                    let coerced = self.value(field, &input.ty);
                    self.path.pop();
                    object.insert(name.to_string(), coerced.unwrap_or_default());
                }
                for name in given.keys().filter(|name| !known.contains_key(name.as_str())) {
                    if self.errors.len() > MOST_ERRORS {
                        return None;
                    }
                    let near = near(name, known.keys().map(|name| &**name));
                    let hint = did_you_mean("", &near);
                    self.fail(
                        value,
                        &format!("Field \"{name}\" is not defined by type \"{}\".{hint}", ty.name),
                    );
                }
                Some(Value::Object(object))
            }
            TypeKind::Enum(values) => {
                let Value::String(name) = value else {
                    let shown = inspect(value);
                    let hint = enum_hint(&shown, values);
                    let text =
                        format!("Enum \"{}\" cannot represent non-string value: {shown}.{hint}", ty.name);
                    self.fail(value, &text);
                    return None;
                };
                let Some((known, found)) = values.get_key_value(name.as_str()) else {
                    let hint = enum_hint(name, values);
                    let text = format!("Value \"{name}\" does not exist in \"{}\" enum.{hint}", ty.name);
                    self.fail(value, &text);
                    return None;
                };
                Some(found.value.as_deref().unwrap_or(known).into())
            }
            TypeKind::Scalar => match scalar_value(&ty.name, value) {
                Ok(value) => Some(value),
                Err(refused) => {
                    let text = match refused {
                        Refused::Said(text) => text,
                        Refused::Explained(text) => format!("Expected type \"{}\". {text}", ty.name),
                        Refused::Undefined => format!("Expected type \"{}\".", ty.name),
                    };
                    self.fail(value, &text);
                    None
                }
            },
            _ => None,
        }
    }
}

/// Values of an enum that look like what was given.
pub fn enum_hint(given: &str, values: &IndexMap<Str, EnumValue>) -> String {
    did_you_mean("the enum value ", &near(given, values.keys().map(|name| &**name)))
}
