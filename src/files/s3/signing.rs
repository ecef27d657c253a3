//! The part of S3 that `object_store` leaves out: ACLs of new objects, and making a bucket.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::{HeaderValue, Method};
use object_store::ClientOptions;
use object_store::aws::{AwsAuthorizer, AwsCredentialProvider};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse,
    HttpService,
};

use super::S3Options;
use crate::files::carrier::Carrier;
use crate::files::{FileError, FileResult};

const DIGEST: &str = "x-amz-content-sha256";

/// Makes clients that sign requests anew where a header has to be added.
#[derive(Clone, Debug)]
pub(super) struct Signing(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    carrier: Carrier,
    credentials: AwsCredentialProvider,
    region: String,
    acl: Option<HeaderValue>,
    /// Where the bucket itself lives.
    bucket_url: String,
}

impl Signing {
    /// # Errors
    /// `Config` for an ACL that cannot be a header.
    pub(super) fn new(
        carrier: Carrier,
        credentials: AwsCredentialProvider,
        options: &S3Options,
    ) -> FileResult<Self> {
        let header = |acl| {
            HeaderValue::from_str(acl)
                .map_err(|_| FileError::Config("S3Adapter: fileAcl is not valid".into()))
        };
        let bucket_url = match (options.bucket_endpoint(), options.path_style()) {
            (Some(endpoint), true) => format!("{endpoint}/{}", options.bucket),
            (Some(endpoint), false) => endpoint,
            (None, true) => format!("https://s3.{}.amazonaws.com/{}", options.region, options.bucket),
            (None, false) => format!("https://{}.s3.{}.amazonaws.com/", options.bucket, options.region),
        };
        let acl = options.acl().map(header).transpose()?;
        let region = options.region.clone();
        Ok(Self(Arc::new(Inner { carrier, credentials, region, acl, bucket_url })))
    }

    /// Makes the bucket; it is no error when it is there.
    pub(super) async fn create_bucket(&self) -> FileResult<()> {
        let this = &self.0;
        let body = if this.region == "us-east-1" {
            String::new()
        } else {
            format!(
                "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
                 <LocationConstraint>{}</LocationConstraint></CreateBucketConfiguration>",
                this.region
            )
        };
        let mut request = HttpRequest::new(HttpRequestBody::from(body));
        *request.method_mut() = Method::PUT;
        *request.uri_mut() = this.bucket_url.parse().map_err(FileError::store)?;
        let credential = this.credentials.get_credential().await.map_err(FileError::store)?;
        AwsAuthorizer::new(&credential, "s3", &this.region)
            .try_authorize(&mut request, None)
            .map_err(FileError::store)?;
        let status = this.carrier.client().execute(request).await.map_err(FileError::store)?.status();
        // 409: somebody was faster, or it is there and only looked absent.
        if status.is_success() || status.as_u16() == 409 {
            return Ok(());
        }
        Err(FileError::Store(format!("could not create the bucket: HTTP {status}").into()))
    }
}

impl HttpConnector for Signing {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = self.0.carrier.client();
        if self.0.acl.is_none() {
            return Ok(client);
        }
        Ok(HttpClient::new(Resigned { client, signing: self.clone() }))
    }
}

#[derive(Debug)]
struct Resigned {
    client: HttpClient,
    signing: Signing,
}

impl Resigned {
    async fn send(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let inner = &self.signing.0;
        if let Some(acl) = inner.acl.as_ref().filter(|_| makes_object(&request)) {
            let credential = inner
                .credentials
                .get_credential()
                .await
                .map_err(|error| HttpError::new(HttpErrorKind::Request, error))?;
            request.headers_mut().insert("x-amz-acl", acl.clone());
            request.headers_mut().remove("authorization");
            // The digest stands in the request already; hashing the content once is enough.
            let digest = request.headers().get(DIGEST).and_then(|value| hex::decode(value.as_bytes()).ok());
            AwsAuthorizer::new(&credential, "s3", &inner.region)
                .with_sign_payload(digest.is_some())
                .try_authorize(&mut request, digest.as_deref())
                .map_err(|error| HttpError::new(HttpErrorKind::Request, error))?;
        }
        self.client.execute(request).await
    }
}

/// The two requests whose ACL becomes the object's: a whole PUT, and the start of a multipart upload.
fn makes_object(request: &HttpRequest) -> bool {
    let query = request.uri().query().unwrap_or_default();
    let has = |key: &str| query.split('&').any(|pair| pair.split('=').next() == Some(key));
    match *request.method() {
        Method::PUT => !has("partNumber") && !has("tagging"),
        Method::POST => has("uploads"),
        _ => false,
    }
}

impl HttpService for Resigned {
    fn call<'life, 'future>(
        &'life self,
        request: HttpRequest,
    ) -> BoxFuture<'future, Result<HttpResponse, HttpError>>
    where
        'life: 'future,
        Self: 'future,
    {
        Box::pin(self.send(request))
    }
}
