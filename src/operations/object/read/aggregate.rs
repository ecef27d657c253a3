//! `GET /aggregate/:C`: pipelines and distinct, for the master key (parse-server `AggregateRouter`).

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{parse_context, subqueries, triggers};
use crate::cloud::TriggerKind;
use crate::error::{Error, ErrorCode, Result};
use crate::files::FileUrls;
use crate::on_session;
use crate::operations::permissions::Protection;
use crate::operations::permissions::query::authorize_filter;
use crate::operations::{ClassSnapshot, Ctx};
use crate::query::parse::{parse_key, parse_where};
use crate::query::pipeline::{Guarded, parse_pipeline};
use crate::query::visit::guarded_classes;
use crate::query::{Filter, FindHints, FindSpec, Pipeline, PlanDetail, ReadPreference};
use crate::storage::AggregateOptions;
use crate::types::javascript::is_truthy;
use crate::types::{ClassName, ClassSchema, Object};

/// `{"results": […]}`.
///
/// # Errors
/// 403 without a master key, 119 for a read-only one that may not aggregate, 102 and 107 for what is
/// malformed.
pub async fn aggregate(ctx: &Ctx, class: &ClassName, params: &Object) -> Result<Value> {
    ctx.require_master()?;
    if ctx.auth.is_read_only() && !ctx.config().query.allow_aggregation_for_read_only_master_key {
        return Err(Error::forbidden("Cannot run an aggregation pipeline when using the readOnlyMasterKey"));
    }
    refuse_sessions(ctx, class)?;
    let mut params = params.clone();
    let options = take_options(ctx, &mut params)?;
    let stages = stages(&params)?;
    let Some(snapshot) = ctx.services.classes.admit(class).await? else {
        return Ok(json!({ "results": [] }));
    };
    if let Some(results) = before_find(ctx, class, &mut params).await? {
        return Ok(json!({ "results": results }));
    }
    if let Some(field) = params.get("distinct").filter(|field| is_truthy(field)).cloned() {
        let params = subqueries::through_triggers(ctx, params, Some(&snapshot)).await?;
        return distinct(ctx, &snapshot, &params, &field).await;
    }
    let schema = seen(ctx, &snapshot);
    let mut pipeline = parse_pipeline(&stages, Some(&schema))?;
    authorize(ctx, &snapshot, &mut pipeline).await?;
    let mut rows = on_session!(ctx, |session| session.aggregate(&schema, &pipeline, &options))?;
    if !options.raw_values && !options.raw_field_names {
        rows = rows.into_iter().map(clean).collect();
        address_files(ctx, &mut rows).await?;
    }
    let results: Vec<Value> = rows.into_iter().map(Value::Object).collect();
    Ok(json!({ "results": results }))
}

/// Files have their addresses, as in the answer to a find.
async fn address_files(ctx: &Ctx, rows: &mut [Object]) -> Result<()> {
    let (files, base) = (&ctx.services.files, &ctx.info.base_url);
    let mut urls: Arc<dyn FileUrls> = files.clone();
    if files.asks() {
        let names = rows.iter().flat_map(|row| row.values()).filter_map(file_name);
        let names: BTreeSet<String> = names.map(str::to_owned).collect();
        urls = files.ask(base, names).await?.unwrap_or(urls);
    }
    for value in rows.iter_mut().flat_map(|row| row.values_mut()) {
        let url = file_name(value).map(|name| urls.url(base, name));
        if let (Some(url), Value::Object(file)) = (url, value) {
            file.insert("url".to_owned(), url.into());
        }
    }
    Ok(())
}

fn file_name(value: &Value) -> Option<&str> {
    let is_file = value.get("__type").is_some_and(|tag| tag == "File");
    value.get("name").filter(|_| is_file).and_then(Value::as_str)
}

