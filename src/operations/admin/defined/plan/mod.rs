//! What lies between a class as it is defined and as it is: the requests to the schema API that lead from the one
//! to the other, and what an operator should know of them. Decides and does nothing.

mod definition;

use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use self::definition::{field, index, same_field, same_index};
use crate::config::DefinedSchemas;
use crate::types::javascript::is_truthy;
use crate::types::schema::is_default_column;
use crate::types::{ClassSchema, Clp, Field, FieldType, Object};

/// Indexes of parse-server, by the names that MongoDB has for them.
const PROTECTED_INDEXES: &[(&str, &[&str])] = &[
    ("_User", &["case_insensitive_username", "case_insensitive_email", "username_1", "email_1"]),
    ("_Role", &["name_1"]),
    ("_Idempotency", &["reqId_1"]),
];
/// How the names of indexes begin that this server makes by itself.
const OWN_INDEXES: &str = "parsimony_";
/// What becomes of permissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permissions {
    /// As option `schema` has it: those that are not given are withdrawn, and no client adds fields.
    Closed,
    /// As given; those that are not stay as they are.
    AsGiven,
}

/// One request to the schema API: `{fields, indexes, classLevelPermissions}`.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Create(Object),
    Update(Object),
}

/// The way from one class to its definition.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClassPlan {
    pub class: String,
    pub steps: Vec<Step>,
    pub warnings: Vec<String>,
    /// Fields whose data goes.
    pub lost_fields: Vec<String>,
    /// Fields of another type than defined, which stay as they are.
    pub kept_fields: Vec<String>,
    /// Fields that are not defined, which stay.
    pub extra_fields: Vec<String>,
}

/// The class of a definition, whatever it is.
pub fn class_of(definition: &Value) -> String {
    match definition.get("className") {
        Some(Value::String(name)) => name.clone(),
        Some(other) => other.to_string(),
        None => "undefined".to_owned(),
    }
}

/// The class's own requests, in their order. `current` is the class as stored; `None`: there is none.
///
/// # Errors
/// What the schema of the JavaScript SDK says to a definition that is none.
pub fn of_class(
    options: &DefinedSchemas,
    manner: Permissions,
    definition: &Value,
    current: Option<&ClassSchema>,
) -> Result<ClassPlan, String> {
    let class = class_of(definition);
    if !definition.get("className").is_some_and(Value::is_string) {
        return Err("Error: className must be a string.".to_owned());
    }
    let defined = Defined {
        class: &class,
        fields: definition.get("fields").and_then(Value::as_object),
        indexes: definition.get("indexes").and_then(Value::as_object),
        permissions: definition.get("classLevelPermissions").and_then(Value::as_object),
        manner,
    };
    let mut plan = ClassPlan { class: class.clone(), ..ClassPlan::default() };
    match current {
        None => defined.create(&mut plan)?,
        Some(current) => defined.update(options, current, &mut plan)?,
    }
    Ok(plan)
}

/// What is written for a class without a definition: no client may add fields to it.
pub fn of_undefined(current: &ClassSchema) -> Option<Step> {
    let shown = Clp::api_json(current.clp.as_ref());
    let permissions = locked(shown.as_object());
    let is_locked = current.clp.is_some() && shown == Value::Object(permissions.clone());
    let mut request = body(Map::new(), Map::new(), (!is_locked).then_some(permissions));
    show_primary_index(current, &mut request);
    (!request.is_empty()).then_some(Step::Update(request))
}

/// Whatever is sent about indexes, nothing included, makes a class show its primary key's.
fn show_primary_index(current: &ClassSchema, request: &mut Object) {
    if current.indexes.is_empty() {
        request.entry("indexes").or_insert_with(|| json!({}));
    }
}

fn locked(permissions: Option<&Object>) -> Object {
    let mut permissions = permissions.cloned().unwrap_or_default();
    permissions.insert("addField".to_owned(), json!({}));
    permissions
}

