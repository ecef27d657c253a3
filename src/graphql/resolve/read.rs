//! Queries that read objects: one by its id, many by conditions, those of relations, the caller.

use serde_json::{Map, Value, json};

use super::super::errors::Failure;
use super::super::execute::collect::Names;
use super::super::execute::{Asked, leaf};
use super::super::schema::class::Class;
use super::super::schema::types::Resolver;
use super::paging::{Page, cursor};
use super::projection::Projection;
use super::{Resolved, Server, filter, internal, text};
use crate::cloud::TriggerKind;
use crate::error::{Error, ErrorCode};
use crate::operations::Ctx;
use crate::operations::object::read;
use crate::types::{ClassName, Object};

/// Objects of a find unless it says otherwise.
const DEFAULT_LIMIT: i64 = 100;

/// Read preferences, by the names that the REST API has for them.
const PREFERENCES: [&str; 3] = ["readPreference", "includeReadPreference", "subqueryReadPreference"];

fn preferences(args: &Map<String, Value>, params: &mut Object, of_subqueries: bool) {
    let Some(Value::Object(options)) = args.get("options") else { return };
    for name in PREFERENCES {
        if (of_subqueries || name != "subqueryReadPreference")
            && let Some(preference) = text(options, name)
        {
            params.insert(name.to_owned(), preference.into());
        }
    }
}

/// A find on its way to a connection.
pub(super) struct Wanted {
    page: Page,
    params: Object,
    counts: bool,
}

impl<'e> Server<'e> {
    pub(super) async fn get(&self, class: &ClassName, asked: &Asked<'e>) -> Resolved {
        let given = text(&asked.arguments, "id").unwrap_or_default();
        let id = leaf::object_id(class, given);
        self.count("GET", &format!("/classes/{class}/{id}")).await?;
        let projection = Projection::of(self.schema, self.class(class)?, Some(&self.names(asked)));
        let mut params = Object::new();
        projection.apply(&mut params);
        preferences(&asked.arguments, &mut params, false);
        self.object(&self.ctx(), class, &id, params).await
    }

    /// One object, as the caller may see it.
    pub(super) async fn object(&self, ctx: &Ctx, class: &ClassName, id: &str, params: Object) -> Resolved {
        let mut object = read::get(ctx, class, id, params).await?.into_object(ctx)?;
        if class.is_user() {
            object.shift_remove("sessionToken");
        }
        Ok(Value::Object(object))
    }

    /// What a subscription is told: the event's own object, and those it points to as far as they are asked for.
    pub(super) async fn happened(&self, class: &ClassName, asked: &Asked<'e>) -> Resolved {
        let Some((event, mut object)) = self.event.clone() else { return Err(internal()) };
        let names = self.names(asked);
        let projection = Projection::of(self.schema, self.class(class)?, names.get("node"));
        let included: Vec<&str> = projection.included().collect();
        let is_there = !["leave", "delete"].contains(&event);
        if is_there && !included.is_empty() {
            let mut params = Object::new();
            projection.apply(&mut params);
            let id = object.get("objectId").and_then(Value::as_str).unwrap_or_default().to_owned();
            // Gone meanwhile: the event is told as it was.
            if let Ok(Value::Object(mut read)) = self.object(&self.ctx(), class, &id, params).await {
                for name in included {
                    object[name] = read.shift_remove(name).unwrap_or_default();
                }
            }
        }
        Ok(json!({ "event": event, "node": object }))
    }

    pub(super) async fn node(&self, asked: &Asked<'e>) -> Resolved {
        let (name, id) = leaf::from_global_id(text(&asked.arguments, "id").unwrap_or_default());
        let missing = || Failure::Coded(Error::object_not_found());
        let class = ClassName::valid(&name).ok_or_else(missing)?;
        self.count("GET", &format!("/classes/{class}/{id}")).await?;
        let mut params = Object::new();
        match self.schema.class_of(&class) {
            Some(known) => {
                Projection::of(self.schema, known, Some(&self.names(asked))).apply(&mut params);
            }
            // Of a class that is not shown, nothing is told but that it may not be asked.
            None => params.insert("keys".to_owned(), "objectId".into()).map_or((), drop),
        }
        let object = self.object(&self.ctx(), &class, &id, params).await?;
        if self.schema.class_of(&class).is_none() {
            return Err(missing());
        }
        let mut object = object;
        object["className"] = name.into();
        Ok(object)
    }

