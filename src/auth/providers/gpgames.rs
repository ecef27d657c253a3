//! Google Play Games Services: an authorization code of the app's server, and the player it belongs to.

use async_trait::async_trait;
use http::HeaderValue;
use http::header::ACCEPT;
use serde_json::json;

use crate::auth::env::{ProviderEnv, given, text};
use crate::auth::oauth::code_flow::{Client, CodeFlow, Grant, check_error, failed, invalid};
use crate::error::{Error, Result};
use crate::outbound::Request;
use crate::types::Object;

const TOKEN: &str = "https://oauth2.googleapis.com/token";
const PLAYERS: &str = "https://www.googleapis.com/games/v1/players";
const JSON: HeaderValue = HeaderValue::from_static("application/json");

pub struct PlayGames;

fn malformed() -> Error {
    invalid("Invalid Google Play Games Services user data received.")
}

#[async_trait(?Send)]
impl CodeFlow for PlayGames {
    fn label(&self) -> &'static str {
        "gpgames"
    }

    async fn exchange(&self, env: &ProviderEnv, client: &Client, code: &str, data: &Object) -> Result<Grant> {
        let mut body = json!({ "client_id": client.id, "client_secret": client.secret, "code": code });
        if let Some(redirect) = given(data, "redirectUri") {
            body["redirect_uri"] = redirect.into();
        }
        body["grant_type"] = "authorization_code".into();
        let request = Request::post(TOKEN).json(&body).map_err(Error::internal)?.header(ACCEPT, JSON);
        let answer = env.ask_json("gpgames", request).await;
        let answer = answer.map_err(|why| failed("Failed to exchange code for token", why))?;
        check_error(&answer)?;
        Grant::of(&answer).ok_or_else(|| invalid("Failed to exchange code for token: no token"))
    }

    async fn identify(&self, env: &ProviderEnv, grant: &Grant, data: &Object) -> Result<String> {
        // It becomes part of the path: a name of one segment, and none that means another place.
        let id = given(data, "id")
            .filter(|id| id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')));
        let id = id.ok_or_else(malformed)?;
        let request = Request::get(&format!("{PLAYERS}/{id}")).bearer(&grant.access_token);
        let player = env.ask_json("gpgames", request.header(ACCEPT, JSON)).await;
        let player = player.map_err(|why| failed("Failed to fetch Google Play Games Services user", why))?;
        text(player.get("playerId")).filter(|player| *player == id).ok_or_else(malformed)
    }
}
