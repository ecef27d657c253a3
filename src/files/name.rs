//! File names: which are accepted, how they are completed, how they are written into URLs and paths.
//!
//! Pure functions. Mirrors parse-server's `validateFilename`, `FilesRouter.validateDirectory` and the naming
//! part of `FilesController.createFile`; the texts are what clients see.

use rand::Rng;

use super::{FileError, FileResult, mime};
use crate::error::{Error, ErrorCode, Result};

/// UTF-16 units, as JavaScript counts.
const MAX_NAME: usize = 128;
const MAX_DIRECTORY: usize = 256;
/// Bytes of a stored name: directory, prefix and name together stay far below it, S3 ends at 1,024.
const MAX_STORED: usize = 1024;
/// First segments that routes under `/files/<app id>/` use themselves.
const RESERVED_SEGMENTS: [&str; 1] = ["metadata"];

/// The name a client gives in `POST /files/:name`.
///
/// # Errors
/// 122 with the text of the rule that is broken.
pub fn validate(name: &str) -> Result<()> {
    if name.encode_utf16().count() > MAX_NAME {
        return Err(invalid("Filename too long."));
    }
    let first = |c: u8| c == b'_' || c.is_ascii_alphanumeric();
    let later = |c: u8| first(c) || b"@. ~-".contains(&c);
    let bytes = name.as_bytes();
    match bytes.split_first() {
        Some((head, tail)) if first(*head) && tail.iter().all(|c| later(*c)) => Ok(()),
        _ => Err(invalid("Filename contains invalid characters.")),
    }
}

/// The directory of a file (master key only; the caller checks that).
///
/// # Errors
/// 122 with the text of the rule that is broken.
pub fn validate_directory(directory: &str) -> Result<()> {
    if directory.is_empty() {
        return Err(invalid("Directory must not be empty."));
    }
    if directory.encode_utf16().count() > MAX_DIRECTORY {
        return Err(invalid("Directory path is too long."));
    }
    if directory.contains("..") {
        return Err(invalid("Directory must not contain \"..\"."));
    }
    if directory.starts_with('/') || directory.ends_with('/') {
        return Err(invalid("Directory must not start or end with \"/\"."));
    }
    if directory.contains("//") {
        return Err(invalid("Directory must not contain consecutive slashes."));
    }
    let first = directory.split('/').next().unwrap_or_default();
    if RESERVED_SEGMENTS.contains(&first) {
        return Err(invalid(format!("Directory must not start with reserved segment \"{first}\".")));
    }
    let allowed = |c: u8| c.is_ascii_alphanumeric() || b"_-/".contains(&c);
    let bytes = directory.as_bytes();
    if !bytes[0].is_ascii_alphanumeric() || !bytes.iter().all(|c| allowed(*c)) {
        return Err(invalid("Directory contains invalid characters."));
    }
    Ok(())
}

/// 122 of a `directory` that is not a string.
pub fn directory_not_a_string() -> Error {
    invalid("Directory must be a string.")
}

/// 122 of `POST /files` without a name.
pub fn not_provided() -> Error {
    invalid("Filename not provided.")
}

fn invalid(text: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::parse(ErrorCode::INVALID_FILE_NAME, text)
}

/// The name a file is stored under, and the type it is served as.
#[derive(Debug, PartialEq, Eq)]
pub struct Stored {
    pub name: String,
    pub content_type: Option<String>,
}

/// Completes a name: extension from the type where it has none, type from the extension where it has one,
/// 32 random hex digits in front (unless `preserveFileName`), directory.
pub fn stored(name: &str, declared: Option<&str>, preserve: bool, directory: Option<&str>) -> Stored {
    let mut out = String::with_capacity(name.len() + 64);
    if let Some(directory) = directory.filter(|d| !d.is_empty()) {
        out.push_str(directory);
        out.push('/');
    }
    if !preserve {
        let mut random = [0; 16];
        rand::rng().fill_bytes(&mut random);
        out.push_str(&hex::encode(random));
        out.push('_');
    }
    out.push_str(name);
    let mut content_type = declared.map(str::to_owned);
    if mime::extension(name).is_empty() {
        if let Some(extension) = declared.and_then(mime::extension_of) {
            if !name.ends_with('.') {
                out.push('.');
            }
            out.push_str(extension);
        }
    } else if let Some(known) = mime::type_of(name) {
        content_type = Some(known.to_owned());
    }
    Stored { name: out, content_type }
}

