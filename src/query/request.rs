//! Parameters of find and get requests, validated and typed, before anything is known about rights
//! or triggers (`ClassesRouter.handleFind`, `handleGet`, the constructor of `RestQuery`).

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use crate::error::{Error, ErrorCode, Result};
use crate::query::parse::constraint::js_text;
use crate::query::{OrderKey, ParseContext, ReadPreference};
use crate::types::javascript::is_truthy;
use crate::types::limits::{self, MAX_NAMES, MAX_SORT_KEYS};
use crate::types::names::FieldName;
use crate::types::path::FieldPath;

const FIND_KEYS: &[&str] = &[
    "skip",
    "limit",
    "order",
    "count",
    "keys",
    "excludeKeys",
    "include",
    "includeAll",
    "redirectClassNameForKey",
    "where",
    "readPreference",
    "includeReadPreference",
    "subqueryReadPreference",
    "hint",
    "explain",
    "comment",
];
const GET_KEYS: &[&str] =
    &["keys", "include", "excludeKeys", "readPreference", "includeReadPreference", "subqueryReadPreference"];
/// Fields that a projection cannot take away.
pub const ALWAYS_SELECTED: &[&str] = &["objectId", "createdAt", "updatedAt", "ACL"];

/// What of each object is wanted, and which pointers are followed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Projection {
    /// `keys`: root or dotted names besides the always selected ones; `None` = every field.
    pub keys: Option<Vec<String>>,
    pub exclude_keys: Option<Vec<String>>,
    /// Include paths with their parents, shortest first, each once.
    pub include: Vec<Vec<String>>,
    /// Every Pointer and Array field, one level.
    pub include_all: bool,
}

/// Which replicas may answer which part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadPreferences {
    pub own: Option<ReadPreference>,
    pub include: Option<ReadPreference>,
    pub subquery: Option<ReadPreference>,
}

impl ReadPreferences {
    /// For included objects: their own preference, else the query's.
    pub fn for_include(self) -> ReadPreference {
        self.include.or(self.own).unwrap_or_default()
    }

    /// For sub-queries, where they are statements of their own.
    pub fn for_subquery(self) -> ReadPreference {
        self.subquery.or(self.own).unwrap_or_default()
    }
}

/// A find as it was asked for. `where` stays JSON, since triggers may look at it and replace it:
/// [`super::parse_where`] reads it when it is final.
#[derive(Clone, Debug, PartialEq)]
pub struct FindRequest {
    pub where_json: Map<String, Value>,
    pub order: Vec<OrderKey>,
    pub projection: Projection,
    /// `None`: no limit.
    pub limit: Option<u64>,
    pub skip: u64,
    pub count: bool,
    pub redirect_class_name_for_key: Option<String>,
    pub read_preferences: ReadPreferences,
    /// Index name or specification; PostgreSQL has no use for it.
    pub hint: Option<Value>,
    /// `true` or a MongoDB verbosity.
    pub explain: Option<Value>,
    pub comment: Option<String>,
}

/// A get as it was asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GetRequest {
    pub projection: Projection,
    pub read_preferences: ReadPreferences,
}

