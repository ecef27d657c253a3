//! What follows the statement of a user's write: sessions that end and begin, the mail to a new address.

use serde_json::Value;

use super::memory::Memory;
use super::{auth_data, mail, verification};
use crate::error::Result;
use crate::operations::classes::session as sessions;
use crate::operations::object::write::{Saved, Stored};
use crate::operations::transactions::Effect;
use crate::operations::{Ctx, audit};

/// Sessions of a new user, or of one with a new password.
///
/// # Errors
/// When storage fails, and what a function of the configuration throws.
pub async fn run(ctx: &Ctx, memory: &mut Memory, stored: &Stored, saved: &mut Saved) -> Result<()> {
    let Some(id) = stored.object_id().map(str::to_owned) else { return Ok(()) };
    if stored.id.is_some() {
        ctx.after_commit(Effect::UserChanged(id.clone())).await;
    }
    let cleared = clear_sessions(ctx, memory, &id).await;
    let given = give_sessions(ctx, memory, stored, saved, &id).await;
    if memory.sends_verification {
        mail::send_verification(ctx, &id).await;
    }
    cleared.and(given)
}

/// Whoever changes a password may do so because somebody else knows it.
async fn clear_sessions(ctx: &Ctx, memory: &Memory, id: &str) -> Result<()> {
    if !memory.clears_sessions {
        return Ok(());
    }
    audit::note(ctx, "password_changed", id);
    if ctx.config().users.revoke_session_on_password_reset {
        sessions::remove_all_of(ctx, id).await?;
    }
    Ok(())
}

async fn give_sessions(
    ctx: &Ctx,
    memory: &mut Memory,
    stored: &Stored,
    saved: &mut Saved,
    id: &str,
) -> Result<()> {
    let created_with = memory.created_with(stored.is_create(), &stored.data);
    if wants_session(ctx, memory, stored, created_with.as_ref()).await? {
        let given = stored.data.get("authData").and_then(Value::as_object);
        let names = given.and_then(auth_data::names).filter(|_| memory.auth_provider.is_none());
        // Who proves himself by a provider logs in, also where that makes him a user.
        let by_provider = names.map(|names| sessions::created_with("login", &names));
        give_session(ctx, saved, id, by_provider.or_else(|| created_with.clone())).await?;
    }
    if memory.renews_session {
        give_session(ctx, saved, id, created_with).await?;
    }
    Ok(())
}

async fn give_session(ctx: &Ctx, saved: &mut Saved, id: &str, created_with: Option<Value>) -> Result<()> {
    if sessions::is_by_program(ctx) {
        return Ok(());
    }
    let token = sessions::create_for(ctx, id, created_with).await?;
    saved.body.insert("sessionToken".to_owned(), token.into());
    Ok(())
}

/// Sign-ups get a session unless their address must be verified first; linking does not.
async fn wants_session(
    ctx: &Ctx,
    memory: &mut Memory,
    stored: &Stored,
    created_with: Option<&Value>,
) -> Result<bool> {
    let has_data = stored.data.contains_key("authData");
    if (stored.id.is_some() && !has_data) || (ctx.auth.principal.is_some() && has_data) {
        return Ok(false);
    }
    let users = &ctx.config().users;
    let may_keep_out = users.verify_user_emails.is_on() && users.prevent_login_with_unverified_email.is_on();
    if memory.auth_provider.is_none() && may_keep_out {
        let original = stored.original.as_ref().map(|original| &original.object);
        let request = verification::request(ctx, original, &stored.data, Some(&stored.times), created_with);
        if verification::keeps_out(ctx, &request).await? {
            memory.is_rejected = true;
            return Ok(false);
        }
    }
    Ok(true)
}
