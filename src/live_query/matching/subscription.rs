//! What a subscription may be: the same checks a find passes, made once when it is opened, and the
//! parts that are looked at again for every event.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::error::{Error, ErrorCode, Result};
use crate::live_query::protocol::Subscribe;
use crate::live_query::size::size_of_json;
use crate::operations::gate;
use crate::operations::object::read::parse_context;
use crate::operations::object::read::subqueries::{has_sub_query, through_triggers};
use crate::operations::permissions::Protection;
use crate::operations::permissions::clp::{self, Action, RowRestriction};
use crate::operations::permissions::query::authorize_filter;
use crate::operations::permissions::special::{Verb, enforce};
use crate::operations::{Auth, ClassSnapshot, Credentials, Principal, Services};
use crate::query::evaluate::Matcher;
use crate::query::visit::mentions;
use crate::query::{Filter, parse_where};
use crate::types::{Acl, ClassName, ClassSchema, Object, Operation};

/// Bytes of any subscription, whatever it says.
const OVERHEAD: usize = 256;

/// Whose rights count: the subscription's own session first, then the client's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Audience {
    pub master: bool,
    /// Session tokens, subscription before client; no duplicates.
    pub tokens: Vec<String>,
    /// The users of these sessions; filled in when a subscription is opened. None: no session, master, or
    /// not known yet; then every event looks.
    pub users: Vec<String>,
}

impl Audience {
    pub fn new(master: bool, subscription: Option<&str>, client: Option<&str>) -> Self {
        if master {
            return Self { master, ..Self::default() };
        }
        let mut tokens: Vec<String> = Vec::new();
        for token in [subscription, client].into_iter().flatten() {
            if !tokens.iter().any(|known| known == token) {
                tokens.push(token.to_owned());
            }
        }
        Self { master, tokens, users: Vec::new() }
    }

    /// Looks the sessions up as they are now; revoked and expired ones grant nothing.
    pub async fn resolve(&self, services: &Services) -> Rights {
        let mut principals = Vec::new();
        for token in &self.tokens {
            if let Ok(principal) = gate::listener_of(services, token).await {
                principals.push(principal);
            }
        }
        let credentials = if self.master { Credentials::Master } else { Credentials::Client };
        Rights {
            complete: principals.len() == self.tokens.len(),
            auth: Auth { credentials, principal: principals.first().cloned() },
            second: principals.get(1).cloned(),
        }
    }
}

/// Resolved rights of an audience.
#[derive(Clone, Debug)]
pub struct Rights {
    pub auth: Auth,
    second: Option<Arc<Principal>>,
    /// Every session token was a session's.
    complete: bool,
}

impl Rights {
    /// The users whose rights alone count from now on. None: no session, or not known yet: a session may be
    /// another server's, still on its way into what we see of the database.
    pub fn users(&self) -> Vec<String> {
        if !self.complete {
            return Vec::new();
        }
        let principals = self.auth.principal.iter().chain(&self.second);
        principals.map(|principal| principal.user_id.as_str().to_owned()).collect()
    }

    pub fn may_read(&self, acl: Option<&Acl>) -> bool {
        if self.auth.may_read(acl) {
            return true;
        }
        self.second.as_ref().is_some_and(|principal| Auth::of(principal.clone()).may_read(acl))
    }

    /// Whether class permissions let this audience hear of the object: an error is told to the
    /// client, `false` is silence.
    pub fn admitted(&self, class: &ClassSnapshot, op: Operation, object: &Object) -> Result<bool> {
        clp::check(&self.auth, class, op, Action::Read)?;
        Ok(match clp::pointer_restriction(&self.auth, class, op)? {
            RowRestriction::All => true,
            RowRestriction::None => false,
            RowRestriction::Rows(filter) => Matcher::new(filter).matches(object),
        })
    }
}

/// Who may read an object; `None`: everybody.
pub fn acl_of(object: &Object) -> Option<Acl> {
    object.get("ACL").and_then(|acl| Acl::from_json(acl).ok())
}

/// An opened subscription's query.
#[derive(Debug)]
pub struct Opened {
    pub class: ClassName,
    pub matcher: Matcher,
    /// The condition in REST form, its keys sorted: equal queries have equal text.
    pub identity: Arc<str>,
    pub op: Operation,
    pub keys: Option<BTreeSet<String>>,
    pub watch: Option<Vec<String>>,
    /// Fields the query looks at: none may be protected, now or when something happens.
    pub looks_at: Vec<String>,
    /// Bytes it takes in memory, roughly.
    pub weight: usize,
}

