//! Who somebody is: what was shown at a door (keys, tokens, an address) becomes a [`Ctx`]. Nothing else decides.
//!
//! Every door comes here: HTTP with its file routes and pages ([`admit`], [`stranger`]), items of a batch
//! ([`count_item`]), the calls of Cloud Code ([`of_code`]), and live-query sockets ([`socket_keys`],
//! [`listener_of`], [`listening`]). What they read keys and tokens from (headers, a body, a frame) is theirs.

use std::net::IpAddr;
use std::sync::{Arc, Once};

use serde_json::{Map, Value};

use super::asked_options::public_server_url;
use super::caller::{Auth, Credentials, Principal};
use super::context::{Ctx, PROGRAM, RequestInfo};
use super::ports::{Limited, RateHeaders};
use super::services::Services;
use super::{audit, keywords};
use crate::cloud::InternalRequest;
use crate::config::{AppConfig, IpRules, Secret};
use crate::error::{Error, ErrorCode, Result};
use crate::types::Object;

/// What headers and body said; texts are not checked against anything.
#[derive(Clone, Debug, Default)]
pub struct Claims {
    pub app_id: Option<String>,
    pub session_token: Option<String>,
    pub master_key: Option<String>,
    pub maintenance_key: Option<String>,
    pub installation_id: Option<String>,
    pub client_key: Option<String>,
    pub javascript_key: Option<String>,
    pub dot_net_key: Option<String>,
    pub rest_api_key: Option<String>,
    pub context: Object,
    /// A key in a header and no installation: some program's, whose sign-ups need no session.
    pub by_program: bool,
    /// Somebody passed the request on for somebody else, or says so.
    pub forwarded: bool,
    /// `_ContentType` of the body form.
    pub content_type: Option<String>,
}

impl Claims {
    /// Which key was shown; the addresses it is accepted from are checked here.
    ///
    /// # Errors
    /// 403 for a right key from a wrong address.
    pub async fn privileged(&self, services: &Services, ip: IpAddr) -> Result<Option<Credentials>> {
        let keys = &services.config.keys;
        let accept = |credentials, rules: &IpRules, option: &str| {
            if rules.contains(ip) {
                return Ok(Some(credentials));
            }
            audit::note_stranger("key_refused", &ip.to_string(), option);
            tracing::error!(
                %ip,
                "Request using {credentials:?} key rejected as the request IP address '{ip}' is not set in Parse Server option '{option}'."
            );
            Err(Error::unauthorized())
        };
        if matches(self.maintenance_key.as_ref(), keys.maintenance_key.as_ref()) {
            return accept(Credentials::Maintenance, &keys.maintenance_key_ips, "maintenanceKeyIps");
        }
        let Some(master_key) = &self.master_key else { return Ok(None) };
        if is_master_key(services, master_key).await? {
            return accept(Credentials::Master, &keys.master_key_ips, "masterKeyIps");
        }
        if matches(Some(master_key), keys.read_only_master_key.as_ref()) {
            return accept(
                Credentials::ReadOnlyMaster,
                &keys.read_only_master_key_ips,
                "readOnlyMasterKeyIps",
            );
        }
        Ok(None)
    }

    /// # Errors
    /// 403 when client keys are configured and none was shown.
    fn check_client_key(&self, config: &AppConfig) -> Result<()> {
        let keys = &config.keys;
        let shown = [
            (&self.client_key, &keys.client_key),
            (&self.javascript_key, &keys.javascript_key),
            (&self.dot_net_key, &keys.dot_net_key),
            (&self.rest_api_key, &keys.rest_api_key),
        ];
        // Here an empty key is one, too, and an empty header shows it.
        let one_matches = shown.iter().any(|(claimed, key)| match (claimed, key) {
            (Some(claimed), Some(key)) => key.matches(claimed),
            _ => false,
        });
        if keys.client_key_required() && !one_matches {
            return Err(Error::unauthorized());
        }
        Ok(())
    }

    /// Whether a request of this address comes from this machine itself. A proxy on it has the same address,
    /// and would make everybody internal.
    fn is_internal(&self, ip: &str) -> bool {
        static TOLD: Once = Once::new();
        if ip != "127.0.0.1" {
            return false;
        }
        if self.forwarded {
            TOLD.call_once(|| {
                tracing::warn!(
                    "Requests come through a proxy on this machine, but trustProxy does not name it: all clients have the proxy's address."
                );
            });
        }
        !self.forwarded
    }
}