fn body(fields: Object, indexes: Object, permissions: Option<Object>) -> Object {
    let mut body = Map::new();
    if !fields.is_empty() {
        body.insert("fields".to_owned(), Value::Object(fields));
    }
    if !indexes.is_empty() {
        body.insert("indexes".to_owned(), Value::Object(indexes));
    }
    if let Some(permissions) = permissions {
        body.insert("classLevelPermissions".to_owned(), Value::Object(permissions));
    }
    body
}

fn delete() -> Value {
    json!({ "__op": "Delete" })
}

struct Defined<'d> {
    class: &'d str,
    fields: Option<&'d Object>,
    indexes: Option<&'d Object>,
    permissions: Option<&'d Object>,
    manner: Permissions,
}

impl<'d> Defined<'d> {
    /// All but what the class has from parse-server.
    fn own_fields(&self) -> impl Iterator<Item = (&'d String, &'d Value)> {
        self.fields.into_iter().flatten().filter(|(name, _)| !self.is_protected(name))
    }

    fn is_protected(&self, field: &str) -> bool {
        crate::types::ClassName::valid(self.class).is_some_and(|class| is_default_column(&class, field))
            || matches!(field, "objectId" | "createdAt" | "updatedAt" | "ACL")
    }

    fn own_indexes(&self) -> impl Iterator<Item = (&'d String, &'d Value)> {
        self.indexes.into_iter().flatten().filter(|(name, _)| !is_protected_index(self.class, name))
    }

    fn create(&self, plan: &mut ClassPlan) -> Result<(), String> {
        let (mut fields, mut indexes) = (Map::new(), Map::new());
        for (name, definition) in self.own_fields() {
            fields.insert(name.clone(), field(name, definition)?);
        }
        for (name, columns) in self.own_indexes() {
            indexes.insert(name.clone(), index(name, columns)?);
        }
        if self.permissions.is_none() && self.manner == Permissions::Closed {
            plan.warnings.push(format!("classLevelPermissions not provided for {}.", self.class));
        }
        plan.steps.push(Step::Create(body(fields, indexes, self.wanted_permissions())));
        Ok(())
    }

    fn wanted_permissions(&self) -> Option<Object> {
        match self.manner {
            Permissions::Closed => Some(locked(self.permissions)),
            Permissions::AsGiven => self.permissions.cloned(),
        }
    }

    fn update(
        &self,
        options: &DefinedSchemas,
        current: &ClassSchema,
        plan: &mut ClassPlan,
    ) -> Result<(), String> {
        let mut fields = Map::new();
        for (name, definition) in self.own_fields() {
            if current.field(name).is_none() {
                fields.insert(name.clone(), field(name, definition)?);
            }
        }
        let changes = self.changes(current)?;
        if options.delete_extra_fields {
            fields.extend(changes.extra.iter().map(|name| (name.clone(), delete())));
            plan.lost_fields.extend(changes.extra);
            push(plan, std::mem::take(&mut fields));
        } else {
            if options.strict && !changes.extra.is_empty() {
                plan.warnings.push(format!(
                    "The following fields exist in the database for \"{}\", but are missing in the schema : \"{}\"",
                    self.class,
                    changes.extra.join("\" ,\"")
                ));
            }
            plan.extra_fields = changes.extra;
        }
        if options.recreate_modified_fields {
            fields.extend(changes.retyped.keys().map(|name| (name.clone(), delete())));
            push(plan, std::mem::take(&mut fields));
            for (name, definition) in &changes.retyped {
                fields.insert(name.clone(), field(name, definition)?);
                plan.lost_fields.push(name.clone());
            }
        } else {
            for (name, definition) in &changes.retyped {
                if options.strict {
                    plan.warnings.push(self.differs(name, definition, current));
                }
                plan.kept_fields.push(name.clone());
            }
        }
        fields.extend(changes.options);
        let (indexes, again) = self.index_changes(options, current)?;
        let known = current.clp.as_ref();
        let is_new = |permissions: &Object| {
            known.is_none() || Clp::api_json(known) != Clp::api_json(Some(&Clp::from_json(permissions)))
        };
        let mut last = body(fields, indexes, self.wanted_permissions().filter(is_new));
        if self.manner == Permissions::Closed {
            show_primary_index(current, &mut last);
        }
        if !last.is_empty() {
            plan.steps.push(Step::Update(last));
        }
        if !again.is_empty() {
            plan.steps.push(Step::Update(body(Map::new(), again, None)));
        }
        Ok(())
    }

