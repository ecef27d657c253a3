//! A find or get as the steps here need it: the parsed request with its include paths as a tree.

use indexmap::IndexMap;
use serde_json::Value;

use super::Mode;
use super::keyset::Paging;
use crate::error::Result;
use crate::operations::{ClassSnapshot, Ctx};
use crate::query::parse::{ParseContext, QueryLimits, parse_where};
use crate::query::request::{FindRequest, GetRequest, Projection, check_include_complexity};
use crate::query::{Filter, OrderKey, ReadPreference};
use crate::types::time::Millis;
use crate::types::{FieldType, Object};

pub struct Request {
    pub filter: Filter,
    pub order: Vec<OrderKey>,
    pub limit: Option<u64>,
    pub skip: u64,
    pub count: bool,
    /// Dotted paths as given; `None` = all fields.
    pub keys: Option<Vec<String>>,
    pub exclude_keys: Vec<String>,
    pub include: IncludeTree,
    /// `$score` is wanted as a field.
    pub with_score: bool,
    pub read_preference: ReadPreference,
    pub include_read_preference: ReadPreference,
    pub subquery_read_preference: ReadPreference,
    pub hint: Option<Value>,
    pub explain: Option<Value>,
    pub comment: Option<String>,
    pub paging: Paging,
}

/// Who asks, for the parsers in `types::query`.
pub fn parse_context<'a>(ctx: &'a Ctx, class: Option<&'a ClassSnapshot>) -> ParseContext<'a> {
    let complexity = &ctx.config().request_complexity;
    ParseContext {
        is_master: ctx.auth.is_unrestricted(),
        limits: QueryLimits {
            query_depth: complexity.query_depth,
            subquery_depth: complexity.subquery_depth,
            subquery_limit: complexity.subquery_limit,
            include_depth: complexity.include_depth,
            include_count: complexity.include_count,
            allow_regex: complexity.allow_regex,
        },
        now: Millis::now(),
        schema: class.map(|class| &*class.schema),
    }
}

impl Request {
    /// # Errors
    /// 102, 105 and 107 as the facts on queries tell.
    pub(super) fn parse(
        ctx: &Ctx,
        mut params: Object,
        mode: Mode<'_>,
        class: Option<&ClassSnapshot>,
    ) -> Result<Self> {
        let context = parse_context(ctx, class);
        match mode {
            Mode::Get(id) => {
                let get = GetRequest::parse(&params, &context)?;
                let mut find = FindRequest::matching(Object::new());
                find.projection = get.projection;
                find.read_preferences = get.read_preferences;
                Self::assemble(find, Filter::by_id(id), class, &context)
            }
            Mode::Find | Mode::Redirected => {
                let config = &ctx.config().query;
                let paging = Paging::take(&mut params)?;
                let mut find =
                    FindRequest::parse(&params, Some(config.default_limit), config.max_limit, &context)?;
                let condition = Value::Object(std::mem::take(&mut find.where_json));
                let filter = parse_where(&condition, &context)?;
                let request = Self::assemble(find, filter, class, &context)?;
                Ok(Self { paging, ..request })
            }
        }
    }

    fn assemble(
        find: FindRequest,
        filter: Filter,
        class: Option<&ClassSnapshot>,
        context: &ParseContext<'_>,
    ) -> Result<Self> {
        let Projection { mut keys, exclude_keys, mut include, include_all } = find.projection;
        if include_all && let Some(class) = class {
            include_every_pointer(class, &mut include, keys.as_mut());
        }
        check_include_complexity(&include, context)?;
        let with_score = keys.iter().flatten().any(|key| key == "$score");
        Ok(Self {
            filter,
            order: find.order,
            limit: find.limit,
            skip: find.skip,
            count: find.count,
            keys,
            exclude_keys: exclude_keys.unwrap_or_default(),
            include: IncludeTree::of(&include),
            with_score,
            read_preference: find.read_preferences.own.unwrap_or_default(),
            include_read_preference: find.read_preferences.for_include(),
            subquery_read_preference: find.read_preferences.for_subquery(),
            hint: find.hint,
            explain: find.explain,
            comment: find.comment,
            paging: Paging::default(),
        })
    }
}

/// What is included is shown, too, whatever `keys` name.
fn include_every_pointer(
    class: &ClassSnapshot,
    include: &mut Vec<Vec<String>>,
    mut keys: Option<&mut Vec<String>>,
) {
    for (name, field) in &class.schema.fields {
        let points = matches!(field.ty, FieldType::Pointer(_) | FieldType::Array);
        if !points || name.is_internal() {
            continue;
        }
        let path = vec![name.as_str().to_owned()];
        if !include.contains(&path) {
            include.push(path);
        }
        if let Some(keys) = &mut keys
            && !keys.iter().any(|key| key == name.as_str())
        {
            keys.push(name.as_str().to_owned());
        }
    }
}

/// Include paths as a tree of segments: `a.b` and `a.c` share `a`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IncludeTree {
    pub children: IndexMap<String, IncludeTree>,
}

impl IncludeTree {
    pub fn of(paths: &[Vec<String>]) -> Self {
        let mut tree = Self::default();
        for path in paths {
            let mut node = &mut tree;
            for segment in path {
                node = node.children.entry(segment.clone()).or_default();
            }
        }
        tree
    }

    pub fn is_empty(&self) -> bool {
        self.children.is_empty()
    }

    /// Every path in the tree, parents included, dotted.
    pub fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        let mut pending: Vec<(String, &Self)> =
            self.children.iter().map(|(segment, node)| (segment.clone(), node)).collect();
        while let Some((path, node)) = pending.pop() {
            pending.extend(node.children.iter().map(|(segment, child)| (format!("{path}.{segment}"), child)));
            paths.push(path);
        }
        paths.sort();
        paths
    }
}
