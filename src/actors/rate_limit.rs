//! Rate limits: which rules a request falls under, and who counts it. Buckets of the session zone live in the
//! session's actor, those of rules that name a class with the class's owner; the rest lives in the
//! [`RateLimitActor`], which asks Redis where a rule counts for several servers. Every request is counted
//! exactly, by one message; without a rule that speaks of it there is none.
//!
//! [`RateLimiter`] is asked once for each operation, items of a batch included, before its session is
//! looked at.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::Ipv6Addr;
use std::sync::Arc;
use std::time::Instant;

use actix::{Actor, ActorFutureExt, Addr, Context, Handler, Message, ResponseActFuture, WrapFuture};
use arc_swap::ArcSwap;
use async_trait::async_trait;
use percent_encoding::percent_decode_str;

use super::ask;
use super::buckets::{Buckets, Count, Hit, Window};
use super::class::directory::Directory;
use super::mail::{self, Mail, Mailed};
use super::principals::{PrincipalRegistry, hash_of};
use super::redis_counter::RedisCounter;
use super::session::AdmitToSession;
use crate::cloud::{CloudEngine, Registrations};
use crate::config::{AppConfig, PathPattern, RateLimitRule, RateLimitZone, Secret};
use crate::error::{Error, Result};
use crate::operations::ports::{Limited, PrincipalDirectory, RateHeaders, RateLimits};
use crate::types::ClassName;

/// One rule and what its buckets are called.
struct Rule {
    id: u64,
    rule: RateLimitRule,
    /// Whose owner has its buckets.
    class: Option<ClassName>,
}

impl Rule {
    fn new(rule: RateLimitRule) -> Self {
        let mut hasher = DefaultHasher::new();
        let parts = (rule.request_path.source(), rule.zone, format!("{:?}", rule.request_methods));
        parts.hash(&mut hasher);
        rule.request_time_window_ms.to_bits().hash(&mut hasher);
        rule.request_count.to_bits().hash(&mut hasher);
        Self { id: hasher.finish(), class: named_class(rule.request_path.source()), rule }
    }

    fn applies(&self, request: &Limited<'_>) -> bool {
        let rule = &self.rule;
        if !rule.request_path.matches(request.path) && !matches_escaped(&rule.request_path, request.path) {
            return false;
        }
        if request.is_internal && !rule.include_internal_requests {
            return false;
        }
        // As parse-server has it, this switches off the filter by methods too.
        if rule.include_master_key {
            return true;
        }
        let counted = rule.request_methods.as_ref().is_none_or(|methods| {
            let same_route = request.method == "HEAD" && methods.contains("GET");
            methods.contains(request.method)
                || same_route
                || (request.is_batch_item && methods.contains("POST"))
        });
        counted && !request.is_master
    }
}

/// The class that a pattern speaks of by name. The operator wrote it, no client: the class need not exist yet.
fn named_class(pattern: &str) -> Option<ClassName> {
    let mut parts = pattern.trim_start_matches('/').split('/');
    match parts.next()? {
        "classes" => ClassName::valid(parts.next()?),
        "users" => Some(ClassName::known("_User")),
        "sessions" => Some(ClassName::known("_Session")),
        "installations" => Some(ClassName::known("_Installation")),
        "roles" => Some(ClassName::known("_Role")),
        _ => None,
    }
}

/// The parts of a path are decoded before they are used: an escaped letter is the same route. An escaped slash
/// does not end a part; but who wrote the pattern may have thought so, and both readings count.
fn matches_escaped(pattern: &PathPattern, path: &str) -> bool {
    if !path.contains('%') {
        return false;
    }
    let decoded = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
    let parts: Vec<String> = path.split('/').map(|part| decoded(part).replace('/', "\u{fffd}")).collect();
    pattern.matches(&parts.join("/")) || pattern.matches(&decoded(path))
}

/// The rules of the configuration and of Cloud Code as it is loaded now.
struct Rules {
    registrations: Arc<Registrations>,
    all: Vec<Rule>,
}

impl Rules {
    fn of(config: &AppConfig, registrations: Arc<Registrations>) -> Self {
        let of_code =
            registrations.rate_limits.iter().filter_map(|rule| match RateLimitRule::from_json(rule) {
                Ok(rule) => Some(rule),
                Err(error) => {
                    tracing::error!(%error, "a rate limit of Cloud Code is not valid: {error}");
                    None
                }
            });
        let all = config.rate_limits.iter().cloned().chain(of_code).map(Rule::new).collect();
        Self { registrations, all }
    }
}

