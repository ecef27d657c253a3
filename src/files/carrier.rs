//! Carries the requests of crate `object_store` through [`Outbound`], for S3 and for the credentials of Google.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody,
    HttpService,
};

use http_body_util::BodyExt;

use crate::outbound::{Outbound, OutboundError};

/// Up to the head of an answer: the largest part of an upload has to go out in it.
const DEADLINE: Duration = Duration::from_secs(120);

/// Makes clients of which all share the connections, the trust and the proxies of one [`Outbound`].
#[derive(Clone, Debug)]
pub(super) struct Carrier(Arc<Outbound>);

impl Carrier {
    pub(super) fn new(outbound: Arc<Outbound>) -> Self {
        Self(outbound)
    }

    pub(super) fn client(&self) -> HttpClient {
        HttpClient::new(self.clone())
    }

    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let answer = self.0.forward(request, DEADLINE).await.map_err(failed)?;
        let mut response = HttpResponse::new(HttpResponseBody::new(answer.body.map_err(failed)));
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        Ok(response)
    }
}

impl HttpConnector for Carrier {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(self.client())
    }
}

impl HttpService for Carrier {
    fn call<'life, 'future>(
        &'life self,
        request: HttpRequest,
    ) -> BoxFuture<'future, Result<HttpResponse, HttpError>>
    where
        'life: 'future,
        Self: 'future,
    {
        self.send(request).boxed()
    }
}

/// `object_store` decides by the kind what it repeats.
fn failed(error: OutboundError) -> HttpError {
    let kind = match &error {
        OutboundError::Resolve
        | OutboundError::Connect(_)
        | OutboundError::Proxy
        | OutboundError::Refused => HttpErrorKind::Connect,
        OutboundError::Deadline => HttpErrorKind::Timeout,
        OutboundError::Broken => HttpErrorKind::Interrupted,
        _ => HttpErrorKind::Unknown,
    };
    HttpError::new(kind, error)
}