impl FindRequest {
    /// Reads the merged parameters of URL and body. `default_limit` applies when none is given,
    /// `max_limit` caps what is.
    ///
    /// # Errors
    /// 102 for unknown parameters and bad values, 107 for a `where` that is not JSON, 105 for
    /// impossible sort keys.
    pub fn parse(
        params: &Map<String, Value>,
        default_limit: Option<u64>,
        max_limit: Option<u64>,
        ctx: &ParseContext<'_>,
    ) -> Result<Self> {
        if let Some(key) = params.keys().find(|key| !FIND_KEYS.contains(&key.as_str())) {
            return Err(Error::invalid_query(format!("Invalid parameter for query: {key}")));
        }
        let limit = match params.get("limit").filter(|v| is_truthy(v) || v.as_f64() == Some(0.0)) {
            Some(limit) => Some(whole_number("limit", limit)?),
            None => default_limit,
        };
        let order = match params.get("order").filter(|v| is_truthy(v)) {
            Some(order) => parse_order(&js_text(order))?,
            None => Vec::new(),
        };
        let explain = params.get("explain").filter(|v| is_truthy(v));
        if explain.is_some_and(|explain| !valid_explain(explain)) {
            return Err(Error::invalid_query("Invalid value for explain"));
        }
        let hint =
            params.get("hint").filter(|v| is_truthy(v) && matches!(v, Value::String(_) | Value::Object(_)));
        Ok(Self {
            where_json: where_object(params.get("where"), ctx)?,
            order,
            projection: projection(params, ctx)?,
            limit: match (limit, max_limit.filter(|max| *max > 0)) {
                (Some(limit), Some(max)) => Some(limit.min(max)),
                (limit, _) => limit,
            },
            skip: match params.get("skip").filter(|v| is_truthy(v)) {
                Some(skip) => whole_number("skip", skip)?,
                None => 0,
            },
            count: params.get("count").is_some_and(is_truthy),
            redirect_class_name_for_key: params
                .get("redirectClassNameForKey")
                .filter(|v| is_truthy(v))
                .map(js_text),
            read_preferences: read_preferences(params)?,
            hint: hint.cloned(),
            explain: explain.cloned(),
            comment: params
                .get("comment")
                .and_then(Value::as_str)
                .filter(|c| !c.is_empty())
                .map(str::to_owned),
        })
    }

    /// A find for everything that matches, as the server asks it.
    pub fn matching(where_json: Map<String, Value>) -> Self {
        Self {
            where_json,
            order: Vec::new(),
            projection: Projection::default(),
            limit: None,
            skip: 0,
            count: false,
            redirect_class_name_for_key: None,
            read_preferences: ReadPreferences::default(),
            hint: None,
            explain: None,
            comment: None,
        }
    }
}

impl GetRequest {
    /// # Errors
    /// 102 `Improper encode of parameter` for any other parameter; bad read preferences; too many names.
    pub fn parse(params: &Map<String, Value>, ctx: &ParseContext<'_>) -> Result<Self> {
        if params.keys().any(|key| !GET_KEYS.contains(&key.as_str())) {
            return Err(Error::invalid_query("Improper encode of parameter"));
        }
        Ok(Self { projection: projection(params, ctx)?, read_preferences: read_preferences(params)? })
    }
}

/// Parameters from a URL are JSON where they can be read as such, else text.
pub fn url_value(text: &str) -> Value {
    crate::types::json::from_outside(text.as_bytes()).unwrap_or_else(|_| Value::String(text.to_owned()))
}

