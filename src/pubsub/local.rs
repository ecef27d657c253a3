//! Servers inside one process: tests, and a server alone whose storage carries no notices.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::broadcast;

use super::{CAPACITY, Notice, PubSub};
use crate::error::Result;

/// One server's end. [`LocalPubSub::neighbour`] makes the ends of others.
#[derive(Debug)]
pub struct LocalPubSub {
    /// Everybody's ends, this one's at `own`.
    ends: Arc<Mutex<Vec<broadcast::Sender<Notice>>>>,
    own: usize,
}

impl Default for LocalPubSub {
    fn default() -> Self {
        Self { ends: Arc::new(Mutex::new(vec![broadcast::channel(CAPACITY).0])), own: 0 }
    }
}

impl LocalPubSub {
    /// The end of one more server.
    #[must_use]
    pub fn neighbour(&self) -> Self {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        ends.push(broadcast::channel(CAPACITY).0);
        Self { ends: self.ends.clone(), own: ends.len() - 1 }
    }

    /// This server only: as if its connection had been lost, or was back.
    pub fn hear(&self, notice: Notice) {
        let ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = ends.get(self.own) {
            // Perhaps nobody listens yet.
            let _ = own.send(notice);
        }
    }
}

#[async_trait]
impl PubSub for LocalPubSub {
    fn notices(&self) -> broadcast::Receiver<Notice> {
        let ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        match ends.get(self.own) {
            Some(own) => own.subscribe(),
            None => broadcast::channel(1).1,
        }
    }

    async fn notify(&self, notice: Notice) -> Result<()> {
        let ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, end) in ends.iter().enumerate().filter(|(number, _)| *number != self.own) {
            let _ = end.send(notice.clone());
        }
        Ok(())
    }

    fn close(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn others_hear_and_the_teller_does_not() {
        let one = LocalPubSub::default();
        let two = one.neighbour();
        let (mut by_one, mut by_two) = (one.notices(), two.notices());
        one.notify(Notice::Roles).await.unwrap();
        assert_eq!(by_two.try_recv().unwrap(), Notice::Roles);
        assert!(by_one.try_recv().is_err());
    }
}
