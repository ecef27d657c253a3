//! Rate limits in Redis: shared by servers, and counted by each one alone while Redis is away.

use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::support::server::TestServer;
use crate::support::wait;

/// A Redis of the test's own on a Unix-free loopback port.
pub struct Redis {
    port: u16,
    process: Child,
}

impl Redis {
    pub fn start(port: u16) -> Self {
        let process = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server (see requirements) starts");
        let redis = Self { port, process };
        wait::until("Redis answers", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        redis
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn stop(&mut self) {
        self.process.kill().expect("Redis is stopped");
        self.process.wait().expect("Redis is gone");
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

fn options(url: &str) -> Value {
    json!({"rateLimit": {
        "requestPath": "/functions/*path", "requestTimeWindow": 600_000, "requestCount": 3,
        "includeInternalRequests": true, "redisUrl": url,
    }})
}

#[actix_web::test]
async fn servers_count_together_and_go_on_without_redis() {
    let mut redis = Redis::start(free_port());
    let first = TestServer::with(options(&redis.url())).await;
    let second = TestServer::with(options(&redis.url())).await;
    let status = async |server: &TestServer| server.anonymous().post("/functions/x", json!({})).await.status;
    assert_eq!((status(&first).await, status(&second).await, status(&first).await), (400, 400, 400));
    assert_eq!((status(&first).await, status(&second).await), (429, 429));

    redis.stop();
    assert_eq!((status(&first).await, status(&first).await, status(&first).await), (400, 400, 400));
    assert_eq!((status(&first).await, status(&second).await), (429, 400));

    // A fresh Redis has counted nothing: both have three again, together.
    let _redis = Redis::start(redis.port);
    wait::until_some("the limit is shared again", async || (status(&first).await == 400).then_some(())).await;
    assert_eq!((status(&first).await, status(&first).await, status(&first).await), (400, 400, 429));
}
