//! A database that takes connections and says nothing: the server tells so, refuses, and serves once it answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parsimony::config::AppConfig;
use parsimony::server::Server;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::support::database::TestDatabase;
use crate::support::server::{APP_ID, MASTER_KEY};
use crate::support::wait::until_some;

/// Takes every connection; passes on those that come when it is open.
struct Gate {
    uri: String,
    open: Arc<AtomicBool>,
}

impl Gate {
    async fn before(database: &TestDatabase) -> Self {
        let mut uri = url::Url::parse(&database.uri).unwrap();
        let target = format!("{}:{}", uri.host_str().unwrap(), uri.port().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        uri.set_host(Some("127.0.0.1")).unwrap();
        uri.set_port(Some(listener.local_addr().unwrap().port())).unwrap();
        uri.query_pairs_mut().append_pair("connectionTimeoutMillis", "3000");
        let open = Arc::new(AtomicBool::new(false));
        let is_open = open.clone();
        tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((mut client, _)) = listener.accept().await {
                if is_open.load(Ordering::SeqCst) {
                    let target = target.clone();
                    tokio::spawn(async move {
                        let mut server = TcpStream::connect(&target).await.unwrap();
                        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                    });
                } else {
                    held.push(client);
                }
            }
        });
        Self { uri: uri.into(), open }
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Status and body; `None` where nothing listens.
async fn get(port: u16, path: &str) -> Option<(u16, Value)> {
    parsimony::tls::install_provider();
    let request = reqwest::Client::new()
        .get(format!("http://127.0.0.1:{port}/parse{path}"))
        .header("X-Parse-Application-Id", APP_ID)
        .header("X-Parse-Master-Key", MASTER_KEY);
    let answer = request.send().await.ok()?;
    let status = answer.status().as_u16();
    Some((status, serde_json::from_str(&answer.text().await.ok()?).ok()?))
}

#[tokio::test(flavor = "multi_thread")]
async fn is_waited_for_and_told() {
    let database = TestDatabase::empty().await;
    let gate = Gate::before(&database).await;
    let port = free_port();
    let config = AppConfig::for_tests(json!({
        "databaseURI": gate.uri, "host": "127.0.0.1", "port": port, "logsFolder": null,
    }));
    let (stop, stopped) = oneshot::channel::<()>();
    let thread = std::thread::spawn(move || {
        actix_web::rt::System::new().block_on(async {
            let server = Server::start(vec![config]).await.unwrap();
            let _ = stopped.await;
            server.stop().await;
        });
    });
    let health = async |status: &str| {
        let wanted = json!({ "status": status });
        until_some(status, async || {
            get(port, "/health").await.filter(|(_, body)| *body == wanted).map(|(code, _)| code)
        })
        .await
    };
    assert_eq!(health("starting").await, 503);
    assert_eq!(health("error").await, 503);
    let (status, body) = get(port, "/classes/Game").await.unwrap();
    assert_eq!((status, body), (503, json!({"code": 1, "error": "Invalid server state: error"})));
    gate.open.store(true, Ordering::SeqCst);
    assert_eq!(health("ok").await, 200);
    assert_eq!(get(port, "/classes/_User").await.unwrap(), (200, json!({"results": []})));
    stop.send(()).unwrap();
    tokio::task::spawn_blocking(move || thread.join().unwrap()).await.unwrap();
}
