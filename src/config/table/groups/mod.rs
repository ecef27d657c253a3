//! Options that are objects: the keys of each.

mod accounts;
mod database;
mod files;
mod live_query;
mod operating;
mod pages;
mod requests;
mod schema;

pub use accounts::{ACCOUNT_LOCKOUT, INSTALLATION, PASSWORD_POLICY};
pub use database::{DATABASE, QUERY};
pub use files::{FILE_DOWNLOAD, FILE_UPLOAD, PRIVATE_FILES};
pub use live_query::{LIVE_QUERY, LIVE_QUERY_SERVER};
pub use operating::{DASHBOARD, LOG_LEVELS, METRICS, SECURITY};
pub use pages::{CUSTOM_PAGES, PAGES, PAGES_CUSTOM_URLS, PAGES_ROUTE};
pub use requests::{HTTP_LIMITS, IDEMPOTENCY, RATE_LIMIT, REQUEST_COMPLEXITY};
pub use schema::SCHEMA;
