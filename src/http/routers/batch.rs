//! `POST /batch`.

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;

use crate::cloud::Method;
use crate::error::Result;
use crate::http::request::{RestRequest, RestResponse};
use crate::http::routes;
use crate::operations::Ctx;
use crate::operations::batch::{self, Item, ItemRouter};
use crate::types::ClassName;

pub async fn run(ctx: Ctx, request: RestRequest) -> Result<RestResponse> {
    batch::run(&ctx, request.body, &Items).await.map(RestResponse::json)
}

/// Items go through the same table.
struct Items;

impl ItemRouter for Items {
    fn route(&self, ctx: Ctx, item: Item) -> Option<LocalBoxFuture<'static, Result<Bytes>>> {
        let found = routes::find(ctx.config(), Method::from_name(&item.method)?, &item.path)?;
        let answer = async move {
            let (route, params) = found?;
            let request = RestRequest { body: item.body, params, ..RestRequest::default() };
            routes::dispatch(route, ctx, request).await?.body.into_bytes()
        };
        Some(answer.boxed_local())
    }

    fn created_class(&self, ctx: &Ctx, item: &Item) -> Option<ClassName> {
        let (route, params) =
            routes::find(ctx.config(), Method::from_name(&item.method)?, &item.path)?.ok()?;
        let request = RestRequest { params, ..RestRequest::default() };
        routes::creates_object(route).then(|| ClassName::valid(request.param("className"))).flatten()
    }

    fn check_allowed(&self, ctx: &Ctx, item: &Item) -> Result<()> {
        let method = item.method.to_uppercase();
        routes::check_allowed(ctx.config(), Some(ctx.auth.credentials), &method, &item.path)
    }
}
