//! Answers of a server whose database does not answer: its health, and 503 for everything else. Called by
//! `server` in the time before there is an application that could be asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::http::{Method, header};
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;

use super::respond;
use crate::app::AppState;
use crate::config::AppConfig;
use crate::error::ErrorCode;
use crate::rest::request::RestResponse;

/// What is known before the start.
pub struct Waiting {
    config: Arc<AppConfig>,
    failed: AtomicBool,
}

impl Waiting {
    pub fn new(config: Arc<AppConfig>) -> Self {
        Self { config, failed: AtomicBool::new(false) }
    }

    /// It was tried, and did not work.
    pub fn fail(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    fn state(&self) -> AppState {
        if self.failed.load(Ordering::Relaxed) { AppState::Error } else { AppState::Starting }
    }
}

/// The catch-all handler.
pub async fn serve(http: HttpRequest, waiting: web::Data<Waiting>) -> HttpResponse {
    let state = waiting.state().as_str();
    let mut response = if http.method() == Method::OPTIONS {
        HttpResponse::Ok().content_type("text/plain; charset=utf-8").body("OK")
    } else {
        let body = if http.path().trim_end_matches('/').ends_with("/health") {
            json!({ "status": state })
        } else {
            let text = format!("Invalid server state: {state}");
            json!({ "code": ErrorCode::INTERNAL_SERVER_ERROR.0, "error": text })
        };
        respond::answer(RestResponse::value(body).with_status(503).with_header("Retry-After", "1"), true)
    };
    respond::add_cors(&mut response, &waiting.config.http, http.headers().get(header::ORIGIN));
    response
}