pub struct RateLimiter {
    config: Arc<AppConfig>,
    cloud: Arc<dyn CloudEngine>,
    principals: Arc<PrincipalRegistry>,
    owners: Arc<Directory>,
    actor: Addr<RateLimitActor>,
    rules: ArcSwap<Rules>,
}

impl RateLimiter {
    /// Starts the actor on the current arbiter.
    pub fn start(
        config: Arc<AppConfig>,
        cloud: Arc<dyn CloudEngine>,
        principals: Arc<PrincipalRegistry>,
        owners: Arc<Directory>,
    ) -> Arc<Self> {
        let rules = ArcSwap::from_pointee(Rules::of(&config, cloud.registrations()));
        let actor = RateLimitActor { app_id: config.app_id.clone(), ..RateLimitActor::default() }.start();
        Arc::new(Self { config, cloud, principals, owners, actor, rules })
    }

    /// The rules that hold now: Cloud Code may have been loaded again.
    fn rules(&self) -> Arc<Rules> {
        let registrations = self.cloud.registrations();
        let known = self.rules.load();
        if Arc::ptr_eq(&known.registrations, &registrations) {
            return Arc::clone(&known);
        }
        let fresh = Arc::new(Rules::of(&self.config, registrations));
        self.rules.store(fresh.clone());
        fresh
    }

    async fn count(&self, rule: &Rule, request: &Limited<'_>) -> Result<Count> {
        let window = Window::from_millis(rule.rule.request_time_window_ms);
        let token = request
            .session_token
            .filter(|_| matches!(rule.rule.zone, RateLimitZone::Session | RateLimitZone::User));
        // A token without a session is no key: a client that makes tokens up would get a bucket for each.
        let principal = match token {
            Some(token) => self.principals.authenticate(token).await.ok(),
            None => None,
        };
        let key = match (rule.rule.zone, principal) {
            (RateLimitZone::Global, _) => self.config.app_id.clone(),
            (RateLimitZone::User, Some(principal)) => format!("user:{}", principal.user_id),
            (RateLimitZone::Session, Some(principal)) => {
                let token = &principal.session_token;
                if rule.rule.redis_url.is_none()
                    && let Some(session) = self.principals.owner_of(token).await
                    && let Ok(count) = ask(&session, AdmitToSession { rule: rule.id, window }).await
                {
                    return Ok(count);
                }
                format!("session:{}", hash_of(token))
            }
            _ => format!("ip:{}", network(request.ip)),
        };
        let hit = Hit { rule: rule.id, key, window };
        match (&rule.rule.redis_url, &rule.class) {
            (Some(url), _) => ask(&self.actor, HitInRedis { hit, url: url.clone() }).await,
            (None, Some(class)) => {
                let in_use = self.owners.open(class);
                ask(&in_use.owner, hit).await
            }
            (None, None) => ask(&self.actor, hit).await,
        }
    }
}

#[async_trait(?Send)]
impl RateLimits for RateLimiter {
    async fn admit(&self, request: &Limited<'_>) -> Result<Option<RateHeaders>> {
        let mut headers = None;
        let rules = self.rules();
        for rule in rules.all.iter().filter(|rule| rule.applies(request)) {
            let count = match self.count(rule, request).await {
                Ok(count) => count,
                Err(error) => {
                    tracing::error!(%error, "a rate limit could not be applied: {error}");
                    continue;
                }
            };
            let limit = rule.rule.request_count.max(0.0);
            let (limit, hits) = (limit as u64, count.hits);
            let reset_epoch_s = u64::try_from(count.reset.0).unwrap_or(0).div_ceil(1000);
            if hits > limit {
                let now = crate::types::time::Millis::now().0;
                let retry_after_s = u64::try_from(count.reset.0 - now).unwrap_or(0).div_ceil(1000);
                let message = rule.rule.error_response_message.clone().into();
                return Err(Error::RateLimited { message, limit, reset_epoch_s, retry_after_s });
            }
            headers = Some(RateHeaders { limit, remaining: limit - hits, reset_epoch_s });
        }
        Ok(headers)
    }
}

/// What counts as one client: an address of IPv4, or the network of IPv6 that one subscriber has, with
/// 2^64 addresses to choose from.
fn network(ip: &str) -> Cow<'_, str> {
    match ip.parse::<Ipv6Addr>() {
        Ok(address) => match address.to_ipv4_mapped() {
            Some(mapped) => Cow::Owned(mapped.to_string()),
            None => {
                let prefix = u128::from(address) & !u128::from(u64::MAX);
                Cow::Owned(format!("{}/64", Ipv6Addr::from(prefix)))
            }
        },
        Err(_) => Cow::Borrowed(ip),
    }
}

