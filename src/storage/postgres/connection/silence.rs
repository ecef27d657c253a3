//! How long a database may say nothing to somebody who waits for it. What a statement may take is the database's
//! to keep to (`statement_timeout`); one that is gone without a word, stands still, or is behind something that
//! lost the connection keeps to nothing, and whoever waits would wait for ever. Asked by the stream ([`super::wire`]).

use std::future::Future;
use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

/// Beyond what a statement may take.
const SLACK: Duration = Duration::from_secs(10);
/// Looks in that time. Looks are counted, not time: of a process that stood still itself, one has passed.
const LOOKS: u32 = 4;

/// Type byte and length.
const HEADER: usize = 5;

/// Counts the answers that are to come: one for each `Query` and `Sync`, and one for the start.
#[derive(Default)]
struct Sent {
    /// What is known of a header that was not sent as a whole.
    header: [u8; HEADER],
    known: usize,
    /// Bytes of the message under way that are still to be sent.
    body_left: usize,
    /// The first message has no type.
    started: bool,
}

impl Sent {
    /// How many answers these bytes ask for.
    fn questions(&mut self, mut bytes: &[u8]) -> u32 {
        let mut asked = 0;
        loop {
            let skip = self.body_left.min(bytes.len());
            self.body_left -= skip;
            bytes = bytes.get(skip..).unwrap_or_default();
            let Some((first, rest)) = bytes.split_first() else { return asked };
            if !self.started && self.known == 0 {
                // In the place of the type.
                self.known = 1;
            }
            if let Some(place) = self.header.get_mut(self.known) {
                *place = *first;
            }
            self.known += 1;
            bytes = rest;
            if self.known == HEADER {
                let [kind, length @ ..] = self.header;
                self.body_left = (u32::from_be_bytes(length) as usize).saturating_sub(length.len());
                self.known = 0;
                asked += u32::from(!self.started || matches!(kind, b'Q' | b'S'));
                self.started = true;
            }
        }
    }
}

/// Of one connection.
pub struct Silence {
    /// Between two looks.
    pause: Duration,
    sent: Sent,
    /// Answers to come.
    waiting: u32,
    /// The database takes no more bytes.
    blocked: bool,
    /// Something was sent or received since the last look.
    moved: bool,
    quiet: u32,
    /// When to look again; `false`: nobody waits.
    alarm: Option<(Pin<Box<Sleep>>, bool)>,
}

impl Silence {
    /// `statement`: what one may take.
    pub fn after(statement: Duration) -> Self {
        Self::with_pause(statement.saturating_add(SLACK) / LOOKS)
    }

    fn with_pause(pause: Duration) -> Self {
        Self { pause, sent: Sent::default(), waiting: 0, blocked: false, moved: false, quiet: 0, alarm: None }
    }

    pub fn wrote(&mut self, bytes: &[u8]) {
        self.waiting = self.waiting.saturating_add(self.sent.questions(bytes));
        self.moved = true;
        self.blocked = false;
    }

    pub fn is_blocked(&mut self) {
        self.blocked = true;
    }

    /// `answers`: that ended among these bytes.
    pub fn read(&mut self, answers: u32) {
        self.waiting = self.waiting.saturating_sub(answers);
        self.moved = true;
    }

    /// Whether the connection is to be given up; the task is woken to ask again.
    pub fn is_too_long(&mut self, cx: &mut Context<'_>) -> bool {
        let is_awaited = self.waiting > 0 || self.blocked;
        if !is_awaited && self.alarm.as_ref().is_none_or(|(_, is_set)| !is_set) {
            return false;
        }
        let (alarm, is_set) = self.alarm.get_or_insert_with(|| (Box::pin(sleep(self.pause)), true));
        if !*is_set {
            alarm.as_mut().reset(Instant::now() + self.pause);
            (*is_set, self.moved, self.quiet) = (true, false, 0);
        }
        while alarm.as_mut().poll(cx).is_ready() {
            *is_set = is_awaited;
            if !is_awaited {
                return false;
            }
            self.quiet = if std::mem::take(&mut self.moved) { 0 } else { self.quiet + 1 };
            if self.quiet >= LOOKS {
                return true;
            }
            alarm.as_mut().reset(Instant::now() + self.pause);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;

    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut message = vec![kind];
        message.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
        message.extend_from_slice(body);
        message
    }

    #[test]
    fn questions_are_counted_however_they_are_cut() {
        let mut all = vec![0, 0, 0, 9, 0, 3, 0, 0, b'u'];
        for (kind, body) in
            [(b'P', &b"SELECT 1"[..]), (b'B', b"S\0\0\0\x04"), (b'S', b""), (b'Q', b"BEGIN"), (b'X', b"")]
        {
            all.extend(message(kind, body));
        }
        for size in 1..all.len() {
            let mut sent = Sent::default();
            let asked: Vec<u32> = all.chunks(size).map(|part| sent.questions(part)).collect();
            assert_eq!(asked.iter().sum::<u32>(), 3, "{size}: {asked:?}");
        }
    }

    fn is_set(silence: &Silence) -> bool {
        silence.alarm.as_ref().is_some_and(|(_, is_set)| *is_set)
    }

    #[test]
    fn silence_counts_while_somebody_waits() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let mut silence = Silence::with_pause(Duration::from_millis(5));
            let too_long = |silence: &mut Silence, cx: &mut Context<'_>| match silence.is_too_long(cx) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            };
            // Nobody asked.
            let is_right = poll_fn(|cx| Poll::Ready(!silence.is_too_long(cx) && !is_set(&silence))).await;
            assert!(is_right);
            // All is answered: looked for once more, and then no longer.
            silence.wrote(&[0, 0, 0, 4]);
            let is_right = poll_fn(|cx| Poll::Ready(!silence.is_too_long(cx) && is_set(&silence))).await;
            assert!(is_right);
            silence.read(1);
            poll_fn(|cx| {
                assert!(!silence.is_too_long(cx));
                if is_set(&silence) { Poll::Pending } else { Poll::Ready(()) }
            })
            .await;
            // It answers slowly.
            silence.wrote(&message(b'S', b""));
            silence.wrote(&message(b'S', b""));
            let mut looks = 0;
            poll_fn(|cx| {
                silence.read(0);
                looks += 1;
                assert!(!silence.is_too_long(cx));
                if looks > 3 * LOOKS { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            // One answer of two is missing.
            silence.read(1);
            poll_fn(|cx| too_long(&mut silence, cx)).await;
            // It takes nothing.
            let mut full = Silence::with_pause(Duration::from_millis(5));
            full.wrote(&[0, 0, 0, 4]);
            full.read(1);
            full.wrote(&message(b'd', b"much"));
            full.is_blocked();
            poll_fn(|cx| too_long(&mut full, cx)).await;
        });
    }
}
