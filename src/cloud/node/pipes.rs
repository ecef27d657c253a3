//! Contents of files on their way to and from file adapters, piece by piece.
//!
//! A call of an adapter runs in whichever host has room; the host asks for the pieces, or hands them over,
//! by requests that name the pipe. Nothing flows faster than the slower side: a request is answered when
//! the server has a piece, or has taken one.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::cloud::{Flow, Flowed};
use crate::error::{Error, Result};

#[derive(Default)]
pub struct Pipes {
    // A std mutex: never held across an await.
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    last: u32,
    open: HashMap<u32, End>,
}

#[derive(Clone)]
enum End {
    Input(Arc<tokio::sync::Mutex<mpsc::Receiver<Option<Bytes>>>>),
    Output(mpsc::Sender<Flowed>),
}

/// Closes its pipe when the call is over, however it ends.
pub struct Pipe {
    pipes: Arc<Pipes>,
    id: u32,
}

impl Pipe {
    /// 0 when nothing flows.
    pub fn id(&self) -> u32 {
        self.id
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        if self.id != 0 {
            self.pipes.table().open.remove(&self.id);
        }
    }
}

impl Pipes {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn open(self: &Arc<Self>, flow: Flow) -> Pipe {
        let end = match flow {
            Flow::None => return Pipe { pipes: self.clone(), id: 0 },
            Flow::Input(receiver) => End::Input(Arc::new(tokio::sync::Mutex::new(receiver))),
            Flow::Output(sender) => End::Output(sender),
        };
        let mut table = self.table();
        loop {
            table.last = table.last.wrapping_add(1).max(1);
            let id = table.last;
            if let Entry::Vacant(free) = table.open.entry(id) {
                free.insert(end);
                return Pipe { pipes: self.clone(), id };
            }
        }
    }

    fn end(&self, id: u32) -> Result<End> {
        self.table().open.get(&id).cloned().ok_or_else(broken)
    }

    /// The next piece: `{"data": base64}`, or null at the end.
    ///
    /// # Errors
    /// When the upload was broken off.
    pub async fn pull(&self, id: u32) -> Result<Value> {
        let End::Input(receiver) = self.end(id)? else { return Err(broken()) };
        let piece = receiver.lock().await.recv().await;
        match piece {
            Some(Some(piece)) => Ok(json!({ "data": BASE64.encode(piece) })),
            Some(None) => Ok(Value::Null),
            None => Err(broken()),
        }
    }

    /// Takes a piece; returns when it is on its way.
    ///
    /// # Errors
    /// When nobody wants it any more.
    pub async fn push(&self, id: u32, piece: Flowed) -> Result<Value> {
        let End::Output(sender) = self.end(id)? else { return Err(broken()) };
        sender.send(piece).await.map_err(|_| broken())?;
        Ok(Value::Null)
    }
}

fn broken() -> Error {
    Error::http(400, "The transfer of this file was broken off.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pieces_flow_until_the_call_is_over() {
        let pipes = Arc::new(Pipes::default());
        let (sender, receiver) = mpsc::channel(2);
        let pipe = pipes.open(Flow::Input(receiver));
        sender.send(Some(Bytes::from_static(b"ab"))).await.unwrap();
        sender.send(None).await.unwrap();
        assert_eq!(pipes.pull(pipe.id()).await.unwrap(), json!({"data": "YWI="}));
        assert_eq!(pipes.pull(pipe.id()).await.unwrap(), Value::Null);
        drop(sender);
        assert!(pipes.pull(pipe.id()).await.is_err());
        let (sender, mut receiver) = mpsc::channel(1);
        let out = pipes.open(Flow::Output(sender));
        assert!(pipes.push(pipe.id(), Flowed::Data(Bytes::new())).await.is_err());
        pipes.push(out.id(), Flowed::Data(Bytes::from_static(b"x"))).await.unwrap();
        assert_eq!(receiver.recv().await, Some(Flowed::Data(Bytes::from_static(b"x"))));
        let id = out.id();
        drop(out);
        assert!(pipes.push(id, Flowed::Data(Bytes::new())).await.is_err());
        assert!(pipes.table().open.len() == 1);
    }
}