/// Owns the buckets of an app that belong to no session and to no class.
#[derive(Default)]
struct RateLimitActor {
    app_id: String,
    buckets: Buckets,
    /// By URL.
    redis: HashMap<String, Arc<RedisCounter>>,
}

impl Mailed for RateLimitActor {
    fn mail() -> &'static Mail {
        &mail::RATE_LIMIT
    }
}

impl Actor for RateLimitActor {
    type Context = Context<Self>;
}

impl Handler<Hit> for RateLimitActor {
    type Result = Result<Count>;

    fn handle(&mut self, hit: Hit, _: &mut Self::Context) -> Self::Result {
        Ok(self.buckets.hit(hit.rule, &hit.key, &hit.window, Instant::now()))
    }
}

/// Counts one request for all servers that share this Redis.
struct HitInRedis {
    hit: Hit,
    url: Secret<String>,
}

impl Message for HitInRedis {
    type Result = Result<Count>;
}

impl Handler<HitInRedis> for RateLimitActor {
    type Result = ResponseActFuture<Self, Result<Count>>;

    fn handle(&mut self, HitInRedis { hit, url }: HitInRedis, _: &mut Self::Context) -> Self::Result {
        let url = url.expose().clone();
        let redis = self.redis.entry(url.clone()).or_insert_with(|| RedisCounter::new(url)).clone();
        let name = format!("parsimony:rl:{}:{:x}:{}", self.app_id, hit.rule, hit.key);
        let window = hit.window;
        let shared = async move { redis.hit(&name, &window).await };
        Box::pin(shared.into_actor(self).map(move |count, actor, _| {
            // Redis is away: each server counts for itself.
            Ok(count.unwrap_or_else(|| actor.buckets.hit(hit.rule, &hit.key, &hit.window, Instant::now())))
        }))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rule(extra: serde_json::Value) -> Rule {
        let mut rule =
            json!({"requestPath": "/functions/{*x}", "requestTimeWindow": 1000, "requestCount": 1});
        rule.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        Rule::new(RateLimitRule::from_json(&rule).expect("rule"))
    }

    fn request<'a>(method: &'a str, ip: &'a str) -> Limited<'a> {
        Limited {
            method,
            path: "/functions/a",
            ip,
            is_internal: ip == "127.0.0.1",
            session_token: None,
            is_master: false,
            is_batch_item: false,
        }
    }

    #[test]
    fn who_is_counted() {
        let plain = rule(json!({}));
        assert!(plain.applies(&request("GET", "10.0.0.1")));
        assert!(!plain.applies(&request("GET", "127.0.0.1")));
        assert!(!plain.applies(&Limited { path: "/classes/A", ..request("GET", "10.0.0.1") }));
        assert!(!plain.applies(&Limited { is_master: true, ..request("GET", "10.0.0.1") }));
        assert!(rule(json!({"includeInternalRequests": true})).applies(&request("GET", "127.0.0.1")));
        let with_master = rule(json!({"includeMasterKey": true, "requestMethods": "POST"}));
        assert!(with_master.applies(&Limited { is_master: true, ..request("GET", "10.0.0.1") }));
        // A proxy on this machine.
        assert!(plain.applies(&Limited { is_internal: false, ..request("GET", "127.0.0.1") }));
        for path in ["/functions/%61", "/Functions/a/", "/functions/a%2Fb"] {
            assert!(plain.applies(&Limited { path, ..request("GET", "10.0.0.1") }), "{path}");
        }
        let one_part = rule(json!({"requestPath": "/classes/A/:id"}));
        assert!(one_part.applies(&Limited { path: "/classes/%41/a%2Fb", ..request("GET", "10.0.0.1") }));
        let gets = rule(json!({"requestMethods": "GET"}));
        assert!(gets.applies(&request("HEAD", "10.0.0.1")));
        assert!(!rule(json!({"requestMethods": "POST"})).applies(&request("HEAD", "10.0.0.1")));
        let posts = rule(json!({"requestMethods": ["POST"]}));
        assert!(!posts.applies(&request("GET", "10.0.0.1")));
        assert!(posts.applies(&Limited { is_batch_item: true, ..request("GET", "10.0.0.1") }));
    }

    #[test]
    fn rules_name_classes() {
        for (pattern, class) in [
            ("/classes/Game", Some("Game")),
            ("/classes/Game/:id", Some("Game")),
            ("/classes/Game{/*x}", None),
            ("/classes/:class", None),
            ("/classes/*x", None),
            ("/classes", None),
            ("/users", Some("_User")),
            ("/functions/Game", None),
        ] {
            assert_eq!(named_class(pattern).as_ref().map(ClassName::as_str), class, "{pattern}");
        }
    }
}
