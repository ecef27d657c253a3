//! The groups about pages.

use crate::config::table::Kind::*;
use crate::config::table::{Group, opt};

/// `pages`.
pub static PAGES: Group = Group {
    name: "pages",
    options: &[
        opt("customRoutes", "PARSE_SERVER_PAGES_CUSTOM_ROUTES", List, "[]", "Pages of your own")
            .group(&PAGES_ROUTE),
        opt(
            "customUrls",
            "PARSE_SERVER_PAGES_CUSTOM_URLS",
            Object,
            "{}",
            "URLs to redirect to instead of showing a page",
        )
        .group(&PAGES_CUSTOM_URLS),
        opt(
            "enableLocalization",
            "PARSE_SERVER_PAGES_ENABLE_LOCALIZATION",
            Bool,
            "false",
            "Pages are shown in the language of the user",
        ),
        opt(
            "encodePageParamHeaders",
            "PARSE_SERVER_PAGES_ENCODE_PAGE_PARAM_HEADERS",
            Bool,
            "false",
            "Headers with page parameters are percent-encoded",
        ),
        opt(
            "forceRedirect",
            "PARSE_SERVER_PAGES_FORCE_REDIRECT",
            Bool,
            "false",
            "Always redirect, never answer with content",
        ),
        opt(
            "localizationFallbackLocale",
            "PARSE_SERVER_PAGES_LOCALIZATION_FALLBACK_LOCALE",
            Text,
            r#""en""#,
            "Language used when there is no translation",
        ),
        opt(
            "localizationJsonPath",
            "PARSE_SERVER_PAGES_LOCALIZATION_JSON_PATH",
            Text,
            "",
            "JSON file with translations of placeholders",
        ),
        opt(
            "pagesEndpoint",
            "PARSE_SERVER_PAGES_PAGES_ENDPOINT",
            Text,
            r#""apps""#,
            "Path segment of the pages",
        ),
        opt("pagesPath", "PARSE_SERVER_PAGES_PAGES_PATH", Text, "", "Folder with pages of your own"),
        opt(
            "placeholders",
            "PARSE_SERVER_PAGES_PLACEHOLDERS",
            Object,
            "{}",
            "Values for placeholders in pages: an object or a function",
        )
        .callable(),
    ],
};

/// One entry of `pages.customRoutes`.
pub static PAGES_ROUTE: Group = Group {
    name: "pages.customRoutes",
    options: &[
        opt("handler", "PARSE_SERVER_PAGES_ROUTE_HANDLER", Text, "", "Function that makes the page")
            .callable()
            .required(),
        opt("method", "PARSE_SERVER_PAGES_ROUTE_METHOD", Text, "", "GET or POST").required(),
        opt("path", "PARSE_SERVER_PAGES_ROUTE_PATH", Text, "", "Path of the page").required(),
    ],
};

/// `pages.customUrls`.
pub static PAGES_CUSTOM_URLS: Group = Group {
    name: "pages.customUrls",
    options: &[
        opt(
            "emailVerificationLinkExpired",
            "PARSE_SERVER_PAGES_CUSTOM_URL_EMAIL_VERIFICATION_LINK_EXPIRED",
            Text,
            "",
            "URL shown for: expired verification link, which no page is shown for; that of an invalid one is",
        )
        .accepted(),
        opt(
            "emailVerificationLinkInvalid",
            "PARSE_SERVER_PAGES_CUSTOM_URL_EMAIL_VERIFICATION_LINK_INVALID",
            Text,
            "",
            "URL shown for: invalid verification link",
        ),
        opt(
            "emailVerificationSendFail",
            "PARSE_SERVER_PAGES_CUSTOM_URL_EMAIL_VERIFICATION_SEND_FAIL",
            Text,
            "",
            "URL shown for: verification mail that was not sent",
        ),
        opt(
            "emailVerificationSendSuccess",
            "PARSE_SERVER_PAGES_CUSTOM_URL_EMAIL_VERIFICATION_SEND_SUCCESS",
            Text,
            "",
            "URL shown for: verification mail that was sent",
        ),
        opt(
            "emailVerificationSuccess",
            "PARSE_SERVER_PAGES_CUSTOM_URL_EMAIL_VERIFICATION_SUCCESS",
            Text,
            "",
            "URL shown for: verified address",
        ),
        opt(
            "passwordReset",
            "PARSE_SERVER_PAGES_CUSTOM_URL_PASSWORD_RESET",
            Text,
            "",
            "URL shown for: choosing a password",
        ),
        opt(
            "passwordResetLinkInvalid",
            "PARSE_SERVER_PAGES_CUSTOM_URL_PASSWORD_RESET_LINK_INVALID",
            Text,
            "",
            "URL shown for: invalid reset link",
        ),
        opt(
            "passwordResetSuccess",
            "PARSE_SERVER_PAGES_CUSTOM_URL_PASSWORD_RESET_SUCCESS",
            Text,
            "",
            "URL shown for: changed password",
        ),
    ],
};

/// `customPages`, the older form of `pages.customUrls`. As in parse-server 9, only the frame has effect.
pub static CUSTOM_PAGES: Group = Group {
    name: "customPages",
    options: &[
        opt(
            "choosePassword",
            "PARSE_SERVER_CUSTOM_PAGES_CHOOSE_PASSWORD",
            Text,
            "",
            "URL shown for: choosing a password",
        )
        .accepted(),
        opt(
            "expiredVerificationLink",
            "PARSE_SERVER_CUSTOM_PAGES_EXPIRED_VERIFICATION_LINK",
            Text,
            "",
            "URL shown for: expired verification link",
        )
        .accepted(),
        opt("invalidLink", "PARSE_SERVER_CUSTOM_PAGES_INVALID_LINK", Text, "", "URL shown for: invalid link")
            .accepted(),
        opt(
            "invalidPasswordResetLink",
            "PARSE_SERVER_CUSTOM_PAGES_INVALID_PASSWORD_RESET_LINK",
            Text,
            "",
            "URL shown for: invalid reset link",
        )
        .accepted(),
        opt(
            "invalidVerificationLink",
            "PARSE_SERVER_CUSTOM_PAGES_INVALID_VERIFICATION_LINK",
            Text,
            "",
            "URL shown for: invalid verification link",
        )
        .accepted(),
        opt(
            "linkSendFail",
            "PARSE_SERVER_CUSTOM_PAGES_LINK_SEND_FAIL",
            Text,
            "",
            "URL shown for: verification mail that was not sent",
        )
        .accepted(),
        opt(
            "linkSendSuccess",
            "PARSE_SERVER_CUSTOM_PAGES_LINK_SEND_SUCCESS",
            Text,
            "",
            "URL shown for: verification mail that was sent",
        )
        .accepted(),
        opt(
            "parseFrameURL",
            "PARSE_SERVER_CUSTOM_PAGES_PARSE_FRAME_URL",
            Text,
            "",
            "URL shown for: the frame around the pages",
        ),
        opt(
            "passwordResetSuccess",
            "PARSE_SERVER_CUSTOM_PAGES_PASSWORD_RESET_SUCCESS",
            Text,
            "",
            "URL shown for: changed password",
        )
        .accepted(),
        opt(
            "verifyEmailSuccess",
            "PARSE_SERVER_CUSTOM_PAGES_VERIFY_EMAIL_SUCCESS",
            Text,
            "",
            "URL shown for: verified address",
        )
        .accepted(),
    ],
};
