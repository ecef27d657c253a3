//! Rules for fields that the schema API adds or changes (`SchemaController.validateSchemaData`).

use serde_json::Value;

use crate::error::{Error, ErrorCode, Result};
use crate::operations::object::write::ops::{check_nested_keys, infer_type};
use crate::types::javascript::is_truthy;
use crate::types::schema::is_default_column;
use crate::types::{ClassName, ClassSchema, Field, FieldName, FieldType};

/// Reads and checks a field that the class does not have yet.
///
/// # Errors
/// 105 for the name, 136 for default columns, 107, 111 and 135 for type and options.
pub fn new_field(class: &ClassName, name: &str, definition: &Value) -> Result<(FieldName, Field)> {
    let invalid = || Error::parse(ErrorCode::INVALID_KEY_NAME, format!("invalid field name: {name}"));
    let field =
        FieldName::valid(name).filter(|_| name != "className" || class == "_Hooks").ok_or_else(invalid)?;
    if is_default_column(class, name) {
        return Err(Error::parse(
            ErrorCode::IMMUTABLE_FIELD_CHANGED,
            format!("field {name} cannot be added"),
        ));
    }
    let read = Field::from_json(definition)?;
    if read.ty == FieldType::Acl {
        // Every class has its one; as a type of fields there is none.
        return Err(Error::parse(ErrorCode::INCORRECT_TYPE, "invalid field type: ACL"));
    }
    check_options(class, &field, definition, &read)?;
    Ok((field, read))
}

/// # Errors
/// 111 when `defaultValue` or `required` do not go with the type, 121 for keys that no object may have.
pub fn check_options(class: &ClassName, name: &FieldName, definition: &Value, field: &Field) -> Result<()> {
    let is_relation = matches!(field.ty, FieldType::Relation(_));
    let refuse = |message: String| Err(Error::parse(ErrorCode::INCORRECT_TYPE, message));
    if let Some(default) = definition.get("defaultValue").filter(|value| !value.is_null()) {
        check_nested_keys(default)?;
        match infer_type(default)? {
            None | Some(FieldType::Pointer(_) | FieldType::Relation(_)) if is_relation => {
                return refuse(format!(
                    "The 'default value' option is not applicable for {}",
                    field.ty.display()
                ));
            }
            Some(ty) if ty != field.ty => {
                return refuse(format!(
                    "schema mismatch for {class}.{name} default value; expected {} but got {}",
                    field.ty.display(),
                    ty.display()
                ));
            }
            _ => {}
        }
    } else if field.required && is_relation {
        return refuse(format!("The 'required' option is not applicable for {}", field.ty.display()));
    }
    Ok(())
}

/// A pointer or relation that is there is said again with its class.
///
/// # Errors
/// 111 `schema mismatch …`.
pub fn check_has_target(
    class: &ClassName,
    name: &FieldName,
    existing: &Field,
    definition: &Value,
) -> Result<()> {
    if existing.ty.target().is_none() || definition.get("targetClass").is_some_and(is_truthy) {
        return Ok(());
    }
    Err(mismatch(class, name, existing, existing.ty.name()))
}

/// A field keeps its type and target.
///
/// # Errors
/// 111 `schema mismatch …`.
pub fn check_same_type(class: &ClassName, name: &FieldName, existing: &Field, wanted: &Field) -> Result<()> {
    if existing.ty == wanted.ty {
        return Ok(());
    }
    Err(mismatch(class, name, existing, wanted.ty.display()))
}

fn mismatch(class: &ClassName, name: &FieldName, existing: &Field, got: impl std::fmt::Display) -> Error {
    Error::parse(
        ErrorCode::INCORRECT_TYPE,
        format!("schema mismatch for {class}.{name}; expected {} but got {got}", existing.ty.display()),
    )
}

/// # Errors
/// 111 when the class would have two GeoPoint fields.
pub fn check_geo_points(schema: &ClassSchema) -> Result<()> {
    let mut points = schema.fields.iter().filter(|(_, field)| field.ty == FieldType::GeoPoint);
    if let (Some((first, _)), Some((second, _))) = (points.next(), points.next()) {
        return Err(Error::parse(
            ErrorCode::INCORRECT_TYPE,
            format!(
                "currently, only one GeoPoint field may exist in an object. Adding {second} when {first} already exists."
            ),
        ));
    }
    Ok(())
}
