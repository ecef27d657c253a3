//! One host process and the connection to it: what was sent, what came back, what its end means.

use std::borrow::Cow;
use std::collections::HashMap;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::net::unix::OwnedReadHalf;
use tokio::process::Child;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::journal::Journal;
use super::outbox::Outbox;
use super::protocol::{Frame, FrameKind, Reason, WireError, next_frame};

use crate::types::app_scope::carry;
use crate::types::json::with_whole_characters;

/// How long a process may take to go after its socket closed, or after it was asked to.
const LEAVE_GRACE: Duration = Duration::from_secs(2);
/// How long the last frames of an ended process may take to be read.
const READ_GRACE: Duration = Duration::from_secs(1);

/// How a call ended on the side of the host.
#[derive(Debug)]
pub enum Reply {
    Answer(Bytes),
    Failed(WireError),
    /// The host ended after the call had begun.
    Lost,
}

/// A call that has no answer yet.
#[derive(Debug)]
pub struct Pending {
    pub id: u32,
    pub payload: Bytes,
    pub reply: oneshot::Sender<Reply>,
    /// Made by application code: it must not wait behind the calls it is a part of.
    pub nested: bool,
}

/// What a host reports besides answers. Implemented by the pool.
pub trait HostEvents: Send + Sync + 'static {
    /// A call was answered, or a pause is over: there is room for another.
    fn answered(&self, host: &Arc<Host>);
    /// The host stands still: these calls have not begun there, and never will.
    fn withdrawn(&self, host: &Arc<Host>, unbegun: Vec<Pending>);
    /// Application code asks something of the server.
    fn requested(&self, host: &Arc<Host>, id: u32, payload: Bytes);
    /// The registrations changed after the start.
    fn registered(&self, host: &Arc<Host>, payload: Bytes);
    fn logged(&self, payload: Bytes);
    /// An attached host lets the server go.
    fn leaves(&self);
}

#[derive(Debug)]
struct InFlight {
    position: u64,
    since: Instant,
    pending: Pending,
}

#[derive(Debug, Default)]
struct Calls {
    sent: u64,
    in_flight: HashMap<u32, InFlight>,
    closed: bool,
    /// Its event loop stands still: it gets no calls until it says that it goes on.
    paused: bool,
    /// Pauses so far, so that the end of one is not taken for the end of the next.
    pauses: u32,
}

impl Calls {
    fn takes_none(&self) -> bool {
        self.closed || self.paused
    }

    /// Takes everything out: what had begun, and what had not, in the order in which it was sent.
    fn take(&mut self, journal: &Journal) -> (Vec<InFlight>, Vec<Pending>) {
        let begun = journal.read(self.sent);
        let mut left: Vec<_> = self.in_flight.drain().map(|(_, call)| call).collect();
        left.sort_by_key(|call| call.position);
        let (begun, unbegun): (Vec<_>, Vec<_>) =
            left.into_iter().partition(|call| begun.contains(call.pending.id, call.position));
        (begun, unbegun.into_iter().map(|call| call.pending).collect())
    }
}

/// A live connection. Shared by everybody who calls.
#[derive(Debug)]
pub struct Host {
    pub id: u32,
    pub pid: Option<u32>,
    outbox: Outbox,
    // A std mutex: never held across an await.
    calls: Mutex<Calls>,
    retired: AtomicBool,
    orders: mpsc::UnboundedSender<Order>,
}

#[derive(Debug)]
enum Order {
    Kill(String),
    Leave,
    Pause,
}

impl Host {
    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a call; gives it back when this host takes none any more.
    pub fn call(&self, pending: Pending) -> Result<(), Pending> {
        let mut calls = self.calls();
        if calls.takes_none() {
            return Err(pending);
        }
        calls.sent += 1;
        let (id, payload, position) = (pending.id, pending.payload.clone(), calls.sent);
        calls.in_flight.insert(id, InFlight { position, since: Instant::now(), pending });
        // Under the lock: a call never comes to the host after the word that it was taken back.
        self.outbox.push(FrameKind::Call, id, &payload);
        Ok(())
    }

    /// Withdraws a call nobody waits for any more. Whether it was here.
    pub fn cancel(&self, id: u32) -> bool {
        let known = self.calls().in_flight.remove(&id).is_some();
        if known {
            self.outbox.push(FrameKind::Cancel, id, &[]);
        }
        known
    }

    /// Tells an attached host that the server serves.
    pub fn listening(&self) {
        self.outbox.push(FrameKind::Listening, 0, &[]);
    }

    pub fn reply(&self, id: u32, payload: &[u8]) {
        self.outbox.push(FrameKind::Reply, id, payload);
    }

    pub fn reply_error(&self, id: u32, error: &WireError) {
        let payload = serde_json::to_vec(error).unwrap_or_default();
        self.outbox.push(FrameKind::ReplyError, id, &payload);
    }

