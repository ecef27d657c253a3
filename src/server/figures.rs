//! The page of metrics: what only the composition knows of the process, and the port that the page may have for
//! itself (option `metrics.port`).

use std::net::TcpListener;
use std::sync::Arc;

use actix_web::{App as ActixApp, HttpServer, web};

use super::{Running, StartError, listen};
use crate::config::AppConfig;
use crate::http::Front;
use crate::http::connections::Connections;
use crate::http::metrics::serve_alone as page;
use crate::metrics::Page;

/// The listeners of pages with a port of their own; known before anything is started.
///
/// # Errors
/// When a port is taken.
pub fn listen(configs: &[AppConfig]) -> Result<Vec<TcpListener>, StartError> {
    let pages = configs.iter().filter_map(|config| config.metrics.as_ref());
    listen::once(pages.filter_map(|metrics| Some((metrics.host.as_str(), metrics.port?))))
}

/// Answers there until the process ends: whoever watches a server wants to see it stop.
///
/// # Errors
/// When a listener cannot be used.
pub fn serve_alone(listeners: Vec<TcpListener>, front: &web::Data<Front>) -> Result<(), StartError> {
    if listeners.is_empty() {
        return Ok(());
    }
    let front = front.clone();
    let mut http =
        HttpServer::new(move || ActixApp::new().app_data(front.clone()).default_service(web::to(page)))
            .workers(1)
            .disable_signals()
            .shutdown_timeout(1);
    for listener in listeners {
        let address = listener.local_addr().map_err(StartError::new)?;
        tracing::info!("The page of metrics is on http://{address}");
        http = http.listen(listener).map_err(StartError::new)?;
    }
    actix_web::rt::spawn(http.run());
    Ok(())
}

/// What belongs to no application: connections of clients, private databases.
pub fn of_process(
    running: &[Running],
    connections: &Arc<Connections>,
) -> Box<dyn Fn(&mut Page) + Send + Sync> {
    let connections = connections.clone();
    let clusters: Vec<_> = running
        .iter()
        .filter_map(|running| Some((running.app.id.clone(), running.database.watch_cluster()?)))
        .collect();
    Box::new(move |page| {
        connections.report(page);
        for (app, cluster) in &clusters {
            let labels = [("app", app.as_str())];
            let help = "Whether the server's own PostgreSQL runs.";
            page.gauge("parsimony_embedded_postgres_up", help, &labels, f64::from(cluster.is_up()));
            let help = "How often it ended and was started again.";
            page.counter("parsimony_embedded_postgres_restarts_total", help, &labels, cluster.restarts());
        }
    })
}
