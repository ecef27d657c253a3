//! Requests as the page of metrics shows them: by route and class of status, with their times. What a route is is
//! said by its pattern, never by what a client sent.
//!
//! A request costs two additions here, and each body that passes one more for each piece.

use std::cell::Cell;
use std::sync::OnceLock;
use std::time::Duration;

use actix_web::http::StatusCode;

use crate::metrics::{Counter, Histogram, Page};
use crate::rest::route::Route;
use crate::rest::routes::ROUTES;

/// What is no route of the REST API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// No such route, or refused before one was looked for.
    Other,
    Preflight,
    Health,
    Files,
    Pages,
    GraphQl,
    Socket,
    Metrics,
    Dashboard,
    Start,
}

const DOORS: [(Door, &str); 10] = [
    (Door::Other, "other"),
    (Door::Preflight, "preflight"),
    (Door::Health, "/health"),
    (Door::Files, "/files"),
    (Door::Pages, "/apps"),
    (Door::GraphQl, "/graphql"),
    (Door::Socket, "live query socket"),
    (Door::Metrics, "/metrics"),
    (Door::Dashboard, "/dashboard"),
    (Door::Start, "/"),
];
/// `1xx` to `5xx`.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Where a request turned out to go; told while it is on its way.
#[derive(Debug)]
pub struct Seen(Cell<usize>);

impl Default for Seen {
    fn default() -> Self {
        Self(Cell::new(Door::Other as usize))
    }
}

impl Seen {
    pub fn door(&self, door: Door) {
        self.0.set(door as usize);
    }

    pub fn route(&self, route: &'static Route) {
        self.0.set(ROUTES.place_of(route).map_or(Door::Other as usize, |place| DOORS.len() + place));
    }
}

/// All requests of the process: applications share its listeners.
pub struct Figures {
    /// By place (doors, then routes) and class of status.
    times: Box<[[OnceLock<Box<Histogram>>; CLASSES.len()]]>,
    overloaded: Counter,
    limited: Counter,
}

impl Default for Figures {
    fn default() -> Self {
        let places = DOORS.len() + ROUTES.list().count();
        let times = (0..places).map(|_| Default::default()).collect();
        Self { times, overloaded: Counter::default(), limited: Counter::default() }
    }
}

impl Figures {
    /// A request was answered, so long after its head had come. The body of the answer may still be on its way.
    pub fn answered(&self, seen: &Seen, status: StatusCode, took: Duration) {
        let class = usize::from(status.as_u16() / 100).saturating_sub(1);
        let times = self.times.get(seen.0.get()).and_then(|classes| classes.get(class));
        if let Some(times) = times {
            times.get_or_init(Box::default).observe(took);
        }
        match status {
            StatusCode::SERVICE_UNAVAILABLE => self.overloaded.increment(),
            StatusCode::TOO_MANY_REQUESTS => self.limited.increment(),
            _ => {}
        }
    }

    pub fn report(&self, page: &mut Page) {
        let doors = DOORS.iter().map(|(_, name)| ("any", *name));
        let routes = ROUTES.list().map(|(method, pattern, _)| (method.as_str(), pattern));
        let help =
            "Requests by route and class of status, from the head of the request to that of the answer.";
        for ((method, route), classes) in doors.chain(routes).zip(&self.times) {
            for (status, times) in CLASSES.iter().zip(classes) {
                if let Some(times) = times.get() {
                    let labels = [("method", method), ("route", route), ("status", *status)];
                    page.histogram("parsimony_http_request_seconds", help, &labels, &times.totals());
                }
            }
        }
        let (name, help) =
            ("parsimony_http_shed_total", "Requests that were refused because there were too many.");
        page.counter(name, help, &[("status", "503")], self.overloaded.get());
        page.counter(name, help, &[("status", "429")], self.limited.get());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::Method;
    use crate::config::AppConfig;

    #[test]
    fn routes_are_told_by_their_patterns() {
        for (index, (door, _)) in DOORS.iter().enumerate() {
            assert_eq!(*door as usize, index);
        }
        let (figures, seen) = (Figures::default(), Seen::default());
        let config = AppConfig::for_tests(serde_json::json!({}));
        let (route, _) = ROUTES.find(&config, Method::Get, "/classes/A/b").unwrap().unwrap();
        seen.route(route);
        figures.answered(&seen, StatusCode::OK, Duration::from_millis(1));
        seen.door(Door::Health);
        figures.answered(&seen, StatusCode::SERVICE_UNAVAILABLE, Duration::ZERO);
        let mut page = Page::default();
        figures.report(&mut page);
        let text = page.render();
        for line in [
            "parsimony_http_request_seconds_count{method=\"GET\",route=\"/classes/:className/:objectId\",status=\"2xx\"} 1\n",
            "parsimony_http_request_seconds_count{method=\"any\",route=\"/health\",status=\"5xx\"} 1\n",
            "parsimony_http_shed_total{status=\"503\"} 1\n",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
    }
}
