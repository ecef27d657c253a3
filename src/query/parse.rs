//! REST JSON `where` → [`Filter`], refusing what no query may say with parse-server's own texts
//! (`DatabaseController.validateQuery`, `RestQuery.replace*`, `MongoTransform.transformConstraint`).

pub(crate) mod constraint;
pub(crate) mod geo;
pub(crate) mod relative_time;
#[cfg(test)]
pub(crate) mod tests;
use std::cell::Cell;

use serde_json::{Map, Value};

use crate::error::{Error, ErrorCode, Result};
use crate::query::parse::constraint::parse_constraints;
use crate::query::{Access, Constraint, Filter, RelatedTo, SubQuery};
use crate::types::javascript::{is_empty_list, is_truthy};
use crate::types::limits::{self, MAX_CONDITIONS, MAX_LISTED};
use crate::types::names::{ClassName, FieldName};
use crate::types::path::FieldPath;
use crate::types::schema::ClassSchema;
use crate::types::time::Millis;

/// Nesting that even the master key cannot exceed; every walk over a filter recurses this deep.
pub const MAX_NESTING: u32 = 100;

/// `requestComplexity`, as far as queries go; `None` is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryLimits {
    /// Nested `$or`, `$and`, `$nor`.
    pub query_depth: Option<u32>,
    /// Nested sub-queries.
    pub subquery_depth: Option<u32>,
    /// Rows a sub-query may contribute.
    pub subquery_limit: Option<u32>,
    /// Components of an include path.
    pub include_depth: Option<u32>,
    /// Include paths, parents counted.
    pub include_count: Option<u32>,
    pub allow_regex: bool,
}

impl QueryLimits {
    /// Nothing is limited.
    pub const NONE: Self = Self {
        query_depth: None,
        subquery_depth: None,
        subquery_limit: None,
        include_depth: None,
        include_count: None,
        allow_regex: true,
    };
}

/// Who asks, and when.
#[derive(Clone, Copy, Debug)]
pub struct ParseContext<'a> {
    /// Master or maintenance key: no limits, internal keys allowed.
    pub is_master: bool,
    pub limits: QueryLimits,
    /// What `$relativeTime` is relative to.
    pub now: Millis,
    /// The class queried, where known: types of fields are then checked as parse-server does.
    pub schema: Option<&'a ClassSchema>,
}

impl ParseContext<'_> {
    /// For queries the server itself makes.
    pub fn master() -> Self {
        Self { is_master: true, limits: QueryLimits::NONE, now: Millis::now(), schema: None }
    }
}

/// Internal columns that a `where` of anybody may name.
const CLIENT_KEYS: &[&str] = &["_rperm", "_wperm"];
/// Internal columns that a `where` with the master key may name.
const MASTER_KEYS: &[&str] = &[
    "_email_verify_token",
    "_perishable_token",
    "_perishable_token_expires_at",
    "_email_verify_token_expires_at",
    "_failed_login_count",
    "_account_lockout_expires_at",
    "_password_changed_at",
    "_password_history",
    "_tombstone",
    "_session_token",
];

/// # Errors
/// 102, 105, 107 as facts 01 §6.3 and §6.4 tell; 103 for impossible class names in sub-queries.
pub fn parse_where(value: &Value, ctx: &ParseContext<'_>) -> Result<Filter> {
    WhereParser { ctx, subqueries: 0, spent: &Spent::default() }.object(value, Depth::default())
}

/// What a `where` has used of its limits so far, sub-queries included.
#[derive(Debug, Default)]
struct Spent {
    conditions: Cell<usize>,
    listed: Cell<usize>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Depth {
    /// Logical operators around this object, within its own query.
    logical: u32,
    /// Every kind of nesting.
    total: u32,
}

impl Depth {
    fn deeper(self) -> Self {
        Self { logical: self.logical + 1, total: self.total + 1 }
    }
}

pub(super) struct WhereParser<'a, 'c> {
    pub(super) ctx: &'a ParseContext<'c>,
    /// Sub-queries around what is being parsed.
    subqueries: u32,
    spent: &'a Spent,
}

fn spend(spent: &Cell<usize>, count: usize, limit: usize, what: &str) -> Result<()> {
    spent.set(spent.get().saturating_add(count));
    if spent.get() > limit {
        return Err(Error::invalid_query(format!("A query must not have more than {limit} {what}")));
    }
    Ok(())
}

fn too_deep(limit: u32) -> Error {
    Error::invalid_query(format!("Query condition nesting depth exceeds maximum allowed depth of {limit}"))
}

impl WhereParser<'_, '_> {
    /// To be called before that many conditions are built; each is a part of the statement.
    ///
    /// # Errors
    /// 102 beyond [`MAX_CONDITIONS`].
    pub(super) fn spend_conditions(&self, count: usize) -> Result<()> {
        spend(&self.spent.conditions, count, MAX_CONDITIONS, "conditions")
    }

    /// To be called before a list of that many members is taken over; a list is one part of the statement.
    ///
    /// # Errors
    /// 102 beyond [`MAX_LISTED`].
    pub(super) fn spend_listed(&self, count: usize) -> Result<()> {
        spend(&self.spent.listed, count, MAX_LISTED, "values in its lists")
    }

