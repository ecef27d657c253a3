//! Keeps a port while a database does not answer: `/health` tells that the server is starting, then that it
//! cannot, everything else is refused with 503, and the database is tried again and again.
//!
//! Called by `server` before there is anything else. Its listeners are copies of the server's own: clients that
//! come between the two wait in the backlog.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::{App as ActixApp, HttpServer, web};

use super::{StartError, storage};
use crate::config::AppConfig;
use crate::http::waiting::{Waiting, serve};

/// A database that opens in this time is not worth a word.
const PROMPT: Duration = Duration::from_secs(1);
/// Between two attempts.
const PAUSE: Duration = Duration::from_secs(1);

/// The port, in the time before the server.
pub struct Doorkeeper<'a> {
    listeners: &'a [TcpListener],
    state: web::Data<Waiting>,
    server: Option<ServerHandle>,
}

impl<'a> Doorkeeper<'a> {
    pub fn new(listeners: &'a [TcpListener], config: Arc<AppConfig>) -> Self {
        Self { listeners, state: web::Data::new(Waiting::new(config)), server: None }
    }

    /// Opens the database, however long it keeps silent.
    ///
    /// # Errors
    /// As [`storage::open`], but for silence.
    pub async fn open(
        &mut self,
        config: &AppConfig,
        threads: usize,
    ) -> Result<storage::Database, StartError> {
        let mut was_silent = false;
        loop {
            let mut opening = std::pin::pin!(storage::open(config, threads));
            let opened = match tokio::time::timeout(PROMPT, &mut opening).await {
                Ok(opened) => opened,
                Err(_) => {
                    self.serve()?;
                    opening.await
                }
            };
            match opened {
                Ok(database) => return Ok(database),
                // Between silence and its first answer it may be restarted.
                Err(error) if error.is_silent || was_silent && error.is_away => {
                    self.serve()?;
                    self.state.fail();
                    if !was_silent {
                        let error = StartError::from(error);
                        tracing::error!("{error} Requests are refused until it answers.");
                    }
                    was_silent = true;
                }
                Err(error) => {
                    self.close().await;
                    return Err(error.into());
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn serve(&mut self) -> Result<(), StartError> {
        if self.server.is_some() {
            return Ok(());
        }
        let state = self.state.clone();
        let mut http =
            HttpServer::new(move || ActixApp::new().app_data(state.clone()).default_service(web::to(serve)))
                .workers(1)
                .disable_signals()
                .shutdown_timeout(1);
        for listener in self.listeners {
            let listener = listener.try_clone().map_err(StartError::new)?;
            http = http.listen(listener).map_err(StartError::new)?;
        }
        let server = http.run();
        self.server = Some(server.handle());
        actix_web::rt::spawn(server);
        Ok(())
    }

    /// Takes no more; what was asked is answered.
    pub async fn close(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop(true).await;
        }
    }
}
