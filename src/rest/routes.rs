//! The table of the REST API: every method and pattern, who may call it, and the handler.

use futures_util::future::LocalBoxFuture;
use percent_encoding::percent_decode_str;

use super::request::{PathParams, RestBody, RestRequest, RestResponse};
use super::routers::{
    aggregate, analytics, audiences, batch, classes, cloud_code, config, features, functions, hooks, jobs,
    logs, purchase, push, schemas, security, users,
};
use crate::cloud::Method;
use crate::config::AppConfig;
use crate::error::{Error, ErrorCode, Result};
use crate::operations::budget::{Budget, json_size};
use crate::operations::{Credentials, Ctx, audit};

/// Bytes of an answer that tells of a write.
const LONGEST_RECEIPT: usize = 16 * 1024;

pub type Handler = fn(Ctx, RestRequest) -> LocalBoxFuture<'static, Result<RestResponse>>;

pub struct Route {
    pub method: Method,
    /// `:name` is one part of the path.
    pub pattern: &'static str,
    /// 403 for everybody without the master key (the read-only one counts).
    pub master: bool,
    /// A request id that was seen is refused, where `idempotencyOptions` say so.
    pub idempotent: bool,
    /// Reads `multipart/form-data` bodies.
    pub takes_multipart: bool,
    /// What it does stays when a transaction around it is rolled back: it leaves the database, or changes it
    /// on connections of its own.
    pub permanent: bool,
    /// Charges its answer to the request's budget itself.
    accounted: bool,
    /// Exists only with `enableProductPurchaseLegacyApi`.
    purchases: bool,
    /// The class of a route that has none in its path.
    class: Option<&'static str>,
    handler: Handler,
}

macro_rules! routes {
    ($($method:ident $pattern:literal $([$class:literal])? $($flag:ident)* => $handler:path;)+) => {
        &[$({
            #[allow(unused_mut)]
            let mut route = Route {
                method: Method::$method,
                pattern: $pattern,
                master: false,
                idempotent: false,
                takes_multipart: false,
                permanent: false,
                accounted: false,
                purchases: false,
                class: None,
                handler: |ctx, request| Box::pin($handler(ctx, request)),
            };
            $(route.class = Some($class);)?
            $(route.$flag = true;)*
            route
        }),+]
    };
}

