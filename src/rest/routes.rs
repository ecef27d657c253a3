//! The table of the REST API: every method and pattern, who may call it, and the handler.

use super::route::{Route, Routes};
use super::routers::{
    aggregate, analytics, audiences, batch, classes, cloud_code, config, features, functions, graphql_config,
    hooks, jobs, logs, openapi, purchase, push, schemas, security, users,
};
use crate::cloud::Method;

macro_rules! routes {
    (@handler $handler:path) => { |_, ctx, request| Box::pin($handler(ctx, request)) };
    (@handler $handler:path, $with:ident) => { |routes, ctx, request| Box::pin($handler(routes, ctx, request)) };
    ($($method:ident $pattern:literal $([$class:literal])? $($flag:ident)* => $handler:path $(, $with:ident)?;)+) => {
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
                handler: routes!(@handler $handler $(, $with)?),
            };
            $(route.class = Some($class);)?
            $(route.$flag = true;)*
            route
        }),+]
    };
}

pub static ROUTES: Routes = Routes(routes! {
    Get "/classes/:className" => classes::find;
    Get "/classes/:className/:objectId" => classes::get;
    Post "/classes/:className" idempotent => classes::create;
    Put "/classes/:className" master => classes::update_many;
    Delete "/classes/:className" master => classes::delete_many;
    Put "/classes/:className/:objectId" idempotent => classes::update;
    Delete "/classes/:className/:objectId" => classes::delete;
    Post "/batch" accounted => batch::run, with_routes;
    Post "/functions/:functionName" idempotent takes_multipart => functions::call;
    Post "/jobs/:jobName" master idempotent permanent => jobs::start;
    Post "/jobs" master permanent => jobs::start;
    Get "/config" => config::get;
    Put "/config" master permanent => config::put;
    Get "/graphql-config" master => graphql_config::get;
    Put "/graphql-config" master permanent => graphql_config::put;
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
    Post "/push/opened" permanent => push::opened;
    Get "/push_status" ["_PushStatus"] master => classes::find;
    Get "/push_status/:objectId" ["_PushStatus"] master => classes::get;
    Put "/push_status/:objectId" master permanent => push::change;
    Get "/push_status/:objectId/report" master => push::report;
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
    Get "/openapi.json" => openapi::get, with_routes;
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
});

/// Method, pattern and whether it wants the master key, of every route: for tests that must know of a
/// new one.
pub fn table() -> impl Iterator<Item = (Method, &'static str, bool)> {
    ROUTES.list()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::AppConfig;

    fn config() -> AppConfig {
        AppConfig::for_tests(json!({}))
    }

    fn found(method: Method, path: &str) -> Option<(&'static str, Vec<String>)> {
        let (route, params) = ROUTES.find(&config(), method, path)?.ok()?;
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
        assert!(
            ROUTES.find(&config(), Method::Post, "/classes/%E0%A4%A").is_some_and(|found| found.is_err())
        );
    }

    #[test]
    fn a_class_needs_a_letter() {
        assert_eq!(found(Method::Post, "/classes/12"), Some(("/classes/:className", vec![String::new()])));
    }

    #[test]
    fn purchases_are_a_choice() {
        let with = |on: bool| AppConfig::for_tests(json!({"enableProductPurchaseLegacyApi": on}));
        assert!(ROUTES.find(&with(true), Method::Post, "/validate_purchase").is_some());
        assert!(ROUTES.find(&with(false), Method::Post, "/validate_purchase").is_none());
    }
}
