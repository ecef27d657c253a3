//! The groups about pages and files.

use super::Kind::*;
use super::{Group, opt};

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
            "URL shown for: expired verification link",
        ),
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

/// `fileUpload`.
pub static FILE_UPLOAD: Group = Group {
    name: "fileUpload",
    options: &[
        opt(
            "allowedFileUrlDomains",
            "PARSE_SERVER_FILE_UPLOAD_ALLOWED_FILE_URL_DOMAINS",
            List,
            r#"["*"]"#,
            "Hosts that file URLs in saved objects may name; * for all",
        ),
        opt(
            "enableForAnonymousUser",
            "PARSE_SERVER_FILE_UPLOAD_ENABLE_FOR_ANONYMOUS_USER",
            Bool,
            "false",
            "Anonymous users may upload",
        ),
        opt(
            "enableForAuthenticatedUser",
            "PARSE_SERVER_FILE_UPLOAD_ENABLE_FOR_AUTHENTICATED_USER",
            Bool,
            "true",
            "Logged-in users may upload",
        ),
        opt(
            "enableForPublic",
            "PARSE_SERVER_FILE_UPLOAD_ENABLE_FOR_PUBLIC",
            Bool,
            "false",
            "Everybody may upload",
        ),
        opt(
            "fileExtensions",
            "PARSE_SERVER_FILE_UPLOAD_FILE_EXTENSIONS",
            List,
            r#"["(?i)^(?!([xs]?html?(\\+xml)?|xht|svg(z|\\+xml)?|xml|xslt?(\\+xml)?|xsd|rng|rdf(\\+xml)?|owl|mathml(\\+xml)?)$)"]"#,
            "Regular expressions of the extensions that may be uploaded; the default refuses what browsers run as a page",
        ),
    ],
};

/// `fileDownload`.
pub static PRIVATE_FILES: Group = Group {
    name: "privateFiles",
    options: &[
        opt(
            "secret",
            "PARSIMONY_PRIVATE_FILES_SECRET",
            Text,
            "",
            "Secret with which addresses are signed; the same on every server",
        )
        .ours()
        .secret(),
        opt(
            "expiresAfter",
            "PARSIMONY_PRIVATE_FILES_EXPIRES_AFTER",
            Number,
            "3600",
            "Seconds an address works at most",
        )
        .ours(),
        opt("all", "PARSIMONY_PRIVATE_FILES_ALL", Bool, "false", "Every new file is private").ours(),
    ],
};

pub static FILE_DOWNLOAD: Group = Group {
    name: "fileDownload",
    options: &[
        opt(
            "enableForAnonymousUser",
            "PARSE_SERVER_FILE_DOWNLOAD_ENABLE_FOR_ANONYMOUS_USER",
            Bool,
            "true",
            "Anonymous users may download",
        ),
        opt(
            "enableForAuthenticatedUser",
            "PARSE_SERVER_FILE_DOWNLOAD_ENABLE_FOR_AUTHENTICATED_USER",
            Bool,
            "true",
            "Logged-in users may download",
        ),
        opt(
            "enableForPublic",
            "PARSE_SERVER_FILE_DOWNLOAD_ENABLE_FOR_PUBLIC",
            Bool,
            "true",
            "Everybody may download",
        ),
    ],
};
