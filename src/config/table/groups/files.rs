//! The groups about files.

use crate::config::table::Kind::*;
use crate::config::table::{Group, opt};

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