/// The class's handler, which may refuse, change the condition of a `distinct`, or answer itself.
async fn before_find(ctx: &Ctx, class: &ClassName, params: &mut Object) -> Result<Option<Vec<Value>>> {
    if !ctx.services.cloud.registrations().has_trigger(TriggerKind::BeforeFind, class) {
        return Ok(None);
    }
    let query = Object::from_iter([("where".to_owned(), condition_of(params)?.unwrap_or_else(|| json!({})))]);
    let mut context = ctx.info.context.clone();
    let answer = triggers::before_find(ctx, class, &query, false, false, &mut context).await?;
    if let Some(objects) = answer.read_objects().map_err(Error::internal)? {
        return Ok(Some(objects));
    }
    if params.contains_key("distinct")
        && let Some(condition) = answer.query.and_then(|mut changed| changed.shift_remove("where"))
    {
        params.insert("where".to_owned(), condition);
    }
    Ok(None)
}

fn condition_of(params: &Object) -> Result<Option<Value>> {
    match params.get("where") {
        Some(Value::String(text)) => crate::types::json::from_outside(text.as_bytes())
            .map(Some)
            .map_err(|_| Error::parse(ErrorCode::INVALID_JSON, "where parameter is not valid JSON")),
        other => Ok(other.cloned()),
    }
}

/// Internal columns and hashes never leave, not even to a master.
fn clean(mut row: Object) -> Object {
    row.retain(|key, _| !key.starts_with('_') && key != "password");
    row
}

fn take_options(ctx: &Ctx, params: &mut Object) -> Result<AggregateOptions> {
    let config = &ctx.config().query;
    let mut flag = |key: &str, default: bool| match params.get(key) {
        Some(Value::Bool(value)) => {
            let value = *value;
            params.shift_remove(key);
            value
        }
        _ => default,
    };
    let raw_values = flag("rawValues", config.aggregation_raw_values);
    let raw_field_names = flag("rawFieldNames", config.aggregation_raw_field_names);
    let hint = params.shift_remove("hint").filter(|hint| hint.is_string() || hint.is_object());
    let explain = params.shift_remove("explain").filter(is_truthy);
    let comment = params.shift_remove("comment").and_then(|comment| comment.as_str().map(str::to_owned));
    let read_preference = match params.shift_remove("readPreference") {
        Some(Value::String(name)) => ReadPreference::parse(&name)
            .ok_or_else(|| Error::invalid_query("Not supported read preference."))?,
        _ => ReadPreference::default(),
    };
    Ok(AggregateOptions {
        raw_values,
        raw_field_names,
        hints: FindHints {
            read_preference,
            subquery_preference: read_preference,
            hint,
            comment,
            plan: PlanDetail::asked(explain.as_ref()),
            room: ctx.room(),
        },
        explain: explain.is_some(),
    })
}

/// The stages, from `pipeline` or from the parameters themselves.
fn stages(params: &Object) -> Result<Vec<Value>> {
    let distinct = params.get("distinct").is_some_and(is_truthy);
    let stages: Vec<Value> = match params.get("pipeline") {
        Some(Value::Array(stages)) => stages.clone(),
        Some(Value::Object(stages)) => one_each(stages),
        Some(_) => return Err(Error::invalid_query("Invalid aggregate stage 'pipeline'.")),
        None => one_each(params),
    };
    let mut checked = Vec::with_capacity(stages.len());
    for stage in stages {
        let Value::Object(object) = &stage else {
            return Err(Error::invalid_query("Pipeline stages should only have one key but found ."));
        };
        let keys: Vec<&str> = object.keys().map(String::as_str).collect();
        let [name] = keys.as_slice() else {
            let found = keys.join(", ");
            return Err(Error::invalid_query(format!(
                "Pipeline stages should only have one key but found {found}."
            )));
        };
        if *name == "where" && !distinct {
            return Err(Error::invalid_query("where needs distinct; a pipeline takes a $match stage."));
        }
        if matches!(*name, "distinct" | "where") {
            continue;
        }
        if !name.starts_with('$') {
            return Err(Error::invalid_query(format!("Invalid aggregate stage '{name}'.")));
        }
        check_group(name, &object[*name])?;
        checked.push(stage);
    }
    Ok(checked)
}

