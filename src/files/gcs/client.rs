//! Requests to the JSON API of Google Cloud Storage.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, LOCATION, RANGE};
use http::{HeaderValue, Method, StatusCode};
use object_store::gcp::{GcpCredentialProvider, GoogleCloudStorageBuilder};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Described, GcsOptions};
use crate::files::carrier::Carrier;
use crate::files::{FileError, FileResult};
use crate::outbound::{Opened, Outbound, Request};

const ENDPOINT: &str = "https://storage.googleapis.com";
/// Tries of a request that failed in a way that may pass.
const TRIES: u32 = 3;
/// Up to the head of an answer; a chunk has to go out in it. What follows the head may take its time.
const DEADLINE: Duration = Duration::from_secs(60);
/// Bytes of an answer that describes something: a page of a listing is the largest.
const DESCRIPTION: usize = 16 * 1024 * 1024;

pub(super) struct Client {
    outbound: Arc<Outbound>,
    endpoint: String,
    /// `None` against an endpoint without TLS: tokens do not travel in the clear.
    credentials: Option<GcpCredentialProvider>,
}

/// How far a resumable upload is.
pub(super) enum Progress {
    /// The service has this many bytes.
    Has(u64),
    /// The object is there.
    Done(Opened),
}

impl Client {
    pub(super) fn new(options: &GcsOptions, outbound: Arc<Outbound>) -> FileResult<Self> {
        let wrong = |error: &dyn std::fmt::Display| FileError::Config(format!("GCSAdapter: {error}"));
        let endpoint = options.endpoint.as_deref().unwrap_or(ENDPOINT).trim_end_matches('/');
        let endpoint = match endpoint.contains("://") {
            true => endpoint.to_owned(),
            false => format!("https://{endpoint}"),
        };
        let credentials = if endpoint.starts_with("http://") {
            None
        } else {
            let mut builder = GoogleCloudStorageBuilder::from_env()
                .with_bucket_name(&options.bucket)
                .with_http_connector(Carrier::new(outbound.clone()));
            if let Some(path) = &options.key_filename {
                builder = builder.with_service_account_path(path);
            }
            let store = builder.build().map_err(|error| wrong(&error))?;
            Some(store.credentials().clone())
        };
        Ok(Self { outbound, endpoint, credentials })
    }

    /// Sends a request, again where it failed in passing; every request here may be repeated.
    async fn run(&self, request: Request) -> FileResult<Opened> {
        let request = request.within(DEADLINE);
        let mut attempt = 0;
        loop {
            attempt += 1;
            let mut again = request.clone();
            if let Some(credentials) = &self.credentials {
                let credential = credentials.get_credential().await.map_err(FileError::store)?;
                again = again.bearer(&credential.bearer);
            }
            let failure = match self.outbound.open(again).await {
                Ok(response) => match response.status {
                    StatusCode::NOT_FOUND => return Err(FileError::NotFound),
                    status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                        FileError::Store(format!("HTTP {status}").into())
                    }
                    status if status.is_client_error() => {
                        return Err(FileError::Store(format!("HTTP {status}").into()));
                    }
                    _ => return Ok(response),
                },
                Err(error) => FileError::store(error),
            };
            if attempt >= TRIES {
                return Err(failure);
            }
            tokio::time::sleep(Duration::from_millis(100 << attempt)).await;
        }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.endpoint)
    }

    pub(super) async fn get(
        &self,
        path: &str,
        query: &[(&str, &str)],
        range: Option<&str>,
    ) -> FileResult<Opened> {
        let request = Request::get(&self.url(path)).query(query);
        self.run(match range {
            Some(range) => request.text_header(RANGE, range),
            None => request,
        })
        .await
    }

    /// A request whose answer does not matter.
    pub(super) async fn send(&self, method: Method, path: &str) -> FileResult<()> {
        self.run(Request::new(method, &self.url(path))).await.map(drop)
    }

    /// Copies an object within the service, in as many steps as it takes.
    pub(super) async fn rewrite(&self, path: &str, query: &[(&str, String)]) -> FileResult<()> {
        const MOST_STEPS: usize = 10_000;
        let url = self.url(path);
        let mut token = None;
        for _ in 0..MOST_STEPS {
            let mut query = query.to_vec();
            query.extend(token.take().map(|token| ("rewriteToken", token)));
            let request =
                Request::post(&url).query(&query).header(CONTENT_LENGTH, HeaderValue::from_static("0"));
            let answer: Value = json(self.run(request).await?).await?;
            if answer.get("done").and_then(Value::as_bool) == Some(true) {
                return Ok(());
            }
            token = answer.get("rewriteToken").and_then(Value::as_str).map(str::to_owned);
            if token.is_none() {
                break;
            }
        }
        Err(FileError::Store("the copy did not end".into()))
    }

    /// Description and content in one request.
    pub(super) async fn upload(
        &self,
        path: &str,
        query: &[(&str, String)],
        description: &Value,
        content: &Bytes,
    ) -> FileResult<Described> {
        let boundary = format!("parsimony-{:032x}", rand::random::<u128>());
        let content_type = description["contentType"].as_str().unwrap_or("application/octet-stream");
        let mut body = format!(
            "--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{description}\r\n\
             --{boundary}\r\nContent-Type: {content_type}\r\nContent-Transfer-Encoding: binary\r\n\r\n"
        )
        .into_bytes();
        body.extend_from_slice(content);
        body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        let kind = format!("multipart/related; boundary={boundary}");
        let request = Request::post(&self.url(path)).query(query).text_header(CONTENT_TYPE, &kind).body(body);
        json(self.run(request).await?).await
    }

    /// Opens a resumable session; its address.
    pub(super) async fn start_session(
        &self,
        path: &str,
        query: &[(&str, String)],
        description: Value,
    ) -> FileResult<String> {
        let request = Request::post(&self.url(path)).query(query).json(&description);
        let response = self.run(request.map_err(FileError::store)?).await?;
        let location = response.headers.get(LOCATION).and_then(|value| value.to_str().ok());
        location.map(str::to_owned).ok_or(FileError::Store("no resumable session was opened".into()))
    }

    /// Sends one chunk. Bytes that the service has already are ignored by it, so a repetition does no harm.
    pub(super) async fn send_chunk(&self, session: &str, range: &str, chunk: Bytes) -> FileResult<Progress> {
        let request = Request::new(Method::PUT, session)
            .text_header(CONTENT_RANGE, range)
            .header(CONTENT_LENGTH, chunk.len().into())
            .body(chunk);
        let response = self.run(request).await?;
        if response.status != StatusCode::PERMANENT_REDIRECT {
            return Ok(Progress::Done(response));
        }
        // `Range: bytes=0-<last byte>`; without it the service has nothing.
        let range = response.headers.get(RANGE).and_then(|value| value.to_str().ok());
        let last =
            range.and_then(|range| range.rsplit_once('-')).and_then(|(_, last)| last.parse::<u64>().ok());
        Ok(Progress::Has(last.map_or(0, |last| last + 1)))
    }

    /// Gives a session up, with what it has received.
    pub(super) async fn end_session(&self, session: &str) {
        // 499 is the answer to a session that was ended as asked.
        if let Err(error) = self.outbound.send(Request::new(Method::DELETE, session)).await {
            tracing::warn!(%error, "could not end a resumable upload; the service forgets it after a week");
        }
    }
}

/// The answer as a whole.
pub(super) async fn json<T: DeserializeOwned>(answer: Opened) -> FileResult<T> {
    answer.read(DESCRIPTION).await.map_err(FileError::store)?.json().map_err(FileError::store)
}
