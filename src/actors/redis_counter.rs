//! Windows counted in Redis, for several servers together. While Redis is away callers count for
//! themselves; that is said once, and Redis is asked again after a moment.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;

use super::buckets::{Count, Window};
use crate::pubsub::redis::client;
use crate::types::time::Millis;

/// A request waits this long for Redis at most.
const DEADLINE: Duration = Duration::from_millis(500);
/// After a failure Redis is left alone for so long.
const PAUSE: Duration = Duration::from_secs(1);

/// Counts, and gives a new window its end; answers hits and what is left of the window.
const SCRIPT: &str = r"
local hits = redis.call('INCR', KEYS[1])
local left = redis.call('PTTL', KEYS[1])
if left <= 0 then
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
  left = tonumber(ARGV[1])
end
return {hits, left}
";

pub struct RedisCounter {
    url: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    connection: Option<MultiplexedConnection>,
    failed_at: Option<Instant>,
}

impl RedisCounter {
    pub fn new(url: String) -> Arc<Self> {
        Arc::new(Self { url, state: Mutex::default() })
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one request; `None` while Redis is away.
    pub async fn hit(&self, key: &str, window: &Window) -> Option<Count> {
        if self.state().failed_at.is_some_and(|at| at.elapsed() < PAUSE) {
            return None;
        }
        let outcome = tokio::time::timeout(DEADLINE, self.try_hit(key, window)).await;
        let failure = match outcome {
            Ok(Ok(count)) => {
                if self.state().failed_at.take().is_some() {
                    tracing::info!("Redis is back: rate limits are shared again.");
                }
                return Some(count);
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        let mut state = self.state();
        state.connection = None;
        if state.failed_at.replace(Instant::now()).is_none() {
            tracing::warn!("Redis is away ({failure}): rate limits are counted by each server alone.");
        }
        None
    }

    async fn try_hit(&self, key: &str, window: &Window) -> redis::RedisResult<Count> {
        let mut connection = self.connection().await?;
        let script = redis::Script::new(SCRIPT);
        let (hits, left): (u64, i64) =
            script.key(key).arg(window.millis().max(1)).invoke_async(&mut connection).await?;
        Ok(Count { hits, reset: Millis(Millis::now().0.saturating_add(left)) })
    }

    async fn connection(&self) -> redis::RedisResult<MultiplexedConnection> {
        if let Some(connection) = &self.state().connection {
            return Ok(connection.clone());
        }
        let client = client(&self.url, None).map_err(|error| {
            let kind = redis::ErrorKind::InvalidClientConfig;
            redis::RedisError::from((kind, "the URL cannot be used", error.to_string()))
        })?;
        let connection = client.get_multiplexed_async_connection().await?;
        self.state().connection = Some(connection.clone());
        Ok(connection)
    }
}
