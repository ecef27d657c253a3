//! What a route is, and how requests find theirs in a table of them and run.
//!
//! The table itself is [`super::routes`]. Handlers that need it (a batch holds requests of its own) are handed
//! it, so that no handler names what names all handlers.

use futures_util::future::LocalBoxFuture;
use percent_encoding::percent_decode_str;

use super::request::{PathParams, RestBody, RestRequest, RestResponse};
use crate::cloud::Method;
use crate::config::AppConfig;
use crate::error::{Error, ErrorCode, Result};
use crate::operations::budget::{Budget, json_size};
use crate::operations::{Ctx, audit};

/// Bytes of an answer that tells of a write.
const LONGEST_RECEIPT: usize = 16 * 1024;

/// Gets the table that the route stands in, for requests that hold others.
pub type Handler = fn(&'static Routes, Ctx, RestRequest) -> LocalBoxFuture<'static, Result<RestResponse>>;

pub struct Route {
    pub method: Method,
    /// `:name` is one part of the path.
    pub pattern: &'static str,
    /// 403 for everybody without the master key (the read-only one counts).
    pub master: bool,
    /// A request id that was seen is refused, where `idempotencyOptions` say so.
    pub idempotent: bool,
    /// Reads `multipart/form-data` bodies.
    pub takes_multipart: bool,
    /// What it does stays when a transaction around it is rolled back: it leaves the database, or changes it
    /// on connections of its own.
    pub permanent: bool,
    /// Charges its answer to the request's budget itself.
    pub(super) accounted: bool,
    /// Exists only with `enableProductPurchaseLegacyApi`.
    pub(super) purchases: bool,
    /// The class of a route that has none in its path.
    pub(super) class: Option<&'static str>,
    pub(super) handler: Handler,
}

/// A table of routes; the first that fits counts.
pub struct Routes(pub(super) &'static [Route]);

impl Routes {
    /// The route of a request and the parts of its path. Letters of a pattern count in any case, one slash
    /// at the end is overlooked.
    pub fn find(
        &self,
        config: &AppConfig,
        method: Method,
        path: &str,
    ) -> Option<Result<(&'static Route, PathParams)>> {
        let path = path.strip_suffix('/').unwrap_or(path);
        let given: smallvec::SmallVec<[&str; 6]> = path.split('/').collect();
        let purchases = config.enable_product_purchase_legacy_api;
        let fits = |route: &&Route| route.method == method && matches(route.pattern, &given);
        let route = self.0.iter().find(fits).filter(|route| purchases || !route.purchases)?;
        Some(params(route, &given).map(|params| (route, params)))
    }

    /// Which of [`Routes::list`] a route is; `None` for one of another table.
    pub fn place_of(&self, route: &'static Route) -> Option<usize> {
        let first = std::ptr::from_ref(self.0.first()?).addr();
        let bytes = std::ptr::from_ref(route).addr().checked_sub(first)?;
        Some(bytes / size_of::<Route>()).filter(|place| *place < self.0.len())
    }

    /// Method, pattern and whether it wants the master key, of every route.
    pub fn list(&self) -> impl Iterator<Item = (Method, &'static str, bool)> {
        self.0.iter().map(|route| (route.method, route.pattern, route.master))
    }

    /// # Errors
    /// 403 without the master key where the route wants it, 119 for what no transaction can take back inside one,
    /// 102 for more than the request may be answered, and what the route answers.
    pub async fn dispatch(
        &'static self,
        route: &'static Route,
        ctx: Ctx,
        request: RestRequest,
    ) -> Result<RestResponse> {
        if route.master {
            ctx.require_master()?;
        }
        if ctx.transaction.is_some() {
            route.check_transactional()?;
        }
        let info = ctx.info.clone();
        let answer = self.handle(route, ctx, request).await?;
        if !route.accounted {
            charge(route, &info.budget, &answer)?;
        }
        Ok(answer)
    }

    async fn handle(
        &'static self,
        route: &'static Route,
        ctx: Ctx,
        request: RestRequest,
    ) -> Result<RestResponse> {
        if !ctx.auth.is_read_only() {
            return (route.handler)(self, ctx, request).await;
        }
        let answer = (route.handler)(self, ctx.clone(), request).await;
        if answer.as_ref().is_err_and(|error| error.is(ErrorCode::OPERATION_FORBIDDEN)) {
            audit::note(&ctx, "read_only_key_refused", route.pattern);
        }
        answer
    }
}

impl Route {
    /// Whether a route's only effect is a new object of the class in its path.
    pub fn creates_object(&self) -> bool {
        self.method == Method::Post && self.pattern == "/classes/:className"
    }

    /// # Errors
    /// 119 for what stays although the transaction is rolled back.
    pub fn check_transactional(&self) -> Result<()> {
        if !self.permanent {
            return Ok(());
        }
        let text = format!("{} {} is not allowed in a transaction.", self.method.as_str(), self.pattern);
        Err(Error::parse(ErrorCode::OPERATION_FORBIDDEN, text))
    }
}

fn matches(pattern: &str, given: &[&str]) -> bool {
    let mut given = given.iter();
    let all = pattern.split('/').all(|part| match given.next() {
        None => false,
        Some(text) if part.starts_with(':') => !text.is_empty(),
        Some(text) => text.eq_ignore_ascii_case(part),
    });
    all && given.next().is_none()
}

fn params(route: &'static Route, given: &[&str]) -> Result<PathParams> {
    let parts = route.pattern.split('/').zip(given);
    let named = parts.filter_map(|(part, text)| Some((part.strip_prefix(':')?, text)));
    let fixed = route.class.map(|class| Ok(("className", class.to_owned())));
    named
        .map(|(name, text)| {
            let decoded = percent_decode_str(text).decode_utf8();
            let decoded =
                decoded.map_err(|_| Error::http(400, format!("Failed to decode param '{text}'")))?;
            Ok((name, if is_valid(name, &decoded) { decoded.into_owned() } else { String::new() }))
        })
        .chain(fixed)
        .collect()
}

/// What parse-server's router lets through; other values count as absent.
fn is_valid(name: &str, value: &str) -> bool {
    match name {
        "className" => value.bytes().any(|byte| byte.is_ascii_alphabetic()),
        "objectId" => value.bytes().any(|byte| byte.is_ascii_alphanumeric()),
        _ => true,
    }
}

/// A write that was done is not called a failure because of the few bytes of its answer.
fn charge(route: &Route, budget: &Budget, answer: &RestResponse) -> Result<()> {
    let size = match &answer.body {
        RestBody::Json(bytes) => bytes.len(),
        RestBody::Value(value) => json_size(value, budget.bytes_left()),
    };
    let charged = budget.charge_bytes(size);
    if route.method == Method::Get || size > LONGEST_RECEIPT { charged } else { Ok(()) }
}
