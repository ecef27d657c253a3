//! The security check: what an operator should know about the configuration (parse-server's
//! `CheckRunner`; titles and groups are its own, advice is ours).

use std::borrow::Cow;

use serde_json::{Value, json};

use crate::cloud::CallbackId;
use crate::config::AppConfig;
use crate::error::{Error, Result};
use crate::operations::{Ctx, Services};

struct Check {
    title: Cow<'static, str>,
    passed: bool,
    warning: Cow<'static, str>,
    solution: Cow<'static, str>,
}

struct Group {
    name: Cow<'static, str>,
    checks: Vec<Check>,
}

/// `GET /security`: `{"report": {"version", "state", "groups": […]}}`.
///
/// # Errors
/// 403 without a master key, 409 while `security.enableCheck` is off; what a check of the application's own throws.
pub async fn report(ctx: &Ctx) -> Result<Value> {
    ctx.require_master()?;
    if !ctx.config().security.enable_check {
        return Err(Error::http(
            409,
            "Enable Parse Server option `security.enableCheck` to run security check.",
        ));
    }
    Ok(json!({ "report": to_json(&groups(&ctx.services).await?) }))
}

/// The application's own (`security.checkGroups`) in the place of the server's, as parse-server has it.
async fn groups(services: &Services) -> Result<Vec<Group>> {
    let config = &services.config;
    if config.security.check_groups.is_empty() {
        return Ok(built_in(config));
    }
    let mut groups = Vec::new();
    for id in &config.security.check_groups {
        let id = u32::try_from(id.0).map_err(Error::internal)?;
        let answer = services.cloud.call_callback(CallbackId(id), Vec::new()).await?;
        groups.push(Group::read(&answer));
    }
    Ok(groups)
}

fn built_in(config: &AppConfig) -> Vec<Group> {
    vec![
        Group { name: "Database".into(), checks: database(config) },
        Group { name: "Parse Server Configuration".into(), checks: configuration(config) },
    ]
}

fn to_json(groups: &[Group]) -> Value {
    let all_passed = groups.iter().all(Group::passed);
    let groups: Vec<Value> = groups
        .iter()
        .map(|group| {
            let checks: Vec<Value> = group.checks.iter().map(Check::to_json).collect();
            json!({ "name": group.name, "state": state(group.passed()), "checks": checks })
        })
        .collect();
    json!({ "version": "1.0.0", "state": state(all_passed), "groups": groups })
}

/// Writes the report at the start (`security.enableCheckLog`).
pub async fn log(services: &Services) {
    match groups(services).await.map(|groups| summary(&groups)) {
        Ok((report, true)) => tracing::info!("{report}"),
        Ok((report, false)) => tracing::warn!("{report}"),
        Err(error) => tracing::error!(%error, "the security check failed: {error}"),
    }
}

/// The report as text, and whether every check passed.
fn summary(groups: &[Group]) -> (String, bool) {
    let checks = || groups.iter().flat_map(|group| &group.checks);
    let (all, weak) = (checks().count(), checks().filter(|check| !check.passed).count());
    let mut text = format!("Security check: {weak} weak security setting(s) found, {all} check(s) executed");
    for group in groups {
        text.push_str("\n- ");
        text.push_str(&group.name);
        for check in &group.checks {
            let icon = if check.passed { '\u{2705}' } else { '\u{274c}' };
            text.push_str(&format!("\n   {icon} {}", check.title));
            if !check.passed {
                text.push_str(&format!("\n      Warning: {} {}", check.warning, check.solution));
            }
        }
    }
    (text, weak == 0)
}

impl Group {
    fn passed(&self) -> bool {
        self.checks.iter().all(|check| check.passed)
    }

    /// What a group of the application's own tells.
    fn read(answer: &Value) -> Self {
        let text = |of: &Value, key: &str| {
            Cow::Owned(of.get(key).and_then(Value::as_str).unwrap_or_default().to_owned())
        };
        let checks = answer.get("checks").and_then(Value::as_array).into_iter().flatten();
        let checks = checks.map(|check| Check {
            title: text(check, "title"),
            passed: check.get("state").is_some_and(|state| state == "success"),
            warning: text(check, "warning"),
            solution: text(check, "solution"),
        });
        Self { name: text(answer, "name"), checks: checks.collect() }
    }
}

fn state(passed: bool) -> &'static str {
    if passed { "success" } else { "fail" }
}

impl Check {
    fn to_json(&self) -> Value {
        if self.passed {
            return json!({ "title": self.title, "state": "success" });
        }
        json!({ "title": self.title, "state": "fail", "warning": self.warning, "solution": self.solution })
    }
}

/// At least 14 characters of three kinds.
fn is_strong(secret: &str) -> bool {
    let kinds: [fn(char) -> bool; 4] = [
        |c| c.is_ascii_lowercase(),
        |c| c.is_ascii_uppercase(),
        |c| c.is_ascii_digit(),
        |c| !c.is_ascii_alphanumeric(),
    ];
    secret.chars().count() >= 14 && kinds.iter().filter(|kind| secret.chars().any(**kind)).count() >= 3
}

