//! Live queries on the running server, on one node and on several.

mod doors;
mod faults;
mod order;
mod table;

use serde_json::{Value, json};

use crate::support::server::TestServer;
use crate::users_redis::Redis;

/// Servers that share one database: the first writes, the last is listened to.
pub struct Nodes {
    // The first one's database goes last.
    rest: Vec<TestServer>,
    first: TestServer,
}

impl Nodes {
    pub fn writer(&self) -> &TestServer {
        &self.first
    }

    pub fn listener(&self) -> &TestServer {
        self.rest.last().unwrap_or(&self.first)
    }

    pub async fn one(options: Value) -> Self {
        Self { first: TestServer::with(live_options(options)).await, rest: Vec::new() }
    }

    /// Two that hear of each other through PostgreSQL, or through Redis where the options say so.
    pub async fn two(options: Value) -> Self {
        let first = TestServer::with(live_options(options.clone())).await;
        let mut second = live_options(options);
        second["databaseURI"] = first.database().uri.as_str().into();
        let second = TestServer::with(second).await;
        Self { first, rest: vec![second] }
    }
}

/// Options of a server whose classes `Live…` are published.
pub fn live_options(more: Value) -> Value {
    let mut options = json!({
        "liveQuery": { "classNames": ["Live.*"] },
        "startLiveQueryServer": true,
        // Sessions and roles as they are, not as they were a moment ago.
        "cacheTTL": 1,
    });
    options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    options
}

/// Options of servers that hear of each other through this Redis.
pub fn through(redis: &Redis) -> Value {
    json!({
        "liveQuery": { "classNames": ["Live.*"], "redisURL": redis.url() },
        "liveQueryServerOptions": { "redisURL": redis.url() },
    })
}

/// Operation and number of each frame.
pub fn outline(frames: &[Value]) -> Vec<(&str, i64)> {
    frames
        .iter()
        .map(|frame| (frame["op"].as_str().unwrap(), frame["object"]["n"].as_i64().unwrap_or(-1)))
        .collect()
}

/// The id in the answer to a create.
pub fn id_of(answer: &Value) -> String {
    answer["objectId"].as_str().unwrap().to_owned()
}
