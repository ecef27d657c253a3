//! Where pages come from: the folder of `pages.pagesPath`, or the pages built into the program.

use std::path::{Path, PathBuf};

use super::PageResponse;

const BUILT_IN: &[(&str, &str)] = &[
    ("password_reset.html", include_str!("../../static/pages/password_reset.html")),
    ("password_reset_success.html", include_str!("../../static/pages/password_reset_success.html")),
    ("password_reset_link_invalid.html", include_str!("../../static/pages/password_reset_link_invalid.html")),
    ("email_verification_success.html", include_str!("../../static/pages/email_verification_success.html")),
    (
        "email_verification_send_fail.html",
        include_str!("../../static/pages/email_verification_send_fail.html"),
    ),
    (
        "email_verification_send_success.html",
        include_str!("../../static/pages/email_verification_send_success.html"),
    ),
    (
        "email_verification_link_invalid.html",
        include_str!("../../static/pages/email_verification_link_invalid.html"),
    ),
    (
        "email_verification_link_expired.html",
        include_str!("../../static/pages/email_verification_link_expired.html"),
    ),
];

pub struct Source {
    folder: Option<PathBuf>,
}

/// A path below the folder, or `None` when it leads out of it.
pub fn safe_path(path: &str) -> Option<String> {
    let safe = |segment: &str| !segment.is_empty() && segment != "." && segment != "..";
    let bad = path.contains(['\0', '\\']) || !path.split('/').all(safe);
    (!bad).then(|| path.to_owned())
}

impl Source {
    pub fn new(folder: Option<&str>) -> Self {
        Self { folder: folder.map(PathBuf::from) }
    }

    /// The text of a page.
    pub async fn read(&self, path: &str) -> Option<String> {
        let path = safe_path(path)?;
        match &self.folder {
            Some(folder) => tokio::fs::read_to_string(inside(folder, &path).await?).await.ok(),
            None => BUILT_IN.iter().find(|(name, _)| *name == path).map(|(_, text)| (*text).to_owned()),
        }
    }

    /// A file that is no page.
    pub async fn file(&self, path: &str) -> Option<PageResponse> {
        let folder = self.folder.as_ref()?;
        inside(folder, path).await.map(PageResponse::File)
    }

    /// The best file for a locale: `<locale>/`, `<language>/`, then the default; and its folder.
    pub async fn localized(&self, file: &str, locale: Option<&str>) -> (String, Option<String>) {
        let Some(locale) = locale else { return (file.to_owned(), None) };
        let language = locale.split('-').next().unwrap_or(locale);
        for folder in [locale, language] {
            let path = format!("{folder}/{file}");
            if self.read(&path).await.is_some() {
                return (path, Some(folder.to_owned()));
            }
        }
        (file.to_owned(), None)
    }
}

/// The real path of a file, if it is one and lies below the folder (links resolved).
async fn inside(folder: &Path, path: &str) -> Option<PathBuf> {
    let folder = tokio::fs::canonicalize(folder).await.ok()?;
    let file = tokio::fs::canonicalize(folder.join(safe_path(path)?)).await.ok()?;
    let is_file = tokio::fs::metadata(&file).await.is_ok_and(|metadata| metadata.is_file());
    (is_file && file.starts_with(&folder)).then_some(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside() {
        for bad in ["", "../x", "a/../b", "/etc/passwd", "a//b", "a\\b", "a\0b", "."] {
            assert_eq!(safe_path(bad), None, "{bad:?}");
        }
        assert_eq!(safe_path("de/a.html").as_deref(), Some("de/a.html"));
    }
}