fn database(config: &AppConfig) -> Vec<Check> {
    let password = config.database.uri.as_ref().and_then(|uri| {
        let uri = url::Url::parse(uri.expose()).ok()?;
        uri.password().map(str::to_owned)
    });
    // Without an address the database is private to this machine and has no password to guess.
    let passed = config.database.uri.is_none() || password.as_deref().is_some_and(is_strong);
    vec![Check {
        title: "Secure database password".into(),
        passed,
        warning: "The database password can be guessed.".into(),
        solution: "Choose a longer password with letters of both cases, digits and other characters.".into(),
    }]
}

fn configuration(config: &AppConfig) -> Vec<Check> {
    let complexity = &config.request_complexity;
    let limits = [
        complexity.include_depth,
        complexity.include_count,
        complexity.subquery_depth,
        complexity.query_depth,
        complexity.graphql_depth,
        complexity.graphql_fields,
        complexity.batch_request_limit,
    ];
    let read_only_everywhere = config.keys.read_only_master_key.is_some()
        && config.keys.read_only_master_key_ips.contains(std::net::Ipv4Addr::new(203, 0, 113, 1).into());
    let check = |title: &'static str, passed, warning: &'static str, solution: &'static str| Check {
        title: title.into(),
        passed,
        warning: warning.into(),
        solution: solution.into(),
    };
    vec![
        check(
            "Secure master key",
            config.keys.master_key.value().is_none_or(|key| is_strong(key.expose())),
            "The master key can be guessed.",
            "Choose a longer key with letters of both cases, digits and other characters.",
        ),
        check(
            "Security log disabled",
            !config.security.enable_check_log,
            "The result of these checks is in the log, for everybody who reads it.",
            "Set security.enableCheckLog to false.",
        ),
        check(
            "Client class creation disabled",
            !config.schema.allow_client_class_creation,
            "Any client can create classes and fill the database with them.",
            "Set allowClientClassCreation to false.",
        ),
        check(
            "Users are created without public access",
            config.users.enforce_private_users,
            "Everybody can read new users.",
            "Set enforcePrivateUsers to true.",
        ),
        check(
            "Insecure auth adapters disabled",
            !config.users.enable_insecure_auth_adapters,
            "Login providers accept forms that do not prove who somebody is.",
            "Set enableInsecureAuthAdapters to false.",
        ),
        check(
            "GraphQL public introspection disabled",
            !config.graphql.public_introspection,
            "Everybody can read the GraphQL schema.",
            "Set graphQLPublicIntrospection to false.",
        ),
        check(
            "GraphQL Playground disabled",
            !config.graphql.mount_playground,
            "The playground page contains the master key.",
            "Set mountPlayground to false.",
        ),
        check(
            "Public database explain disabled",
            !config.database.options.allow_public_explain,
            "Clients can ask for query plans, which tell about the data.",
            "Set databaseOptions.allowPublicExplain to false.",
        ),
        check(
            "Read-only master key IP range restricted",
            !read_only_everywhere,
            "The read-only master key works from any address.",
            "Set readOnlyMasterKeyIps to the addresses that need it.",
        ),
        check(
            "Request complexity limits enabled",
            limits.iter().all(Option::is_some),
            "Some limits on queries, includes or batches are off.",
            "Give every key of requestComplexity a positive number.",
        ),
        check(
            "Password reset endpoint user enumeration mitigated",
            config
                .users
                .password_policy
                .as_ref()
                .is_none_or(|policy| policy.reset_password_success_on_invalid_email),
            "Answers to password reset requests tell which addresses have an account.",
            "Set passwordPolicy.resetPasswordSuccessOnInvalidEmail to true.",
        ),
        check(
            "Email verification endpoint user enumeration mitigated",
            config.users.email_verify_success_on_invalid_email,
            "Answers to verification requests tell which addresses have an account.",
            "Set emailVerifySuccessOnInvalidEmail to true.",
        ),
        check(
            "LiveQuery regex timeout enabled",
            config.live_query.regex_timeout_ms > 0,
            "Expressions in live queries may run without a limit.",
            "Set liveQuery.regexTimeout to 100.",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strength() {
        assert!(is_strong("aB3aB3aB3aB3aB3"));
        assert!(!is_strong("aaaaaaaaaaaaaaaaa"));
        assert!(!is_strong("aB3$"));
    }

    #[test]
    fn a_careless_configuration_fails() {
        let config = AppConfig::for_tests(json!({"allowClientClassCreation": true}));
        let groups = built_in(&config);
        assert_eq!(to_json(&groups)["state"], "fail");
        let (text, passed) = summary(&groups);
        assert!(!passed);
        assert!(text.contains("\u{274c} Client class creation disabled\n      Warning: Any client"));
        assert!(text.contains("\u{274c} Secure master key") && text.contains("14 check(s) executed"));
    }
}