static ROUTES: &[Route] = routes! {
    Get "/classes/:className" => classes::find;
    Get "/classes/:className/:objectId" => classes::get;
    Post "/classes/:className" idempotent => classes::create;
    Put "/classes/:className" master => classes::update_many;
    Delete "/classes/:className" master => classes::delete_many;
    Put "/classes/:className/:objectId" idempotent => classes::update;
    Delete "/classes/:className/:objectId" => classes::delete;
    Post "/batch" accounted => batch::run;
    Post "/functions/:functionName" idempotent takes_multipart => functions::call;
    Post "/jobs/:jobName" master idempotent permanent => jobs::start;
    Post "/jobs" master permanent => jobs::start;
    Get "/config" => config::get;
    Put "/config" master permanent => config::put;
    Get "/cloud_code/jobs" ["_JobSchedule"] master => cloud_code::jobs;
    Get "/cloud_code/jobs/data" ["_JobSchedule"] master => cloud_code::jobs_data;
    Post "/cloud_code/jobs" ["_JobSchedule"] master => cloud_code::create;
    Put "/cloud_code/jobs/:objectId" ["_JobSchedule"] master => cloud_code::update;
    Delete "/cloud_code/jobs/:objectId" ["_JobSchedule"] master => classes::delete;
    Get "/aggregate/:className" master => aggregate::run;
    Get "/schemas" master => schemas::list;
    Post "/schemas" master permanent => schemas::create;
    Get "/schemas/:className" master => schemas::get;
    Post "/schemas/:className" master permanent => schemas::create;
    Put "/schemas/:className" master permanent => schemas::update;
    Delete "/schemas/:className" master permanent => schemas::delete;
    Delete "/purge/:className" master permanent => schemas::purge;
    Post "/validate_purchase" purchases => purchase::validate;
    Post "/push" master permanent => push::send;
    Get "/hooks/functions" master => hooks::functions;
    Get "/hooks/triggers" master => hooks::triggers;
    Get "/hooks/functions/:functionName" master => hooks::get_function;
    Get "/hooks/triggers/:className/:triggerName" master => hooks::get_trigger;
    Post "/hooks/functions" master permanent => hooks::create;
    Post "/hooks/triggers" master permanent => hooks::create;
    Put "/hooks/functions/:functionName" master permanent => hooks::change_function;
    Put "/hooks/triggers/:className/:triggerName" master permanent => hooks::change_trigger;
    Post "/events/AppOpened" => analytics::app_opened;
    Post "/events/:eventName" => analytics::track;
    Get "/scriptlog" master => logs::lines;
    Get "/serverInfo" master => features::server_info;
    Get "/login" => users::log_in;
    Post "/login" => users::log_in;
    Post "/loginAs" => users::log_in_as;
    Post "/logout" => users::log_out;
    Get "/users/me" => users::me;
    Get "/sessions/me" => users::session;
    Get "/verifyPassword" => users::verify_password;
    Post "/verifyPassword" => users::verify_password;
    Post "/requestPasswordReset" permanent => users::request_password_reset;
    Post "/verificationEmailRequest" permanent => users::verification_email_request;
    Post "/challenge" => users::challenge;
    Get "/security" => security::report;
    Post "/upgradeToRevocableSession" => users::upgrade_session;
    Get "/users" ["_User"] => classes::find;
    Get "/users/:objectId" ["_User"] => classes::get;
    Post "/users" ["_User"] idempotent => classes::create;
    Put "/users/:objectId" ["_User"] idempotent => classes::update;
    Delete "/users/:objectId" ["_User"] => classes::delete;
    Get "/sessions" ["_Session"] => classes::find;
    Get "/sessions/:objectId" ["_Session"] => classes::get;
    Post "/sessions" ["_Session"] => classes::create;
    Put "/sessions/:objectId" ["_Session"] => classes::update;
    Delete "/sessions/:objectId" ["_Session"] => classes::delete;
    Get "/roles" ["_Role"] => classes::find;
    Get "/roles/:objectId" ["_Role"] => classes::get;
    Post "/roles" ["_Role"] => classes::create;
    Put "/roles/:objectId" ["_Role"] => classes::update;
    Delete "/roles/:objectId" ["_Role"] => classes::delete;
    Get "/installations" ["_Installation"] => classes::find;
    Get "/installations/:objectId" ["_Installation"] => classes::get;
    Post "/installations" ["_Installation"] idempotent => classes::create;
    Put "/installations/:objectId" ["_Installation"] idempotent => classes::update;
    Delete "/installations/:objectId" ["_Installation"] => classes::delete;
    Get "/push_audiences" ["_Audience"] master => audiences::find;
    Get "/push_audiences/:objectId" ["_Audience"] master => audiences::get;
    Post "/push_audiences" ["_Audience"] master => classes::create;
    Put "/push_audiences/:objectId" ["_Audience"] master => classes::update;
    Delete "/push_audiences/:objectId" ["_Audience"] master => classes::delete;
};

/// Method, pattern and whether it wants the master key, of every route: for tests that must know of a
/// new one.
pub fn table() -> impl Iterator<Item = (Method, &'static str, bool)> {
    ROUTES.iter().map(|route| (route.method, route.pattern, route.master))
}

/// The route of a request and the parts of its path. Letters of a pattern count in any case, one slash
/// at the end is overlooked.
pub fn find(config: &AppConfig, method: Method, path: &str) -> Option<Result<(&'static Route, PathParams)>> {
    let path = path.strip_suffix('/').unwrap_or(path);
    let given: smallvec::SmallVec<[&str; 6]> = path.split('/').collect();
    let purchases = config.enable_product_purchase_legacy_api;
    let fits = |route: &&Route| route.method == method && matches(route.pattern, &given);
    let route = ROUTES.iter().find(fits).filter(|route| purchases || !route.purchases)?;
    Some(params(route, &given).map(|params| (route, params)))
}

fn matches(pattern: &str, given: &[&str]) -> bool {
    let mut given = given.iter();
    let all = pattern.split('/').all(|part| match given.next() {
        None => false,
        Some(text) if part.starts_with(':') => !text.is_empty(),
        Some(text) => text.eq_ignore_ascii_case(part),
    });
    all && given.next().is_none()
}

