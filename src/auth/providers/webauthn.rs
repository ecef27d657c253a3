//! Passkeys (WebAuthn): `POST /challenge` hands out what the browser signs, `authData.webauthn` brings the signature.
//!
//! What has to be remembered between the two is sealed and carried by the client. An assertion counts once: which
//! ones were used stands with the user's credentials until they have run out, and changes together with them. The id
//! is a random user handle, which discoverable credentials tell; a user may have several credentials under it.

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use webauthn_rs::prelude::{
    CredentialID, DiscoverableAuthentication, Passkey, PasskeyRegistration, PublicKeyCredential,
    RegisterPublicKeyCredential, Url, Uuid, Webauthn, WebauthnBuilder, WebauthnError,
};

use crate::auth::env::{ProviderEnv, text};
use crate::auth::settings::Settings;
use crate::auth::{AuthProvider, AuthRequest, Policy, Step, Verdict, refused};
use crate::error::{Error, Result};
use crate::types::Object;

/// From the challenge to its answer, in seconds.
const CEREMONY: i64 = 300;
/// Credentials of one user.
const MOST_CREDENTIALS: usize = 16;
/// Answers of one user within the time of a ceremony.
const MOST_USED: usize = 64;
const PURPOSE: &str = "webauthn";
/// Longest name of a user that is put on an authenticator.
const MAX_NAME: usize = 64;

/// What is remembered of a challenge.
#[derive(Serialize, Deserialize)]
struct Ceremony {
    provider: String,
    until: i64,
    kind: Kind,
}

#[derive(Serialize, Deserialize)]
enum Kind {
    Registration { user: Uuid, state: Box<PasskeyRegistration> },
    Login(Box<DiscoverableAuthentication>),
}

/// What a user has. Credentials are kept as texts, so that a change of one can be seen by comparing.
#[derive(Default)]
struct Stored {
    id: String,
    credentials: Vec<Passkey>,
    /// `<hash>:<until>`
    used: Vec<String>,
}

impl Stored {
    fn read(stored: Option<&Object>) -> Option<Self> {
        let stored = stored?;
        let texts = |key: &str| stored.get(key).and_then(Value::as_array).into_iter().flatten();
        Some(Self {
            id: text(stored.get("id"))?,
            credentials: texts("credentials")
                .filter_map(|one| serde_json::from_str(one.as_str()?).ok())
                .collect(),
            used: texts("used").filter_map(|one| one.as_str().map(str::to_owned)).collect(),
        })
    }

    fn write(&self) -> Result<Value> {
        let texts: Vec<String> = self
            .credentials
            .iter()
            .map(serde_json::to_string)
            .collect::<serde_json::Result<_>>()
            .map_err(Error::internal)?;
        Ok(json!({ "id": self.id, "credentials": texts, "used": self.used }))
    }
}

pub struct Passkeys {
    env: Arc<ProviderEnv>,
    webauthn: Webauthn,
    name: String,
}

/// # Errors
/// Without origins, and with a relying party that they do not belong to.
pub fn webauthn(settings: &Settings<'_>, env: &Arc<ProviderEnv>) -> Result<Arc<dyn AuthProvider>> {
    let origins: Option<Vec<Url>> =
        settings.texts("origins").iter().map(|origin| Url::parse(origin).ok()).collect();
    let origins = origins.filter(|origins| !origins.is_empty());
    let origins = origins.ok_or_else(|| refused("webauthn origins are required."))?;
    let Some(first) = origins.first() else { return Err(refused("webauthn origins are required.")) };
    let id = settings.text("rpId").or_else(|| first.host_str().map(str::to_owned)).unwrap_or_default();
    let wrong = |error: WebauthnError| {
        tracing::warn!(%error, "auth.webauthn: {error}");
        refused("webauthn rpId and origins do not fit.")
    };
    let rp_name = settings.text("rpName").unwrap_or_else(|| id.clone());
    let mut builder = WebauthnBuilder::new(&id, first).map_err(wrong)?.rp_name(&rp_name);
    for origin in origins.get(1..).unwrap_or_default() {
        builder = builder.append_allowed_origin(origin);
    }
    let webauthn = builder.build().map_err(wrong)?;
    Ok(Arc::new(Passkeys { env: env.clone(), webauthn, name: settings.name.to_owned() }))
}

fn invalid() -> Error {
    refused("Invalid passkey.")
}