    pub(super) async fn find(&self, class: &ClassName, asked: &Asked<'e>) -> Resolved {
        self.count("GET", &format!("/classes/{class}")).await?;
        let known = self.class(class)?;
        let wanted = self.wanted(known, asked, Map::new())?;
        self.connection(class, wanted).await
    }

    /// The find that a field of connection type stands for; `$relatedTo` and the like come first.
    fn wanted(
        &self,
        class: &Class,
        asked: &Asked<'e>,
        mut condition: Map<String, Value>,
    ) -> Result<Wanted, Failure> {
        let args = &asked.arguments;
        let names = self.names(asked);
        let own = match args.get("where") {
            Some(Value::Object(given)) => filter::conditions(self.schema, class, given.clone())?,
            _ => Map::new(),
        };
        condition.extend(own);
        let ctx = self.ctx.borrow();
        let max_limit = ctx.config().query.max_limit;
        let page = Page::of(args, max_limit)?;
        let mut params = Object::new();
        if !condition.is_empty() {
            params.insert("where".to_owned(), Value::Object(condition));
        }
        preferences(args, &mut params, true);
        let (edges, info) = (names.get("edges"), names.get("pageInfo"));
        let has = |part: Option<&Names<'_>>| part.is_some_and(|part| !part.below.is_empty());
        let limit = if has(edges) || has(info) { page.limit.unwrap_or(DEFAULT_LIMIT) } else { 0 };
        if limit != 0 {
            let order: Option<Vec<&str>> = match args.get("order") {
                Some(Value::Array(order)) => Some(order.iter().filter_map(Value::as_str).collect()),
                Some(Value::String(order)) => Some(vec![order]),
                _ => None,
            };
            if let Some(order) = order.filter(|order| !order.is_empty()) {
                params.insert("order".to_owned(), order.join(",").into());
            }
            let projection = Projection::of(self.schema, class, names.at(&["edges", "node"]));
            projection.apply(&mut params);
        }
        let most = max_limit.and_then(|most| i64::try_from(most).ok()).unwrap_or(i64::MAX);
        params.insert("limit".to_owned(), limit.min(most).into());
        let asks = |name: &str| info.is_some_and(|info| info.has(name));
        let counts = names.has("count") || asks("hasPreviousPage") || asks("hasNextPage");
        Ok(Wanted { page, params, counts })
    }

    pub(super) async fn connection(&self, class: &ClassName, wanted: Wanted) -> Resolved {
        let Wanted { page, mut params, counts } = wanted;
        let ctx = self.ctx();
        let mut skip = page.skip;
        let mut count = None;
        if page.counts_first {
            let mut counting = params.clone();
            for key in ["keys", "include", "order"] {
                counting.shift_remove(key);
            }
            counting.insert("limit".to_owned(), 0.into());
            counting.insert("count".to_owned(), true.into());
            let found = read::find(&ctx, class, counting).await?;
            let total = found.count().and_then(|count| i64::try_from(count).ok()).unwrap_or_default();
            let limit = page.limit.unwrap_or_default();
            if skip.unwrap_or(0).saturating_add(limit) < total {
                skip = Some(total - limit);
            }
            count = Some(total);
        }
        if let Some(skip) = skip.filter(|skip| *skip > 0 && params.get("limit") != Some(&Value::from(0))) {
            params.insert("skip".to_owned(), skip.into());
        }
        if counts && count.is_none() {
            params.insert("count".to_owned(), true.into());
        }
        let found = read::find(&ctx, class, params).await?;
        if count.is_none() {
            count = found.count().and_then(|count| i64::try_from(count).ok());
        }
        let results = found.into_values(&ctx)?;
        Ok(connection_of(results, skip, count))
    }

    /// The objects that a relation of one object leads to.
    pub(super) async fn relation(
        &self,
        class: &ClassName,
        target: &ClassName,
        asked: &Asked<'e>,
    ) -> Resolved {
        let found = async {
            if asked.source.get("relation").is_none_or(Value::is_null) {
                return Err(internal());
            }
            // What is wrong with a query below the root has no code.
            let plain = |failure: Failure| match failure {
                Failure::Coded(error) | Failure::Plain(error) => Failure::Plain(error),
            };
            let known = self.class(target)?;
            let related = json!({
                "object": {
                    "__type": "Pointer",
                    "className": class.as_str(),
                    "objectId": asked.source.get("objectId"),
                },
                "key": asked.name(),
            });
            let condition = Map::from_iter([("$relatedTo".to_owned(), related)]);
            let wanted = self.wanted(known, asked, condition).map_err(plain)?;
            self.connection(target, wanted).await.map_err(plain)
        };
        found.await
    }

