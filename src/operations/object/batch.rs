//! `POST /batch`: many requests in one, side by side or in one transaction (parse-server's `batch.js`).
//!
//! Called by the batch route; the routes of the items are the caller's, handed in as [`ItemRouter`].

use std::collections::HashMap;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::future::LocalBoxFuture;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use super::transaction;
use super::write;
use crate::config::AppConfig;
use crate::error::{Error, ErrorCode, Result};
use crate::operations::transactions::Extent;
use crate::operations::{Ctx, gate};
use crate::storage::{StorageError, is_stale_schema};
use crate::types::aside::{LONG, aside};
use crate::types::{ClassName, Object};

/// Items of one batch that run at the same time; more would only queue for the same connections.
const CONCURRENCY: usize = 8;
/// How often a transaction that met a conflict is run again. MongoDB ends all but one of those that write the same
/// object at once, where PostgreSQL has them wait.
const CONFLICT_RETRIES: u32 = 10;
/// The longest pause before the first of these, which doubles up to [`LONGEST_PAUSE`].
const CONFLICT_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(640);
/// In which the notice of a schema change arrives.
const STALE_PAUSE: Duration = Duration::from_millis(20);

/// One request of a batch.
#[derive(Clone, Debug)]
pub struct Item {
    /// As sent; `undefined` when there was none.
    pub method: String,
    /// Below the mount, normalised.
    pub path: String,
    pub body: Object,
}

/// The routes items can go to.
pub trait ItemRouter {
    /// Runs an item to its JSON body.
    fn route(&self, ctx: Ctx, item: Item) -> LocalBoxFuture<'static, Result<Bytes>>;

    /// # Errors
    /// 107 `cannot route <method> <path>`, 400 for a path that cannot be decoded.
    fn check_route(&self, ctx: &Ctx, item: &Item) -> Result<()>;

    /// The class, when the item does nothing but create an object.
    fn created_class(&self, ctx: &Ctx, item: &Item) -> Option<ClassName>;

    /// # Errors
    /// 119 for what stays although a transaction is rolled back.
    fn check_transactional(&self, ctx: &Ctx, item: &Item) -> Result<()>;
}

/// Answers the JSON array of `{"success": …}` and `{"error": {code, error}}`, in order.
///
/// # Errors
/// 107 for a malformed batch or an item without a route, 119 for an item that no transaction can take back;
/// 500 for a transaction that was rolled back, 503 for one that could not have its turn, 102 for one with a
/// longer answer than allowed.
pub async fn run(ctx: &Ctx, body: Object, router: &dyn ItemRouter) -> Result<Bytes> {
    let transactional = body.get("transaction") == Some(&Value::Bool(true));
    let items = read_items(ctx, body)?;
    for item in &items {
        // As tolerant as the routes are, so that no other spelling gets past.
        let is_batch = item.path.trim_end_matches('/').eq_ignore_ascii_case("/batch");
        if is_batch && item.method.eq_ignore_ascii_case("POST") {
            return Err(Error::invalid_json("nested batch requests are not allowed"));
        }
        gate::count_item(ctx, &item.method, &item.path).await?;
    }
    // One item that leads nowhere refuses the batch; nothing has run yet then.
    for item in &items {
        router.check_route(ctx, item)?;
        if transactional {
            router.check_transactional(ctx, item)?;
        }
    }
    let answers = if transactional && ctx.transaction.is_some() {
        // Already inside one, which ends as a whole.
        run_in_order(ctx, items, router).await?.into_iter().map(Ok).collect()
    } else if transactional {
        run_transaction(ctx, items, router).await?
    } else {
        let groups = group(ctx, items, router, false);
        let running = groups.into_iter().map(|group| run_group(ctx, group, router));
        let answered: Vec<Vec<(usize, Result<Bytes>)>> =
            stream::iter(running).buffer_unordered(CONCURRENCY).collect().await;
        let mut answers: Vec<_> = answered.into_iter().flatten().collect();
        answers.sort_by_key(|(index, _)| *index);
        answers.into_iter().map(|(_, answer)| answer).collect()
    };
    write_answers(answers, ctx.config().http.sanitize_errors).await
}

/// Items that run together: creates of one class, which become one insert, or one item.
struct Group {
    class: Option<ClassName>,
    /// With their places in the batch.
    items: Vec<(usize, Item)>,
}

