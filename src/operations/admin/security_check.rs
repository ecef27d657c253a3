//! The security check: what an operator should know about the configuration (parse-server's
//! `CheckRunner`; titles and groups are its own, advice is ours).

use serde_json::{Value, json};

use crate::config::AppConfig;
use crate::error::{Error, Result};
use crate::operations::Ctx;

struct Check {
    title: &'static str,
    passed: bool,
    warning: &'static str,
    solution: &'static str,
}

/// `GET /security`: `{"report": {"version", "state", "groups": […]}}`.
///
/// # Errors
/// 403 without a master key, 409 while `security.enableCheck` is off.
pub fn report(ctx: &Ctx) -> Result<Value> {
    ctx.require_master()?;
    if !ctx.config().security.enable_check {
        return Err(Error::http(
            409,
            "Enable Parse Server option `security.enableCheck` to run security check.",
        ));
    }
    Ok(json!({ "report": run(ctx.config()) }))
}

/// The report itself, for the log at start too.
pub fn run(config: &AppConfig) -> Value {
    let groups = [("Database", database(config)), ("Parse Server Configuration", configuration(config))];
    let all_passed = groups.iter().flat_map(|(_, checks)| checks).all(|check| check.passed);
    let groups: Vec<Value> = groups
        .iter()
        .map(|(name, checks)| {
            let passed = checks.iter().all(|check| check.passed);
            let checks: Vec<Value> = checks.iter().map(Check::to_json).collect();
            json!({ "name": name, "state": state(passed), "checks": checks })
        })
        .collect();
    json!({ "version": "1.0.0", "state": state(all_passed), "groups": groups })
}

/// The report as text for the log at start (`security.enableCheckLog`), and whether every check passed.
pub fn summary(config: &AppConfig) -> (String, bool) {
    let groups = [("Database", database(config)), ("Parse Server Configuration", configuration(config))];
    let checks = || groups.iter().flat_map(|(_, checks)| checks);
    let (all, weak) = (checks().count(), checks().filter(|check| !check.passed).count());
    let mut text = format!("Security check: {weak} weak security setting(s) found, {all} check(s) executed");
    for (name, checks) in &groups {
        text.push_str("\n- ");
        text.push_str(name);
        for check in checks {
            let icon = if check.passed { '\u{2705}' } else { '\u{274c}' };
            text.push_str(&format!("\n   {icon} {}", check.title));
            if !check.passed {
                text.push_str(&format!("\n      Warning: {} {}", check.warning, check.solution));
            }
        }
    }
    (text, weak == 0)
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
        title: "Secure database password",
        passed,
        warning: "The database password can be guessed.",
        solution: "Choose a longer password with letters of both cases, digits and other characters.",
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
    let check = |title, passed, warning, solution| Check { title, passed, warning, solution };
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
        let report = run(&config);
        assert_eq!(report["state"], "fail");
        let (text, passed) = summary(&config);
        assert!(!passed);
        assert!(text.contains("\u{274c} Client class creation disabled\n      Warning: Any client"));
        assert!(text.contains("\u{274c} Secure master key") && text.contains("14 check(s) executed"));
    }
}
