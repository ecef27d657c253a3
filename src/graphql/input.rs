//! From what clients write to what resolvers get: literals and variables by their types, in graphql-js's words
//! where they do not fit.

use std::fmt::Write;

use serde_json::{Map, Value};

use super::errors::{Code, GraphQLError};
use super::language::ast::{self, ValueKind};
use super::language::print;
use super::schema::Schema;
use super::schema::types::{InputValue, TypeDef, TypeKind, TypeRef};
use super::suggest::{did_you_mean, near};
use crate::types::time::Millis;

/// Variables of a request by name, as resolvers get them; absent where nothing was given.
pub type Variables = Map<String, Value>;

/// Why a scalar refuses a value.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    /// In these words.
    Said(String),
    /// In the words of whoever asked, followed by these.
    Explained(String),
    /// Without a word.
    Undefined,
}

fn not_valid(shown: impl std::fmt::Display, ty: &str) -> Refused {
    Refused::Explained(format!("{shown} is not a valid {ty}"))
}

/// The key of the object that stands for an uploaded file; its value is told to nobody.
pub const UPLOAD: &str = "__upload";

// ---- values as JavaScript shows them ---------------------------------------------------------------

/// As graphql-js's `inspect` shows it.
pub fn inspect(value: &Value) -> String {
    let mut out = String::new();
    write_inspected(&mut out, value, 0);
    out
}

fn write_inspected(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Array(items) if items.is_empty() => out.push_str("[]"),
        Value::Array(_) if depth >= 2 => out.push_str("[Array]"),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().take(10).enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write_inspected(out, item, depth + 1);
            }
            match items.len().saturating_sub(10) {
                0 => {}
                1 => out.push_str(", ... 1 more item"),
                more => {
                    let _ = write!(out, ", ... {more} more items");
                }
            }
            out.push(']');
        }
        Value::Object(object) if object.is_empty() => out.push_str("{}"),
        Value::Object(_) if depth >= 2 => out.push_str("[Object]"),
        Value::Object(object) => {
            out.push_str("{ ");
            for (index, (key, item)) in object.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                out.push_str(key);
                out.push_str(": ");
                write_inspected(out, item, depth + 1);
            }
            out.push_str(" }");
        }
        Value::Number(number) => out.push_str(&number_text(number)),
        other => out.push_str(&other.to_string()),
    }
}

/// Whole numbers without a fraction.
pub fn number_text(number: &serde_json::Number) -> String {
    match number.as_f64() {
        Some(float) if !number.is_i64() && !number.is_u64() && float.fract() == 0.0 && float.abs() < 1e21 => {
            format!("{float:.0}")
        }
        _ => number.to_string(),
    }
}

/// As `${value}` shows it.
fn js_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let shown = items.iter().map(|item| if item.is_null() { String::new() } else { js_text(item) });
            shown.collect::<Vec<_>>().join(",")
        }
        Value::Object(_) => "[object Object]".to_owned(),
        Value::Number(number) => number_text(number),
        other => other.to_string(),
    }
}

fn kind_name(value: &ast::Value) -> &'static str {
    match &value.kind {
        ValueKind::Variable(_) => "Variable",
        ValueKind::Int(_) => "IntValue",
        ValueKind::Float(_) => "FloatValue",
        ValueKind::Text { .. } => "StringValue",
        ValueKind::Boolean(_) => "BooleanValue",
        ValueKind::Null => "NullValue",
        ValueKind::Enum(_) => "EnumValue",
        ValueKind::List(_) => "ListValue",
        ValueKind::Object(_) => "ObjectValue",
    }
}

// ---- scalars ---------------------------------------------------------------------------------------

fn tagged(tag: &'static str, key: &'static str, value: impl Into<Value>) -> Value {
    let mut object = Map::new();
    object.insert("__type".to_owned(), tag.into());
    object.insert(key.to_owned(), value.into());
    Value::Object(object)
}

fn date(text: &str) -> Option<Value> {
    let mail = || chrono::DateTime::parse_from_rfc2822(text).ok().map(|at| Millis(at.timestamp_millis()));
    let at = Millis::parse(text).or_else(mail)?;
    Some(tagged("Date", "iso", at.to_iso()))
}

fn is_tagged(value: &Value, tag: &str) -> bool {
    value.get("__type").and_then(Value::as_str) == Some(tag)
}

