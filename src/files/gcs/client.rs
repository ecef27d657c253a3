//! Requests to the JSON API of Google Cloud Storage.

use std::time::Duration;

use bytes::Bytes;
use object_store::gcp::{GcpCredentialProvider, GoogleCloudStorageBuilder};
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, LOCATION, RANGE};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;

use super::{Described, GcsOptions};
use crate::files::{FileError, FileResult};

const ENDPOINT: &str = "https://storage.googleapis.com";
/// Tries of a request that failed in a way that may pass.
const TRIES: u32 = 3;

pub(super) struct Client {
    http: reqwest::Client,
    endpoint: String,
    /// `None` against an endpoint without TLS: tokens do not travel in the clear.
    credentials: Option<GcpCredentialProvider>,
}

/// How far a resumable upload is.
pub(super) enum Progress {
    /// The service has this many bytes.
    Has(u64),
    /// The object is there.
    Done(Response),
}

impl Client {
    pub(super) fn new(options: &GcsOptions) -> FileResult<Self> {
        let wrong = |error: &dyn std::fmt::Display| FileError::Config(format!("GCSAdapter: {error}"));
        let endpoint = options.endpoint.as_deref().unwrap_or(ENDPOINT).trim_end_matches('/');
        let endpoint = match endpoint.contains("://") {
            true => endpoint.to_owned(),
            false => format!("https://{endpoint}"),
        };
        let credentials = if endpoint.starts_with("http://") {
            None
        } else {
            let mut builder = GoogleCloudStorageBuilder::from_env().with_bucket_name(&options.bucket);
            if let Some(path) = &options.key_filename {
                builder = builder.with_service_account_path(path);
            }
            let store = builder.build().map_err(|error| wrong(&error))?;
            Some(store.credentials().clone())
        };
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(5))
            // Between two pieces of an answer: large ones may take their time as a whole.
            .read_timeout(Duration::from_secs(30))
            .build()
            .map_err(|error| wrong(&error))?;
        Ok(Self { http, endpoint, credentials })
    }

    /// Sends a request, again where it failed in passing; every request here may be repeated.
    async fn run(&self, request: impl Fn() -> RequestBuilder + Send + Sync) -> FileResult<Response> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let mut builder = request();
            if let Some(credentials) = &self.credentials {
                let credential = credentials.get_credential().await.map_err(FileError::store)?;
                builder = builder.bearer_auth(&credential.bearer);
            }
            let failure = match builder.send().await {
                Ok(response) => match response.status() {
                    StatusCode::NOT_FOUND => return Err(FileError::NotFound),
                    status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                        FileError::Store(format!("HTTP {status}").into())
                    }
                    status if status.is_client_error() => {
                        return Err(FileError::Store(format!("HTTP {status}").into()));
                    }
                    _ => return Ok(response),
                },
                Err(error) => FileError::store(error.without_url()),
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
    ) -> FileResult<Response> {
        let url = self.url(path);
        self.run(|| {
            let request = self.http.get(&url).query(query);
            match range {
                Some(range) => request.header(RANGE, range),
                None => request,
            }
        })
        .await
    }

    /// A request whose answer does not matter.
    pub(super) async fn send(&self, method: Method, path: &str) -> FileResult<()> {
        let url = self.url(path);
        self.run(|| self.http.request(method.clone(), &url)).await.map(drop)
    }

    /// Copies an object within the service, in as many steps as it takes.
    pub(super) async fn rewrite(&self, path: &str, query: &[(&str, String)]) -> FileResult<()> {
        const MOST_STEPS: usize = 10_000;
        let url = self.url(path);
        let mut token = None;
        for _ in 0..MOST_STEPS {
            let mut query = query.to_vec();
            query.extend(token.take().map(|token| ("rewriteToken", token)));
            let answer = self.run(|| self.http.post(&url).query(&query).header(CONTENT_LENGTH, 0)).await?;
            let answer: Value = answer.json().await.map_err(FileError::store)?;
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
        let (url, body) = (self.url(path), Bytes::from(body));
        let kind = format!("multipart/related; boundary={boundary}");
        let request = || self.http.post(&url).query(query).header(CONTENT_TYPE, &kind).body(body.clone());
        self.run(request).await?.json().await.map_err(FileError::store)
    }

    /// Opens a resumable session; its address.
    pub(super) async fn start_session(
        &self,
        path: &str,
        query: &[(&str, String)],
        description: Value,
    ) -> FileResult<String> {
        let url = self.url(path);
        let response = self.run(|| self.http.post(&url).query(query).json(&description)).await?;
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        location.map(str::to_owned).ok_or(FileError::Store("no resumable session was opened".into()))
    }

    /// Sends one chunk. Bytes that the service has already are ignored by it, so a repetition does no harm.
    pub(super) async fn send_chunk(&self, session: &str, range: &str, chunk: Bytes) -> FileResult<Progress> {
        let request = || {
            self.http
                .put(session)
                .header(CONTENT_RANGE, range)
                .header(CONTENT_LENGTH, chunk.len())
                .body(chunk.clone())
        };
        let response = self.run(request).await?;
        if response.status() != StatusCode::PERMANENT_REDIRECT {
            return Ok(Progress::Done(response));
        }
        // `Range: bytes=0-<last byte>`; without it the service has nothing.
        let range = response.headers().get(RANGE).and_then(|value| value.to_str().ok());
        let last =
            range.and_then(|range| range.rsplit_once('-')).and_then(|(_, last)| last.parse::<u64>().ok());
        Ok(Progress::Has(last.map_or(0, |last| last + 1)))
    }

    /// Gives a session up, with what it has received.
    pub(super) async fn end_session(&self, session: &str) {
        // 499 is the answer to a session that was ended as asked.
        if let Err(error) = self.http.delete(session).send().await {
            let error = error.without_url();
            tracing::warn!(%error, "could not end a resumable upload; the service forgets it after a week");
        }
    }
}
