//! The public pages: what links in mails lead to (parse-server `PagesRouter`).
//!
//! Called by the HTTP front for everything below `/<pagesEndpoint>`; calls the operations on mails and
//! passwords. Knows no actix: a page is text, a redirect, or a file for the front to send.

pub mod content;
pub mod locale;

use std::path::PathBuf;

use serde_json::{Map, Value};

use self::content::Source;
use crate::cloud::{AdapterArg, CallbackId};
use crate::config::OptionValue;
use crate::error::{Error, ErrorCode, Result};
use crate::mail::template::fill;
use crate::operations::Ctx;
use crate::operations::account::mail as account_mail;
use crate::operations::gate;
use crate::types::Object;
use crate::types::percent::encode_component;

/// A request below the pages endpoint.
pub struct PageRequest {
    pub is_post: bool,
    /// Below the endpoint, decoded, without a leading slash: `myAppId/verify_email`.
    pub path: String,
    pub query: Object,
    /// Form or JSON fields.
    pub body: Object,
    /// `X-Requested-With: XMLHttpRequest`.
    pub is_xhr: bool,
    pub locale_header: Option<String>,
    /// Names in small letters.
    pub headers: Object,
}

pub enum PageResponse {
    Html {
        status: u16,
        text: String,
        headers: Vec<(String, Vec<u8>)>,
    },
    /// 303.
    Redirect {
        location: String,
        headers: Vec<(String, Vec<u8>)>,
    },
    /// A JSON string, for scripts.
    Json(Value),
    /// A file of the pages folder that is no page.
    File(PathBuf),
}

/// A page by its option name and file.
#[derive(Clone, Copy)]
struct Page {
    id: &'static str,
    file: &'static str,
}

const fn page(id: &'static str, file: &'static str) -> Page {
    Page { id, file }
}

const PASSWORD_RESET: Page = page("passwordReset", "password_reset.html");
const PASSWORD_RESET_SUCCESS: Page = page("passwordResetSuccess", "password_reset_success.html");
const PASSWORD_RESET_LINK_INVALID: Page =
    page("passwordResetLinkInvalid", "password_reset_link_invalid.html");
const VERIFICATION_SUCCESS: Page = page("emailVerificationSuccess", "email_verification_success.html");
const VERIFICATION_SEND_FAIL: Page = page("emailVerificationSendFail", "email_verification_send_fail.html");
const VERIFICATION_SEND_SUCCESS: Page =
    page("emailVerificationSendSuccess", "email_verification_send_success.html");
const VERIFICATION_LINK_INVALID: Page =
    page("emailVerificationLinkInvalid", "email_verification_link_invalid.html");

fn not_found() -> PageResponse {
    PageResponse::Html { status: 404, text: "Not found.".to_owned(), headers: Vec::new() }
}

/// The application a path or query names, if it names one.
pub fn app_id_of(request: &PageRequest) -> Option<&str> {
    let (first, rest) = request.path.split_once('/').unwrap_or((&request.path, ""));
    let is_route = !rest.is_empty();
    let in_query = request.query.get("appId").and_then(Value::as_str);
    match is_route {
        true if !first.contains('.') => Some(first),
        _ => in_query,
    }
}

/// Answers a request for the application it names.
///
/// # Errors
/// -1 and 201 for scripts that send no token or password, `Internal` for unreadable files.
pub async fn serve(ctx: &Ctx, request: &PageRequest) -> Result<PageResponse> {
    let route = request.path.split_once('/').map_or(request.path.as_str(), |(_, route)| route);
    match (request.is_post, route) {
        (false, "verify_email") => verify_email(ctx, request).await,
        (true, "resend_verification_email") => resend(ctx, request).await,
        (false, "request_password_reset") => request_reset(ctx, request).await,
        (true, "request_password_reset") => reset_password(ctx, request).await,
        (false, "choose_password") if request.path == "choose_password" => {
            choose_password(ctx, request).await
        }
        _ => match custom_route(ctx, request, route).await? {
            Some(response) => Ok(response),
            None if request.is_post => Ok(not_found()),
            None => static_file(ctx, request).await,
        },
    }
}

