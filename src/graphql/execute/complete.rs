//! Cuts what a resolver gave to the selection, by the types of the schema: lists item by item, objects field by
//! field, scalars in the form that leaves.

use serde_json::{Map, Value, json};

use super::super::errors::{Code, GraphQLError, Step};
use super::super::language::ast::Field;
use super::super::schema::field_of;
use super::super::schema::types::{FieldDef, Introspection, Resolver, TypeDef, TypeKind, TypeRef};
use super::{Asked, Execution, Pending, collect, leaf};
use crate::operations::budget::json_size;

/// Bytes of a field that waits to be resolved.
const PENDING: usize = 256;

/// Nothing may stand here: what is above becomes null. The error was told.
pub struct Nulled;

/// Which field a value is of, and where it goes: what resolvers of graphql-js get as `info`.
pub struct ResolveInfo<'p, 'e> {
    pub parent: &'e TypeDef,
    pub fields: &'p [&'e Field],
    pub path: Vec<Step>,
    /// How much of the path leads to what may be null.
    pub nullable: usize,
}

impl<'e> Execution<'e> {
    pub(super) fn complete_at(
        &self,
        mut info: ResolveInfo<'_, 'e>,
        ty: &'e TypeRef,
        value: &Value,
    ) -> Result<Value, Nulled> {
        self.complete(&mut info, ty, value)
    }

    /// # Errors
    /// When the answer has no room for so much: then it is none.
    fn spend(&self, bytes: usize) -> Result<(), Nulled> {
        if self.room.take(bytes) { Ok(()) } else { Err(Nulled) }
    }

    fn refuse(&self, info: &ResolveInfo<'_, 'e>, message: String) {
        self.tell(GraphQLError::new(Code::Internal, message), &info.path, info.fields);
    }