fn params(route: &'static Route, given: &[&str]) -> Result<PathParams> {
    let parts = route.pattern.split('/').zip(given);
    let named = parts.filter_map(|(part, text)| Some((part.strip_prefix(':')?, text)));
    let fixed = route.class.map(|class| Ok(("className", class.to_owned())));
    named
        .map(|(name, text)| {
            let decoded = percent_decode_str(text).decode_utf8();
            let decoded =
                decoded.map_err(|_| Error::http(400, format!("Failed to decode param '{text}'")))?;
            Ok((name, if is_valid(name, &decoded) { decoded.into_owned() } else { String::new() }))
        })
        .chain(fixed)
        .collect()
}

/// What parse-server's router lets through; other values count as absent.
fn is_valid(name: &str, value: &str) -> bool {
    match name {
        "className" => value.bytes().any(|byte| byte.is_ascii_alphabetic()),
        "objectId" => value.bytes().any(|byte| byte.is_ascii_alphanumeric()),
        _ => true,
    }
}

/// Whether a route's only effect is a new object of the class in its path.
pub fn creates_object(route: &Route) -> bool {
    route.method == Method::Post && route.pattern == "/classes/:className"
}

/// Whether a path leads to this fixed route.
pub fn is_exactly(path: &str, route: &str) -> bool {
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

/// # Errors
/// 403 without the master key where the route wants it, 119 for what no transaction can take back inside one,
/// 102 for more than the request may be answered, and what the route answers.
pub async fn dispatch(route: &'static Route, ctx: Ctx, request: RestRequest) -> Result<RestResponse> {
    if route.master {
        ctx.require_master()?;
    }
    if ctx.transaction.is_some() {
        check_transactional(route)?;
    }
    let info = ctx.info.clone();
    let answer = handle(route, ctx, request).await?;
    if !route.accounted {
        charge(route, &info.budget, &answer)?;
    }
    Ok(answer)
}

/// # Errors
/// 119 for what stays although the transaction is rolled back.
pub fn check_transactional(route: &Route) -> Result<()> {
    if !route.permanent {
        return Ok(());
    }
    let text = format!("{} {} is not allowed in a transaction.", route.method.as_str(), route.pattern);
    Err(Error::parse(ErrorCode::OPERATION_FORBIDDEN, text))
}

/// A write that was done is not called a failure because of the few bytes of its answer.
fn charge(route: &Route, budget: &Budget, answer: &RestResponse) -> Result<()> {
    let size = match &answer.body {
        RestBody::Json(bytes) => bytes.len(),
        RestBody::Value(value) => json_size(value, budget.bytes_left()),
    };
    let charged = budget.charge_bytes(size);
    if route.method == Method::Get || size > LONGEST_RECEIPT { charged } else { Ok(()) }
}

async fn handle(route: &'static Route, ctx: Ctx, request: RestRequest) -> Result<RestResponse> {
    if !ctx.auth.is_read_only() {
        return (route.handler)(ctx, request).await;
    }
    let answer = (route.handler)(ctx.clone(), request).await;
    if answer.as_ref().is_err_and(|error| error.is(ErrorCode::OPERATION_FORBIDDEN)) {
        audit::note(&ctx, "read_only_key_refused", route.pattern);
    }
    answer
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config() -> AppConfig {
        AppConfig::for_tests(json!({}))
    }

    fn found(method: Method, path: &str) -> Option<(&'static str, Vec<String>)> {
        let (route, params) = find(&config(), method, path)?.ok()?;
        Some((route.pattern, params.into_iter().map(|(_, value)| value).collect()))
    }

    #[test]
    fn patterns() {
        assert_eq!(found(Method::Post, "/CLASSES/Game/"), Some(("/classes/:className", vec!["Game".into()])));
        assert_eq!(
            found(Method::Put, "/classes/Game/a%20b"),
            Some(("/classes/:className/:objectId", vec!["Game".into(), "a b".into()]))
        );
        assert_eq!(found(Method::Get, "/classes"), None);
        assert_eq!(found(Method::Get, "/classes//x"), None);
        assert_eq!(found(Method::Put, "/roles"), None);
        assert!(find(&config(), Method::Post, "/classes/%E0%A4%A").is_some_and(|found| found.is_err()));
    }

    #[test]
    fn a_class_needs_a_letter() {
        assert_eq!(found(Method::Post, "/classes/12"), Some(("/classes/:className", vec![String::new()])));
    }

    #[test]
    fn purchases_are_a_choice() {
        let with = |on: bool| AppConfig::for_tests(json!({"enableProductPurchaseLegacyApi": on}));
        assert!(find(&with(true), Method::Post, "/validate_purchase").is_some());
        assert!(find(&with(false), Method::Post, "/validate_purchase").is_none());
    }
}
