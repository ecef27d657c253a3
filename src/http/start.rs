//! The page that a development server shows at `/`: what this is, and lines to paste that are right for it. A server
//! with a configuration has none, as parse-server has none.
//!
//! Everything comes from this program, nothing is a script, and no key is on it. Called by [`super::front`].

use std::fmt::Write;
use std::sync::Arc;

use actix_web::http::{Method, header};
use actix_web::{HttpRequest, HttpResponse};

use super::credentials::header_text;
use super::exchange::Front;
use super::respond;
use crate::app::App;
use crate::config::is_mongo;

const PAGE: &str = include_str!("../../static/start/index.html");
const STYLE: &str = include_str!("../../static/start/style.css");
const ICON: &str = include_str!("../../static/start/icon.svg");
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// Longer ones are no host's.
const LONGEST_HOST: usize = 255;

macro_rules! docs {
    ($($name:literal => $title:literal,)+) => {
        &[$(($name, $title, include_str!(concat!("../../docs/", $name)))),+]
    };
}

/// Documents that come with the program: name, title, text.
const DOCS: &[(&str, &str, &str)] = docs! {
    "configuration.md" => "Configuration",
    "cloud-code.md" => "Cloud Code",
    "schema.md" => "Classes as code",
    "live-queries.md" => "Live queries",
    "authentication.md" => "Logging in",
    "files.md" => "Files",
    "push.md" => "Push",
    "graphql.md" => "GraphQL",
    "dashboard.md" => "Parse Dashboard",
    "mongodb.md" => "MongoDB",
    "security.md" => "Security",
    "metrics.md" => "Metrics",
    "deploy.md" => "Deploying",
    "npm-package.md" => "In place of parse-server",
    "compatibility.md" => "Differences to parse-server",
    "beyond.md" => "Beyond parse-server",
};

/// The application whose page is at `path`.
pub(super) fn at<'a>(front: &'a Front, path: &str) -> Option<&'a Arc<App>> {
    if path != "/" && !path.starts_with("/start/") {
        return None;
    }
    let app = front.registry.iter().find(|app| app.config().development)?;
    // An API at the root has the whole place.
    (!app.config().http.mount_path.is_empty()).then_some(app)
}

pub(super) fn serve(http: &HttpRequest, front: &Front, app: &App) -> HttpResponse {
    if http.method() != Method::GET && http.method() != Method::HEAD {
        return respond::cannot_route(http.method().as_str(), http.path());
    }
    let (kind, body) = match http.path() {
        "/" => ("text/html; charset=utf-8", page(http, front, app)),
        "/start/style.css" => ("text/css; charset=utf-8", STYLE.to_owned()),
        "/start/icon.svg" => ("image/svg+xml", ICON.to_owned()),
        path => match path.strip_prefix("/start/docs/").and_then(document) {
            Some(text) => ("text/plain; charset=utf-8", text.to_owned()),
            None => return respond::cannot_route(http.method().as_str(), path),
        },
    };
    HttpResponse::Ok()
        .content_type(kind)
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .body(body)
}

fn document(name: &str) -> Option<&'static str> {
    DOCS.iter().find(|(known, _, _)| *known == name).map(|(_, _, text)| *text)
}

fn page(http: &HttpRequest, front: &Front, app: &App) -> String {
    let config = app.config();
    let server_url = match host_of(http) {
        Some(host) => format!("http://{host}{}", config.http.mount_path),
        None => config.http.server_url.clone(),
    };
    let database = match &config.database.uri {
        None => "the server's own PostgreSQL",
        Some(uri) if is_mongo(uri.expose()) => "MongoDB",
        Some(_) => "PostgreSQL",
    };
    let docs = DOCS.iter().fold(String::new(), |mut list, (name, title, _)| {
        // Writing to a String cannot fail.
        let _ = writeln!(list, "<li><a href=\"/start/docs/{name}\">{title}</a></li>");
        list
    });
    fill(
        PAGE,
        &[
            ("serverURL", escaped(&server_url)),
            ("appId", escaped(&config.app_id)),
            ("database", database.to_owned()),
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
            ("links", links(front, app)),
            ("docs", docs),
        ],
    )
}

/// What this server has besides its API.
fn links(front: &Front, app: &App) -> String {
    let config = app.config();
    let mount = &config.http.mount_path;
    let mut links = String::new();
    let mut link = |path: &str, name: &str, what: &str| {
        let path = escaped(path);
        let _ = writeln!(links, "<a href=\"{path}\"><strong>{name}</strong><span>{what}</span></a>");
    };
    if let Some(dashboard) = &front.dashboard {
        let what = "Classes, users, jobs, logs and consoles. The log has a link that signs in.";
        link(dashboard.mount(), "Parse Dashboard", what);
    }
    if config.graphql.mount && config.graphql.mount_playground {
        link(&config.graphql.playground_path, "GraphiQL", "Ask the GraphQL API, and read its schema.");
    }
    // Who reads this page has no key.
    if config.http.open_api_is_public {
        link(&format!("{mount}/openapi.json"), "OpenAPI", "The REST API of your classes, for tools.");
    }
    if let Some(metrics) = config.metrics.as_ref().filter(|metrics| metrics.port.is_none()) {
        link(&metrics.path, "Metrics", "What the server counts of itself, for Prometheus.");
    }
    link(&format!("{mount}/health"), "Health", "Whether the server is well.");
    links
}

/// The host that the client called this server by, if it can be one.
fn host_of(http: &HttpRequest) -> Option<String> {
    let host = header_text(http.headers(), header::HOST)?;
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    (!host.is_empty() && host.len() <= LONGEST_HOST && host.chars().all(fits)).then_some(host)
}

/// Puts values into the places `{{name}}`, once: what a value holds is no place.
fn fill(template: &str, values: &[(&str, String)]) -> String {
    let mut page = String::with_capacity(template.len() * 2);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        page.push_str(before);
        let Some((name, after)) = after.split_once("}}") else {
            rest = after;
            break;
        };
        if let Some((_, value)) = values.iter().find(|(known, _)| *known == name) {
            page.push_str(value);
        }
        rest = after;
    }
    page.push_str(rest);
    page
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_no_places() {
        let filled = fill("a {{x}} b {{y}} {{z}}", &[("x", "{{y}}".to_owned()), ("y", "1".to_owned())]);
        assert_eq!(filled, "a {{y}} b 1 ");
    }

    #[test]
    fn hosts_of_clients_are_looked_at() {
        let with = |host: &str| {
            host_of(&actix_web::test::TestRequest::default().insert_header(("host", host)).to_http_request())
        };
        for good in ["localhost:1337", "127.0.0.1", "[::1]:1337", "box.local"] {
            assert_eq!(with(good).as_deref(), Some(good));
        }
        for bad in ["a b", "x'; curl evil", "<script>", "a/b", ""] {
            assert_eq!(with(bad), None, "{bad}");
        }
    }

    #[test]
    fn every_document_has_its_place() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/docs");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".md") && name != "ARCHITECTURE.md" && name != "benchmarks.md")
            .collect();
        files.sort();
        let mut known: Vec<_> = DOCS.iter().map(|(name, _, _)| (*name).to_owned()).collect();
        known.sort();
        assert_eq!(files, known);
    }
}
