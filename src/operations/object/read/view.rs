//! How rows of one class are shown to one caller: which fields, what is hidden, what is included.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::Value;

use crate::auth::AuthProviders;
use crate::files::FileUrls;
use crate::operations::permissions::Protection;
use crate::operations::{ClassSnapshot, Ctx};
use crate::types::{ClassName, RowSet};

/// `keys` and `excludeKeys`, by root column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Projection {
    keys: Option<BTreeSet<String>>,
    exclude: BTreeSet<String>,
}

const ALWAYS: [&str; 4] = ["objectId", "createdAt", "updatedAt", "ACL"];

impl Projection {
    /// Dotted keys show their root; dotted exclusions act inside includes only.
    pub fn new(keys: Option<&[String]>, exclude: &[String]) -> Self {
        let root = |key: &String| key.split('.').next().unwrap_or(key).to_owned();
        Self {
            keys: keys.map(|keys| keys.iter().map(root).collect()),
            exclude: exclude.iter().filter(|key| !key.contains('.')).cloned().collect(),
        }
    }

    /// The keys that go on below an include path: `author.name` shows `name` inside `author`.
    pub fn below(path: &[&str], keys: Option<&[String]>, exclude: &[String]) -> Self {
        let rest = |key: &str| -> Option<Vec<String>> {
            let mut segments = key.split('.');
            for expected in path {
                if segments.next()? != *expected {
                    return None;
                }
            }
            let rest: Vec<String> = segments.map(str::to_owned).collect();
            (!rest.is_empty()).then_some(rest)
        };
        let shown: BTreeSet<String> =
            keys.into_iter().flatten().filter_map(|key| rest(key)?.into_iter().next()).collect();
        let hidden = exclude.iter().filter_map(|key| rest(key).filter(|rest| rest.len() == 1)?.pop());
        Self { keys: (!shown.is_empty()).then_some(shown), exclude: hidden.collect() }
    }

    pub fn is_everything(&self) -> bool {
        self.keys.is_none() && self.exclude.is_empty()
    }

    pub fn shows(&self, field: &str) -> bool {
        if ALWAYS.contains(&field) {
            return true;
        }
        self.keys.as_ref().is_none_or(|keys| keys.contains(field)) && !self.exclude.contains(field)
    }

    /// What `keys` names, by root column.
    pub fn named(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().flatten().map(String::as_str)
    }

    /// The REST parameters that say the same, for finds that go through triggers.
    pub fn to_params(&self) -> impl Iterator<Item = (&'static str, String)> {
        let join = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(",");
        let keys = self.keys.as_ref().map(|keys| ("keys", join(keys)));
        let exclude = (!self.exclude.is_empty()).then(|| ("excludeKeys", join(&self.exclude)));
        keys.into_iter().chain(exclude)
    }
}

pub struct View {
    pub class: Arc<ClassSnapshot>,
    pub projection: Projection,
    pub protection: Protection,
    /// Root column → what to put in place of its pointers.
    pub includes: HashMap<String, IncludedField>,
    /// Sees `authData` of every user.
    pub unrestricted: bool,
    /// Sees internal `_…` columns.
    pub internal: bool,
    pub user_id: Option<String>,
    pub auth: Arc<AuthProviders>,
    pub file_urls: Arc<dyn FileUrls>,
    pub base_url: Arc<str>,
}

/// What stands at one position of an include path.
#[derive(Default)]
pub struct IncludedField {
    /// Objects for pointers found right here, by class.
    pub targets: HashMap<ClassName, IncludeTarget>,
    /// Positions further down inside Object and Array columns.
    pub nested: HashMap<String, IncludedField>,
}

/// The loaded objects of one class for one position.
#[allow(clippy::large_enum_variant, reason = "few of them live at a time")]
pub enum IncludeTarget {
    Rows {
        rows: Arc<RowSet>,
        by_id: Arc<HashMap<String, usize>>,
        view: View,
    },
    /// Objects that went through triggers, complete with their own includes.
    Values(HashMap<String, Value>),
}

impl View {
    pub fn new(
        ctx: &Ctx,
        class: &Arc<ClassSnapshot>,
        protection: Protection,
        projection: Projection,
    ) -> Self {
        Self {
            class: class.clone(),
            projection,
            protection,
            includes: HashMap::new(),
            unrestricted: ctx.auth.is_unrestricted(),
            internal: ctx.auth.is_maintenance(),
            user_id: ctx.auth.user_id().map(str::to_owned),
            auth: ctx.services.auth.clone(),
            file_urls: ctx.services.files.clone(),
            base_url: Arc::from(ctx.info.base_url.as_str()),
        }
    }

    /// The same for objects that are shown within another: users see their own `authData` where they ask for
    /// themselves, and there alone.
    pub fn within_another(mut self, ctx: &Ctx) -> Self {
        self.unrestricted = ctx.auth.is_master();
        self.user_id = None;
        self
    }
}