    /// How the fields there are differ from those defined.
    fn changes(&self, current: &ClassSchema) -> Result<Changes, String> {
        let mut changes = Changes::default();
        let there = current.fields.iter().filter(|(name, _)| !name.is_internal());
        for (name, existing) in there.filter(|(name, _)| !self.is_protected(name)) {
            let Some(definition) = self.fields.and_then(|fields| fields.get(name.as_str())) else {
                changes.extra.push(name.to_string());
                continue;
            };
            let ty = definition.get("type").and_then(Value::as_str);
            let target = definition.get("targetClass").and_then(Value::as_str);
            if ty != Some(existing.ty.name()) || target != existing.ty.target().map(|class| class.as_str()) {
                changes.retyped.insert(name.to_string(), definition.clone());
                continue;
            }
            let wanted = field(name, definition)?;
            let is_same = Field::from_json(&wanted).is_ok_and(|wanted| same_field(&wanted, existing));
            if !is_same {
                changes.options.insert(name.to_string(), wanted);
            }
        }
        Ok(changes)
    }

    fn differs(&self, name: &str, definition: &Value, current: &ClassSchema) -> String {
        let with_target = |ty: &str, target: Option<&str>| match target {
            Some(target) => format!("{ty} ({target})"),
            None => ty.to_owned(),
        };
        let text = |key: &str| definition.get(key).and_then(Value::as_str);
        let to = with_target(text("type").unwrap_or("undefined"), text("targetClass"));
        let from = current.field_type(name).map_or_else(String::new, |ty: &FieldType| {
            with_target(ty.name(), ty.target().map(|class| class.as_str()))
        });
        format!(
            "The field \"{name}\" type differ between the schema and the database for \"{}\"; Schema is defined as \
             \"{to}\" and current database type is \"{from}\"",
            self.class
        )
    }

    /// What to do at once, and what to make again after that.
    fn index_changes(
        &self,
        options: &DefinedSchemas,
        current: &ClassSchema,
    ) -> Result<(Object, Object), String> {
        let (mut now, mut again) = (Map::new(), Map::new());
        for (name, columns) in self.own_indexes() {
            if !current.indexes.contains_key(name) {
                now.insert(name.clone(), index(name, columns)?);
            }
        }
        for (name, existing) in &current.indexes {
            if is_protected_index(self.class, name) {
                continue;
            }
            match self.indexes.and_then(|indexes| indexes.get(name)).filter(|columns| is_truthy(columns)) {
                None if options.keep_unknown_indexes => {}
                None => {
                    now.insert(name.clone(), delete());
                }
                Some(columns) if !same_index(columns, existing) => {
                    now.insert(name.clone(), delete());
                    again.insert(name.clone(), columns.clone());
                }
                Some(_) => {}
            }
        }
        Ok((now, again))
    }
}

#[derive(Default)]
struct Changes {
    extra: Vec<String>,
    /// With their definitions.
    retyped: IndexMap<String, Value>,
    /// As the schema API takes them.
    options: Object,
}

fn push(plan: &mut ClassPlan, fields: Object) {
    if !fields.is_empty() {
        plan.steps.push(Step::Update(body(fields, Map::new(), None)));
    }
}

pub fn is_protected_index(class: &str, name: &str) -> bool {
    let of_class = PROTECTED_INDEXES.iter().find(|(of, _)| *of == class);
    name == "_id_"
        || name.starts_with(OWN_INDEXES)
        || of_class.is_some_and(|(_, names)| names.contains(&name))
}

#[cfg(test)]
mod tests;
