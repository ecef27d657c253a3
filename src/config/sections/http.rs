//! The HTTP front: where it listens, CORS, proxies, body size, permitted routes.

use std::time::Duration;

use serde_json::Value;

use crate::config::error::ConfigError;
use crate::config::net::{IpRules, TrustProxy};
use crate::config::reader::Reader;
use crate::config::value::{CallbackId, OptionValue, Pattern};

#[derive(Clone, Debug)]
pub struct HttpConfig {
    pub host: String,
    pub port: u16,
    /// Begins with `/` and does not end with it; empty when the API is served at the root.
    pub mount_path: String,
    /// URL of the API as Cloud Code calls it.
    pub server_url: String,
    /// `server_url` was not set but made from port and mount path.
    server_url_is_default: bool,
    /// URL under which clients reach the API; may be a function.
    pub public_server_url: Option<OptionValue<String>>,
    pub verify_server_url: bool,
    /// Request headers allowed besides the usual ones.
    pub allow_headers: Vec<String>,
    /// Origins; empty allows all (`*`).
    pub allow_origin: Vec<String>,
    /// Bytes.
    pub max_upload_size: u64,
    pub trust_proxy: TrustProxy,
    /// Networks besides the public internet to which the server may be sent by a URL of a client.
    pub outbound_allowed_networks: IpRules,
    /// Patterns for the whole path without mount and slashes at the ends; `None` permits every route.
    pub route_allow_list: Option<Vec<Pattern>>,
    /// Replace telling error texts by a general one.
    pub sanitize_errors: bool,
    /// Anybody may read the description of the API, not only the master key.
    pub open_api_is_public: bool,
    pub request_context_middleware: Option<CallbackId>,
    pub server_start_complete: Option<CallbackId>,
    pub server_close_complete: Option<CallbackId>,
    pub limits: HttpLimits,
}

/// What connections may take of the server (option `httpLimits`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpLimits {
    /// Connections at a time; `None` is as many as there may be open files.
    pub max_connections: Option<u64>,
    /// From one address that is neither this machine nor a trusted proxy.
    pub max_connections_per_address: Option<u64>,
    /// Requests that are worked on at a time.
    pub max_requests: Option<u64>,
    /// Bytes per second that a body or an answer has to make, on average over `patience`; 0 for none.
    pub minimum_rate: u64,
    /// How long a transfer may stand still.
    pub patience: Duration,
    /// Bytes of bodies that wait for their rest.
    pub body_memory: u64,
    /// Bytes of rows and answers of all clients while they are made, and again while they are read.
    pub answer_memory: u64,
}

impl HttpLimits {
    /// No limits.
    pub const NONE: Self = Self {
        max_connections: None,
        max_connections_per_address: None,
        max_requests: None,
        minimum_rate: 0,
        patience: Duration::MAX,
        body_memory: u64::MAX,
        answer_memory: u64::MAX,
    };

    fn read(reader: Reader<'_>) -> Result<Self, ConfigError> {
        let group = reader.group("httpLimits")?;
        let most = |name: &str| match group.value(name).as_deref().map(|value| value.as_i64()) {
            None | Some(Some(-1)) => Ok(None),
            Some(_) => group.whole(name, 1),
        };
        Ok(Self {
            max_connections: most("maxConnections")?,
            max_connections_per_address: most("maxConnectionsPerAddress")?,
            max_requests: most("maxRequests")?,
            minimum_rate: group.required_whole("minimumRate", 0)?,
            patience: Duration::from_millis(group.required_whole("patience", 100)?),
            body_memory: group.required_whole("bodyMemory", 1)?,
            answer_memory: group.required_whole("answerMemory", 1)?,
        })
    }
}

impl HttpConfig {
    /// Tells the configuration the port that was really bound, when port 0 asked for any.
    pub fn bound_to(&mut self, port: u16) {
        self.port = port;
        if self.server_url_is_default {
            self.server_url = default_server_url(port, &self.mount_path);
        }
    }

    pub(in crate::config) fn read(reader: Reader<'_>) -> Result<Self, ConfigError> {
        let port = reader.required_whole("port", 0)?;
        let port = u16::try_from(port)
            .map_err(|_| reader.fail("port", "Parse Server option port must be a number from 0 to 65535."))?;
        let mount_path = mount_path(&reader.required_text("mountPath")?);
        let server_url = match reader.text("serverURL")? {
            Some(url) if url.is_empty() => {
                return Err(reader.fail("serverURL", "You must provide a serverURL!"));
            }
            Some(url) => url,
            None => default_server_url(port, &mount_path),
        };
        Ok(Self {
            host: reader.required_text("host")?,
            port,
            mount_path,
            server_url,
            server_url_is_default: reader.raw("serverURL").is_none(),
            public_server_url: public_server_url(reader)?,
            verify_server_url: reader.bool("verifyServerUrl")?,
            allow_headers: allow_headers(reader)?,
            allow_origin: allow_origin(reader)?,
            max_upload_size: max_upload_size(reader)?,
            trust_proxy: TrustProxy::read(reader)?,
            outbound_allowed_networks: IpRules::read(reader, "outboundAllowedNetworks")?,
            route_allow_list: route_allow_list(reader)?,
            sanitize_errors: reader.bool("enableSanitizedErrorResponse")?,
            open_api_is_public: open_api_is_public(reader)?,
            request_context_middleware: request_context_middleware(reader)?,
            server_start_complete: reader.callback("serverStartComplete"),
            server_close_complete: reader.callback("serverCloseComplete"),
            limits: HttpLimits::read(reader)?,
        })
    }
}

