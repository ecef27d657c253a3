//! Files and pages.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::config::error::ConfigError;
use crate::config::reader::Reader;
use crate::config::secret::Secret;
use crate::config::table;
use crate::config::value::{CallbackId, OptionValue, Pattern};

#[derive(Clone, Debug)]
pub struct FilesConfig {
    /// Name or description of the store, as given; contains secrets. `None` for the default store.
    pub files_adapter: Option<Secret<Value>>,
    /// Prefix of files hosted by the former Parse.com.
    pub file_key: Option<Secret<String>>,
    pub encryption_key: Option<Secret<String>>,
    pub preserve_file_name: bool,
    pub upload: FileUpload,
    pub download: FileDownload,
    /// `None`: there are no private files.
    pub private: Option<PrivateFiles>,
}

#[derive(Clone, Debug)]
pub struct PrivateFiles {
    pub secret: Secret<String>,
    pub expires_after: Duration,
    pub all: bool,
}

#[derive(Clone, Debug)]
pub struct FileUpload {
    pub enable_for_anonymous_user: bool,
    pub enable_for_authenticated_user: bool,
    pub enable_for_public: bool,
    /// An extension must match one of them; `["*"]` permits all.
    pub file_extensions: Vec<Pattern>,
    /// Exact hosts, `*.host`, or `*` for all.
    pub allowed_file_url_domains: Vec<String>,
}

#[derive(Clone, Copy, Debug)]
pub struct FileDownload {
    pub enable_for_anonymous_user: bool,
    pub enable_for_authenticated_user: bool,
    pub enable_for_public: bool,
}

impl FileUpload {
    /// Whether files with this extension (without the dot) may be uploaded.
    pub fn allows_extension(&self, extension: &str) -> bool {
        self.file_extensions.iter().any(|pattern| pattern.source() == "*" || pattern.allows(extension))
    }
}

impl FilesConfig {
    pub(in crate::config) fn read(reader: Reader<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            files_adapter: reader.raw("filesAdapter").cloned().map(Secret::new),
            file_key: reader.secret("fileKey")?,
            encryption_key: reader.secret("encryptionKey")?,
            preserve_file_name: reader.bool("preserveFileName")?,
            upload: FileUpload::read(reader)?,
            download: FileDownload::read(reader)?,
            private: PrivateFiles::read(reader)?,
        })
    }
}

impl PrivateFiles {
    fn read(reader: Reader<'_>) -> Result<Option<Self>, ConfigError> {
        let group = reader.group("privateFiles")?;
        let all = group.bool("all")?;
        let expires_after = Duration::from_secs(group.required_whole("expiresAfter", 4)?);
        match group.secret("secret")? {
            Some(secret) if secret.expose().len() < 16 => {
                Err(group.fail("secret", "privateFiles.secret must have at least 16 characters."))
            }
            Some(secret) => Ok(Some(Self { secret, expires_after, all })),
            // Files that were meant to be private must not become public by an omission.
            None if group.is_set() => Err(group.fail("secret", "privateFiles.secret must be given.")),
            None => Ok(None),
        }
    }
}

fn access(group: Reader<'_>, option: &str, name: &str) -> Result<bool, ConfigError> {
    group.bool_saying(name, &format!("{option}.{name} must be a boolean value."))
}

impl FileUpload {
    fn read(reader: Reader<'_>) -> Result<Self, ConfigError> {
        let option = "fileUpload";
        let group = reader.group_saying(option, "fileUpload must be an object value.")?;
        let no_list = || group.fail("fileExtensions", "fileUpload.fileExtensions must be an array.");
        let extensions = group.value("fileExtensions");
        let extensions = extensions.as_deref().and_then(Value::as_array).ok_or_else(no_list)?;
        let pattern = |given: &Value| {
            let text = Pattern::source_of(given).ok_or_else(no_list)?;
            // "*" alone is no regular expression but has always meant every extension.
            let source = if text == "*" { ".*" } else { text.as_str() };
            Pattern::new(source).map_err(|_| {
                group.fail(
                    "fileExtensions",
                    format!("fileUpload.fileExtensions contains an invalid regex pattern: \"{text}\"."),
                )
            })
        };
        Ok(Self {
            enable_for_anonymous_user: access(group, option, "enableForAnonymousUser")?,
            enable_for_authenticated_user: access(group, option, "enableForAuthenticatedUser")?,
            enable_for_public: access(group, option, "enableForPublic")?,
            file_extensions: extensions.iter().map(pattern).collect::<Result<_, _>>()?,
            allowed_file_url_domains: domains(group)?,
        })
    }
}