/// `where` as an object, from JSON text or JSON.
///
/// # Errors
/// 107 `where parameter is not valid JSON`; 102 for nesting beyond the parser's.
pub fn where_object(value: Option<&Value>, ctx: &ParseContext<'_>) -> Result<Map<String, Value>> {
    let parsed;
    let value = match value {
        None | Some(Value::Null) => return Ok(Map::new()),
        Some(Value::String(text)) => {
            parsed = crate::types::json::from_outside(text.as_bytes()).map_err(|error| {
                // The JSON reader gives up at 128 levels; nobody asks that deep by honest means.
                match ctx.limits.query_depth {
                    Some(limit) if !ctx.is_master && error.to_string().contains("recursion limit") => {
                        Error::invalid_query(format!(
                            "Query condition nesting depth exceeds maximum allowed depth of {limit}"
                        ))
                    }
                    _ => Error::invalid_json("where parameter is not valid JSON"),
                }
            })?;
            &parsed
        }
        Some(value) => value,
    };
    match value {
        Value::Null => Ok(Map::new()),
        Value::Object(object) => Ok(object.clone()),
        // What PHP makes of an empty map.
        Value::Array(list) if list.is_empty() => Ok(Map::new()),
        _ => Err(Error::invalid_json("where parameter is not valid JSON")),
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn whole_number(name: &str, value: &Value) -> Result<u64> {
    let number = match value {
        Value::Number(n) => n.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Bool(b) => Some(f64::from(u8::from(*b))),
        _ => None,
    };
    let number = number.filter(|n| n.is_finite() && *n >= 0.0);
    number.map(|n| n as u64).ok_or_else(|| {
        Error::invalid_query(format!("Invalid value for {name}: it should be a positive number"))
    })
}

fn valid_explain(value: &Value) -> bool {
    const VERBOSITY: &[&str] =
        &["true", "false", "queryPlanner", "queryPlannerExtended", "executionStats", "allPlansExecution"];
    match value {
        Value::Bool(_) => true,
        Value::String(text) => VERBOSITY.contains(&text.as_str()),
        _ => false,
    }
}

fn read_preferences(params: &Map<String, Value>) -> Result<ReadPreferences> {
    let read = |key: &str| match params.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()) {
        None => Ok(None),
        Some(text) => ReadPreference::parse(text)
            .map(Some)
            .ok_or_else(|| Error::invalid_query("Not supported read preference.")),
    };
    Ok(ReadPreferences {
        own: read("readPreference")?,
        include: read("includeReadPreference")?,
        subquery: read("subqueryReadPreference")?,
    })
}

/// The names of one parameter, each once.
fn names(params: &Map<String, Value>, key: &str, ctx: &ParseContext<'_>) -> Result<Option<Vec<String>>> {
    let Some(value) = params.get(key).filter(|v| !v.is_null()) else { return Ok(None) };
    let text = match value {
        Value::String(text) => Cow::Borrowed(text.as_str()),
        other => Cow::Owned(js_text(other)),
    };
    if key == "include" && text.len() <= limits::MAX_NAMES_BYTES {
        // The option's own words, where it is the stricter limit.
        check_depth(text.split(',').map(limits::depth_of).max().unwrap_or(0), ctx)?;
    }
    limits::check_names(key, &text, MAX_NAMES)?;
    let mut seen = HashSet::new();
    let names = text.split(',').filter(|name| !name.is_empty() && seen.insert(*name)).map(str::to_owned);
    Ok(Some(names.collect()))
}

fn projection(params: &Map<String, Value>, ctx: &ParseContext<'_>) -> Result<Projection> {
    let mut keys = names(params, "keys", ctx)?;
    let mut exclude_keys = names(params, "excludeKeys", ctx)?;
    let mut wanted = names(params, "include", ctx)?.unwrap_or_default();
    let include_all =
        params.get("includeAll").is_some_and(is_truthy) || wanted.iter().any(|path| path == "*");
    wanted.retain(|path| path != "*");
    // A dotted key wants the pointers on its way.
    let on_the_way = keys.iter().flatten().chain(exclude_keys.iter().flatten());
    let on_the_way = on_the_way.filter_map(|key| Some(key.rsplit_once('.')?.0));
    let include = include_paths(wanted.iter().map(String::as_str).chain(on_the_way), ctx)?;
    if let Some(excluded) = &mut exclude_keys {
        excluded.retain(|key| !ALWAYS_SELECTED.contains(&key.as_str()));
    }
    if let (Some(keys), Some(excluded)) = (&mut keys, &exclude_keys) {
        // A key that is named by both is not shown, nor is its root for its sake.
        keys.retain(|key| !excluded.contains(key));
    }
    Ok(Projection { keys, exclude_keys, include, include_all })
}

/// Every path and its parents, shortest first, each once. How many there are and how deep they go is known,
/// and judged, before any of them is written out.
///
/// # Errors
/// As [`check_include_complexity`]; 102 for more than [`MAX_NAMES`] paths.
fn include_paths<'t>(
    wanted: impl Iterator<Item = &'t str> + Clone,
    ctx: &ParseContext<'_>,
) -> Result<Vec<Vec<String>>> {
    check_depth(wanted.clone().map(limits::depth_of).max().unwrap_or(0), ctx)?;
    let mut tree = PathTree::default();
    wanted.for_each(|path| tree.add(path));
    check_count(tree.nodes.len(), ctx)?;
    if tree.nodes.len() > MAX_NAMES {
        return Err(limits::too_many_names("include", MAX_NAMES));
    }
    Ok(tree.paths())
}

/// Dotted paths, one node for each part after its parents.
#[derive(Default)]
struct PathTree<'t> {
    nodes: Vec<Node<'t>>,
    /// Parent and part → node.
    known: HashMap<(Option<usize>, &'t str), usize>,
}

struct Node<'t> {
    parent: Option<usize>,
    part: &'t str,
    depth: usize,
}

