//! Mutations of objects: create, update and delete, with the objects that they create on the way
//! (parse-server's `transformers/mutation`).

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use serde_json::{Map, Value, json};

use super::super::errors::Failure;
use super::super::execute::{Asked, leaf};
use super::super::schema::class::Class;
use super::projection::Projection;
use super::{Resolved, Server, internal, text};
use crate::error::{Error, ErrorCode};
use crate::files::rules::check_file_urls;
use crate::operations::Ctx;
use crate::operations::classes;
use crate::types::{ClassName, FieldType, Object};

/// How deep objects may be created within objects.
const DEEPEST: usize = 20;

fn delete() -> Value {
    json!({ "__op": "Delete" })
}

fn pointer(class: &ClassName, id: &str) -> Value {
    json!({ "__type": "Pointer", "className": class.as_str(), "objectId": id })
}

/// Where the REST API creates objects of a class.
fn created_at(class: &ClassName) -> String {
    if class.is_user() { "/users".to_owned() } else { format!("/classes/{class}") }
}

fn fields_of(input: &mut Map<String, Value>) -> Map<String, Value> {
    match input.shift_remove("fields") {
        Some(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

/// What was written, as fields of the answer until the object is read.
fn as_read(mut fields: Object) -> Object {
    for value in fields.values_mut() {
        if value.get("__op").and_then(Value::as_str) == Some("Delete") {
            *value = Value::Null;
        }
    }
    fields
}

impl<'e> Server<'e> {
    pub(super) async fn create(
        &self,
        class: &ClassName,
        field: &str,
        mut input: Map<String, Value>,
        asked: &Asked<'e>,
    ) -> Resolved {
        self.count("POST", &created_at(class)).await?;
        let ctx = self.ctx();
        let fields = self.fields(&ctx, class, fields_of(&mut input), true, 0).await?;
        let saved = classes::create(&ctx, class, fields.clone()).await?;
        let Value::Object(created) = saved.into_value() else { return Err(internal()) };
        let id = text(&created, "objectId").unwrap_or_default().to_owned();
        let mut object = created.clone();
        if let Some(at) = created.get("createdAt") {
            object.insert("updatedAt".to_owned(), at.clone());
        }
        object.extend(as_read(fields));
        object.extend(self.asked_for(&ctx, class, &id, field, asked).await?);
        Ok(json!({ field: object }))
    }

    pub(super) async fn update(
        &self,
        class: &ClassName,
        field: &str,
        mut input: Map<String, Value>,
        asked: &Asked<'e>,
    ) -> Resolved {
        let id = leaf::object_id(class, text(&input, "id").unwrap_or_default());
        let room = if class.is_user() { "users" } else { &format!("classes/{class}") };
        self.count("PUT", &format!("/{room}/{id}")).await?;
        let ctx = self.ctx();
        let fields = self.fields(&ctx, class, fields_of(&mut input), false, 0).await?;
        let saved = classes::update(&ctx, class, &id, fields.clone()).await?;
        let mut object = Map::from_iter([("objectId".to_owned(), Value::from(id.as_str()))]);
        if let Value::Object(updated) = saved.into_value() {
            object.extend(updated);
        }
        object.extend(as_read(fields));
        object.extend(self.asked_for(&ctx, class, &id, field, asked).await?);
        Ok(json!({ field: object }))
    }

    pub(super) async fn delete(
        &self,
        class: &ClassName,
        field: &str,
        input: Map<String, Value>,
        asked: &Asked<'e>,
    ) -> Resolved {
        let id = leaf::object_id(class, text(&input, "id").unwrap_or_default());
        let room = if class.is_user() { "users" } else { &format!("classes/{class}") };
        self.count("DELETE", &format!("/{room}/{id}")).await?;
        let ctx = self.ctx();
        let names = self.names(asked);
        let projection = Projection::of(self.schema, self.class(class)?, names.get(field));
        let mut object = Map::from_iter([("objectId".to_owned(), Value::from(id.as_str()))]);
        if projection.asks_beyond(&["objectId"]) {
            let mut params = Object::new();
            projection.apply(&mut params);
            if let Value::Object(before) = self.object(&ctx, class, &id, params).await? {
                object.extend(before);
            }
        }
        classes::delete(&ctx, class, &id).await?;
        Ok(json!({ field: object }))
    }

    /// The object after a write, as far as the selection goes.
    async fn asked_for(
        &self,
        ctx: &Ctx,
        class: &ClassName,
        id: &str,
        field: &str,
        asked: &Asked<'e>,
    ) -> Result<Object, Failure> {
        let names = self.names(asked);
        let projection = Projection::of(self.schema, self.class(class)?, names.get(field));
        if projection.asks_for_nothing() {
            return Ok(Object::new());
        }
        let mut params = Object::new();
        projection.apply(&mut params);
        match self.object(ctx, class, id, params).await? {
            Value::Object(mut object) => {
                // A pointer that was written and leads nowhere is read as nothing.
                for name in
                    projection.included().filter(|name| !object.contains_key(*name)).collect::<Vec<_>>()
                {
                    object.insert(name.to_owned(), Value::Null);
                }
                Ok(object)
            }
            _ => Ok(Object::new()),
        }
    }

    /// The fields of a write as the REST API has them. Objects and files that they hold are created first.
    pub(super) fn fields<'a>(
        &'a self,
        ctx: &'a Ctx,
        class: &'a ClassName,
        given: Map<String, Value>,
        is_create: bool,
        depth: usize,
    ) -> LocalBoxFuture<'a, Result<Object, Failure>> {
        async move {
            if depth > DEEPEST {
                let text = format!("Objects may be created within others {DEEPEST} levels deep.");
                return Err(Failure::Coded(Error::invalid_json(text)));
            }
            let known = self.class(class)?;
            // parse-server looks at the fields only where the mutation exists.
            let is_known = if is_create { !known.switches.create.off } else { !known.switches.update.off };
            let mut fields = Object::with_capacity(given.len());
            for (name, value) in given {
                let value = if name == "ACL" {
                    acl(value)
                } else if is_known {
                    match self.field(ctx, known, &name, value, depth).await? {
                        Some(value) => value,
                        None => continue,
                    }
                } else {
                    value
                };
                fields.insert(name, value);
            }
            Ok(fields)
        }
        .boxed_local()
    }

    async fn field(
        &self,
        ctx: &Ctx,
        class: &Class,
        name: &str,
        value: Value,
        depth: usize,
    ) -> Result<Option<Value>, Failure> {
        let Some(ty) = class.schema.field_type(name) else { return Ok(Some(value)) };
        Ok(Some(match (ty, value) {
            (FieldType::Relation(_), Value::Null) => return Err(internal()),
            (_, Value::Null) => delete(),
            (FieldType::GeoPoint, Value::Object(mut point)) => {
                point.insert("__type".to_owned(), "GeoPoint".into());
                Value::Object(point)
            }
            (FieldType::Polygon, Value::Array(corners)) => {
                let corner = |corner: &Value| json!([corner.get("latitude"), corner.get("longitude")]);
                json!({ "__type": "Polygon", "coordinates": corners.iter().map(corner).collect::<Value>() })
            }
            (FieldType::File, Value::Object(input)) => self.file(ctx, input).await?,
            (FieldType::Pointer(target), Value::Object(input)) => {
                return self.linked(ctx, target, name, input, depth).await;
            }
            (FieldType::Relation(target), Value::Object(input)) => {
                self.related(ctx, target, name, input, depth).await?
            }
            (_, value) => value,
        }))
    }

    async fn file(&self, ctx: &Ctx, input: Map<String, Value>) -> Resolved {
        if let Some(upload) = input.get("upload").filter(|upload| !upload.is_null()) {
            let saved = self.uploads.save(ctx, upload).await?;
            return Ok(json!({ "__type": "File", "name": saved.name, "url": saved.url }));
        }
        let file = input.get("file").and_then(Value::as_object);
        let named = file.and_then(|file| Some((file, text(file, "name").filter(|name| !name.is_empty())?)));
        let Some((file, name)) = named else {
            let error = Error::parse(ErrorCode::FILE_SAVE_ERROR, "Invalid file upload.");
            return Err(Failure::Coded(error));
        };
        let mut made = Map::new();
        made.insert("__type".to_owned(), "File".into());
        made.insert("name".to_owned(), name.into());
        if let Some(url) = text(file, "url") {
            made.insert("url".to_owned(), url.into());
        }
        let made = Map::from_iter([("file".to_owned(), Value::Object(made))]);
        check_file_urls(&made, &ctx.config().files.upload.allowed_file_url_domains)?;
        Ok(made.into_iter().next().map(|(_, file)| file).unwrap_or_default())
    }

    async fn nested(
        &self,
        ctx: &Ctx,
        target: &ClassName,
        given: Value,
        depth: usize,
    ) -> Result<String, Failure> {
        let Value::Object(given) = given else { return Err(internal()) };
        self.count_nested(ctx)?;
        self.count("POST", &created_at(target)).await?;
        let fields = self.fields(ctx, target, given, true, depth + 1).await?;
        let saved = Box::pin(classes::create(ctx, target, fields)).await?.into_value();
        Ok(saved.get("objectId").and_then(Value::as_str).unwrap_or_default().to_owned())
    }

    /// An object within another costs what one by itself does.
    fn count_nested(&self, ctx: &Ctx) -> Result<(), Failure> {
        let count = self.nested.get() + 1;
        self.nested.set(count);
        match ctx.config().request_complexity.batch_request_limit {
            Some(most) if count > most && !ctx.auth.is_unrestricted() => {
                let text = format!("No more than {most} objects may be created within others.");
                Err(Failure::Coded(Error::invalid_json(text)))
            }
            _ => Ok(()),
        }
    }

    async fn linked(
        &self,
        ctx: &Ctx,
        target: &ClassName,
        name: &str,
        mut input: Map<String, Value>,
        depth: usize,
    ) -> Result<Option<Value>, Failure> {
        if input.len() != 1 {
            let text =
                format!("You need to provide link OR createLink on the pointer mutation of field {name}");
            return Err(Failure::Coded(Error::parse(ErrorCode::INVALID_POINTER, text)));
        }
        if let Some(given) = input.shift_remove("createAndLink").filter(|given| !given.is_null()) {
            let id = self.nested(ctx, target, given, depth).await?;
            return Ok(Some(pointer(target, &id)));
        }
        match text(&input, "link").filter(|id| !id.is_empty()) {
            Some(id) => Ok(Some(pointer(target, &leaf::object_id(target, id)))),
            None => Ok(None),
        }
    }

    async fn related(
        &self,
        ctx: &Ctx,
        target: &ClassName,
        name: &str,
        mut input: Map<String, Value>,
        depth: usize,
    ) -> Resolved {
        if input.is_empty() {
            let text = format!(
                "You need to provide at least one operation on the relation mutation of field {name}"
            );
            return Err(Failure::Coded(Error::parse(ErrorCode::INVALID_POINTER, text)));
        }
        let mut created = Vec::new();
        if let Some(Value::Array(all)) = input.shift_remove("createAndAdd") {
            for given in all {
                let id = self.nested(ctx, target, given, depth).await?;
                created.push(pointer(target, &id));
            }
        }
        let pointers = |ids: &Value| -> Vec<Value> {
            let ids = ids.as_array().into_iter().flatten().filter_map(Value::as_str);
            ids.map(|id| pointer(target, &leaf::object_id(target, id))).collect()
        };
        let mut ops = Vec::new();
        let added = input.get("add").filter(|add| !add.is_null());
        if added.is_some() || !created.is_empty() {
            let mut objects = added.map(&pointers).unwrap_or_default();
            objects.extend(created);
            ops.push(json!({ "__op": "AddRelation", "objects": objects }));
        }
        if let Some(removed) = input.get("remove").filter(|remove| !remove.is_null()) {
            ops.push(json!({ "__op": "RemoveRelation", "objects": pointers(removed) }));
        }
        Ok(json!({ "__op": "Batch", "ops": ops }))
    }
}

/// Access rights as the REST API has them.
fn acl(given: Value) -> Value {
    let Value::Object(given) = given else { return delete() };
    let rights = |rule: &Value| json!({ "read": rule.get("read"), "write": rule.get("write") });
    let mut acl = Map::new();
    if let Some(public) = given.get("public").filter(|public| !public.is_null()) {
        acl.insert("*".to_owned(), rights(public));
    }
    let rules = |key: &str| given.get(key).and_then(Value::as_array).into_iter().flatten();
    for rule in rules("users") {
        let id = rule.get("userId").and_then(Value::as_str).unwrap_or_default();
        acl.insert(leaf::object_id("_User", id), rights(rule));
    }
    for rule in rules("roles") {
        let name = rule.get("roleName").and_then(Value::as_str).unwrap_or_default();
        acl.insert(format!("role:{name}"), rights(rule));
    }
    Value::Object(acl)
}