fn matches(claimed: Option<&String>, key: Option<&Secret<String>>) -> bool {
    matches!((claimed, key), (Some(claimed), Some(key)) if !key.expose().is_empty() && key.matches(claimed))
}

/// # Errors
/// When the function `masterKey` of the configuration fails.
pub async fn is_master_key(services: &Services, key: &str) -> Result<bool> {
    services.state.master_key.matches(&services.config, &*services.cloud, key).await
}

/// A request as its door sees it.
#[derive(Debug)]
pub struct Visit<'a> {
    pub ip: IpAddr,
    pub method: &'a str,
    /// Below the mount, without the query.
    pub path: &'a str,
    pub request_id: Option<String>,
    /// A file is read: browsers open these without keys, and nobody counts the pictures of a page.
    pub opens_file: bool,
    /// A door beside the REST API, of whose routes alone `routeAllowList` speaks.
    pub beside: bool,
}

/// Lets a request in: keys, client keys, allowed routes, rate limits, session, in this order. `privileged` is the
/// key where the door has looked already. `headers` are those for Cloud Code; `mount_url` is the address of the
/// server as the request saw it, for applications without `publicServerURL`.
///
/// # Errors
/// 403 for missing or refused keys, 119 for a route that is not allowed, 209 for sessions, 429 beyond a rate
/// limit, 105 for keywords in the context.
pub async fn admit(
    services: &Arc<Services>,
    mut claims: Claims,
    privileged: Option<Credentials>,
    visit: Visit<'_>,
    headers: impl FnOnce() -> Map<String, Value>,
    mount_url: impl FnOnce() -> String,
) -> Result<Ctx> {
    let privileged = match privileged {
        Some(privileged) => Some(privileged),
        None => claims.privileged(services, visit.ip).await?,
    };
    if privileged.is_none() {
        if !visit.opens_file {
            claims.check_client_key(&services.config)?;
        }
        if is_exactly(visit.path, "/login") {
            claims.session_token = None;
        }
    }
    if !visit.beside {
        check_allowed(&services.config, privileged, visit.method, visit.path)?;
    }
    let ip = visit.ip.to_string();
    let is_internal = claims.is_internal(&ip);
    let rate = if visit.opens_file {
        None
    } else {
        let limited = Limited {
            method: visit.method,
            path: visit.path,
            ip: &ip,
            is_internal,
            session_token: claims.session_token.as_deref().filter(|_| privileged.is_none()),
            is_master: matches!(privileged, Some(Credentials::Master | Credentials::ReadOnlyMaster)),
            is_batch_item: false,
        };
        // Counted before its session is looked at.
        services.rate_limits.admit(&limited).await?
    };
    let auth = identify(services, &claims, privileged, &visit).await?;
    let base_url = match public_server_url(&services.config, &*services.cloud).await? {
        Some(url) => url,
        None => mount_url(),
    };
    let info = RequestInfo {
        is_internal,
        ip,
        installation_id: claims.installation_id,
        by_program: claims.by_program,
        headers: headers(),
        context: claims.context,
        base_url,
        session_token: claims.session_token,
        request_id: visit.request_id,
        rate,
        ..RequestInfo::default()
    };
    let ctx = Ctx::new(services.clone(), auth, info);
    keywords::check(&ctx, &ctx.info.context)?;
    Ok(ctx)
}

async fn identify(
    services: &Services,
    claims: &Claims,
    privileged: Option<Credentials>,
    visit: &Visit<'_>,
) -> Result<Auth> {
    let token = match (privileged, claims.session_token.as_deref()) {
        (Some(credentials), _) => return Ok(Auth { credentials, principal: None }),
        (None, None) => return Ok(Auth::anonymous()),
        (None, Some(token)) => token,
    };
    // These routes look sessions up themselves: its own, and one from before there were revocable ones.
    let own_session = visit.method == "GET" && is_exactly(visit.path, "/sessions/me");
    let upgrade = !token.starts_with("r:") && is_exactly(visit.path, "/upgradeToRevocableSession");
    if own_session || upgrade {
        return Ok(Auth::anonymous());
    }
    let principal = services.principals.authenticate(token).await.map_err(unknown_session)?;
    Ok(Auth::of(principal))
}