/// Checks a subscription as a find is checked.
///
/// # Errors
/// 102, 105 and 107 for the query, 119 for permissions and protected fields, 209 for sessions without
/// a user.
pub async fn open(
    services: &Arc<Services>,
    rights: &Rights,
    request: &Subscribe,
    installation_id: Option<String>,
) -> Result<Opened> {
    let ctx = gate::listening(services, rights.auth.clone(), installation_id, String::new());
    let class = ClassName::parse(&request.class)?;
    check_shape(&request.condition)?;
    let mut condition = request.condition.clone();
    if class.is_session() && !ctx.auth.is_master() {
        let user = ctx.auth.user_id().ok_or_else(Error::invalid_session_token)?;
        condition.insert("user".into(), json!({"__type": "Pointer", "className": "_User", "objectId": user}));
    }
    enforce(&ctx, &class, Verb::Get)?;
    if class.is_installation() {
        enforce(&ctx, &class, Verb::Find)?;
    }
    let snapshot = snapshot(services, &class).await?;
    let mut condition = Value::Object(condition);
    let mut context = parse_context(&ctx, Some(&snapshot));
    context.schema = None;
    let mut filter = parse_where(&condition, &context)?;
    let op = if filter.exact_id().is_some() { Operation::Get } else { Operation::Find };
    clp::check(&ctx.auth, &snapshot, op, Action::Read)?;
    if has_sub_query(&condition) {
        // What beforeFind of their classes leaves of sub-queries is what is asked.
        let params = Object::from_iter([("where".to_owned(), condition)]);
        let mut params = through_triggers(&ctx, params, None).await?;
        condition = params.shift_remove("where").unwrap_or_default();
        filter = parse_where(&condition, &context)?;
    }
    let protection = Protection::of(&ctx, &snapshot, filter.exact_id());
    let looks_at = looked_at(&class, &filter);
    if looks_at.iter().chain(request.watch.iter().flatten()).any(|field| protection.forbids(field)) {
        return Err(Error::parse(ErrorCode::OPERATION_FORBIDDEN, "Permission denied"));
    }
    // Rights in sub-queries are looked at again when one is asked: equal queries share what is kept.
    let unresolved = filter.clone();
    authorize_filter(&ctx, &snapshot, &protection, &mut filter).await?;
    let matcher = Matcher::new(unresolved);
    if let Some(pattern) = matcher.broken_pattern() {
        return Err(Error::parse(
            ErrorCode::INVALID_QUERY,
            format!("Invalid regular expression: /{pattern}/"),
        ));
    }
    let identity: Arc<str> = canonical(&condition).into();
    let lists = request.keys.iter().chain(&request.watch).flatten().map(|field| 48 + field.len());
    let weight =
        OVERHEAD + identity.len() + size_of_json(&condition) + matcher.weight() + lists.sum::<usize>();
    Ok(Opened {
        identity,
        class,
        matcher,
        op,
        keys: request.keys.as_ref().map(|keys| keys.iter().cloned().collect()),
        watch: request.watch.clone(),
        looks_at,
        weight,
    })
}

/// The class as it is now. One that is unknown here may have been made by another server a moment ago, with
/// permissions: storage is asked before it is taken for a class that nothing restricts.
///
/// # Errors
/// When storage cannot be read.
pub async fn snapshot(services: &Services, class: &ClassName) -> Result<Arc<ClassSnapshot>> {
    let known = match services.classes.admit(class).await? {
        Some(known) => Some(known),
        None => services.classes.reload(class).await?,
    };
    // Published before its first object: nothing is restricted yet.
    Ok(known.unwrap_or_else(|| {
        Arc::new(ClassSnapshot::build(ClassSchema::with_defaults(class.clone()), &services.config, 0))
    }))
}

/// What parse-server's live queries say of conditions that are none, in their own words.
fn check_shape(condition: &Map<String, Value>) -> Result<()> {
    let refused = |text: String| Err(Error::parse(ErrorCode::INVALID_QUERY, text));
    for op in ["$or", "$and", "$nor"] {
        match condition.get(op) {
            None => {}
            Some(Value::Array(parts)) => {
                parts.iter().filter_map(Value::as_object).try_for_each(check_shape)?;
            }
            Some(_) => return refused(format!("{op} must be an array")),
        }
    }
    for constraint in condition.values() {
        match constraint.get("$regex") {
            None | Some(Value::String(_)) => {}
            Some(Value::Object(regex)) if regex.contains_key("source") && regex.contains_key("flags") => {}
            Some(_) => {
                return refused("Invalid regular expression: $regex must be a string or RegExp".to_owned());
            }
        }
    }
    Ok(())
}

fn looked_at(class: &ClassName, filter: &Filter) -> Vec<String> {
    let named = mentions(class, filter, &[]).into_iter().filter(|mention| mention.class == *class);
    let mut fields: Vec<String> = named.map(|mention| mention.path.to_dotted()).collect();
    fields.sort_unstable();
    fields.dedup();
    fields
}

/// JSON with sorted keys.
fn canonical(value: &Value) -> String {
    fn sorted(value: &Value) -> Value {
        match value {
            Value::Object(object) => {
                let ordered: BTreeMap<&String, &Value> = object.iter().collect();
                let entries = ordered.into_iter().map(|(key, value)| (key.clone(), sorted(value)));
                Value::Object(entries.collect::<Map<_, _>>())
            }
            Value::Array(elements) => Value::Array(elements.iter().map(sorted).collect()),
            other => other.clone(),
        }
    }
    sorted(value).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audiences_put_the_subscriptions_session_first() {
        let tokens = |subscription, client| Audience::new(false, subscription, client).tokens;
        assert_eq!(tokens(Some("s"), Some("c")), ["s", "c"]);
        assert_eq!(tokens(Some("c"), Some("c")), ["c"]);
        assert!(Audience::new(true, Some("s"), None).tokens.is_empty());
    }

    #[test]
    fn equal_queries_are_recognised() {
        let text = |json: Value| canonical(&json);
        assert_eq!(
            text(json!({"a": 1, "b": {"y": 1, "x": 2}})),
            text(json!({"b": {"x": 2, "y": 1}, "a": 1}))
        );
        assert_ne!(text(json!({"a": [1, 2]})), text(json!({"a": [2, 1]})));
    }
}