    fn object(&self, value: &Value, depth: Depth) -> Result<Filter> {
        if depth.total > MAX_NESTING {
            return Err(too_deep(MAX_NESTING));
        }
        if !self.ctx.is_master
            && let Some(limit) = self.ctx.limits.query_depth
            && depth.logical > limit
        {
            return Err(too_deep(limit));
        }
        let object = match value {
            Value::Null => return Ok(Filter::all()),
            Value::Object(object) => object,
            _ => return Err(Error::invalid_json("where parameter is not valid JSON")),
        };
        self.spend_conditions(object.len())?;
        if object.get("ACL").is_some_and(is_truthy) {
            return Err(Error::invalid_query("Cannot query on ACL."));
        }
        let mut parts = Vec::with_capacity(object.len());
        for (key, value) in object {
            parts.push(match key.as_str() {
                "$or" | "$and" | "$nor" => self.logical(key, value, depth)?,
                "$relatedTo" => Filter::RelatedTo(related_to(value)?),
                _ => self.field(key, value, depth)?,
            });
        }
        Ok(if parts.len() == 1 { parts.swap_remove(0) } else { Filter::And(parts) })
    }

    fn logical(&self, key: &str, value: &Value, depth: Depth) -> Result<Filter> {
        let bad = || {
            let what = if key == "$nor" { "an array of at least 1 value" } else { "an array value" };
            Error::invalid_query(format!("Bad {key} format - use {what}."))
        };
        let Some(list) = value.as_array() else {
            return Err(if self.ctx.is_master {
                bad()
            } else {
                Error::denied(ErrorCode::INVALID_QUERY, format!("{key} must be an array"))
            });
        };
        self.spend_conditions(list.len())?;
        // MongoDB refuses empty lists, and what an empty `$or` should match nobody can say.
        if list.is_empty() || !list.iter().all(Value::is_object) {
            return Err(bad());
        }
        let parts = list.iter().map(|part| self.object(part, depth.deeper())).collect::<Result<Vec<_>>>()?;
        Ok(match key {
            "$or" => Filter::Or(parts),
            "$and" => Filter::And(parts),
            _ => Filter::Nor(parts),
        })
    }

    fn field(&self, key: &str, value: &Value, depth: Depth) -> Result<Filter> {
        let path = parse_key(key, self.ctx.is_master)?;
        let constraints = parse_constraints(self, &path, value, depth.total)?;
        Ok(Filter::Field { path, constraints })
    }

    /// `{className, where, redirectClassNameForKey?}` of `$inQuery` and `$select`.
    pub(super) fn subquery(
        &self,
        query: &Map<String, Value>,
        key: Option<FieldPath>,
        depth: u32,
    ) -> Result<SubQuery> {
        let level = self.subqueries + 1;
        if !self.ctx.is_master
            && let Some(limit) = self.ctx.limits.subquery_depth
            && level > limit
        {
            return Err(Error::invalid_query(format!(
                "Subquery nesting depth exceeds maximum allowed depth of {limit}"
            )));
        }
        let class = ClassName::parse(query.get("className").and_then(Value::as_str).unwrap_or_default())?;
        // The inner class is another one, so its fields are not those of `schema`.
        let ctx = ParseContext { schema: None, ..*self.ctx };
        let inner = WhereParser { ctx: &ctx, subqueries: level, spent: self.spent };
        let filter = inner.object(
            query.get("where").filter(|v| !is_empty_list(v)).unwrap_or(&Value::Null),
            Depth { logical: 0, total: depth + 1 },
        )?;
        let redirect = query.get("redirectClassNameForKey").and_then(Value::as_str);
        let limit = self.ctx.limits.subquery_limit.filter(|limit| *limit > 0 && !self.ctx.is_master);
        Ok(SubQuery {
            class,
            filter,
            key,
            redirect_class_name_for_key: redirect.and_then(FieldName::valid),
            order: Vec::new(),
            limit: limit.map(u64::from),
            skip: 0,
            access: Access::default(),
        })
    }
}

/// A `where` key: a field, a dotted path, or an internal column the caller may name.
///
/// # Errors
/// 105 `Invalid key name: <key>`.
pub fn parse_key(key: &str, is_master: bool) -> Result<FieldPath> {
    let invalid = || Error::parse(ErrorCode::INVALID_KEY_NAME, format!("Invalid key name: {key}"));
    if CLIENT_KEYS.contains(&key) || (is_master && MASTER_KEYS.contains(&key)) {
        return FieldName::internal(key).map(FieldPath::from).ok_or_else(invalid);
    }
    limits::check_condition_key(key)?;
    let mut segments = key.split('.');
    let root = segments.next().and_then(FieldName::valid).ok_or_else(invalid)?;
    let rest: Vec<String> = segments.map(str::to_owned).collect();
    let plain = |text: &String| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !rest.iter().all(plain) {
        return Err(invalid());
    }
    Ok(FieldPath { root, rest })
}

fn related_to(value: &Value) -> Result<RelatedTo> {
    let improper = || Error::invalid_query("improper usage of $relatedTo");
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let owner = value.get("object").ok_or_else(improper)?;
    let key = text(value, "key").and_then(|key| FieldName::valid(&key)).ok_or_else(improper)?;
    let owner_class = ClassName::parse(&text(owner, "className").ok_or_else(improper)?)?;
    let owner_id = text(owner, "objectId").ok_or_else(improper)?;
    Ok(RelatedTo { owner_class, owner_id, key, access: Access::default() })
}

impl Constraint {
    /// Whether the constraint needs another query.
    pub fn subquery(&self) -> Option<&SubQuery> {
        match self {
            Self::InQuery(query)
            | Self::NotInQuery(query)
            | Self::Select(query)
            | Self::DontSelect(query) => Some(query),
            _ => None,
        }
    }

    pub fn subquery_mut(&mut self) -> Option<&mut SubQuery> {
        match self {
            Self::InQuery(query)
            | Self::NotInQuery(query)
            | Self::Select(query)
            | Self::DontSelect(query) => Some(query),
            _ => None,
        }
    }
}