fn domains(group: Reader<'_>) -> Result<Vec<String>, ConfigError> {
    let name = "allowedFileUrlDomains";
    let value = group.value(name);
    let Some(list) = value.as_deref().and_then(Value::as_array) else {
        return Err(group.fail(name, "fileUpload.allowedFileUrlDomains must be an array."));
    };
    list.iter()
        .map(|domain| match domain.as_str() {
            Some(text) if !text.is_empty() => Ok(text.to_owned()),
            _ => {
                let message = "fileUpload.allowedFileUrlDomains must contain only non-empty strings.";
                Err(group.fail(name, message))
            }
        })
        .collect()
}

impl FileDownload {
    fn read(reader: Reader<'_>) -> Result<Self, ConfigError> {
        let option = "fileDownload";
        let group = reader.group_saying(option, "fileDownload must be an object value.")?;
        Ok(Self {
            enable_for_anonymous_user: access(group, option, "enableForAnonymousUser")?,
            enable_for_authenticated_user: access(group, option, "enableForAuthenticatedUser")?,
            enable_for_public: access(group, option, "enableForPublic")?,
        })
    }
}

/// Pages for mail verification and password reset.
#[derive(Clone, Debug)]
pub struct PagesConfig {
    pub enable_localization: bool,
    pub localization_json_path: Option<String>,
    pub localization_fallback_locale: String,
    /// Values for placeholders, or a function that gives them.
    pub placeholders: OptionValue<Map<String, Value>>,
    pub force_redirect: bool,
    /// Folder with own pages.
    pub pages_path: Option<String>,
    /// Path segment below the mount.
    pub pages_endpoint: String,
    /// Page name (`passwordReset`, …) → URL to redirect to.
    pub custom_urls: BTreeMap<String, String>,
    pub custom_routes: Vec<PagesRoute>,
    pub encode_page_param_headers: bool,
    /// Option `customPages`, by the older names of pages.
    pub custom_pages: BTreeMap<String, String>,
}

#[derive(Clone, Debug)]
pub struct PagesRoute {
    pub method: String,
    pub path: String,
    pub handler: CallbackId,
}

impl PagesConfig {
    pub(in crate::config) fn read(reader: Reader<'_>) -> Result<Self, ConfigError> {
        let group = reader.group("pages")?;
        let placeholders = match (group.callback("placeholders"), group.raw("placeholders")) {
            (Some(id), _) => OptionValue::Callback(id),
            (None, None) => OptionValue::Value(Map::new()),
            (None, Some(Value::Object(map))) => OptionValue::Value(map.clone()),
            (None, Some(_)) => {
                let message = "Parse Server option pages.placeholders must be an object or a function.";
                return Err(group.fail("placeholders", message));
            }
        };
        let custom_pages =
            reader.object_saying("customPages", "Parse Server option customPages must be an object.")?;
        Ok(Self {
            enable_localization: group.bool("enableLocalization")?,
            localization_json_path: group.text("localizationJsonPath")?,
            localization_fallback_locale: group.required_text("localizationFallbackLocale")?,
            placeholders,
            force_redirect: group.bool("forceRedirect")?,
            pages_path: group.text("pagesPath")?,
            pages_endpoint: group.required_text("pagesEndpoint")?,
            custom_urls: urls(group, "customUrls", group.object("customUrls")?)?,
            custom_routes: PagesRoute::read_all(group)?,
            encode_page_param_headers: group.bool("encodePageParamHeaders")?,
            custom_pages: urls(reader, "customPages", custom_pages)?,
        })
    }
}

fn urls(
    reader: Reader<'_>,
    name: &str,
    given: Option<&Map<String, Value>>,
) -> Result<BTreeMap<String, String>, ConfigError> {
    let mut urls = BTreeMap::new();
    for (page, url) in given.into_iter().flatten().filter(|(_, url)| !url.is_null()) {
        let path = format!("{}.{page}", reader.path(name));
        let url = url.as_str().ok_or_else(|| {
            ConfigError::new(&path, format!("Parse Server option {path} must be a string."), Some(url))
        })?;
        urls.insert(page.clone(), url.to_owned());
    }
    Ok(urls)
}

impl PagesRoute {
    fn read_all(group: Reader<'_>) -> Result<Vec<Self>, ConfigError> {
        let name = "customRoutes";
        let message = "Parse Server option pages.customRoutes must be an array.";
        let routes = match group.raw(name) {
            None => return Ok(Vec::new()),
            Some(Value::Array(routes)) => routes,
            Some(_) => return Err(group.fail(name, message)),
        };
        routes
            .iter()
            .map(|route| {
                let bad = || {
                    let message =
                        "Parse Server option pages.customRoutes must have method, path and handler.";
                    group.fail(name, message)
                };
                let route = Reader::of_item(&table::PAGES_ROUTE, route.as_object().ok_or_else(bad)?);
                let (Some(method), Some(path), Some(handler)) =
                    (route.text("method")?, route.text("path")?, route.callback("handler"))
                else {
                    return Err(bad());
                };
                Ok(Self { method: method.to_ascii_uppercase(), path, handler })
            })
            .collect()
    }
}
