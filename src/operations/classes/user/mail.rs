//! Mails to users: where their links lead, and how they are sent. Sign-ups and changes of addresses send from
//! here, and so does [`crate::operations::account::mail`].

use serde_json::{Value, json};

use super::load::{find, mark_as_user};
use crate::cloud::{AdapterArg, CallbackId};
use crate::config::OptionValue;
use crate::error::{Error, ErrorCode, Result};
use crate::mail::{AccountMail, Mail, default_password_reset, default_verification};
use crate::operations::Ctx;
use crate::operations::figures::MailKind;
use crate::query::Filter;
use crate::types::javascript::is_truthy;
use crate::types::time::Millis;
use crate::types::{Object, ObjectId};

/// The only user a filter matches, internal columns included.
pub async fn find_user(ctx: &Ctx, filter: Filter) -> Result<Option<Object>> {
    let mut found = find(ctx, filter, 2).await?;
    Ok(if found.len() == 1 { found.pop() } else { None })
}

/// Where links lead: `publicServerURL`, asked for when it is a function.
///
/// # Errors
/// What the function throws.
pub async fn public_url(ctx: &Ctx) -> Result<Option<String>> {
    match &ctx.config().http.public_server_url {
        None => Ok(None),
        Some(OptionValue::Value(url)) => Ok(Some(url.clone())),
        Some(OptionValue::Callback(id)) => {
            let id = CallbackId(u32::try_from(id.0).map_err(Error::internal)?);
            let url = ctx.services.cloud.call_callback(id, Vec::<AdapterArg>::new()).await?;
            Ok(url.as_str().map(str::to_owned))
        }
    }
}

/// What mails with links cannot do without.
pub struct Setup {
    pub app_name: String,
    public_url: String,
}

/// # Errors
/// 1 when an option is missing.
pub async fn setup(ctx: &Ctx) -> Result<Setup> {
    let complete = (ctx.config().app_name.clone(), public_url(ctx).await?, ctx.services.mail.is_some());
    match complete {
        (Some(app_name), Some(public_url), true) => Ok(Setup { app_name, public_url }),
        _ => Err(Error::parse(
            ErrorCode::INTERNAL_SERVER_ERROR,
            "An appName, publicServerURL, and emailAdapter are required for password reset and email verification functionality.",
        )),
    }
}

impl Setup {
    /// `<public>/<apps>/<appId>/<page>?token=…`, or the frame of `customPages.parseFrameURL` around it.
    pub fn link(&self, ctx: &Ctx, page: &str, token: &str) -> String {
        let config = ctx.config();
        let path = format!("/{}/{}/{page}", config.pages.pages_endpoint, config.app_id);
        match config.pages.custom_pages.get("parseFrameURL") {
            Some(frame) => {
                let path: String = url::form_urlencoded::byte_serialize(path.as_bytes()).collect();
                format!("{frame}?link={path}&token={token}")
            }
            None => format!("{}{path}?token={token}", self.public_url),
        }
    }
}

/// So many seconds from now, as a column holds it.
pub fn expiry(seconds: f64) -> Value {
    json!({ "__type": "Date", "iso": Millis::in_seconds(seconds).to_iso() })
}

pub fn date_of(user: &Object, column: &str) -> Option<Millis> {
    Millis::parse(user.get(column)?.get("iso")?.as_str()?)
}

pub fn text_of<'o>(object: &'o Object, key: &str) -> Option<&'o str> {
    object.get(key).and_then(Value::as_str)
}

/// Without what no adapter and no page needs to see.
pub fn public_user(mut user: Object) -> Object {
    user.retain(|key, _| !key.starts_with('_') && key != "password");
    user
}

async fn send(ctx: &Ctx, mail: AccountMail, reset: bool) -> Result<()> {
    let Some(adapter) = &ctx.services.mail else { return Ok(()) };
    if !crate::mail::is_bare_address(&crate::mail::address_of(&mail.user)) {
        return Err(Error::internal("the user's address is not a bare mail address"));
    }
    let own =
        if reset { adapter.send_password_reset(&mail).await } else { adapter.send_verification(&mail).await };
    if own? {
        return Ok(());
    }
    let mail: Mail = if reset { default_password_reset(&mail) } else { default_verification(&mail) };
    adapter.send(mail).await.map(|_| ())
}

/// Sends in the background: nobody waits for a mail server, and no answer tells how it went.
pub fn send_later(ctx: &Ctx, mail: AccountMail, reset: bool) {
    let ctx = ctx.clone();
    tokio::task::spawn_local(async move {
        let sent = send(&ctx, mail, reset).await;
        let kind = if reset { MailKind::PasswordReset } else { MailKind::Verification };
        if ctx.services.mail.is_some() {
            ctx.services.state.figures.mail(kind, sent.is_ok());
        }
        if let Err(error) = sent {
            tracing::error!(%error, reset, "a mail could not be sent");
        }
    });
}

/// Whether a mail is due for a user who has just got a verification token; sends it in the background.
pub async fn send_verification(ctx: &Ctx, user_id: &str) {
    let sent = async {
        let setup = setup(ctx).await?;
        let id = ObjectId::new(user_id).ok_or_else(|| Error::internal("a user without an id"))?;
        let Some(user) = find_user(ctx, Filter::by_id(&id)).await? else { return Ok(()) };
        deliver_verification(ctx, setup, user).await
    };
    let sent: Result<()> = sent.await;
    if let Err(error) = sent {
        tracing::error!(%error, "a verification mail could not be sent");
    }
}

/// Sends the mail with the user's token, if the application wants it sent.
///
/// # Errors
/// What a function of the configuration throws.
pub async fn deliver_verification(ctx: &Ctx, setup: Setup, user: Object) -> Result<()> {
    let Some(token) = text_of(&user, "_email_verify_token").map(str::to_owned) else { return Ok(()) };
    let wanted = match &ctx.config().users.send_user_email_verification {
        OptionValue::Value(wanted) => *wanted,
        OptionValue::Callback(id) => {
            let mut shown = public_user(user.clone());
            mark_as_user(&mut shown);
            let request = json!({ "user": shown, "master": ctx.auth.is_master() });
            let id = CallbackId(u32::try_from(id.0).map_err(Error::internal)?);
            let answer = ctx.services.cloud.call_callback(id, vec![AdapterArg::Decoded(request)]).await?;
            is_truthy(&answer)
        }
    };
    if wanted {
        let link = setup.link(ctx, "verify_email", &token);
        send_later(ctx, AccountMail { link, app_name: setup.app_name, user: public_user(user) }, false);
    }
    Ok(())
}