/// 400 of a request whose session could not be looked up: the code is absent, as parse-server has it.
fn unknown_session(error: Error) -> Error {
    match error {
        Error::Parse { .. } | Error::Denied { .. } | Error::Http { .. } => error,
        other => {
            tracing::error!(error = %other, "error getting auth for sessionToken");
            Error::http(400, "Unknown error")
        }
    }
}

/// Whether a path leads to this fixed route.
fn is_exactly(path: &str, route: &str) -> bool {
    path.strip_suffix('/').unwrap_or(path).eq_ignore_ascii_case(route)
}

/// Option `routeAllowList`.
///
/// # Errors
/// 119 for a path that is not on the list, unless the caller is master or maintenance.
pub fn check_allowed(
    config: &AppConfig,
    privileged: Option<Credentials>,
    method: &str,
    path: &str,
) -> Result<()> {
    let Some(list) = &config.http.route_allow_list else { return Ok(()) };
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    if privileged.is_some_and(|credentials| credentials != Credentials::Client)
        || list.iter().any(|pattern| pattern.allows(path))
    {
        return Ok(());
    }
    let detail = format!("Route not allowed by routeAllowList: {method} {path}");
    Err(Error::denied(ErrorCode::OPERATION_FORBIDDEN, detail))
}

/// An item of a batch: allowed and counted as if it had come alone, with the rights of the batch.
///
/// # Errors
/// 119 for a route that is not allowed, 155 beyond a rate limit: the first item too many refuses the batch.
pub async fn count_item(ctx: &Ctx, method: &str, path: &str) -> Result<Option<RateHeaders>> {
    let method = method.to_uppercase();
    check_allowed(ctx.config(), Some(ctx.auth.credentials), &method, path)?;
    count_operation(ctx, &method, path).await
}

/// One of several operations of a request, counted as the REST request that does the same.
///
/// # Errors
/// 155 beyond a rate limit.
pub async fn count_operation(ctx: &Ctx, method: &str, path: &str) -> Result<Option<RateHeaders>> {
    let limited = Limited {
        method,
        path,
        ip: &ctx.info.ip,
        is_internal: ctx.info.is_internal,
        session_token: ctx.info.session_token.as_deref().filter(|_| !is_exactly(path, "/login")),
        is_master: ctx.auth.is_master(),
        is_batch_item: true,
    };
    match ctx.services.rate_limits.admit(&limited).await {
        Err(Error::RateLimited { message, .. }) => Err(Error::parse(ErrorCode::CONNECTION_FAILED, message)),
        other => other,
    }
}

/// Somebody without keys and session: a visitor of the public pages.
///
/// # Errors
/// When the function `publicServerURL` of the configuration fails.
pub async fn stranger(services: &Arc<Services>, ip: String) -> Result<Ctx> {
    let base_url = public_server_url(&services.config, &*services.cloud).await?.unwrap_or_default();
    let info = RequestInfo { ip, base_url, ..RequestInfo::default() };
    Ok(Ctx::new(services.clone(), Auth::anonymous(), info))
}

/// What the server does of its own accord, as for pushes that were accepted before.
pub fn own_work(services: &Arc<Services>) -> Ctx {
    let info = RequestInfo { ip: "127.0.0.1".to_owned(), is_internal: true, ..RequestInfo::default() };
    Ctx::new(services.clone(), Auth::master(), info)
}