fn text<'o>(object: &'o Object, key: &str) -> Option<&'o str> {
    object.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
}

async fn verify_email(ctx: &Ctx, request: &PageRequest) -> Result<PageResponse> {
    let page = match text(&request.query, "token") {
        Some(token) if account_mail::verify_email(ctx, token).await.is_ok() => VERIFICATION_SUCCESS,
        _ => VERIFICATION_LINK_INVALID,
    };
    go_to(ctx, request, page, Object::new(), None).await
}

async fn resend(ctx: &Ctx, request: &PageRequest) -> Result<PageResponse> {
    let (username, token) = (text(&request.body, "username"), text(&request.body, "token"));
    if username.is_none() && token.is_none() {
        return go_to(ctx, request, VERIFICATION_LINK_INVALID, Object::new(), None).await;
    }
    // A mail is a mail, whichever door it is asked for at.
    gate::count_operation(ctx, "POST", "/verificationEmailRequest").await?;
    let discreet = ctx.config().users.email_verify_success_on_invalid_email;
    let sent = account_mail::resend_verification(ctx, username, token).await.is_ok();
    let page = if sent || discreet { VERIFICATION_SEND_SUCCESS } else { VERIFICATION_SEND_FAIL };
    go_to(ctx, request, page, Object::new(), None).await
}

async fn request_reset(ctx: &Ctx, request: &PageRequest) -> Result<PageResponse> {
    let Some(token) = text(&request.query, "token") else {
        return go_to(ctx, request, PASSWORD_RESET_LINK_INVALID, Object::new(), None).await;
    };
    if account_mail::check_reset_token(ctx, token).await.is_err() {
        return go_to(ctx, request, PASSWORD_RESET_LINK_INVALID, Object::new(), None).await;
    }
    let mut params = Object::new();
    params.insert("token".to_owned(), token.into());
    go_to(ctx, request, PASSWORD_RESET, params, None).await
}

async fn choose_password(ctx: &Ctx, request: &PageRequest) -> Result<PageResponse> {
    let mut params = Object::new();
    for key in ["token", "username"] {
        if let Some(value) = text(&request.query, key) {
            params.insert(key.to_owned(), value.into());
        }
    }
    go_to(ctx, request, PASSWORD_RESET, params, None).await
}

async fn reset_password(ctx: &Ctx, request: &PageRequest) -> Result<PageResponse> {
    let (token, password) = (text(&request.body, "token"), text(&request.body, "new_password"));
    let (token, password) = match (token, password) {
        (Some(token), Some(password)) => (token, password),
        _ if !request.is_xhr => {
            return go_to(ctx, request, PASSWORD_RESET_LINK_INVALID, Object::new(), None).await;
        }
        (None, _) => return Err(Error::parse(ErrorCode::OTHER_CAUSE, "Missing token")),
        (_, None) => return Err(Error::parse(ErrorCode::PASSWORD_MISSING, "Missing password")),
    };
    let done = account_mail::update_password(ctx, token, password).await;
    if request.is_xhr {
        return match done {
            Ok(()) => Ok(PageResponse::Json("Password successfully reset".into())),
            Err(message) => Err(Error::parse(ErrorCode::OTHER_CAUSE, message)),
        };
    }
    match done {
        Ok(()) => go_to(ctx, request, PASSWORD_RESET_SUCCESS, Object::new(), Some(false)).await,
        Err(message) => {
            let mut params = Object::new();
            params.insert("token".to_owned(), token.into());
            params.insert("appId".to_owned(), ctx.config().app_id.as_str().into());
            params.insert("error".to_owned(), message.into());
            go_to(ctx, request, PASSWORD_RESET, params, Some(false)).await
        }
    }
}

/// The parameters of a path (`greetings/ann`) by the path of a route (`greetings/:name`); `None` where they are two.
fn parameters(route: &str, path: &str) -> Option<Object> {
    let mut given = path.trim_end_matches('/').split('/');
    let mut found = Object::new();
    for part in route.trim_matches('/').split('/') {
        let given = given.next()?;
        match part.strip_prefix(':') {
            Some(name) if !given.is_empty() => {
                found.insert(name.to_owned(), given.into());
            }
            None if part.eq_ignore_ascii_case(given) => {}
            _ => return None,
        }
    }
    given.next().is_none().then_some(found)
}

