//! Options of users, sessions, mails and pages.

use super::Kind::*;
use super::groups::{ACCOUNT_LOCKOUT, CUSTOM_PAGES, INSTALLATION, PAGES, PASSWORD_POLICY};
use super::{OptionDef, opt};

pub static OPTIONS: &[OptionDef] = &[
    opt(
        "auth",
        "PARSE_SERVER_AUTH_PROVIDERS",
        Object,
        "",
        "Login providers and their settings, keyed by provider name",
    )
    .secret(),
    opt(
        "enableAnonymousUsers",
        "PARSE_SERVER_ENABLE_ANON_USERS",
        Bool,
        "true",
        "Clients may make anonymous users",
    ),
    opt(
        "enableInsecureAuthAdapters",
        "PARSE_SERVER_ENABLE_INSECURE_AUTH_ADAPTERS",
        Bool,
        "false",
        "Login providers may run in their insecure modes",
    ),
    opt(
        "allowExpiredAuthDataToken",
        "PARSE_SERVER_ALLOW_EXPIRED_AUTH_DATA_TOKEN",
        Bool,
        "false",
        "Deprecated: an update checks login provider data again only when it changed",
    )
    .accepted(),
    opt(
        "enforcePrivateUsers",
        "PARSE_SERVER_ENFORCE_PRIVATE_USERS",
        Bool,
        "true",
        "New users are not readable by the public",
    ),
    opt("sessionLength", "PARSE_SERVER_SESSION_LENGTH", Number, "31536000", "Seconds a session lasts"),
    opt(
        "expireInactiveSessions",
        "PARSE_SERVER_EXPIRE_INACTIVE_SESSIONS",
        Bool,
        "true",
        "Sessions end after sessionLength",
    ),
    opt(
        "extendSessionOnUse",
        "PARSE_SERVER_EXTEND_SESSION_ON_USE",
        Bool,
        "false",
        "Using a session moves its end",
    ),
    opt(
        "revokeSessionOnPasswordReset",
        "PARSE_SERVER_REVOKE_SESSION_ON_PASSWORD_RESET",
        Bool,
        "true",
        "A changed password ends the sessions of the user",
    ),
    opt(
        "convertEmailToLowercase",
        "PARSE_SERVER_CONVERT_EMAIL_TO_LOWERCASE",
        Bool,
        "false",
        "Store emails lower case",
    ),
    opt(
        "convertUsernameToLowercase",
        "PARSE_SERVER_CONVERT_USERNAME_TO_LOWERCASE",
        Bool,
        "false",
        "Store usernames lower case",
    ),
    opt(
        "accountLockout",
        "PARSE_SERVER_ACCOUNT_LOCKOUT",
        Object,
        "",
        "Lock an account for a while after a number of failed logins",
    )
    .group(&ACCOUNT_LOCKOUT),
    opt(
        "passwordPolicy",
        "PARSE_SERVER_PASSWORD_POLICY",
        Object,
        "",
        "What passwords must look like and how long they last",
    )
    .group(&PASSWORD_POLICY),
    opt(
        "verifyUserEmails",
        "PARSE_SERVER_VERIFY_USER_EMAILS",
        Bool,
        "false",
        "Mail addresses of users are verified",
    )
    .callable(),
    opt(
        "sendUserEmailVerification",
        "PARSE_SERVER_SEND_USER_EMAIL_VERIFICATION",
        Bool,
        "true",
        "Send verification mails",
    )
    .callable(),
    opt(
        "preventLoginWithUnverifiedEmail",
        "PARSE_SERVER_PREVENT_LOGIN_WITH_UNVERIFIED_EMAIL",
        Bool,
        "false",
        "Users log in only after verifying their address",
    )
    .callable(),
    opt(
        "preventSignupWithUnverifiedEmail",
        "PARSE_SERVER_PREVENT_SIGNUP_WITH_UNVERIFIED_EMAIL",
        Bool,
        "false",
        "A sign-up gives no session until the address is verified",
    ),
    opt(
        "emailVerifyTokenValidityDuration",
        "PARSE_SERVER_EMAIL_VERIFY_TOKEN_VALIDITY_DURATION",
        Number,
        "",
        "Seconds a verification token is valid; unset: for ever",
    ),
    opt(
        "emailVerifyTokenReuseIfValid",
        "PARSE_SERVER_EMAIL_VERIFY_TOKEN_REUSE_IF_VALID",
        Bool,
        "false",
        "Send the same verification token again while it is valid",
    ),
    opt(
        "emailVerifySuccessOnInvalidEmail",
        "PARSE_SERVER_EMAIL_VERIFY_SUCCESS_ON_INVALID_EMAIL",
        Bool,
        "true",
        "Answer verification requests for unknown addresses like those for known ones",
    ),
    opt(
        "emailAdapter",
        "PARSE_SERVER_EMAIL_ADAPTER",
        Module,
        "",
        "How mails are sent: \"smtp\" with options, or a module",
    )
    .callable()
    .secret(),
    opt("pages", "PARSE_SERVER_PAGES", Object, "{}", "Pages for mail verification and password reset")
        .group(&PAGES),
    opt("customPages", "PARSE_SERVER_CUSTOM_PAGES", Object, "{}", "Older form of pages.customUrls")
        .group(&CUSTOM_PAGES),
    opt(
        "installation",
        "PARSE_SERVER_INSTALLATION",
        Object,
        "{}",
        "What happens to installations with the same device token",
    )
    .group(&INSTALLATION),
];
