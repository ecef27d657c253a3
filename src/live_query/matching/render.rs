//! Objects as events carry them: masked for the audience, cut down to `keys`, serialised once for
//! each distinct combination and shared from there on.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use crate::auth::AuthProviders;
use crate::operations::object::read::encode::write_entries;
use crate::operations::permissions::Protection;
use crate::operations::ports::ObjectEvent;
use crate::operations::{Auth, ClassSnapshot};
use crate::types::Object;
use crate::types::auth_data::without_proofs;

/// Kept whatever `keys` say.
const ALWAYS: [&str; 5] = ["className", "objectId", "updatedAt", "createdAt", "ACL"];

/// What is hidden from one audience in the two states of one object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mask {
    current: BTreeSet<String>,
    original: BTreeSet<String>,
    /// The object may hold secrets of login providers, which only masters see.
    hides_provider_secrets: bool,
}

impl Mask {
    /// `present`: what has become of the object, where the event is told later on; what is hidden in it
    /// is hidden in all of its states.
    pub fn of(
        class: &ClassSnapshot,
        auth: &Auth,
        protection: &Protection,
        event: &ObjectEvent,
        present: Option<&Object>,
    ) -> Self {
        let hidden = |object: &Object| {
            let mut hidden = protection.hidden_in_object(class.name(), object);
            if class.name().is_user() {
                let own = object.get("objectId").and_then(Value::as_str) == auth.user_id();
                hidden.extend(["password", "sessionToken"].map(str::to_owned));
                let is_self = own && auth.user_id().is_some();
                if !auth.is_master() && !is_self {
                    hidden.insert("authData".to_owned());
                }
            }
            hidden
        };
        let mut mask = Self {
            current: hidden(&event.object),
            original: event.original.as_deref().map(hidden).unwrap_or_default(),
            hides_provider_secrets: class.name().is_user() && !auth.is_master(),
        };
        if let Some(present) = present {
            let now = hidden(present);
            mask.current.extend(now.iter().cloned());
            mask.original.extend(now);
        }
        mask
    }

    /// An object that a trigger changed.
    pub fn render(
        &self,
        object: &Object,
        keys: Option<&BTreeSet<String>>,
        providers: &AuthProviders,
    ) -> Bytes {
        let hidden: BTreeSet<String> = self.current.union(&self.original).cloned().collect();
        write(object, &hidden, keys, self.hides_provider_secrets.then_some(providers))
    }
}

/// `providers`: those whose secrets are left out of `authData`.
fn write(
    object: &Object,
    hidden: &BTreeSet<String>,
    keys: Option<&BTreeSet<String>>,
    providers: Option<&AuthProviders>,
) -> Bytes {
    let auth_data = providers.and_then(|providers| {
        let mut data = object.get("authData")?.as_object()?.clone();
        providers.mask(&mut data);
        without_proofs(&mut data);
        Some(Value::Object(data))
    });
    let shown = |key: &str| {
        !key.starts_with('_')
            && !hidden.contains(key)
            && (ALWAYS.contains(&key) || keys.is_none_or(|keys| keys.contains(key)))
    };
    let mut out = Vec::with_capacity(256);
    let entries = object.iter().filter(|(key, _)| shown(key));
    write_entries(
        &mut out,
        entries.map(|(key, value)| match &auth_data {
            Some(masked) if key == "authData" => (key, masked),
            _ => (key, value),
        }),
    );
    Bytes::from(out)
}

type Shape = (bool, Mask, Option<Arc<BTreeSet<String>>>);

/// Serialises each state of an event at most once for each mask and projection.
pub struct Renderer<'e> {
    event: &'e ObjectEvent,
    providers: &'e AuthProviders,
    done: HashMap<Shape, Bytes>,
}

impl<'e> Renderer<'e> {
    pub fn new(event: &'e ObjectEvent, providers: &'e AuthProviders) -> Self {
        Self { event, providers, done: HashMap::new() }
    }

    pub fn render(&mut self, original: bool, mask: &Mask, keys: Option<&Arc<BTreeSet<String>>>) -> Bytes {
        let shape = (original, mask.clone(), keys.cloned());
        if let Some(bytes) = self.done.get(&shape) {
            return bytes.clone();
        }
        let (object, hidden) = match (original, self.event.original.as_deref()) {
            (true, Some(object)) => (object, &mask.original),
            _ => (&*self.event.object, &mask.current),
        };
        let providers = mask.hides_provider_secrets.then_some(self.providers);
        let bytes = write(object, hidden, keys.map(|keys| &**keys), providers);
        self.done.insert(shape, bytes.clone());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::auth::env::{ProviderEnv, SystemClock};
    use crate::config::AppConfig;
    use crate::operations::seal::Seal;
    use crate::outbound::{Outbound, Settings};

    #[test]
    fn own_events_tell_no_secret_of_a_second_factor() {
        let config = AppConfig::for_tests(json!({ "auth": { "mfa": { "options": ["TOTP"] } } }));
        let outbound = Outbound::new(Settings::default()).expect("a way out");
        let env = ProviderEnv::new(outbound, Arc::new(SystemClock), Arc::new(Seal::new(&config)));
        let providers = AuthProviders::new(&config, &env).expect("providers");
        let user =
            json!({ "objectId": "u", "authData": { "mfa": { "secret": "JBSWY3DP", "recovery": ["a"] } } });
        let user = user.as_object().expect("an object");
        let rendered = |providers| -> Value {
            serde_json::from_slice(&write(user, &BTreeSet::new(), None, providers)).expect("JSON")
        };
        assert_eq!(rendered(Some(&providers))["authData"], json!({ "mfa": { "status": "enabled" } }));
        assert_eq!(rendered(None)["authData"]["mfa"]["secret"], "JBSWY3DP");
    }
}