/// A value of a variable.
///
/// # Errors
/// What the scalar says to a value that it does not take.
pub fn scalar_value(ty: &str, value: &Value) -> Result<Value, Refused> {
    let said = |text: String| Err(Refused::Said(text));
    match ty {
        "Int" => match value.as_f64().filter(|number| number.fract() == 0.0) {
            None => said(format!("Int cannot represent non-integer value: {}", inspect(value))),
            Some(number) if !(-2_147_483_648.0..=2_147_483_647.0).contains(&number) => {
                said(format!("Int cannot represent non 32-bit signed integer value: {}", js_text(value)))
            }
            Some(number) => Ok(Value::from(number as i64)),
        },
        "Float" if value.is_number() => Ok(value.clone()),
        "Float" => said(format!("Float cannot represent non numeric value: {}", inspect(value))),
        "String" if value.is_string() => Ok(value.clone()),
        "String" => said(format!("String cannot represent a non string value: {}", inspect(value))),
        "Boolean" if value.is_boolean() => Ok(value.clone()),
        "Boolean" => said(format!("Boolean cannot represent a non boolean value: {}", inspect(value))),
        "ID" => match value {
            Value::String(_) => Ok(value.clone()),
            Value::Number(number) if number.as_f64().is_some_and(|n| n.fract() == 0.0) => {
                Ok(number_text(number).into())
            }
            _ => said(format!("ID cannot represent value: {}", inspect(value))),
        },
        "Object" if value.is_object() || value.is_array() => Ok(value.clone()),
        "Object" => Err(not_valid(js_text(value), "Object")),
        "Date" => {
            let text = match value {
                Value::String(text) => Some(text),
                Value::Object(object) if is_tagged(value, "Date") => match object.get("iso") {
                    Some(Value::String(text)) if !text.is_empty() => Some(text),
                    Some(other) if !other.is_null() => return Err(not_valid(js_text(other), "Date")),
                    _ => None,
                },
                _ => None,
            };
            let text = text.ok_or_else(|| not_valid(js_text(value), "Date"))?;
            date(text).ok_or_else(|| not_valid(text, "Date"))
        }
        "Bytes" => match value {
            Value::String(text) => Ok(tagged("Bytes", "base64", text.as_str())),
            _ if is_tagged(value, "Bytes") && value.get("base64").is_some_and(Value::is_string) => {
                Ok(value.clone())
            }
            _ => Err(not_valid(js_text(value), "Bytes")),
        },
        "File" => file(value).ok_or_else(|| not_valid(js_text(value), "File")),
        "Upload" if value.get(UPLOAD).is_some() => Ok(value.clone()),
        "Upload" => said("Upload value invalid.".to_owned()),
        _ => Ok(value.clone()),
    }
}

fn file(value: &Value) -> Option<Value> {
    if let Value::String(name) = value {
        return Some(tagged("File", "name", name.as_str()));
    }
    let is_file = is_tagged(value, "File")
        && value.get("name").is_some_and(Value::is_string)
        && value.get("url").is_none_or(Value::is_string);
    is_file.then(|| value.clone())
}

