//! `POST /batch`.

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;

use crate::cloud::Method;
use crate::error::{Error, Result};
use crate::operations::Ctx;
use crate::operations::object::batch;
use crate::operations::object::batch::{Item, ItemRouter};
use crate::rest::request::{PathParams, RestRequest, RestResponse};
use crate::rest::routes;
use crate::rest::routes::Route;
use crate::types::ClassName;

pub async fn run(ctx: Ctx, request: RestRequest) -> Result<RestResponse> {
    batch::run(&ctx, request.body, &Items).await.map(RestResponse::json)
}

/// Items go through the same table.
struct Items;

impl ItemRouter for Items {
    fn route(&self, ctx: Ctx, item: Item) -> LocalBoxFuture<'static, Result<Bytes>> {
        let answer = async move {
            let (route, params) = find(&ctx, &item)?;
            let request = RestRequest { body: item.body, params, ..RestRequest::default() };
            routes::dispatch(route, ctx, request).await?.body.into_bytes()
        };
        answer.boxed_local()
    }

    fn check_route(&self, ctx: &Ctx, item: &Item) -> Result<()> {
        find(ctx, item).map(|_| ())
    }

    fn created_class(&self, ctx: &Ctx, item: &Item) -> Option<ClassName> {
        let (route, params) = find(ctx, item).ok()?;
        let request = RestRequest { params, ..RestRequest::default() };
        routes::creates_object(route).then(|| ClassName::valid(request.param("className"))).flatten()
    }

    fn check_transactional(&self, ctx: &Ctx, item: &Item) -> Result<()> {
        routes::check_transactional(find(ctx, item)?.0)
    }

    fn check_allowed(&self, ctx: &Ctx, item: &Item) -> Result<()> {
        let method = item.method.to_uppercase();
        routes::check_allowed(ctx.config(), Some(ctx.auth.credentials), &method, &item.path)
    }
}

fn find(ctx: &Ctx, item: &Item) -> Result<(&'static Route, PathParams)> {
    let found =
        Method::from_name(&item.method).and_then(|method| routes::find(ctx.config(), method, &item.path));
    let Item { method, path, .. } = item;
    found.ok_or_else(|| Error::invalid_json(format!("cannot route {method} {path}")))?
}