    fn field_name<'p>(&self, info: &'p ResolveInfo<'_, 'e>) -> &'p str {
        info.fields.first().map_or("", |field| &field.name.text)
    }

    fn complete(
        &self,
        info: &mut ResolveInfo<'_, 'e>,
        ty: &'e TypeRef,
        value: &Value,
    ) -> Result<Value, Nulled> {
        match ty {
            TypeRef::NonNull(inner) => {
                if value.is_null() {
                    let text = format!(
                        "Cannot return null for non-nullable field {}.{}.",
                        info.parent.name,
                        self.field_name(info)
                    );
                    self.refuse(info, text);
                    return Err(Nulled);
                }
                let outer = info.nullable;
                let value = self.complete_present(info, inner, value);
                info.nullable = outer;
                value
            }
            _ if value.is_null() => Ok(Value::Null),
            _ => {
                let outer = info.nullable;
                info.nullable = info.path.len();
                let value = self.complete_present(info, ty, value);
                info.nullable = outer;
                Ok(value.unwrap_or_default())
            }
        }
    }

    fn complete_present(
        &self,
        info: &mut ResolveInfo<'_, 'e>,
        ty: &'e TypeRef,
        value: &Value,
    ) -> Result<Value, Nulled> {
        match ty {
            TypeRef::NonNull(inner) => self.complete(info, inner, value),
            TypeRef::List(inner) => {
                let Value::Array(items) = value else {
                    let text = format!(
                        "Expected Iterable, but did not find one for field \"{}.{}\".",
                        info.parent.name,
                        self.field_name(info)
                    );
                    self.refuse(info, text);
                    return Err(Nulled);
                };
                let mut completed = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    info.path.push(Step::Index(index));
                    let item = self.complete(info, inner, item);
                    info.path.pop();
                    completed.push(item?);
                    self.spend(1)?;
                }
                Ok(Value::Array(completed))
            }
            TypeRef::Named(name) => {
                let Some(named) = self.schema.get(name) else {
                    self.refuse(info, format!("Unknown type \"{name}\"."));
                    return Err(Nulled);
                };
                match &named.kind {
                    TypeKind::Scalar | TypeKind::Enum(_) => match leaf::serialize(named, value) {
                        Ok(value) => {
                            self.spend(json_size(&value, self.room.left()))?;
                            Ok(value)
                        }
                        Err(text) => {
                            self.refuse(info, text);
                            Err(Nulled)
                        }
                    },
                    TypeKind::Object { .. } => self.object(info, named, value),
                    TypeKind::Interface { .. } | TypeKind::Union(_) => {
                        let Some(named) = self.runtime_type(named, value) else {
                            let text = format!(
                                "Abstract type \"{}\" must resolve to an Object type at runtime for field \"{}.{}\".",
                                named.name,
                                info.parent.name,
                                self.field_name(info)
                            );
                            self.refuse(info, text);
                            return Err(Nulled);
                        };
                        self.object(info, named, value)
                    }
                    TypeKind::Input(_) => Ok(Value::Null),
                }
            }
        }
    }

    /// The type of an object among those that an abstract type stands for.
    fn runtime_type(&self, ty: &TypeDef, value: &Value) -> Option<&'e TypeDef> {
        let text = |key: &str| value.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        if let Some(name) = text("__typename") {
            return self.schema.get(name);
        }
        match &*ty.name {
            "ArrayResult" => {
                let is_object = text("__type") == Some("Object") && text("objectId").is_some();
                let class = text("className").filter(|_| is_object);
                let class = class.and_then(|class| self.schema.class_named(class));
                let name = class.map_or("Element", |class| class.name.as_str());
                // A class may be called as a scalar.
                self.schema.get(name).filter(|ty| ty.is_object())
            }
            "SchemaField" => self.schema.get(&format!("Schema{}Field", text("type")?)),
            _ => self.schema.get(&self.schema.class_named(text("className")?)?.name),
        }
    }

    fn object(
        &self,
        info: &mut ResolveInfo<'_, 'e>,
        ty: &'e TypeDef,
        value: &Value,
    ) -> Result<Value, Nulled> {
        let collected = self.collect(ty, &collect::sets(info.fields));
        let mut object = Map::with_capacity(collected.len());
        for (key, fields) in collected.iter() {
            let Some(first) = fields.first() else { continue };
            let Some(definition) = field_of(ty, &first.name.text) else { continue };
            self.spend(key.len() + 4)?;
            let value = self.field(info, key, ty, definition, fields, value)?;
            object.insert((*key).to_owned(), value);
        }
        Ok(Value::Object(object))
    }

    fn field(
        &self,
        outer: &mut ResolveInfo<'_, 'e>,
        key: &'e str,
        parent: &'e TypeDef,
        definition: &'e FieldDef,
        fields: &[&'e Field],
        source: &Value,
    ) -> Result<Value, Nulled> {
        let name = fields.first().map_or("", |field| field.name.text.as_str());
        let property = source.get(name);
        let owned;
        let value: &Value = match &definition.resolver {
            Resolver::Introspection(Introspection::Typename) => {
                self.spend(parent.name.len() + 2)?;
                return Ok(parent.name.as_ref().into());
            }
            Resolver::Property => property.unwrap_or(&Value::Null),
            other => {
                owned = match other {
                    Resolver::Relation { .. } | Resolver::Function(_) | Resolver::Code(_) => {
                        return self.postpone(outer, key, parent, definition, fields, source);
                    }
                    _ => leaf::of_object(other, source, name),
                };
                &owned
            }
        };
        let mut path = std::mem::take(&mut outer.path);
        path.push(Step::Key(key.to_owned()));
        let mut info = ResolveInfo { parent, fields, path, nullable: outer.nullable };
        let completed = self.complete(&mut info, &definition.ty, value);
        info.path.pop();
        outer.path = info.path;
        completed
    }

    /// Leaves a field to the next round.
    fn postpone(
        &self,
        outer: &ResolveInfo<'_, 'e>,
        key: &str,
        parent: &'e TypeDef,
        definition: &'e FieldDef,
        fields: &[&'e Field],
        source: &Value,
    ) -> Result<Value, Nulled> {
        let mut path = outer.path.clone();
        path.push(Step::Key(key.to_owned()));
        let nullable = if definition.ty.is_required() { outer.nullable } else { path.len() };
        self.spend(PENDING)?;
        match self.arguments(definition, fields) {
            Ok(arguments) => {
                let source = match &definition.resolver {
                    // Nothing else of the object is needed.
                    Resolver::Relation { .. } => {
                        let id = source.get("objectId").cloned().unwrap_or_default();
                        let name = fields.first().map_or("", |field| field.name.text.as_str());
                        json!({ "objectId": id, "relation": source.get(name) })
                    }
                    _ => {
                        self.spend(json_size(source, self.room.left()))?;
                        source.clone()
                    }
                };
                let fields = fields.to_vec();
                let asked = Asked { source, parent, definition, fields, arguments };
                self.state.borrow_mut().pending.push(Pending { asked, path, nullable });
                Ok(Value::Null)
            }
            Err(error) => {
                self.tell(error, &path, fields);
                if definition.ty.is_required() { Err(Nulled) } else { Ok(Value::Null) }
            }
        }
    }
}
