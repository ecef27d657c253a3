//! Users, sessions, passwords and installations.

use serde_json::Value;

use super::data::{ProtectedFields, read_protected_fields};
use crate::config::error::ConfigError;
use crate::config::reader::Reader;
use crate::config::table;
use crate::config::value::{CallbackId, OptionValue, Pattern};

#[derive(Clone, Debug)]
pub struct UsersConfig {
    /// Seconds a session lasts.
    pub session_length: f64,
    pub expire_inactive_sessions: bool,
    pub extend_session_on_use: bool,
    pub revoke_session_on_password_reset: bool,
    pub enable_anonymous_users: bool,
    pub enforce_private_users: bool,
    pub convert_email_to_lowercase: bool,
    pub convert_username_to_lowercase: bool,
    pub enable_insecure_auth_adapters: bool,
    pub allow_expired_auth_data_token: bool,
    pub verify_user_emails: OptionValue<bool>,
    pub send_user_email_verification: OptionValue<bool>,
    pub prevent_login_with_unverified_email: OptionValue<bool>,
    pub prevent_signup_with_unverified_email: bool,
    /// Seconds; `None` for tokens that do not expire.
    pub email_verify_token_validity_duration: Option<f64>,
    pub email_verify_token_reuse_if_valid: bool,
    pub email_verify_success_on_invalid_email: bool,
    pub account_lockout: Option<AccountLockout>,
    pub password_policy: Option<PasswordPolicy>,
    pub protected_fields: ProtectedFields,
    pub protected_fields_owner_exempt: bool,
    pub protected_fields_trigger_exempt: bool,
    pub protected_fields_save_response_exempt: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct AccountLockout {
    /// Minutes; may have a fraction.
    pub duration_min: f64,
    /// Failed logins.
    pub threshold: u32,
    pub unlock_on_password_reset: bool,
}

#[derive(Clone, Debug)]
pub struct PasswordPolicy {
    pub validator_pattern: Option<Pattern>,
    pub validator_callback: Option<CallbackId>,
    /// Text of the error for a refused password.
    pub validation_error: Option<String>,
    pub do_not_allow_username: bool,
    /// Days.
    pub max_password_age_days: Option<f64>,
    pub max_password_history: u32,
    /// Seconds; `None` for tokens that do not expire.
    pub reset_token_validity_duration_s: Option<f64>,
    pub reset_token_reuse_if_valid: bool,
    pub reset_password_success_on_invalid_email: bool,
}

/// What happens to installations with the same device token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstallationConfig {
    pub duplicate_device_token_action: DuplicateAction,
    pub duplicate_device_token_action_enforce_auth: bool,
    pub duplicate_device_token_merge_priority: MergePriority,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DuplicateAction {
    Delete,
    /// The other row stays and loses its id.
    Update,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MergePriority {
    DeviceToken,
    InstallationId,
}

impl UsersConfig {
    pub(in crate::config) fn read(reader: Reader<'_>) -> Result<Self, ConfigError> {
        let owner_exempt = reader.bool("protectedFieldsOwnerExempt")?;
        let expire_inactive_sessions = reader.bool("expireInactiveSessions")?;
        let config = Self {
            session_length: session_length(reader, expire_inactive_sessions)?,
            expire_inactive_sessions,
            extend_session_on_use: reader
                .bool_saying("extendSessionOnUse", "extendSessionOnUse must be a boolean value")?,
            revoke_session_on_password_reset: reader.bool_saying(
                "revokeSessionOnPasswordReset",
                "revokeSessionOnPasswordReset must be a boolean value",
            )?,
            enable_anonymous_users: reader.bool("enableAnonymousUsers")?,
            enforce_private_users: reader.bool("enforcePrivateUsers")?,
            convert_email_to_lowercase: reader.bool("convertEmailToLowercase")?,
            convert_username_to_lowercase: reader.bool("convertUsernameToLowercase")?,
            enable_insecure_auth_adapters: reader.bool("enableInsecureAuthAdapters")?,
            allow_expired_auth_data_token: reader.bool("allowExpiredAuthDataToken")?,
            verify_user_emails: reader.callable_bool("verifyUserEmails")?,
            send_user_email_verification: reader.callable_bool("sendUserEmailVerification")?,
            prevent_login_with_unverified_email: reader.callable_bool("preventLoginWithUnverifiedEmail")?,
            prevent_signup_with_unverified_email: reader.bool("preventSignupWithUnverifiedEmail")?,
            email_verify_token_validity_duration: None,
            email_verify_token_reuse_if_valid: reader.bool_saying(
                "emailVerifyTokenReuseIfValid",
                "emailVerifyTokenReuseIfValid must be a boolean value",
            )?,
            email_verify_success_on_invalid_email: reader.bool_saying(
                "emailVerifySuccessOnInvalidEmail",
                "emailVerifySuccessOnInvalidEmail must be a boolean value",
            )?,
            account_lockout: AccountLockout::read(reader)?,
            password_policy: PasswordPolicy::read(reader)?,
            protected_fields: read_protected_fields(reader, owner_exempt)?,
            protected_fields_owner_exempt: owner_exempt,
            protected_fields_trigger_exempt: reader.bool("protectedFieldsTriggerExempt")?,
            protected_fields_save_response_exempt: reader.bool("protectedFieldsSaveResponseExempt")?,
        };
        config.with_verification_token(reader)
    }

    fn with_verification_token(mut self, reader: Reader<'_>) -> Result<Self, ConfigError> {
        let name = "emailVerifyTokenValidityDuration";
        self.email_verify_token_validity_duration = match reader.raw(name) {
            None => None,
            Some(Value::Number(number)) if number.as_f64().is_some_and(|n| n > 0.0) => number.as_f64(),
            Some(Value::Number(_)) => {
                let message = "Email verify token validity duration must be a value greater than 0.";
                return Err(reader.fail(name, message));
            }
            Some(_) => {
                let message = "Email verify token validity duration must be a valid number.";
                return Err(reader.fail(name, message));
            }
        };
        if self.email_verify_token_reuse_if_valid && self.email_verify_token_validity_duration.is_none() {
            let message =
                "You cannot use emailVerifyTokenReuseIfValid without emailVerifyTokenValidityDuration";
            return Err(reader.fail("emailVerifyTokenReuseIfValid", message));
        }
        Ok(self)
    }
}

fn session_length(reader: Reader<'_>, expires: bool) -> Result<f64, ConfigError> {
    let name = "sessionLength";
    match reader.value(name).as_deref() {
        Some(Value::Number(number)) if number.as_f64().is_some_and(|n| n > 0.0) => {
            Ok(number.as_f64().unwrap_or_default())
        }
        _ if !expires => Ok(0.0),
        Some(Value::Number(_)) => Err(reader.fail(name, "Session length must be a value greater than 0.")),
        _ => Err(reader.fail(name, "Session length must be a valid number.")),
    }
}

impl AccountLockout {
    fn read(reader: Reader<'_>) -> Result<Option<Self>, ConfigError> {
        let group = reader.group("accountLockout")?;
        if !group.is_set() {
            return Ok(None);
        }
        let duration = group.raw("duration").and_then(Value::as_f64);
        let Some(duration_min) = duration.filter(|minutes| *minutes > 0.0 && *minutes <= 99_999.0) else {
            let message = "Account lockout duration should be greater than 0 and less than 100000";
            return Err(group.fail("duration", message));
        };
        let threshold = group.raw("threshold").and_then(Value::as_u64);
        let Some(threshold) = threshold.filter(|count| (1..=999).contains(count)) else {
            let message = "Account lockout threshold should be an integer greater than 0 and less than 1000";
            return Err(group.fail("threshold", message));
        };
        Ok(Some(Self {
            duration_min,
            threshold: threshold as u32,
            unlock_on_password_reset: group.bool("unlockOnPasswordReset")?,
        }))
    }
}

impl PasswordPolicy {
    fn read(reader: Reader<'_>) -> Result<Option<Self>, ConfigError> {
        let group = reader.group("passwordPolicy")?;
        if !group.is_set() {
            return Ok(None);
        }
        let age = positive(group, "maxPasswordAge", 0.0..f64::INFINITY)?;
        let validity = positive(group, "resetTokenValidityDuration", f64::MIN_POSITIVE..f64::INFINITY)?;
        let history = match group.raw("maxPasswordHistory").map(Value::as_u64) {
            None => 0,
            Some(Some(count)) if count <= 20 => count as u32,
            Some(_) => {
                let message = "passwordPolicy.maxPasswordHistory must be an integer ranging 0 - 20";
                return Err(group.fail("maxPasswordHistory", message));
            }
        };
        let reuse =
            group.bool_saying("resetTokenReuseIfValid", "resetTokenReuseIfValid must be a boolean value")?;
        if reuse && validity.is_none() {
            let message = "You cannot use resetTokenReuseIfValid without resetTokenValidityDuration";
            return Err(group.fail("resetTokenReuseIfValid", message));
        }
        Ok(Some(Self {
            validator_pattern: validator_pattern(group)?,
            validator_callback: validator_callback(group)?,
            validation_error: group.text("validationError")?.filter(|text| !text.is_empty()),
            do_not_allow_username: group.bool_saying(
                "doNotAllowUsername",
                "passwordPolicy.doNotAllowUsername must be a boolean value.",
            )?,
            max_password_age_days: age.filter(|days| *days > 0.0),
            max_password_history: history,
            reset_token_validity_duration_s: validity,
            reset_token_reuse_if_valid: reuse,
            reset_password_success_on_invalid_email: group.bool_saying(
                "resetPasswordSuccessOnInvalidEmail",
                "resetPasswordSuccessOnInvalidEmail must be a boolean value",
            )?,
        }))
    }
}

fn positive(group: Reader<'_>, name: &str, range: std::ops::Range<f64>) -> Result<Option<f64>, ConfigError> {
    match group.raw(name).map(Value::as_f64) {
        None => Ok(None),
        Some(Some(number)) if range.contains(&number) => Ok(Some(number)),
        Some(_) => Err(group.fail(name, format!("passwordPolicy.{name} must be a positive number"))),
    }
}

fn validator_pattern(group: Reader<'_>) -> Result<Option<Pattern>, ConfigError> {
    let name = "validatorPattern";
    let bad = || group.fail(name, "passwordPolicy.validatorPattern must be a regex string or RegExp object.");
    let source = match group.raw(name) {
        None => return Ok(None),
        Some(given) => Pattern::source_of(given).ok_or_else(bad)?,
    };
    if source.is_empty() {
        return Ok(None);
    }
    Pattern::new(&source).map(Some).map_err(|_| bad())
}

fn validator_callback(group: Reader<'_>) -> Result<Option<CallbackId>, ConfigError> {
    let name = "validatorCallback";
    match (group.raw(name), group.callback(name)) {
        (Some(_), None) => Err(group.fail(name, "passwordPolicy.validatorCallback must be a function.")),
        (_, id) => Ok(id),
    }
}

impl InstallationConfig {
    pub(in crate::config) fn read(reader: Reader<'_>) -> Result<Self, ConfigError> {
        let group = reader.group_saying("installation", "installation must be an object.")?;
        if let Some(key) = group.keys().find(|key| table::INSTALLATION.find(key).is_none()) {
            return Err(group.fail(key, format!("installation contains unknown property '{key}'.")));
        }
        let choice = |name: &str, choices: [&'static str; 2]| {
            let given = group.value(name);
            let given = given.as_deref().and_then(Value::as_str);
            choices.into_iter().find(|choice| given == Some(choice)).ok_or_else(|| {
                let [first, second] = choices;
                group.fail(name, format!("installation.{name} must be one of: '{first}', '{second}'."))
            })
        };
        let action = choice("duplicateDeviceTokenAction", ["delete", "update"])?;
        let priority = choice("duplicateDeviceTokenMergePriority", ["deviceToken", "installationId"])?;
        Ok(Self {
            duplicate_device_token_action: match action {
                "update" => DuplicateAction::Update,
                _ => DuplicateAction::Delete,
            },
            duplicate_device_token_action_enforce_auth: group.bool_saying(
                "duplicateDeviceTokenActionEnforceAuth",
                "installation.duplicateDeviceTokenActionEnforceAuth must be a boolean.",
            )?,
            duplicate_device_token_merge_priority: match priority {
                "installationId" => MergePriority::InstallationId,
                _ => MergePriority::DeviceToken,
            },
        })
    }
}