/// Refuses names that no store may see: of a download, a removal, or a trigger that renamed a file.
///
/// # Errors
/// `InvalidName`; a download answers it like a missing file.
pub fn check_stored(name: &str) -> FileResult<()> {
    let dots = |segment: &str| segment == "." || segment == "..";
    // To some stores a backslash is a separator too.
    let climbs = name.split(['/', '\\']).any(dots) || name.split('/').any(str::is_empty);
    if name.len() > MAX_STORED || name.chars().any(char::is_control) || climbs {
        return Err(FileError::InvalidName);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(result: Result<()>) -> String {
        match result {
            Ok(()) => "ok".into(),
            Err(error) => {
                assert!(error.is(ErrorCode::INVALID_FILE_NAME));
                error.public_message(true).to_owned()
            }
        }
    }

    #[test]
    fn accepted_names() {
        for name in ["a", "_a.txt", "9@b.png", "my file~1_x-y.tar.gz", "a..b", "a.", &"x".repeat(128)] {
            assert_eq!(text(validate(name)), "ok", "{name}");
        }
    }

    #[test]
    fn refused_names() {
        for name in [
            "",
            ".",
            "..",
            "../a",
            "..%2fa",
            "a/b",
            "a\\b",
            "%2e%2e",
            "a%00b",
            "a\0b",
            ".hidden",
            "-a",
            " a",
            "a\n",
            "a\r\nb",
            "ä.txt",
            "a\u{202e}gpj.exe",
            "a;b",
            "a\"b",
            "a'b",
            "a<b>",
            "a:b",
            "a?b",
            "a#b",
            "~a",
            "@a",
            "a\u{ff0e}\u{ff0f}b",
            "a\u{2215}b",
        ] {
            assert_eq!(text(validate(name)), "Filename contains invalid characters.", "{name:?}");
        }
        assert_eq!(text(validate(&"x".repeat(129))), "Filename too long.");
        // Length comes first, counted in UTF-16 units.
        assert_eq!(text(validate(&"\u{1f600}".repeat(65))), "Filename too long.");
        assert_eq!(text(validate(&"\u{1f600}".repeat(64))), "Filename contains invalid characters.");
    }

    #[test]
    fn directories() {
        for (directory, expected) in [
            ("a", "ok"),
            ("a/b-c/d_e/0", "ok"),
            ("", "Directory must not be empty."),
            ("a/../b", "Directory must not contain \"..\"."),
            ("..", "Directory must not contain \"..\"."),
            ("/a", "Directory must not start or end with \"/\"."),
            ("a/", "Directory must not start or end with \"/\"."),
            ("a//b", "Directory must not contain consecutive slashes."),
            ("metadata", "Directory must not start with reserved segment \"metadata\"."),
            ("metadata/x", "Directory must not start with reserved segment \"metadata\"."),
            ("metadatas/x", "ok"),
            ("a/metadata", "ok"),
            ("a b", "Directory contains invalid characters."),
            ("_a", "Directory contains invalid characters."),
            ("a.b", "Directory contains invalid characters."),
            ("a%2f", "Directory contains invalid characters."),
            ("a\0", "Directory contains invalid characters."),
            ("ä", "Directory contains invalid characters."),
            ("a\\b", "Directory contains invalid characters."),
        ] {
            assert_eq!(text(validate_directory(directory)), expected, "{directory:?}");
        }
        assert_eq!(text(validate_directory(&"a".repeat(257))), "Directory path is too long.");
        assert_eq!(text(validate_directory(&"a".repeat(256))), "ok");
    }

    #[test]
    fn names_are_completed() {
        let plan = |name, declared, directory| {
            let stored = stored(name, declared, true, directory);
            (stored.name, stored.content_type.unwrap_or_default())
        };
        let s = str::to_owned;
        assert_eq!(plan("a", Some("image/jpeg"), None), (s("a.jpg"), s("image/jpeg")));
        assert_eq!(
            plan("a.", Some("text/plain; charset=utf-8"), None),
            (s("a.txt"), s("text/plain; charset=utf-8"))
        );
        assert_eq!(plan("a", Some("x/unknown"), None), (s("a"), s("x/unknown")));
        assert_eq!(plan("a", None, Some("d/e")), (s("d/e/a"), s("")));
        // The extension decides, whatever was declared.
        assert_eq!(plan("a.PNG", Some("text/html"), None), (s("a.PNG"), s("image/png")));
        assert_eq!(plan("a.weird", Some("x/y"), None), (s("a.weird"), s("x/y")));
        let random = stored("a.txt", None, false, None).name;
        assert_eq!(random.len(), 32 + 1 + 5);
        assert!(random[..32].bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c)));
        assert_ne!(random, stored("a.txt", None, false, None).name);
    }

    #[test]
    fn stored_names_cannot_climb() {
        for name in
            ["..", ".", "", "/etc/passwd", "a/../b", "a/./b", "a//b", "a/", "a\0", "a\nb", "a/..", "a\\..\\b"]
        {
            assert!(check_stored(name).is_err(), "{name:?}");
        }
        for name in ["a", "d/e/f.txt", "..a", "a..b", "%2e%2e", "ü.txt", "a\\b", " "] {
            assert!(check_stored(name).is_ok(), "{name:?}");
        }
        assert!(check_stored(&"x".repeat(1025)).is_err());
    }
}