/// In a transaction only neighbours are joined, since items run in order there.
fn group(ctx: &Ctx, items: Vec<Item>, router: &dyn ItemRouter, neighbours_only: bool) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut by_class: HashMap<ClassName, usize> = HashMap::new();
    for (index, item) in items.into_iter().enumerate() {
        let class =
            router.created_class(ctx, &item).filter(|class| write::bulk::can_create_together(ctx, class));
        let known = class.as_ref().and_then(|class| by_class.get(class)).copied();
        let known = known.filter(|place| !neighbours_only || place + 1 == groups.len());
        if let Some(group) = known.and_then(|place| groups.get_mut(place)) {
            group.items.push((index, item));
            continue;
        }
        if let Some(class) = &class {
            by_class.insert(class.clone(), groups.len());
        }
        groups.push(Group { class, items: vec![(index, item)] });
    }
    groups
}

async fn run_group(ctx: &Ctx, group: Group, router: &dyn ItemRouter) -> Vec<(usize, Result<Bytes>)> {
    let Some(class) = group.class.filter(|_| group.items.len() > 1) else {
        let mut answers = Vec::with_capacity(group.items.len());
        for (index, item) in group.items {
            answers.push((index, router.route(ctx.clone(), item).await));
        }
        return answers;
    };
    let (places, bodies): (Vec<_>, Vec<_>) =
        group.items.into_iter().map(|(index, item)| (index, item.body)).unzip();
    let saved = write::create_many(ctx, &class, bodies).await;
    let answers = saved.into_iter().map(|saved| {
        let text = serde_json::to_vec(&saved?.into_value()).map_err(Error::internal)?;
        // As with other writes: counted, but done.
        let _ = ctx.budget().charge_bytes(text.len());
        Ok(Bytes::from(text))
    });
    places.into_iter().zip(answers).collect()
}

/// All items on one connection, one after another; the first error ends it.
async fn run_transaction(ctx: &Ctx, items: Vec<Item>, router: &dyn ItemRouter) -> Result<Vec<Result<Bytes>>> {
    let mut retries = 0;
    loop {
        match try_transaction(ctx, items.clone(), router).await {
            Ok(answers) => return Ok(answers.into_iter().map(Ok).collect()),
            // Each pauses for a time of its own, or they would meet again.
            Err(error) if is_conflict(&error) && retries < CONFLICT_RETRIES => {
                let most = CONFLICT_PAUSE.saturating_mul(1 << retries).min(LONGEST_PAUSE);
                tokio::time::sleep(most.mul_f64(rand::random_range(0.1..=1.0))).await;
                retries += 1;
            }
            // It was rolled back, and is planned anew when the change of its class has arrived here.
            Err(error) if is_stale_schema(&error) && retries < CONFLICT_RETRIES => {
                retries += 1;
                tokio::time::sleep(STALE_PAUSE).await;
            }
            // Nothing is wrong with the batch: it may be sent again.
            Err(error) if error.status() == 503 => return Err(error),
            Err(error) => {
                if let Some(overdrawn) = ctx.budget().overdrawn() {
                    return Err(overdrawn);
                }
                return Err(Error::internal(format!("a transactional batch was rolled back: {error}")));
            }
        }
    }
}

async fn try_transaction(ctx: &Ctx, items: Vec<Item>, router: &dyn ItemRouter) -> Result<Vec<Bytes>> {
    transaction::within(ctx, Extent::Batch, async |inside: &Ctx| run_in_order(inside, items, router).await)
        .await
}

/// One after another, until the first error.
async fn run_in_order(ctx: &Ctx, items: Vec<Item>, router: &dyn ItemRouter) -> Result<Vec<Bytes>> {
    let mut answers = Vec::with_capacity(items.len());
    for group in group(ctx, items, router, true) {
        let ran = run_group(ctx, group, router).await.into_iter().map(|(_, answer)| answer);
        answers.extend(ran.collect::<Result<Vec<_>>>()?);
    }
    Ok(answers)
}

fn is_conflict(error: &Error) -> bool {
    match error {
        Error::Database(source) => {
            matches!(source.downcast_ref::<StorageError>(), Some(StorageError::Conflict(_)))
        }
        // What Cloud Code and other databases call a transaction conflict.
        other => other.is(ErrorCode(251)),
    }
}

fn read_items(ctx: &Ctx, mut body: Object) -> Result<Vec<Item>> {
    let Some(Value::Array(requests)) = body.shift_remove("requests") else {
        return Err(Error::invalid_json("requests must be an array"));
    };
    let limit = ctx.config().request_complexity.batch_request_limit.map(|limit| limit as usize);
    if let Some(limit) = limit.filter(|limit| requests.len() > *limit && !ctx.auth.is_unrestricted()) {
        let count = requests.len();
        return Err(Error::invalid_json(format!(
            "Batch request contains {count} sub-requests, which exceeds the limit of {limit}."
        )));
    }
    let paths = BatchPaths::of(ctx.config(), &ctx.info.base_url);
    let mut items = Vec::with_capacity(requests.len());
    for mut request in requests {
        let Some(Value::String(path)) = request.get("path") else {
            return Err(Error::invalid_json("batch request path must be a string"));
        };
        let path = paths.below_mount(path)?;
        let method = match request.get("method") {
            Some(Value::String(method)) => method.clone(),
            None => "undefined".to_owned(),
            Some(other) => other.to_string(),
        };
        let body = match request.get_mut("body").map(Value::take) {
            Some(Value::Object(body)) => body,
            _ => Object::new(),
        };
        items.push(Item { method, path, body });
    }
    Ok(items)
}

