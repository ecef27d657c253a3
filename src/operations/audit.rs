//! What somebody who looks after a server wants to find again: who logged in and failed to, whose
//! sessions began and ended, which keys were refused, who changed rights.
//!
//! One line in the log for each, of target `parsimony::audit`, with the fields `event`, `by`, `ip` and
//! `subject`. Names of users are told by their ids; passwords, tokens, keys, mail addresses and what
//! strangers typed as a name never get here. Called by the operations and by `http`.

use super::caller::{Auth, Credentials};
use super::context::Ctx;

/// A line about something the caller of a request did, or tried.
pub fn note(ctx: &Ctx, event: &'static str, subject: &str) {
    line(event, &who(&ctx.auth), &ctx.info.ip, subject);
}

/// The same of a request that was refused before anybody knew its caller.
pub fn note_stranger(event: &'static str, ip: &str, subject: &str) {
    line(event, "unknown", ip, subject);
}

fn line(event: &'static str, by: &str, ip: &str, subject: &str) {
    tracing::info!(target: "parsimony::audit", event, by, ip, subject, "audit: {event} of {subject} by {by}");
}

fn who(auth: &Auth) -> String {
    match (auth.credentials, auth.user_id()) {
        (Credentials::Master, _) => "master key".to_owned(),
        (Credentials::ReadOnlyMaster, _) => "read-only master key".to_owned(),
        (Credentials::Maintenance, _) => "maintenance key".to_owned(),
        (Credentials::Client, Some(user)) => format!("user {user}"),
        (Credentials::Client, None) => "anonymous".to_owned(),
    }
}