/// `pages.customRoutes`: a function of the configuration says which file to show.
async fn custom_route(ctx: &Ctx, request: &PageRequest, path: &str) -> Result<Option<PageResponse>> {
    let method = if request.is_post { "POST" } else { "GET" };
    let routes = &ctx.config().pages.custom_routes;
    let mut routes = routes.iter().filter(|route| route.method.eq_ignore_ascii_case(method));
    let found = routes.find_map(|route| Some((route, parameters(&route.path, path)?)));
    let Some((route, mut in_path)) = found else { return Ok(None) };
    in_path.insert("appId".to_owned(), ctx.config().app_id.as_str().into());
    let argument = serde_json::json!({
        "method": method,
        "query": request.query,
        "body": request.body,
        "params": in_path,
        "headers": request.headers,
    });
    let id = CallbackId(u32::try_from(route.handler.0).map_err(Error::internal)?);
    let answer = ctx.services.cloud.call_callback(id, vec![AdapterArg::Json(argument)]).await?;
    let Some(file) = answer.get("file").and_then(Value::as_str) else { return Ok(Some(not_found())) };
    let params = answer.get("query").and_then(Value::as_object).cloned().unwrap_or_default();
    let redirect = ctx.config().pages.force_redirect;
    let locale = locale::of(request, &in_path);
    show(ctx, file, Some(file), params, redirect, locale).await.map(Some)
}

async fn go_to(
    ctx: &Ctx,
    request: &PageRequest,
    page: Page,
    params: Object,
    redirect: Option<bool>,
) -> Result<PageResponse> {
    let redirect = ctx.config().pages.force_redirect || redirect.unwrap_or(request.is_post);
    show(ctx, page.file, Some(page.id), params, redirect, locale::of(request, &Object::new())).await
}

/// appId, appName and publicServerUrl; `None` while one of them is not configured.
async fn default_params(ctx: &Ctx) -> Result<Option<Object>> {
    let (Some(name), Some(url)) = (&ctx.config().app_name, account_mail::public_url(ctx).await?) else {
        return Ok(None);
    };
    let mut params = Object::new();
    params.insert("appId".to_owned(), ctx.config().app_id.as_str().into());
    params.insert("appName".to_owned(), name.as_str().into());
    params.insert("publicServerUrl".to_owned(), url.into());
    Ok(Some(params))
}

async fn show(
    ctx: &Ctx,
    file: &str,
    id: Option<&str>,
    mut params: Object,
    redirect: bool,
    locale: Option<String>,
) -> Result<PageResponse> {
    let config = &ctx.config().pages;
    let Some(defaults) = default_params(ctx).await? else { return Ok(not_found()) };
    let public_url = defaults.get("publicServerUrl").and_then(Value::as_str).unwrap_or_default().to_owned();
    params.extend(defaults);
    if let Some(locale) = &locale {
        params.insert("locale".to_owned(), locale.as_str().into());
    }
    let custom = id.and_then(|id| config.custom_urls.get(id));
    if let Some(url) = custom.filter(|url| !["/", "./", "../"].iter().any(|start| url.starts_with(start))) {
        return redirect_to(ctx, url, &params);
    }
    let source = Source::new(config.pages_path.as_deref());
    let localized = locale.as_deref().filter(|_| config.enable_localization);
    let (path, subfolder) = source.localized(file, localized).await;
    if redirect {
        let folder = subfolder.map(|folder| format!("{folder}/")).unwrap_or_default();
        let base = public_url.trim_end_matches('/');
        let url = format!("{base}/{}/{folder}{file}", config.pages_endpoint);
        return redirect_to(ctx, &url, &params);
    }
    render(ctx, &source, &path, locale.as_deref(), params).await
}