    pub fn in_flight(&self) -> usize {
        self.calls().in_flight.len()
    }

    /// Since when a call is here.
    pub fn since(&self, id: u32) -> Option<Instant> {
        self.calls().in_flight.get(&id).map(|call| call.since)
    }

    /// Calls under way; `None` when the host takes none now or any more.
    pub fn load(&self) -> Option<usize> {
        let calls = self.calls();
        (!calls.takes_none()).then(|| calls.in_flight.len())
    }

    pub fn backlog(&self) -> usize {
        self.outbox.backlog()
    }

    /// Gives the process up at once. Its begun calls fail, the others go to another host.
    pub fn kill(&self, reason: impl Into<String>) {
        // The keeper may have ended already.
        let _ = self.orders.send(Order::Kill(reason.into()));
    }

    /// Its event loop stands still, says its watchdog. What it has not begun goes to another host.
    pub fn pause(&self) {
        let _ = self.orders.send(Order::Pause);
    }

    pub fn is_paused(&self) -> bool {
        self.calls().paused
    }

    /// Takes back what has not begun, and tells the host so, which reads it when it goes on.
    fn withdraw(&self, journal: &Journal) -> Vec<Pending> {
        let mut calls = self.calls();
        calls.paused = true;
        calls.pauses = calls.pauses.wrapping_add(1);
        let (begun, unbegun) = calls.take(journal);
        calls.in_flight.extend(begun.into_iter().map(|call| (call.pending.id, call)));
        let ids: Vec<_> = unbegun.iter().map(|pending| pending.id).collect();
        let ids = serde_json::to_vec(&ids).unwrap_or_default();
        self.outbox.push(FrameKind::Withdrawn, calls.pauses, &ids);
        unbegun
    }

    /// The host has read that calls were taken back.
    fn resume(&self, pause: u32) {
        let mut calls = self.calls();
        calls.paused = calls.paused && calls.pauses != pause;
    }

    /// Asks the process to go. No restart follows.
    pub fn leave(&self) {
        self.retire();
        let _ = self.orders.send(Order::Leave);
    }

    /// Marks the host as replaced by intention.
    pub fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    fn settle(&self, id: u32, reply: Reply) {
        if let Some(call) = self.calls().in_flight.remove(&id) {
            // The caller may have gone.
            let _ = call.pending.reply.send(reply);
        }
    }
}

/// A started process with its connection, not yet in the hands of a keeper.
pub struct Running {
    pub host: Arc<Host>,
    process: Process,
    reader: JoinHandle<()>,
    writer: JoinHandle<()>,
    journal: Journal,
    orders: mpsc::UnboundedReceiver<Order>,
    events: Arc<dyn HostEvents>,
}

/// The process of a host.
pub enum Process {
    Child(Child),
    /// One that has started this server; it goes when it likes.
    Parent,
}

impl Process {
    pub async fn kill(&mut self) -> std::io::Result<()> {
        match self {
            Self::Child(child) => child.kill().await,
            Self::Parent => Ok(()),
        }
    }

    fn id(&self) -> Option<u32> {
        match self {
            Self::Child(child) => child.id(),
            Self::Parent => Some(std::os::unix::process::parent_id()),
        }
    }

    /// Why it ended. Of a parent nothing is heard but the end of its connection.
    async fn wait(&mut self) -> String {
        match self {
            Self::Child(child) => exit_reason(child.wait().await),
            Self::Parent => std::future::pending().await,
        }
    }

    /// The same once its connection was cut.
    async fn wait_after_cut(&mut self) -> String {
        const CUT: &str = "its connection was cut";
        match self {
            // A dying process closes its socket first; its status says more.
            Self::Child(_) => {
                let status = tokio::time::timeout(LEAVE_GRACE, self.wait()).await;
                status.unwrap_or_else(|_| CUT.to_owned())
            }
            Self::Parent => CUT.to_owned(),
        }
    }
}

/// Why a host ended and which of its calls had not begun.
#[derive(Debug)]
pub struct End {
    pub reason: String,
    pub unbegun: Vec<Pending>,
}

/// The first word of a host about its start: its summary, or why it failed.
pub type Start = Result<Bytes, String>;

impl Running {
    /// Takes over a connected process and sends it `init`. The receiver tells how its start went.
    pub fn new(
        id: u32,
        process: Process,
        stream: UnixStream,
        journal: Journal,
        init: &[u8],
        events: Arc<dyn HostEvents>,
    ) -> (Self, oneshot::Receiver<Start>) {
        let (read, write) = stream.into_split();
        let (order, orders) = mpsc::unbounded_channel();
        let host = Arc::new(Host {
            id,
            pid: process.id(),
            outbox: Outbox::new(write),
            calls: Mutex::default(),
            retired: AtomicBool::new(false),
            orders: order,
        });
        host.outbox.push(FrameKind::Init, 0, init);
        let (started, start) = oneshot::channel();
        let reader = tokio::spawn(carry(read_frames(host.clone(), read, events.clone(), started)));
        let draining = host.clone();
        let writer = tokio::spawn(async move {
            // The reader notices a broken socket too, and says so.
            let _ = draining.outbox.drain().await;
        });
        (Self { host, process, reader, writer, journal, orders, events }, start)
    }

