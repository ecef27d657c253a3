//! The options of the adapter, and the client that they make.

use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::{BackoffConfig, ClientOptions, RetryConfig};
use url::Url;

/// The options of the adapter, after environment and overrides were applied.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct S3Options {
    pub bucket: String,
    pub bucket_prefix: String,
    pub region: String,
    /// `None`: environment, web identity, container or instance role, as `object_store` finds them.
    pub credentials: Option<S3Credentials>,
    pub direct_access: bool,
    /// `none` sends no ACL; absent: `public-read` with direct access.
    pub file_acl: Option<String>,
    pub base_url: Option<String>,
    pub base_url_direct: bool,
    pub presigned_url: bool,
    pub presigned_url_expires: Option<Duration>,
    pub global_cache_control: Option<String>,
    /// `AES256` or `aws:kms`.
    pub server_side_encryption: Option<String>,
    pub endpoint: Option<String>,
    pub force_path_style: bool,
}

#[derive(Clone, PartialEq)]
pub struct S3Credentials {
    pub access_key: String,
    pub secret_key: String,
    pub session_token: Option<String>,
}

impl std::fmt::Debug for S3Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "S3Credentials({}, …)", self.access_key)
    }
}

impl S3Options {
    /// The ACL that is sent with each object.
    pub(super) fn acl(&self) -> Option<&str> {
        match self.file_acl.as_deref() {
            Some("none") => None,
            Some(acl) => Some(acl),
            None => self.direct_access.then_some("public-read"),
        }
    }

    /// Whether the bucket is part of the path instead of the host, as the AWS SDK decides.
    pub(super) fn path_style(&self) -> bool {
        let host = self.endpoint.as_deref().and_then(|endpoint| Url::parse(endpoint).ok());
        let unnamed = host.is_some_and(|url| match url.host() {
            Some(url::Host::Domain(domain)) => !domain.contains('.'),
            _ => true,
        });
        self.force_path_style || self.bucket.contains('.') || unnamed
    }

    /// The endpoint as `object_store` wants it: with the bucket in the host where it belongs there.
    pub(super) fn bucket_endpoint(&self) -> Option<String> {
        let endpoint = self.endpoint.as_deref()?.trim_end_matches('/');
        match endpoint.split_once("://") {
            Some((scheme, host)) if !self.path_style() => Some(format!("{scheme}://{}.{host}", self.bucket)),
            _ => Some(endpoint.to_owned()),
        }
    }
}

pub fn builder(options: &S3Options) -> AmazonS3Builder {
    // Explicit credentials shut out whatever the environment holds.
    let builder = match &options.credentials {
        Some(given) => {
            let builder = AmazonS3Builder::new()
                .with_access_key_id(&given.access_key)
                .with_secret_access_key(&given.secret_key);
            match &given.session_token {
                Some(token) => builder.with_token(token),
                None => builder,
            }
        }
        None => AmazonS3Builder::from_env(),
    };
    let plain = options.endpoint.as_deref().is_some_and(|endpoint| endpoint.starts_with("http://"));
    let retry = RetryConfig {
        backoff: BackoffConfig { max_backoff: Duration::from_secs(2), ..BackoffConfig::default() },
        max_retries: 3,
        retry_timeout: Duration::from_secs(20),
    };
    let mut builder = builder
        .with_bucket_name(&options.bucket)
        .with_region(&options.region)
        .with_retry(retry)
        .with_client_options(ClientOptions::new().with_allow_http(plain))
        .with_virtual_hosted_style_request(!options.path_style());
    if let Some(endpoint) = options.bucket_endpoint() {
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(kind @ ("AES256" | "aws:kms")) = options.server_side_encryption.as_deref()
        && let Ok(key) = "aws_server_side_encryption".parse::<AmazonS3ConfigKey>()
    {
        builder = builder.with_config(key, kind);
    }
    builder
}
