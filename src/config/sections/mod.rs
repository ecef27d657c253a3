//! One struct per section of the configuration, each read and checked once.

pub(super) mod cache;
mod dashboard;
mod data;
mod database;
mod files;
mod http;
mod keys;
mod limits;
mod logging;
mod metrics;
mod services;
mod users;

pub use cache::CacheConfig;
pub use dashboard::DashboardConfig;
pub use data::{
    DefinedSchemas, ProtectedFields, QueryConfig, RequestComplexity, ResponseLimits, SchemaConfig,
};
pub use database::{DatabaseConfig, DatabaseOptions, IndexOptions, is_mongo};
pub use files::{FileDownload, FileUpload, FilesConfig, PagesConfig, PagesRoute};
pub use http::{HttpConfig, HttpLimits};
pub use keys::KeysConfig;
pub use limits::{DeniedKeyword, IdempotencyConfig, RateLimitRule, RateLimitZone, RequestMethods};
pub use logging::{LogFormat, LogLevel, LogLevels, LoggingConfig, SecurityConfig};
pub use metrics::{MetricsConfig, is_loopback};
pub use services::{
    CloudConfig, GivenSchema, GraphQLConfig, LiveQueryConfig, LiveQueryServerConfig, MailConfig, PushConfig,
    SchemaCode,
};
pub use users::{
    AccountLockout, DuplicateAction, InstallationConfig, MergePriority, PasswordPolicy, UsersConfig,
};