impl<'t> PathTree<'t> {
    fn add(&mut self, path: &'t str) {
        let mut parent = None;
        for (index, part) in path.split('.').enumerate() {
            let nodes = &mut self.nodes;
            parent = Some(*self.known.entry((parent, part)).or_insert_with(|| {
                nodes.push(Node { parent, part, depth: index + 1 });
                nodes.len() - 1
            }));
        }
    }

    fn paths(&self) -> Vec<Vec<String>> {
        let mut order: Vec<usize> = (0..self.nodes.len()).collect();
        order.sort_by_key(|index| self.nodes.get(*index).map_or(0, |node| node.depth));
        order.into_iter().map(|index| self.path_to(index)).collect()
    }

    fn path_to(&self, index: usize) -> Vec<String> {
        let up = std::iter::successors(self.nodes.get(index), |node| self.nodes.get(node.parent?));
        let mut path: Vec<String> = up.map(|node| node.part.to_owned()).collect();
        path.reverse();
        path
    }
}

/// Refuses includes beyond `requestComplexity`; to be called when `includeAll` is resolved.
///
/// # Errors
/// 102 `Include depth of …` and `Number of include fields …`.
pub fn check_include_complexity(include: &[Vec<String>], ctx: &ParseContext<'_>) -> Result<()> {
    check_depth(include.iter().map(Vec::len).max().unwrap_or(0), ctx)?;
    check_count(include.len(), ctx)
}

fn check_depth(depth: usize, ctx: &ParseContext<'_>) -> Result<()> {
    match ctx.limits.include_depth.filter(|limit| !ctx.is_master && depth > *limit as usize) {
        None => Ok(()),
        Some(limit) => Err(Error::invalid_query(format!(
            "Include depth of {depth} exceeds maximum allowed depth of {limit}"
        ))),
    }
}

fn check_count(count: usize, ctx: &ParseContext<'_>) -> Result<()> {
    match ctx.limits.include_count.filter(|limit| !ctx.is_master && count > *limit as usize) {
        None => Ok(()),
        Some(limit) => Err(Error::invalid_query(format!(
            "Number of include fields ({count}) exceeds maximum allowed ({limit})"
        ))),
    }
}

/// `-createdAt, name, $score`. A field named twice keeps its first place and last direction.
///
/// # Errors
/// 105 `Cannot sort by …`, `Invalid field name: ….`
pub fn parse_order(text: &str) -> Result<Vec<OrderKey>> {
    limits::check_names("order", text, MAX_SORT_KEYS)?;
    let mut order: Vec<OrderKey> = Vec::new();
    for name in text.split(',').map(str::trim) {
        if name.is_empty() {
            continue;
        }
        if name == "$score" || name == "-$score" {
            if !order.contains(&OrderKey::Score) {
                order.push(OrderKey::Score);
            }
            continue;
        }
        let (name, descending) = name.strip_prefix('-').map_or((name, false), |bare| (bare, true));
        let path = order_path(name)?;
        // At most `MAX_SORT_KEYS` of them.
        let known = order.iter_mut().find(|key| matches!(key, OrderKey::Field { path: p, .. } if *p == path));
        match known {
            Some(key) => *key = OrderKey::Field { path, descending },
            None => order.push(OrderKey::Field { path, descending }),
        }
    }
    Ok(order)
}

fn order_path(name: &str) -> Result<FieldPath> {
    let error = |message: String| Error::parse(ErrorCode::INVALID_KEY_NAME, message);
    match name {
        "_created_at" => return Ok(FieldName::known("createdAt").into()),
        "_updated_at" => return Ok(FieldName::known("updatedAt").into()),
        _ => {}
    }
    let mut segments = name.split('.');
    let root = segments.next().unwrap_or_default();
    let rest: Vec<String> = segments.map(str::to_owned).collect();
    if root == "authData" && rest.len() == 2 && rest[1] == "id" {
        return Err(error(format!("Cannot sort by {name}")));
    }
    let invalid = || error(format!("Invalid field name: {name}."));
    let root = FieldName::valid(root).filter(|_| !name.contains('\0')).ok_or_else(invalid)?;
    Ok(FieldPath { root, rest })
}