    /// Waits until the process has ended, for whatever reason, and settles its calls.
    pub async fn run(mut self) -> End {
        let reason = self.wait().await;
        self.end().await;
        End { reason, unbegun: self.settle() }
    }

    async fn wait(&mut self) -> String {
        loop {
            let order = tokio::select! {
                reason = self.process.wait() => return reason,
                _ = &mut self.reader => return self.process.wait_after_cut().await,
                order = self.orders.recv() => order,
            };
            match order {
                Some(Order::Kill(reason)) => return reason,
                Some(Order::Pause) => {
                    let unbegun = self.host.withdraw(&self.journal);
                    self.events.withdrawn(&self.host, unbegun);
                }
                Some(Order::Leave) | None => {
                    self.host.outbox.push(FrameKind::Stop, 0, &[]);
                    if let Process::Child(child) = &mut self.process {
                        let _ = tokio::time::timeout(LEAVE_GRACE, child.wait()).await;
                    }
                    return "it was told to go".to_owned();
                }
            }
        }
    }

    /// Only a process that certainly is dead has a journal that is complete.
    async fn end(&mut self) {
        if let Err(error) = self.process.kill().await {
            tracing::debug!(host = self.host.id, %error, "cannot kill a Cloud Code host");
        }
        if !self.reader.is_finished() && matches!(self.process, Process::Child(_)) {
            // What it wrote before it ended still counts.
            let _ = tokio::time::timeout(READ_GRACE, &mut self.reader).await;
        }
        self.reader.abort();
        self.writer.abort();
    }

    fn settle(&self) -> Vec<Pending> {
        let mut calls = self.host.calls();
        calls.closed = true;
        let (begun, unbegun) = calls.take(&self.journal);
        drop(calls);
        for call in begun {
            let _ = call.pending.reply.send(Reply::Lost);
        }
        unbegun
    }
}

fn exit_reason(status: std::io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) => format!("it ended ({status})"),
        Err(error) => format!("it cannot be waited for ({error})"),
    }
}

async fn read_frames(
    host: Arc<Host>,
    mut read: OwnedReadHalf,
    events: Arc<dyn HostEvents>,
    started: oneshot::Sender<Start>,
) {
    let mut started = Some(started);
    let mut buffer = BytesMut::with_capacity(64 * 1024);
    loop {
        match read.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        loop {
            match next_frame(&mut buffer) {
                Ok(Some(frame)) => handle(&host, frame, events.as_ref(), &mut started),
                Ok(None) => break,
                Err(error) => return host.kill(format!("it broke the protocol ({error})")),
            }
        }
    }
}

fn handle(
    host: &Arc<Host>,
    frame: Frame,
    events: &dyn HostEvents,
    started: &mut Option<oneshot::Sender<Start>>,
) {
    match frame.kind {
        FrameKind::Result => {
            let payload = match with_whole_characters(&frame.payload) {
                Cow::Borrowed(_) => frame.payload,
                Cow::Owned(mended) => mended.into(),
            };
            host.settle(frame.id, Reply::Answer(payload));
            events.answered(host);
        }
        FrameKind::Error => {
            let error =
                serde_json::from_slice(&with_whole_characters(&frame.payload)).unwrap_or_else(|error| {
                    WireError {
                        code: None,
                        message: format!("unreadable error from Cloud Code: {error}"),
                        thrown: None,
                    }
                });
            host.settle(frame.id, Reply::Failed(error));
            events.answered(host);
        }
        FrameKind::Resumed => {
            host.resume(frame.id);
            events.answered(host);
        }
        FrameKind::Request => events.requested(host, frame.id, frame.payload),
        FrameKind::Log => events.logged(frame.payload),
        FrameKind::Leave => events.leaves(),
        FrameKind::Registered => events.registered(host, frame.payload),
        FrameKind::Ready => tell(started, Ok(frame.payload)),
        FrameKind::Failed => {
            let reason = serde_json::from_slice(&frame.payload)
                .map_or_else(|_| "it gave no reason".to_owned(), |failed: Reason| failed.reason);
            tell(started, Err(reason));
        }
        _ => host.kill("it broke the protocol"),
    }
}

fn tell(started: &mut Option<oneshot::Sender<Start>>, start: Start) {
    if let Some(started) = started.take() {
        let _ = started.send(start);
    }
}