fn expired() -> Error {
    refused("The passkey challenge is not valid or has expired.")
}

fn refuse(error: WebauthnError) -> Error {
    tracing::warn!(provider = "webauthn", %error, "a passkey was refused: {error}");
    invalid()
}

/// What browsers send, as their `toJSON` makes it.
/// The id of a credential as browsers write it.
fn id_text(credential: &Passkey) -> String {
    URL_SAFE_NO_PAD.encode(credential.cred_id())
}

fn parsed<T: serde::de::DeserializeOwned>(value: &Value) -> Result<T> {
    serde_json::from_value(value.clone()).map_err(|_| invalid())
}

impl Passkeys {
    fn seal(&self, kind: Kind) -> Result<String> {
        let until = self.env.now() + CEREMONY;
        let ceremony = Ceremony { provider: self.name.clone(), until, kind };
        let plain = serde_json::to_vec(&ceremony).map_err(Error::internal)?;
        Ok(self.env.seal.seal(PURPOSE, &plain))
    }

    /// The ceremony, and what it is remembered by once it was used.
    fn open(&self, data: &Object) -> Result<(Ceremony, String)> {
        let state = data.get("state").and_then(Value::as_str).ok_or_else(expired)?;
        let plain = self.env.seal.open(PURPOSE, state).ok_or_else(expired)?;
        let ceremony: Ceremony = serde_json::from_slice(&plain).map_err(|_| expired())?;
        let is_ours = ceremony.provider == self.name && self.env.now() < ceremony.until;
        let mark = format!("{}:{}", hex::encode(Sha256::digest(&plain)), ceremony.until);
        if is_ours { Ok((ceremony, mark)) } else { Err(expired()) }
    }

    fn start_registration(&self, asked: &Value, user: Option<&Object>) -> Result<Value> {
        let stored = user.and_then(|user| user.get("authData")?.get(&self.name)?.as_object());
        let stored = Stored::read(stored).unwrap_or_default();
        let handle = Uuid::parse_str(&stored.id).unwrap_or_else(|_| Uuid::new_v4());
        let wish = |key: &str| text(asked.get(key));
        let known = user.and_then(|user| text(user.get("username")));
        let name = wish("name").or(known).unwrap_or_else(|| "user".to_owned());
        let name: String = name.chars().take(MAX_NAME).collect();
        let shown: String =
            wish("displayName").unwrap_or_else(|| name.clone()).chars().take(MAX_NAME).collect();
        let known: Vec<CredentialID> = stored.credentials.iter().map(|one| one.cred_id().clone()).collect();
        let (options, state) =
            self.webauthn.start_passkey_registration(handle, &name, &shown, Some(known)).map_err(refuse)?;
        let mut options = serde_json::to_value(options).map_err(Error::internal)?;
        // Who logs in is told by the credential alone.
        if let Some(selection) = options.pointer_mut("/publicKey/authenticatorSelection") {
            selection["residentKey"] = "required".into();
            selection["requireResidentKey"] = true.into();
        }
        options["state"] = self.seal(Kind::Registration { user: handle, state: Box::new(state) })?.into();
        Ok(options)
    }

    fn start_login(&self) -> Result<Value> {
        let (options, state) = self.webauthn.start_discoverable_authentication().map_err(refuse)?;
        let mut options = serde_json::to_value(options).map_err(Error::internal)?;
        if let Some(options) = options.as_object_mut() {
            options.shift_remove("mediation");
        }
        options["state"] = self.seal(Kind::Login(Box::new(state)))?.into();
        Ok(options)
    }

    /// A new credential, of a new user or beside others.
    fn register(&self, data: &Object, stored: Option<Stored>) -> Result<Value> {
        let answer = data.get("registration").ok_or_else(invalid)?;
        let Kind::Registration { user, state } = self.open(data)?.0.kind else { return Err(expired()) };
        let answer: RegisterPublicKeyCredential = parsed(answer)?;
        let credential = self.webauthn.finish_passkey_registration(&answer, &state).map_err(refuse)?;
        let mut stored = stored.unwrap_or_else(|| Stored { id: user.to_string(), ..Stored::default() });
        let is_new = stored.credentials.iter().all(|one| one.cred_id() != credential.cred_id());
        if stored.id != user.to_string() || !is_new || stored.credentials.len() >= MOST_CREDENTIALS {
            return Err(invalid());
        }
        stored.credentials.push(credential);
        stored.write()
    }