/// What the paths of items may begin with: the mount, and the paths of both server URLs.
struct BatchPaths {
    prefixes: Vec<String>,
}

impl BatchPaths {
    fn of(config: &AppConfig, base_url: &str) -> Self {
        let path_of =
            |url: &str| url::Url::parse(url).ok().map(|url| url.path().trim_end_matches('/').to_owned());
        let mut prefixes = vec![config.http.mount_path.clone()];
        prefixes.extend([config.http.server_url.as_str(), base_url].into_iter().filter_map(path_of));
        // The longest that fits counts.
        prefixes.sort_by_key(|prefix| std::cmp::Reverse(prefix.len()));
        prefixes.dedup();
        Self { prefixes }
    }

    fn below_mount(&self, path: &str) -> Result<String> {
        let rest = self.prefixes.iter().find_map(|prefix| path.strip_prefix(prefix.as_str()));
        let rest = rest.ok_or_else(|| Error::invalid_json(format!("cannot route batch path {path}")))?;
        Ok(normalized(rest))
    }
}

/// Node's `path.posix.join('/', path)`.
pub fn normalized(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let slash = if path.ends_with('/') && !parts.is_empty() { "/" } else { "" };
    format!("/{}{slash}", parts.join("/"))
}

async fn write_answers(answers: Vec<Result<Bytes>>, sanitize: bool) -> Result<Bytes> {
    let told = answers.into_iter().map(|answer| match answer {
        Ok(body) => (SUCCESS, body),
        Err(error) => {
            tracing::info!(%error, "an item of a batch failed");
            (FAILURE, Bytes::from(item_error(&error, sanitize).to_string()))
        }
    });
    let told: Vec<_> = told.collect();
    let size = told.iter().map(|(key, body)| key.len() + body.len() + 2).sum::<usize>() + 2;
    if size > LONG { aside(move || joined(told, size)).await } else { Ok(joined(told, size)) }
}

const SUCCESS: &[u8] = b"{\"success\":";
const FAILURE: &[u8] = b"{\"error\":";

fn joined(told: Vec<(&'static [u8], Bytes)>, size: usize) -> Bytes {
    let mut out = BytesMut::with_capacity(size);
    out.put_u8(b'[');
    for (index, (key, body)) in told.into_iter().enumerate() {
        if index > 0 {
            out.put_u8(b',');
        }
        out.put_slice(key);
        out.put_slice(&body);
        out.put_u8(b'}');
    }
    out.put_u8(b']');
    out.freeze()
}

/// Errors without a code have none here either.
fn item_error(error: &Error, sanitize: bool) -> Value {
    let text = error.public_message(sanitize);
    match error {
        Error::Http { .. } if error.code().is_none() => json!({ "error": text }),
        Error::Thrown { .. } => error.body(sanitize),
        _ => json!({ "code": error.code().map_or(1, |code| code.0), "error": text }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lose_mount_and_dots() {
        let config = AppConfig::for_tests(json!({"mountPath": "/parse"}));
        let paths = BatchPaths::of(&config, "https://api.example.org/1");
        assert_eq!(paths.below_mount("/parse/classes/A").unwrap(), "/classes/A");
        assert_eq!(paths.below_mount("/1/classes/A/").unwrap(), "/classes/A/");
        assert_eq!(paths.below_mount("/parse//classes/./B/../A").unwrap(), "/classes/A");
        assert_eq!(paths.below_mount("/parse/../batch").unwrap(), "/batch");
        let error = paths.below_mount("/classes/A").expect_err("no mount");
        assert_eq!(error.public_message(true), "cannot route batch path /classes/A");
    }

    #[tokio::test]
    async fn answers_keep_their_order_and_their_text() {
        let answers = vec![
            Ok(Bytes::from_static(b"{\"objectId\":\"x\"}")),
            Err(Error::object_not_found()),
            Err(Error::master_key_required()),
        ];
        let text = write_answers(answers, true).await.unwrap();
        assert_eq!(
            text,
            "[{\"success\":{\"objectId\":\"x\"}},{\"error\":{\"code\":101,\"error\":\"Object not found.\"}},{\"error\":{\"error\":\"Permission denied\"}}]"
        );
    }
}
