//! The built-in providers, a file each, and the table of them: which name makes what.

mod anonymous;
mod apple;
mod facebook;
mod gcenter;
mod github;
mod google;
mod gpgames;
mod instagram;
mod janraincapture;
mod janrainengage;
mod keycloak;
mod ldap;
mod line;
mod linkedin;
mod meetup;
mod microsoft;
mod oauth2;
mod oidc;
mod phantauth;
mod qq;
mod spotify;
mod twitter;
mod vkontakte;
mod webauthn;
mod wechat;
mod weibo;

use std::borrow::Cow;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

pub use anonymous::Anonymous;

use super::env::ProviderEnv;
use super::oauth::code_flow::code_flow;
use super::settings::Settings;
use super::{AuthProvider, AuthRequest, Step, Verdict};
use crate::error::{Error, ErrorCode, Result};
use crate::types::Object;

type Made = Result<Arc<dyn AuthProvider>>;

/// Makes a provider from the app's settings, or says what they lack.
type Maker = fn(&Settings<'_>, &Arc<ProviderEnv>) -> Made;

/// Every provider that asks somebody else. Those of this server's own, `anonymous` and `mfa`, are made beside it.
const PROVIDERS: [(&str, Maker); 24] = [
    ("apple", apple::apple),
    ("digits", twitter::twitter),
    ("facebook", facebook::facebook),
    ("gcenter", gcenter::gcenter),
    ("github", |settings, env| code_flow(github::GitHub, settings, env)),
    ("google", google::google),
    ("gpgames", |settings, env| code_flow(gpgames::PlayGames, settings, env)),
    ("instagram", |settings, env| {
        code_flow(instagram::Instagram { redirect: settings.text("redirectUri") }, settings, env)
    }),
    ("janraincapture", janraincapture::janraincapture),
    ("janrainengage", janrainengage::janrainengage),
    ("keycloak", keycloak::keycloak),
    ("ldap", |settings, _| ldap::ldap(settings)),
    ("line", |settings, env| code_flow(line::Line, settings, env)),
    ("linkedin", |settings, env| code_flow(linkedin::LinkedIn, settings, env)),
    ("meetup", meetup::meetup),
    ("microsoft", |settings, env| code_flow(microsoft::Microsoft, settings, env)),
    ("phantauth", phantauth::phantauth),
    ("qq", |settings, env| code_flow(qq::Qq, settings, env)),
    ("spotify", |settings, env| code_flow(spotify::Spotify, settings, env)),
    ("twitter", twitter::twitter),
    ("vkontakte", vkontakte::vkontakte),
    ("webauthn", webauthn::webauthn),
    ("wechat", |settings, env| code_flow(wechat::WeChat, settings, env)),
    ("weibo", |settings, env| code_flow(weibo::Weibo, settings, env)),
];

/// Kinds of providers, by the key of an entry that asks for one; the entry's name is the application's choice.
const KINDS: [(&str, Maker); 2] = [("oauth2", oauth2::oauth2), ("oidc", oidc::oidc)];

/// Names that mean something without an entry in the option `auth`: those that parse-server knows.
pub fn names() -> impl Iterator<Item = &'static str> {
    PROVIDERS.iter().map(|(name, _)| *name).filter(|name| *name != "webauthn")
}

/// The provider that these settings make; `None` where name and settings mean none that is built in.
pub fn make(settings: &Settings<'_>, env: &Arc<ProviderEnv>) -> Option<Made> {
    let asks_for = |kind: &str| match kind {
        "oidc" => settings.object(kind).is_some(),
        _ => settings.is_on(kind),
    };
    let kind = KINDS.iter().find(|(kind, _)| asks_for(kind));
    let (_, maker) = kind.or_else(|| PROVIDERS.iter().find(|(name, _)| *name == settings.name))?;
    Some(maker(settings, env))
}

/// A provider whose settings lack something: every use of it says what.
pub struct Misconfigured {
    code: ErrorCode,
    text: Cow<'static, str>,
}

impl Misconfigured {
    pub fn new(error: &Error) -> Self {
        let (code, text) = match error {
            Error::Parse { code, message } => (*code, message.clone()),
            other => (ErrorCode::INTERNAL_SERVER_ERROR, other.to_string().into()),
        };
        Self { code, text }
    }

    fn error(&self) -> Error {
        Error::parse(self.code, self.text.clone())
    }
}

#[async_trait(?Send)]
impl AuthProvider for Misconfigured {
    async fn before_find(&self, _: &mut Object) -> Result<()> {
        Err(self.error())
    }

    async fn validate(&self, _: Step, _: &Value, _: &AuthRequest<'_>) -> Result<Verdict> {
        Err(self.error())
    }
}
