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
use crate::rest::route::{Route, Routes};
use crate::types::ClassName;

pub async fn run(routes: &'static Routes, ctx: Ctx, request: RestRequest) -> Result<RestResponse> {
    batch::run(&ctx, request.body, &Items(routes)).await.map(RestResponse::json)
}

/// Items go through the same table.
struct Items(&'static Routes);

impl ItemRouter for Items {
    fn route(&self, ctx: Ctx, item: Item) -> LocalBoxFuture<'static, Result<Bytes>> {
        let routes = self.0;
        let answer = async move {
            let (route, params) = find(routes, &ctx, &item)?;
            let request = RestRequest { body: item.body, params, ..RestRequest::default() };
            routes.dispatch(route, ctx, request).await?.body.into_bytes()
        };
        answer.boxed_local()
    }

    fn check_route(&self, ctx: &Ctx, item: &Item) -> Result<()> {
        find(self.0, ctx, item).map(|_| ())
    }

    fn created_class(&self, ctx: &Ctx, item: &Item) -> Option<ClassName> {
        let (route, params) = find(self.0, ctx, item).ok()?;
        let request = RestRequest { params, ..RestRequest::default() };
        route.creates_object().then(|| ClassName::valid(request.param("className"))).flatten()
    }

    fn check_transactional(&self, ctx: &Ctx, item: &Item) -> Result<()> {
        find(self.0, ctx, item)?.0.check_transactional()
    }
}

fn find(routes: &Routes, ctx: &Ctx, item: &Item) -> Result<(&'static Route, PathParams)> {
    let found =
        Method::from_name(&item.method).and_then(|method| routes.find(ctx.config(), method, &item.path));
    let Item { method, path, .. } = item;
    found.ok_or_else(|| Error::invalid_json(format!("cannot route {method} {path}")))?
}