/// A call that Cloud Code makes through its SDK. Nothing comes from the request whose code is running, but its
/// transaction where the code takes part in it.
///
/// # Errors
/// 209 for sessions, 141 for a transaction that has ended.
pub async fn of_code(services: &Arc<Services>, request: &InternalRequest) -> Result<Ctx> {
    // The SDK says '' for none where it logs in by authData.
    let session_token = request.session_token.clone().filter(|token| !token.is_empty());
    let auth = match (&session_token, request.use_master_key) {
        (_, true) => Auth::master(),
        (None, false) => Auth::anonymous(),
        (Some(token), false) => Auth::of(services.principals.authenticate(token).await?),
    };
    let base_url = match public_server_url(&services.config, &*services.cloud).await? {
        Some(url) => url,
        None => services.config.http.server_url.clone(),
    };
    let info = RequestInfo {
        ip: "127.0.0.1".to_owned(),
        is_internal: true,
        installation_id: (request.installation_id != PROGRAM).then(|| request.installation_id.clone()),
        by_program: request.installation_id == PROGRAM,
        context: request.context.clone(),
        base_url,
        session_token,
        ..RequestInfo::default()
    };
    let transaction = request.transaction.map(|id| services.state.transactions.join(id)).transpose()?;
    let mut ctx = Ctx::new(services.clone(), auth, info);
    ctx.depth = request.depth;
    ctx.transaction = transaction;
    Ok(ctx)
}

/// The keys of a live-query client against option `keyPairs`: as what it may listen, `None` where it may not.
pub fn socket_keys(config: &AppConfig, keys: &Map<String, Value>) -> Option<Credentials> {
    let pairs = &config.live_query_server.key_pairs;
    let shown = |name: &str, secret: &Secret<String>| {
        keys.get(name).and_then(Value::as_str).is_some_and(|given| secret.matches(given))
    };
    if pairs.iter().any(|(name, secret)| name == "masterKey" && shown(name, secret)) {
        return Some(Credentials::Master);
    }
    let is_open = pairs.is_empty() || pairs.iter().any(|(name, secret)| shown(name, secret));
    is_open.then_some(Credentials::Client)
}

/// Whose session a live-query client or subscription named. A token that was refused a moment ago is looked up
/// again: events are told once.
///
/// # Errors
/// 209 for sessions.
pub async fn listener_of(services: &Services, token: &str) -> Result<Arc<Principal>> {
    services.principals.authenticate_for_event(token).await
}

/// What a listener's own queries and questions run with.
pub fn listening(
    services: &Arc<Services>,
    auth: Auth,
    installation_id: Option<String>,
    base_url: String,
) -> Ctx {
    let info = RequestInfo { installation_id, base_url, ..RequestInfo::default() };
    Ctx::new(services.clone(), auth, info)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config(options: Value) -> AppConfig {
        AppConfig::for_tests(options)
    }

    #[test]
    fn sockets_show_one_of_the_pairs() {
        let keys = |keys: Value| keys.as_object().cloned().unwrap_or_default();
        let open = config(json!({}));
        assert_eq!(socket_keys(&open, &keys(json!({}))), Some(Credentials::Client));
        assert_eq!(socket_keys(&open, &keys(json!({"masterKey": "guess"}))), Some(Credentials::Client));
        let pairs = json!({"restAPIKey": "r", "masterKey": "m"});
        let closed = config(json!({"liveQueryServerOptions": {"keyPairs": pairs}}));
        assert_eq!(socket_keys(&closed, &keys(json!({}))), None);
        assert_eq!(socket_keys(&closed, &keys(json!({"masterKey": "r"}))), None);
        assert_eq!(socket_keys(&closed, &keys(json!({"restAPIKey": "r"}))), Some(Credentials::Client));
        assert_eq!(socket_keys(&closed, &keys(json!({"masterKey": "m"}))), Some(Credentials::Master));
    }

    #[test]
    fn only_what_was_configured_counts_as_a_key() {
        let claims = Claims { rest_api_key: Some("r".to_owned()), ..Claims::default() };
        assert!(claims.check_client_key(&config(json!({}))).is_ok());
        assert!(claims.check_client_key(&config(json!({"restAPIKey": "r"}))).is_ok());
        assert!(claims.check_client_key(&config(json!({"javascriptKey": "r"}))).is_err());
        assert!(Claims::default().check_client_key(&config(json!({"restAPIKey": "r"}))).is_err());
    }

    #[test]
    fn who_came_through_a_proxy_is_not_internal() {
        assert!(Claims::default().is_internal("127.0.0.1"));
        assert!(!Claims::default().is_internal("10.0.0.1"));
        assert!(!Claims { forwarded: true, ..Claims::default() }.is_internal("127.0.0.1"));
    }
}