async fn render(
    ctx: &Ctx,
    source: &Source,
    path: &str,
    locale: Option<&str>,
    params: Object,
) -> Result<PageResponse> {
    let Some(template) = source.read(path).await else { return Ok(not_found()) };
    let config = &ctx.config().pages;
    let mut values = params.clone();
    values.insert("pagesEndpoint".to_owned(), config.pages_endpoint.as_str().into());
    values.extend(placeholders(ctx, &params).await?);
    if config.enable_localization
        && let Some(file) = &config.localization_json_path
    {
        let fallback = config.localization_fallback_locale.as_str();
        values.extend(locale::translation(file, locale, fallback, &params).await?);
    }
    Ok(PageResponse::Html {
        status: 200,
        text: fill(&template, &values, true),
        headers: param_headers(ctx, &params),
    })
}

async fn placeholders(ctx: &Ctx, params: &Object) -> Result<Map<String, Value>> {
    match &ctx.config().pages.placeholders {
        OptionValue::Value(values) => Ok(values.clone()),
        OptionValue::Callback(id) => {
            let id = CallbackId(u32::try_from(id.0).map_err(Error::internal)?);
            let argument = AdapterArg::Json(Value::Object(params.clone()));
            let answer = ctx.services.cloud.call_callback(id, vec![argument]).await?;
            Ok(answer.as_object().cloned().unwrap_or_default())
        }
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// `x-parse-page-param-<name>` for programs that read the page. Text that no header can carry is always
/// encoded.
fn param_headers(ctx: &Ctx, params: &Object) -> Vec<(String, Vec<u8>)> {
    let always = ctx.config().pages.encode_page_param_headers;
    let header = |(name, value): (&String, &Value)| {
        let text: String = text_of(value).chars().filter(|c| always || !c.is_ascii_control()).collect();
        let latin: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
        let value = match latin {
            Some(bytes) if !always => bytes,
            _ => encode_component(&text).to_string().into_bytes(),
        };
        (format!("x-parse-page-param-{}", name.to_lowercase()), value)
    };
    params.iter().map(header).collect()
}

fn redirect_to(ctx: &Ctx, target: &str, params: &Object) -> Result<PageResponse> {
    let mut location = url::Url::parse(target).map_err(Error::internal)?;
    {
        let kept: Vec<(String, String)> = location
            .query_pairs()
            .filter(|(name, _)| !params.contains_key(name.as_ref()))
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        let mut query = location.query_pairs_mut();
        query
            .clear()
            .extend_pairs(kept)
            .extend_pairs(params.iter().map(|(name, value)| (name, text_of(value))));
    }
    Ok(PageResponse::Redirect { location: location.into(), headers: param_headers(ctx, params) })
}

/// `GET /<endpoint>/*`: pages by name, filled in, and whatever else the folder holds.
async fn static_file(ctx: &Ctx, request: &PageRequest) -> Result<PageResponse> {
    let source = Source::new(ctx.config().pages.pages_path.as_deref());
    let Some(path) = content::safe_path(&request.path) else { return Ok(not_found()) };
    if !path.ends_with(".html") {
        return Ok(source.file(&path).await.unwrap_or_else(not_found));
    }
    let names_app = text(&request.query, "appId").is_some_and(|id| id == ctx.config().app_id);
    let defaults = if names_app { default_params(ctx).await? } else { None };
    let mut params = defaults.unwrap_or_default();
    // What a redirect to this page brought along.
    for key in ["token", "username", "error"] {
        if let Some(value) = text(&request.query, key) {
            params.insert(key.to_owned(), value.into());
        }
    }
    let locale = locale::of(request, &Object::new());
    if let Some(locale) = &locale {
        params.insert("locale".to_owned(), locale.as_str().into());
    }
    render(ctx, &source, &path, locale.as_deref(), params).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_routes_have_parameters() {
        let found = |route, path| parameters(route, path).map(|found| Value::Object(found).to_string());
        assert_eq!(found("hello", "hello").as_deref(), Some("{}"));
        assert_eq!(found("/hello/", "Hello/").as_deref(), Some("{}"));
        assert_eq!(
            found(":locale/hello/:name", "de/hello/ann").as_deref(),
            Some(r#"{"locale":"de","name":"ann"}"#)
        );
        for (route, path) in
            [("hello/:name", "hello"), ("hello/:name", "hello/a/b"), ("hello", "other"), (":name", "")]
        {
            assert_eq!(found(route, path), None, "{route} {path}");
        }
    }
}
