//! Defined schemas as a file, for the command line: what differs, what that would do, and the file that the
//! database makes. The file counts as it stands: permissions as given, and classes it does not name are left alone.

use serde_json::{Map, Value, json};

use super::plan::{self, ClassPlan, Permissions, Step, class_of};
use super::{classes, take};
use crate::config::DefinedSchemas;
use crate::error::{Error, Result};
use crate::operations::Ctx;
use crate::operations::admin::schema;
use crate::operations::ports::{IndexChange, SchemaChange};
use crate::storage::preview::{Effect, Planned, Statement};
use crate::types::schema::is_default_column;
use crate::types::{ClassName, ClassSchema, Object};

/// All that `apply` would do.
pub struct Plan {
    pub classes: Vec<PlannedClass>,
    /// Classes of the database that the file does not name.
    pub unnamed: Vec<String>,
}

/// One class of a plan.
pub struct PlannedClass {
    pub plan: ClassPlan,
    pub is_new: bool,
    pub statements: Vec<Statement>,
    /// Objects whose fields go.
    pub objects: u64,
}

impl PlannedClass {
    pub fn loses_data(&self) -> bool {
        self.objects > 0 && self.statements.iter().any(|statement| statement.effect == Effect::LosesData)
    }
}

/// # Errors
/// What the schema API says to a step, with the class; storage errors.
pub async fn of(ctx: &Ctx, options: &DefinedSchemas, manner: Permissions) -> Result<Plan> {
    let known = classes(ctx).await?;
    let mut planned = Vec::new();
    for definition in &options.definitions {
        let class = class_of(definition);
        let current = known.iter().find(|known| known.name == class.as_str());
        let of_class = |reason: String| Error::invalid_json(format!("{class}: {reason}"));
        let plan = plan::of_class(options, manner, definition, current).map_err(of_class)?;
        let statements =
            preview(ctx, &class, current, &plan.steps).map_err(|error| of_class(error.to_string()))?;
        let objects = match current {
            Some(current) if !plan.lost_fields.is_empty() => count(ctx, current).await?,
            _ => 0,
        };
        planned.push(PlannedClass { plan, is_new: current.is_none(), statements, objects });
    }
    if manner == Permissions::Closed {
        let is_defined =
            |class: &str| options.definitions.iter().any(|definition| class_of(definition) == class);
        for class in known.iter().filter(|class| !is_defined(&class.name)) {
            let steps: Vec<Step> = plan::of_undefined(class).into_iter().collect();
            let statements = preview(ctx, &class.name, Some(class), &steps)?;
            let plan = ClassPlan { class: class.name.to_string(), steps, ..ClassPlan::default() };
            planned.push(PlannedClass { plan, is_new: false, statements, objects: 0 });
        }
    }
    let unnamed = known
        .iter()
        .map(|class| class.name.to_string())
        .filter(|class| !options.definitions.iter().any(|definition| class_of(definition) == *class))
        .collect();
    Ok(Plan { classes: planned, unnamed })
}

async fn count(ctx: &Ctx, class: &ClassSchema) -> Result<u64> {
    use crate::query::{Filter, FindSpec};
    let class = std::sync::Arc::new(class.clone());
    Ok(ctx.services.storage.count(&class, &FindSpec::new(Filter::all())).await?)
}

/// The statements of all steps, each seen from where those before it lead.
fn preview(ctx: &Ctx, class: &str, current: Option<&ClassSchema>, steps: &[Step]) -> Result<Vec<Statement>> {
    let storage = &ctx.services.storage;
    let mut current = current.cloned();
    let mut all = Vec::new();
    for step in steps {
        match step {
            Step::Create(body) => {
                let name = ClassName::valid(class).ok_or_else(|| {
                    Error::invalid_query(crate::types::schema::invalid_class_name_message(class))
                })?;
                let (schema, indexes) = schema::plan_creation(ctx, &name, body)?;
                all.extend(storage.preview(Planned::Create(&schema)));
                if let Some(IndexChange { create, drop }) = &indexes {
                    all.extend(storage.preview(Planned::Indexes(&schema, create, drop)));
                }
                current = Some(schema);
            }
            Step::Update(body) => {
                let Some(before) = &current else { continue };
                let (change, after) = schema::plan_update(ctx, before, body)?;
                let SchemaChange { delete_fields, add_fields, set_options, permissions, indexes } = &change;
                if !delete_fields.is_empty() {
                    all.extend(storage.preview(Planned::DeleteFields(before, delete_fields)));
                }
                if !add_fields.is_empty() {
                    all.extend(storage.preview(Planned::AddFields(&before.name, add_fields)));
                }
                if !set_options.is_empty() || permissions.is_some() {
                    all.extend(storage.preview(Planned::Note(&before.name)));
                }
                if let Some(IndexChange { create, drop }) = indexes {
                    all.extend(storage.preview(Planned::Indexes(&after, create, drop)));
                }
                current = Some(after);
            }
        }
    }
    Ok(all)
}

/// Makes the changes of a plan, and tells of each class when it is done.
///
/// # Errors
/// What the schema API says to a step; those before it are done.
pub async fn apply(ctx: &Ctx, plan: &Plan, tell: &mut dyn FnMut(&str)) -> Result<()> {
    for PlannedClass { plan, .. } in &plan.classes {
        for step in &plan.steps {
            let made = take(ctx, &plan.class, step.clone()).await;
            made.map_err(|error| Error::internal(format!("{}: {error}", plan.class)))?;
        }
        if !plan.steps.is_empty() {
            tell(&plan.class);
        }
    }
    Ok(())
}

/// The file that describes the database: a plan of it is empty.
///
/// # Errors
/// Storage errors.
pub async fn pull(ctx: &Ctx) -> Result<Value> {
    let classes = classes(ctx).await?;
    let definitions: Vec<Value> = classes.iter().map(define).collect();
    Ok(json!({ "definitions": definitions }))
}

fn define(class: &ClassSchema) -> Value {
    let own =
        class.fields.iter().filter(|(name, _)| !name.is_internal() && !is_default_column(&class.name, name));
    let fields: Object = own.map(|(name, field)| (name.as_str().to_owned(), field.to_json())).collect();
    let indexes = class.indexes.iter().filter(|(name, _)| !plan::is_protected_index(&class.name, name));
    let indexes: Object = indexes.map(|(name, columns)| (name.clone(), columns.clone())).collect();
    let mut definition = Map::new();
    definition.insert("className".to_owned(), class.name.as_str().into());
    definition.insert("fields".to_owned(), Value::Object(fields));
    if !indexes.is_empty() {
        definition.insert("indexes".to_owned(), Value::Object(indexes));
    }
    if let Some(permissions) = &class.clp {
        definition.insert("classLevelPermissions".to_owned(), Value::Object(permissions.raw().clone()));
    }
    Value::Object(definition)
}
