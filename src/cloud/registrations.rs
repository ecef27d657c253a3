//! What application code has registered: the table the server asks before it calls an engine.
//!
//! Built by the engines, read by operations and the HTTP layer. Pure data.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use indexmap::IndexSet;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The class name under which `Parse.File` triggers are registered.
pub const FILE_CLASS: &str = "@File";
/// The class name under which `Parse.Config` triggers are registered.
pub const CONFIG_CLASS: &str = "@Config";
/// The class name under which `beforeConnect` is registered.
pub const CONNECT_CLASS: &str = "@Connect";

/// The moments at which application code can step in, by parse-server's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TriggerKind {
    BeforeSave,
    AfterSave,
    BeforeDelete,
    AfterDelete,
    BeforeFind,
    AfterFind,
    BeforeLogin,
    AfterLogin,
    AfterLogout,
    BeforePasswordResetRequest,
    BeforeConnect,
    BeforeSubscribe,
    /// Registered with `afterLiveQueryEvent`.
    AfterEvent,
    /// `onLiveQueryEvent`: an observer of the live-query server, bound to no class.
    OnLiveQueryEvent,
}

impl TriggerKind {
    pub const ALL: [TriggerKind; 14] = [
        Self::BeforeSave,
        Self::AfterSave,
        Self::BeforeDelete,
        Self::AfterDelete,
        Self::BeforeFind,
        Self::AfterFind,
        Self::BeforeLogin,
        Self::AfterLogin,
        Self::AfterLogout,
        Self::BeforePasswordResetRequest,
        Self::BeforeConnect,
        Self::BeforeSubscribe,
        Self::AfterEvent,
        Self::OnLiveQueryEvent,
    ];

    /// The name in requests, in `_Hooks.triggerName` and in log lines.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BeforeSave => "beforeSave",
            Self::AfterSave => "afterSave",
            Self::BeforeDelete => "beforeDelete",
            Self::AfterDelete => "afterDelete",
            Self::BeforeFind => "beforeFind",
            Self::AfterFind => "afterFind",
            Self::BeforeLogin => "beforeLogin",
            Self::AfterLogin => "afterLogin",
            Self::AfterLogout => "afterLogout",
            Self::BeforePasswordResetRequest => "beforePasswordResetRequest",
            Self::BeforeConnect => "beforeConnect",
            Self::BeforeSubscribe => "beforeSubscribe",
            Self::AfterEvent => "afterEvent",
            Self::OnLiveQueryEvent => "onLiveQueryEvent",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// Kinds whose handlers may change `request.context` for those that follow.
    pub fn hands_context_on(self) -> bool {
        matches!(
            self,
            Self::BeforeSave | Self::AfterSave | Self::BeforeDelete | Self::AfterDelete | Self::BeforeFind
        )
    }

    fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// Beside the kinds' bits, of which there are fewer.
const TRANSACTION_BIT: u16 = 1 << 15;

/// The kinds registered for one class; small enough to live in a class snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TriggerSet(u16);

impl TriggerSet {
    pub fn contains(self, kind: TriggerKind) -> bool {
        self.0 & kind.bit() != 0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn insert(&mut self, kind: TriggerKind) {
        self.0 |= kind.bit();
    }

    /// Whether a trigger of the class asks for a transaction around the write.
    pub fn asks_for_transaction(self) -> bool {
        self.0 & TRANSACTION_BIT != 0
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FunctionInfo {
    /// The validator asks for roles: the call has to carry the caller's.
    pub needs_roles: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TriggerInfo {
    /// The validator asks for roles: the call has to carry the caller's.
    pub needs_roles: bool,
    /// The write and what this trigger saves are one transaction (`{ transaction: true }`).
    pub transaction: bool,
}

/// An adapter module loaded by an engine, under its option's name (`auth.acme`, `emailAdapter`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AdapterInfo {
    /// Names of its methods, inherited ones included.
    pub methods: BTreeSet<String>,
    /// Its plain properties (`policy` of an auth adapter, for one).
    pub properties: serde_json::Map<String, Value>,
}

/// Everything application code registered. Immutable: a reload or a new hook publishes another one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Registrations {
    functions: BTreeMap<String, FunctionInfo>,
    /// In the order of registration.
    jobs: IndexSet<String>,
    triggers: HashMap<String, BTreeMap<TriggerKind, TriggerInfo>>,
    sets: HashMap<String, TriggerSet>,
    live_query_events: bool,
    adapters: BTreeMap<String, AdapterInfo>,
    /// Rate limit entries that validators declared, in the form of the `rateLimit` option
    /// (`requestPath`, `requestMethods`, `requestTimeWindow`, `requestCount`, …).
    pub rate_limits: Vec<Value>,
}

impl Registrations {
    pub fn add_function(&mut self, name: impl Into<String>, info: FunctionInfo) {
        self.functions.insert(name.into(), info);
    }

    pub fn add_job(&mut self, name: impl Into<String>) {
        self.jobs.insert(name.into());
    }

    pub fn add_trigger(&mut self, kind: TriggerKind, class: impl Into<String>, info: TriggerInfo) {
        if kind == TriggerKind::OnLiveQueryEvent {
            self.live_query_events = true;
            return;
        }
        let class = class.into();
        let set = self.sets.entry(class.clone()).or_default();
        set.insert(kind);
        if info.transaction {
            set.0 |= TRANSACTION_BIT;
        }
        self.triggers.entry(class).or_default().insert(kind, info);
    }

    pub fn add_adapter(&mut self, name: impl Into<String>, info: AdapterInfo) {
        self.adapters.insert(name.into(), info);
    }

    /// Joins `other` in; its entries win.
    pub fn extend(&mut self, other: &Registrations) {
        self.functions.extend(other.functions.iter().map(|(name, info)| (name.clone(), info.clone())));
        self.jobs.extend(other.jobs.iter().cloned());
        for (class, kinds) in &other.triggers {
            for (kind, info) in kinds {
                self.add_trigger(*kind, class.clone(), info.clone());
            }
        }
        self.live_query_events |= other.live_query_events;
        self.adapters.extend(other.adapters.iter().map(|(name, info)| (name.clone(), info.clone())));
        self.rate_limits.extend(other.rate_limits.iter().cloned());
    }

    pub fn function(&self, name: &str) -> Option<&FunctionInfo> {
        self.functions.get(name)
    }

    pub fn function_names(&self) -> impl Iterator<Item = &str> {
        self.functions.keys().map(String::as_str)
    }

    pub fn has_job(&self, name: &str) -> bool {
        self.jobs.contains(name)
    }

    pub fn job_names(&self) -> impl Iterator<Item = &str> {
        self.jobs.iter().map(String::as_str)
    }

    /// The kinds registered for a class.
    pub fn triggers_of(&self, class: &str) -> TriggerSet {
        self.sets.get(class).copied().unwrap_or_default()
    }

    pub fn has_trigger(&self, kind: TriggerKind, class: &str) -> bool {
        self.triggers_of(class).contains(kind)
    }

    /// The same, for kinds that are bound to no class too.
    pub fn is_registered(&self, kind: TriggerKind, class: &str) -> bool {
        if kind == TriggerKind::OnLiveQueryEvent {
            return self.live_query_events;
        }
        self.has_trigger(kind, class)
    }

    pub fn trigger(&self, kind: TriggerKind, class: &str) -> Option<&TriggerInfo> {
        self.triggers.get(class)?.get(&kind)
    }

    /// Every registered trigger, in no particular order.
    pub fn triggers(&self) -> impl Iterator<Item = (TriggerKind, &str)> {
        self.triggers.iter().flat_map(|(class, kinds)| kinds.keys().map(move |kind| (*kind, class.as_str())))
    }

    /// Whether an `onLiveQueryEvent` handler wants the events of the live-query server.
    pub fn observes_live_query(&self) -> bool {
        self.live_query_events
    }

    pub fn adapters(&self) -> &BTreeMap<String, AdapterInfo> {
        &self.adapters
    }

    pub fn adapter(&self, name: &str) -> Option<&AdapterInfo> {
        self.adapters.get(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for kind in TriggerKind::ALL {
            assert_eq!(TriggerKind::from_name(kind.as_str()), Some(kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
        assert_eq!(TriggerKind::from_name("constructor"), None);
    }

    #[test]
    fn a_class_has_only_what_was_registered() {
        let mut registrations = Registrations::default();
        registrations.add_trigger(
            TriggerKind::BeforeSave,
            "Game",
            TriggerInfo { needs_roles: true, ..TriggerInfo::default() },
        );
        registrations.add_trigger(TriggerKind::OnLiveQueryEvent, "", TriggerInfo::default());
        assert!(registrations.has_trigger(TriggerKind::BeforeSave, "Game"));
        assert!(!registrations.has_trigger(TriggerKind::AfterSave, "Game"));
        assert!(registrations.triggers_of("Other").is_empty());
        assert!(registrations.observes_live_query());
        assert_eq!(
            registrations.trigger(TriggerKind::BeforeSave, "Game"),
            Some(&TriggerInfo { needs_roles: true, ..TriggerInfo::default() })
        );
    }
}