/// A value written in the document. Variables inside of it are those of `variables`.
///
/// # Errors
/// What the scalar says to a value that it does not take.
pub fn scalar_literal(ty: &str, value: &ast::Value, variables: Option<&Variables>) -> Result<Value, Refused> {
    let said = |text: &str| Err(Refused::Said(format!("{text}{}", print::value(value))));
    match (ty, &value.kind) {
        ("Int", ValueKind::Int(text)) => match text.parse::<f64>() {
            Ok(number) if (-2_147_483_648.0..=2_147_483_647.0).contains(&number) => {
                Ok(Value::from(number as i64))
            }
            _ => Err(Refused::Said(format!("Int cannot represent non 32-bit signed integer value: {text}"))),
        },
        ("Int", _) => said("Int cannot represent non-integer value: "),
        ("Float", ValueKind::Int(text) | ValueKind::Float(text)) => number(text).ok_or(Refused::Undefined),
        ("Float", _) => said("Float cannot represent non numeric value: "),
        ("String", ValueKind::Text { text, .. }) => Ok(text.as_str().into()),
        ("String", _) => said("String cannot represent a non string value: "),
        ("Boolean", ValueKind::Boolean(value)) => Ok((*value).into()),
        ("Boolean", _) => said("Boolean cannot represent a non boolean value: "),
        ("ID", ValueKind::Text { text, .. } | ValueKind::Int(text)) => Ok(text.as_str().into()),
        ("ID", _) => said("ID cannot represent a non-string and non-integer value: "),
        ("Object", ValueKind::Object(fields)) => untyped_object(fields, variables),
        ("Date", ValueKind::Text { text, .. }) => date(text).ok_or_else(|| not_valid(text, "Date")),
        ("Date", ValueKind::Object(fields)) if literal_text(fields, "__type") == Some("Date") => {
            match fields.iter().find(|field| field.name.text == "iso").map(|field| &field.value) {
                Some(ast::Value { kind: ValueKind::Text { text, .. }, .. }) => {
                    date(text).ok_or_else(|| not_valid(text, "Date"))
                }
                Some(other) => Err(not_valid(kind_name(other), "Date")),
                None => Err(not_valid(kind_name(value), "Date")),
            }
        }
        ("Bytes", ValueKind::Text { text, .. }) => Ok(tagged("Bytes", "base64", text.as_str())),
        ("Bytes", ValueKind::Object(fields)) if literal_text(fields, "__type") == Some("Bytes") => {
            match literal_text(fields, "base64") {
                Some(text) => Ok(tagged("Bytes", "base64", text)),
                None => Err(not_valid(kind_name(value), "Bytes")),
            }
        }
        ("File", ValueKind::Text { text, .. }) => Ok(tagged("File", "name", text.as_str())),
        ("File", ValueKind::Object(fields)) => {
            let has = |name| fields.iter().any(|field| field.name.text == name);
            if !has("__type") || !has("name") {
                return Err(not_valid(kind_name(value), "File"));
            }
            let given = untyped_object(fields, variables)?;
            file(&given).ok_or_else(|| not_valid(js_text(&given), "File"))
        }
        ("Object" | "Date" | "Bytes" | "File", _) => Err(not_valid(kind_name(value), ty)),
        ("Upload", _) => Err(Refused::Said("Upload literal unsupported.".to_owned())),
        _ => untyped(value, variables),
    }
}

fn literal_text<'f>(fields: &'f [ast::ObjectField], name: &str) -> Option<&'f str> {
    match &fields.iter().find(|field| field.name.text == name)?.value.kind {
        ValueKind::Text { text, .. } => Some(text),
        _ => None,
    }
}

fn number(text: &str) -> Option<Value> {
    let parsed: Value = serde_json::from_str(text).ok()?;
    parsed.as_f64().filter(|number| number.is_finite()).map(|_| parsed)
}

/// A value of no particular type.
fn untyped(value: &ast::Value, variables: Option<&Variables>) -> Result<Value, Refused> {
    Ok(match &value.kind {
        ValueKind::Variable(name) => {
            return variables.and_then(|all| all.get(name)).cloned().ok_or(Refused::Undefined);
        }
        ValueKind::Int(text) | ValueKind::Float(text) => {
            number(text).ok_or_else(|| not_valid(text, "Float"))?
        }
        ValueKind::Text { text, .. } | ValueKind::Enum(text) => text.as_str().into(),
        ValueKind::Boolean(value) => (*value).into(),
        ValueKind::Null => Value::Null,
        ValueKind::List(items) => {
            let items = items.iter().map(|item| match untyped(item, variables) {
                Err(Refused::Undefined) => Ok(Value::Null),
                other => other,
            });
            items.collect::<Result<Vec<_>, _>>()?.into()
        }
        ValueKind::Object(fields) => untyped_object(fields, variables)?,
    })
}

fn untyped_object(fields: &[ast::ObjectField], variables: Option<&Variables>) -> Result<Value, Refused> {
    let mut object = Map::new();
    for field in fields {
        match untyped(&field.value, variables) {
            Ok(value) => drop(object.insert(field.name.text.clone(), value)),
            Err(Refused::Undefined) => {}
            Err(refused) => return Err(refused),
        }
    }
    Ok(Value::Object(object))
}

// ---- literals --------------------------------------------------------------------------------------

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
    known: &indexmap::IndexMap<super::schema::types::Str, InputValue>,
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

// ---- variables -------------------------------------------------------------------------------------

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
                        match &input.default {
                            Some(default) => drop(object.insert(name.to_string(), default.clone())),
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
pub fn enum_hint(
    given: &str,
    values: &indexmap::IndexMap<super::schema::types::Str, super::schema::types::EnumValue>,
) -> String {
    did_you_mean("the enum value ", &near(given, values.keys().map(|name| &**name)))
}
