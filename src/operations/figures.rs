//! What operations did that goes out of the house: mails, files, pushes. Counted for the page of metrics, in
//! [`super::services::State`].

use std::time::Duration;

use crate::files::FileError;
use crate::metrics::{Counter, Family, Histogram, Page};
use crate::push::{Device, Outcome};

/// Kinds of mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailKind {
    Verification,
    PasswordReset,
    /// Of Cloud Code's own.
    Other,
}

const MAILS: [&str; 3] = ["verification", "password_reset", "other"];
const OUTCOMES: [&str; 5] = ["accepted", "rejected", "retry", "unsent", "unknown"];

/// Of one application.
#[derive(Debug, Default)]
pub struct Figures {
    /// Sent, and not.
    mails: [[Counter; 2]; MAILS.len()],
    /// By push type, and the place of the outcome in [`OUTCOMES`].
    pushes: Family<[Counter; OUTCOMES.len()]>,
    uploads: Histogram,
    uploads_failed: Counter,
    uploaded_bytes: Counter,
    opened: Counter,
    open_failed: Counter,
    deleted: Counter,
}

impl Figures {
    pub fn mail(&self, kind: MailKind, is_sent: bool) {
        if let Some(count) =
            self.mails.get(kind as usize).and_then(|counts| counts.get(usize::from(!is_sent)))
        {
            count.increment();
        }
    }

    /// What became of a push to each of these devices.
    pub fn pushed(&self, devices: &[Device], outcomes: &[Outcome]) {
        for (device, outcome) in devices.iter().zip(outcomes) {
            let place = match outcome {
                Outcome::Accepted { .. } => 0,
                Outcome::Rejected { .. } => 1,
                Outcome::Retry { .. } => 2,
                Outcome::Unsent => 3,
                Outcome::Unknown => 4,
            };
            let counts = self.pushes.of(device.kind().unwrap_or(crate::metrics::OTHER));
            if let Some(count) = counts.get(place) {
                count.increment();
            }
        }
    }

    /// A file of so many bytes was stored, or was not.
    pub fn uploaded(&self, took: Duration, size: Option<u64>) {
        match size {
            Some(bytes) => {
                self.uploads.observe(took);
                self.uploaded_bytes.add(bytes);
            }
            None => self.uploads_failed.increment(),
        }
    }

    /// A file was opened for a reader. One that is not there is nobody's failure.
    pub fn opened<T>(&self, outcome: &Result<T, FileError>) {
        match outcome {
            Ok(_) => self.opened.increment(),
            Err(FileError::Store(_) | FileError::Corrupt(_)) => self.open_failed.increment(),
            Err(_) => {}
        }
    }

    pub fn deleted(&self) {
        self.deleted.increment();
    }

    /// `store` is the name of the kind of file store.
    pub fn report(&self, page: &mut Page, store: &str) {
        let help = "Mails handed to the mail adapter, by what they are for and whether it took them.";
        for (kind, counts) in MAILS.iter().zip(&self.mails) {
            for (outcome, count) in ["sent", "failed"].iter().zip(counts) {
                page.counter(
                    "parsimony_mails_total",
                    help,
                    &[("kind", kind), ("outcome", outcome)],
                    count.get(),
                );
            }
        }
        let help = "Pushes handed to a service, one for each device, by push type and what became of them.";
        for (kind, counts) in self.pushes.all() {
            for (outcome, count) in OUTCOMES.iter().zip(counts.iter()).filter(|(_, count)| count.get() > 0) {
                let labels = [("provider", &*kind), ("outcome", *outcome)];
                page.counter("parsimony_pushes_total", help, &labels, count.get());
            }
        }
        let labels = [("store", store)];
        let help = "Files that were stored, with the time that the client took to send them.";
        page.histogram("parsimony_file_upload_seconds", help, &labels, &self.uploads.totals());
        let help = "Bytes of files that were stored.";
        page.counter("parsimony_file_uploaded_bytes_total", help, &labels, self.uploaded_bytes.get());
        let help = "Work on files, by what it was.";
        for (operation, count) in [
            ("open", &self.opened),
            ("delete", &self.deleted),
            ("upload_failed", &self.uploads_failed),
            ("open_failed", &self.open_failed),
        ] {
            let labels = [("store", store), ("operation", operation)];
            page.counter("parsimony_file_operations_total", help, &labels, count.get());
        }
    }
}
