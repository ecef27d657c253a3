//! The groups about accounts: passwords, lock-out, installations.

use crate::config::table::Kind::*;
use crate::config::table::{Group, opt};

/// `passwordPolicy`.
pub static PASSWORD_POLICY: Group = Group {
    name: "passwordPolicy",
    options: &[
        opt(
            "doNotAllowUsername",
            "PARSE_SERVER_PASSWORD_POLICY_DO_NOT_ALLOW_USERNAME",
            Bool,
            "false",
            "A password may not contain the user name",
        ),
        opt(
            "maxPasswordAge",
            "PARSE_SERVER_PASSWORD_POLICY_MAX_PASSWORD_AGE",
            Number,
            "",
            "Days after which a password must be changed",
        ),
        opt(
            "maxPasswordHistory",
            "PARSE_SERVER_PASSWORD_POLICY_MAX_PASSWORD_HISTORY",
            Number,
            "",
            "Number of former passwords that may not be used again (0 to 20)",
        ),
        opt(
            "resetPasswordSuccessOnInvalidEmail",
            "PARSE_SERVER_PASSWORD_POLICY_RESET_PASSWORD_SUCCESS_ON_INVALID_EMAIL",
            Bool,
            "true",
            "Answer reset requests for unknown addresses like those for known ones",
        ),
        opt(
            "resetTokenReuseIfValid",
            "PARSE_SERVER_PASSWORD_POLICY_RESET_TOKEN_REUSE_IF_VALID",
            Bool,
            "false",
            "Send the same reset token again while it is valid",
        ),
        opt(
            "resetTokenValidityDuration",
            "PARSE_SERVER_PASSWORD_POLICY_RESET_TOKEN_VALIDITY_DURATION",
            Number,
            "",
            "Seconds a reset token is valid; unset: for ever",
        ),
        opt(
            "validationError",
            "PARSE_SERVER_PASSWORD_POLICY_VALIDATION_ERROR",
            Text,
            "",
            "Text of the error for a password that is refused",
        ),
        opt(
            "validatorCallback",
            "PARSE_SERVER_PASSWORD_POLICY_VALIDATOR_CALLBACK",
            Text,
            "",
            "Function that says whether a password is good",
        )
        .callable(),
        opt(
            "validatorPattern",
            "PARSE_SERVER_PASSWORD_POLICY_VALIDATOR_PATTERN",
            Text,
            "",
            "Regular expression that passwords must match",
        ),
    ],
};

/// `accountLockout`.
pub static ACCOUNT_LOCKOUT: Group = Group {
    name: "accountLockout",
    options: &[
        opt(
            "duration",
            "PARSE_SERVER_ACCOUNT_LOCKOUT_DURATION",
            Number,
            "",
            "Minutes an account stays locked",
        ),
        opt(
            "threshold",
            "PARSE_SERVER_ACCOUNT_LOCKOUT_THRESHOLD",
            Number,
            "",
            "Number of failed logins that lock it",
        ),
        opt(
            "unlockOnPasswordReset",
            "PARSE_SERVER_ACCOUNT_LOCKOUT_UNLOCK_ON_PASSWORD_RESET",
            Bool,
            "false",
            "A password reset unlocks it",
        ),
    ],
};

/// `installation`.
pub static INSTALLATION: Group = Group {
    name: "installation",
    options: &[
        opt(
            "duplicateDeviceTokenAction",
            "PARSE_SERVER_INSTALLATION_DUPLICATE_DEVICE_TOKEN_ACTION",
            Text,
            r#""delete""#,
            "Delete the other installation, or update it by clearing its token",
        ),
        opt(
            "duplicateDeviceTokenActionEnforceAuth",
            "PARSE_SERVER_INSTALLATION_DUPLICATE_DEVICE_TOKEN_ACTION_ENFORCE_AUTH",
            Bool,
            "false",
            "Only where the caller may do so himself",
        ),
        opt(
            "duplicateDeviceTokenMergePriority",
            "PARSE_SERVER_INSTALLATION_DUPLICATE_DEVICE_TOKEN_MERGE_PRIORITY",
            Text,
            r#""deviceToken""#,
            "Which one survives: the one with the deviceToken or the one with the installationId",
        ),
    ],
};