fn one_each(stages: &Map<String, Value>) -> Vec<Value> {
    stages.iter().map(|(name, stage)| json!({ name.as_str(): stage })).collect()
}

fn check_group(name: &str, stage: &Value) -> Result<()> {
    if name != "$group" {
        return Ok(());
    }
    if stage.get("objectId").is_some() {
        return Err(Error::invalid_query("Cannot use 'objectId' in aggregation stage $group."));
    }
    if stage.get("_id").is_none() {
        return Err(Error::invalid_query("Invalid parameter for query: group. Missing key _id"));
    }
    Ok(())
}

/// A pipeline gives columns other names, so whoever sees no tokens sees no sessions in one.
///
/// # Errors
/// 119 for the read-only master key.
fn refuse_sessions(ctx: &Ctx, class: &ClassName) -> Result<()> {
    if ctx.auth.is_read_only() && class.is_session() {
        return Err(Error::forbidden("Sessions cannot be aggregated with the readOnlyMasterKey"));
    }
    Ok(())
}

/// The class as a pipeline of the caller sees it. Expressions give columns other names, and whole rows have them all:
/// the key that may only read gets users without what somebody could log in with.
fn seen(ctx: &Ctx, class: &ClassSnapshot) -> Arc<ClassSchema> {
    if !ctx.auth.is_read_only() || !class.name().is_user() {
        return class.schema.clone();
    }
    let mut schema = (*class.schema).clone();
    schema.fields.shift_remove("authData");
    Arc::new(schema)
}

/// Puts schemas on the classes that the pipeline asks for (one that does not exist has no rows) and rights on its
/// filters, sub-queries included: those of a master, who alone may aggregate.
async fn authorize(ctx: &Ctx, class: &Arc<ClassSnapshot>, pipeline: &mut Pipeline) -> Result<()> {
    let is_read_only = ctx.auth.is_read_only();
    let mut places = Vec::new();
    pipeline.guarded(Some(class.name()), &mut places);
    for place in places {
        match place {
            Guarded::Source(source) => {
                if let Some(class) = &source.class {
                    refuse_sessions(ctx, class)?;
                }
                if let Some(class) = &source.class
                    && let Some(snapshot) = ctx.services.classes.admit(class).await?
                {
                    source.access.schema = Some(seen(ctx, &snapshot));
                }
            }
            Guarded::Filter { class: Some(of), filter } if guards(filter) || is_read_only => {
                if of == *class.name() {
                    authorize_filter(ctx, class, &Protection::of(ctx, class, None), filter).await?;
                } else if let Some(snapshot) = ctx.services.classes.admit(&of).await? {
                    let protection = Protection::of(ctx, &snapshot, None);
                    authorize_filter(ctx, &snapshot, &protection, filter).await?;
                }
            }
            Guarded::Filter { .. } => {}
        }
    }
    Ok(())
}

/// Whether a filter looks at other classes.
fn guards(filter: &Filter) -> bool {
    !guarded_classes(filter).is_empty()
}

async fn distinct(ctx: &Ctx, class: &Arc<ClassSnapshot>, params: &Object, field: &Value) -> Result<Value> {
    let name = field.as_str().map_or_else(|| field.to_string(), str::to_owned);
    // No internal column leaves as a value, not even to a master.
    let path = parse_key(&name, false)?;
    if path.root.is_internal() {
        return Err(Error::parse(ErrorCode::INVALID_KEY_NAME, format!("Invalid key name: {name}")));
    }
    let protection = Protection::of(ctx, class, None);
    if protection.forbids(&path.to_dotted()) {
        return Err(Error::forbidden(format!(
            "This user is not allowed to read {name} of class {}",
            class.name()
        )));
    }
    let mut filter = Filter::all();
    if let Some(condition) = condition_of(params)? {
        filter = parse_where(&condition, &parse_context(ctx, Some(class)))?;
        authorize_filter(ctx, class, &protection, &mut filter).await?;
    }
    let spec = FindSpec::new(filter);
    let values = on_session!(ctx, |session| session.distinct(&class.schema, &path, &spec))?;
    Ok(json!({ "results": values }))
}