fn request_context_middleware(reader: Reader<'_>) -> Result<Option<CallbackId>, ConfigError> {
    let function = reader.callback("requestContextMiddleware");
    if function.is_none() && reader.raw("requestContextMiddleware").is_some_and(|value| !value.is_null()) {
        let text = "must be a function, in a configuration file that is JavaScript".to_owned();
        return Err(reader.fail("requestContextMiddleware", text));
    }
    Ok(function)
}

fn open_api_is_public(reader: Reader<'_>) -> Result<bool, ConfigError> {
    match reader.required_text("openApi")?.as_str() {
        "public" => Ok(true),
        "masterKey" => Ok(false),
        _ => Err(reader.fail("openApi", "Parse Server option openApi must be 'public' or 'masterKey'.")),
    }
}

fn default_server_url(port: u16, mount_path: &str) -> String {
    format!("http://localhost:{port}{mount_path}")
}

fn mount_path(text: &str) -> String {
    let path = text.trim_matches('/');
    if path.is_empty() { String::new() } else { format!("/{path}") }
}

fn public_server_url(reader: Reader<'_>) -> Result<Option<OptionValue<String>>, ConfigError> {
    let name = "publicServerURL";
    if let Some(id) = reader.callback(name) {
        return Ok(Some(OptionValue::Callback(id)));
    }
    match reader.raw(name) {
        None => Ok(None),
        Some(Value::String(url)) if url.is_empty() => Ok(None),
        Some(Value::String(url)) if url.starts_with("http://") || url.starts_with("https://") => {
            Ok(Some(OptionValue::Value(url.clone())))
        }
        Some(Value::String(_)) => Err(reader
            .fail(name, "The option publicServerURL must be a valid URL starting with http:// or https://.")),
        Some(other) => {
            let kind = match other {
                Value::Bool(_) => "boolean",
                Value::Number(_) => "number",
                _ => "object",
            };
            let message = format!("The option publicServerURL must be a string or function, but got {kind}.");
            Err(reader.fail(name, message))
        }
    }
}

fn allow_headers(reader: Reader<'_>) -> Result<Vec<String>, ConfigError> {
    let name = "allowHeaders";
    let Some(value) = reader.raw(name) else { return Ok(Vec::new()) };
    let list = value.as_array().ok_or_else(|| reader.fail(name, "Allow headers must be an array"))?;
    list.iter()
        .map(|header| match header.as_str() {
            None => Err(reader.fail(name, "Allow headers must only contain strings")),
            Some(text) if text.trim().is_empty() => {
                Err(reader.fail(name, "Allow headers must not contain empty strings"))
            }
            Some(text) => Ok(text.to_owned()),
        })
        .collect()
}

fn allow_origin(reader: Reader<'_>) -> Result<Vec<String>, ConfigError> {
    match reader.raw("allowOrigin") {
        Some(Value::String(origin)) if origin.is_empty() => Ok(Vec::new()),
        Some(Value::String(origin)) => Ok(vec![origin.clone()]),
        _ => reader.texts("allowOrigin"),
    }
}

fn max_upload_size(reader: Reader<'_>) -> Result<u64, ConfigError> {
    let name = "maxUploadSize";
    let value = reader.value(name);
    let bytes = match value.as_deref() {
        Some(Value::Number(number)) => number.as_u64(),
        Some(Value::String(text)) => parse_size(text),
        _ => None,
    };
    bytes.ok_or_else(|| {
        reader.fail(name, "Parse Server option maxUploadSize must be a size such as 20mb, 512kb or 1gb.")
    })
}

/// Bytes of `20mb`, `1.5gb`, `512`; units are powers of 1024.
pub(in crate::config) fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let scale: u64 = match unit.trim() {
        "" | "b" => 1,
        "kb" => 1 << 10,
        "mb" => 1 << 20,
        "gb" => 1 << 30,
        "tb" => 1 << 40,
        "pb" => 1 << 50,
        _ => return None,
    };
    let bytes = number.parse::<f64>().ok()? * scale as f64;
    // Below 2^53, where the product is exact enough to be a size.
    (bytes.is_finite() && bytes < 9_007_199_254_740_992.0).then_some(bytes as u64)
}

fn route_allow_list(reader: Reader<'_>) -> Result<Option<Vec<Pattern>>, ConfigError> {
    let name = "routeAllowList";
    let Some(value) = reader.raw(name) else { return Ok(None) };
    let list = value.as_array().ok_or_else(|| {
        reader.fail(name, "Parse Server option routeAllowList must be an array of strings.")
    })?;
    list.iter()
        .map(|pattern| {
            let text = pattern.as_str().ok_or_else(|| {
                reader.fail(name, "Parse Server option routeAllowList contains a non-string value.")
            })?;
            Pattern::whole(text).map_err(|_| {
                let message = format!(
                    "Parse Server option routeAllowList contains an invalid regex pattern: \"{text}\"."
                );
                reader.fail(name, message)
            })
        })
        .collect::<Result<_, _>>()
        .map(Some)
}