    /// The relations of many objects by two statements, where nobody steps in: the ids that belong to all of
    /// them, then the objects.
    pub(super) async fn relations_at_once(&self, asked: &[Asked<'e>]) -> Option<Vec<Resolved>> {
        let first = asked.first().filter(|_| asked.len() > 1)?;
        let Resolver::Relation { class, target } = &first.definition.resolver else { return None };
        let ctx = self.ctx();
        let registrations = ctx.services.cloud.registrations();
        let watched = [TriggerKind::BeforeFind, TriggerKind::AfterFind]
            .into_iter()
            .any(|kind| registrations.has_trigger(kind, target) || registrations.has_trigger(kind, class));
        if watched || asked.iter().any(|asked| asked.source.get("relation").is_none_or(Value::is_null)) {
            return None;
        }
        let known = self.class(target).ok()?;
        let wanted = self.wanted(known, first, Map::new()).ok()?;
        let owners: Vec<&str> =
            asked.iter().filter_map(|asked| asked.source.get("objectId")?.as_str()).collect();
        if owners.len() != asked.len() || wanted.page.counts_first {
            return None;
        }
        let related =
            read::related::of_many(&ctx, class, first.name(), target, &owners, wanted.params.clone());
        let related = match related.await {
            Ok(Some(related)) => related,
            // More than can be told apart here, or something is wrong: each says so for itself.
            Ok(None) | Err(_) => return None,
        };
        let limit = wanted.params.get("limit").and_then(Value::as_i64).unwrap_or(DEFAULT_LIMIT);
        let skip = wanted.page.skip.unwrap_or(0);
        let shown = related.into_iter().map(|objects| {
            let count = i64::try_from(objects.len()).unwrap_or(i64::MAX);
            let from = usize::try_from(skip).unwrap_or(usize::MAX);
            let results = objects.into_iter().skip(from).take(usize::try_from(limit).unwrap_or(usize::MAX));
            Ok(connection_of(results.collect(), wanted.page.skip, wanted.counts.then_some(count)))
        });
        Some(shown.collect())
    }

    pub(super) async fn viewer(&self, asked: &Asked<'e>) -> Resolved {
        self.count("GET", "/users/me").await?;
        let ctx = self.ctx();
        let invalid =
            || Failure::Coded(Error::denied(ErrorCode::INVALID_SESSION_TOKEN, "Invalid session token"));
        let token = ctx.info.session_token.clone().filter(|token| !token.is_empty()).ok_or_else(invalid)?;
        let id = ctx.auth.user_id().ok_or_else(invalid)?.to_owned();
        self.viewer_of(&ctx, &id, &token, self.names(asked).get("user")).await
    }

    /// A user with the session, as the user may see itself.
    pub(super) async fn viewer_of(
        &self,
        ctx: &Ctx,
        id: &str,
        token: &str,
        names: Option<&Names<'e>>,
    ) -> Resolved {
        let mut viewer = json!({ "sessionToken": token });
        if names.is_none() {
            return Ok(viewer);
        }
        let class = ClassName::known("_User");
        let mut params = Object::new();
        Projection::of(self.schema, self.class(&class)?, names).apply(&mut params);
        params.insert("where".to_owned(), json!({ "objectId": id }));
        let found = read::find(ctx, &class, params).await?.into_values(ctx)?;
        let Some(user) = found.into_iter().next() else {
            let error = Error::denied(ErrorCode::INVALID_SESSION_TOKEN, "Invalid session token");
            return Err(Failure::Coded(error));
        };
        viewer["user"] = user;
        Ok(viewer)
    }
}

fn connection_of(results: Vec<Value>, skip: Option<i64>, count: Option<i64>) -> Value {
    let from = skip.unwrap_or(0);
    let length = i64::try_from(results.len()).unwrap_or(i64::MAX);
    let total = count.unwrap_or(0);
    let edges: Vec<Value> = results
        .into_iter()
        .zip(from..)
        .map(|(node, offset)| {
            let mut edge = Map::with_capacity(2);
            edge.insert("cursor".to_owned(), cursor(offset).into());
            edge.insert("node".to_owned(), node);
            Value::Object(edge)
        })
        .collect();
    json!({
        "edges": edges,
        "pageInfo": {
            "hasPreviousPage": total > 0 && from > 0,
            "startCursor": cursor(from),
            "endCursor": cursor(from + length.max(1) - 1),
            "hasNextPage": total > from.saturating_add(length),
        },
        "count": count,
    })
}