    /// A login with one of the user's credentials.
    fn log_in(&self, data: &Object, mut stored: Stored) -> Result<Value> {
        let answer = data.get("assertion").ok_or_else(invalid)?;
        let (ceremony, mark) = self.open(data)?;
        let Kind::Login(state) = ceremony.kind else { return Err(expired()) };
        let answer: PublicKeyCredential = parsed(answer)?;
        let (user, id) = self.webauthn.identify_discoverable_authentication(&answer).map_err(refuse)?;
        let now = self.env.now();
        let runs = |used: &String| {
            used.rsplit_once(':')
                .and_then(|(_, until)| until.parse().ok())
                .is_some_and(|until: i64| now < until)
        };
        stored.used.retain(runs);
        if user.to_string() != stored.id || stored.used.contains(&mark) || stored.used.len() >= MOST_USED {
            return Err(invalid());
        }
        let credential = stored.credentials.iter_mut().find(|one| &one.cred_id()[..] == id);
        let credential = credential.ok_or_else(invalid)?;
        let finished = self.webauthn.finish_discoverable_authentication_v2(&answer, *state, &*credential);
        let finished = finished.map_err(refuse)?;
        if !finished.user_verified() {
            return Err(invalid());
        }
        credential.update_credential(&finished);
        stored.used.push(mark);
        stored.write()
    }

    /// Without one of several credentials.
    fn remove(&self, id: &Value, mut stored: Stored) -> Result<Value> {
        let id = id.as_str().ok_or_else(invalid)?;
        let before = stored.credentials.len();
        stored.credentials.retain(|one| id_text(one) != id);
        if stored.credentials.len() == before || stored.credentials.is_empty() {
            return Err(invalid());
        }
        stored.write()
    }
}

#[async_trait(?Send)]
impl AuthProvider for Passkeys {
    /// The id comes from the authenticator or from the challenge, never from the client's word.
    async fn before_find(&self, data: &mut Object) -> Result<()> {
        let id = if let Some(answer) = data.get("assertion") {
            let answer: PublicKeyCredential = parsed(answer)?;
            self.webauthn.identify_discoverable_authentication(&answer).map_err(refuse)?.0
        } else if data.contains_key("registration") {
            match self.open(data)?.0.kind {
                Kind::Registration { user, .. } => user,
                Kind::Login(_) => return Err(expired()),
            }
        } else {
            return Ok(());
        };
        data.insert("id".to_owned(), id.to_string().into());
        Ok(())
    }

    async fn validate(&self, step: Step, data: &Value, request: &AuthRequest<'_>) -> Result<Verdict> {
        let data = data.as_object().ok_or_else(invalid)?;
        let stored = Stored::read(request.stored(&self.name));
        let saved = match (step, stored) {
            (Step::SetUp, stored) => self.register(data, stored)?,
            (Step::Login, Some(stored)) => self.log_in(data, stored)?,
            (Step::Update, Some(stored)) => match data.get("remove") {
                Some(id) => self.remove(id, stored)?,
                None if data.contains_key("assertion") => self.log_in(data, stored)?,
                None => self.register(data, Some(stored))?,
            },
            (_, None) => return Err(invalid()),
        };
        // A challenge for another provider does not use the passkey up.
        Ok(if request.is_challenge { Verdict::do_not_save() } else { Verdict::save(saved) })
    }

    /// What the user has on him, and what he knows or is: enough on its own.
    async fn policy(&self, _: &Value, _: bool) -> Result<Policy> {
        Ok(Policy::Solo)
    }

    async fn challenge(
        &self,
        challenge: &Value,
        _: Option<&Value>,
        request: &AuthRequest<'_>,
    ) -> Result<Option<Value>> {
        let options = match challenge.get("register") {
            None | Some(Value::Null | Value::Bool(false)) => self.start_login()?,
            Some(asked) => self.start_registration(asked, request.session_user)?,
        };
        Ok(Some(options))
    }

    fn mask(&self, stored: &Value) -> Option<Value> {
        let credentials = Stored::read(stored.as_object())?.credentials;
        let ids: Vec<String> = credentials.iter().map(id_text).collect();
        Some(json!({ "id": stored.get("id")?, "credentials": ids }))
    }
}
