//! Spotify: an authorization code with PKCE, so the exchange needs no secret.

use async_trait::async_trait;

use crate::auth::env::{ProviderEnv, form, given, text};
use crate::auth::not_found;
use crate::auth::oauth::code_flow::{Client, CodeFlow, Grant, foreign};
use crate::error::{Error, Result};
use crate::outbound::Request;
use crate::types::Object;

const TOKEN: &str = "https://accounts.spotify.com/api/token";
const USER: &str = "https://api.spotify.com/v1/me";

pub struct Spotify;

fn unanswered() -> Error {
    not_found("Spotify API request failed.")
}

#[async_trait(?Send)]
impl CodeFlow for Spotify {
    fn label(&self) -> &'static str {
        "spotify"
    }

    async fn exchange(&self, env: &ProviderEnv, client: &Client, code: &str, data: &Object) -> Result<Grant> {
        let (Some(redirect), Some(verifier)) = (given(data, "redirect_uri"), given(data, "code_verifier"))
        else {
            return Err(not_found(
                "Spotify auth configuration authData.code and/or authData.redirect_uri and/or \
                 authData.code_verifier.",
            ));
        };
        let pairs = [
            ("grant_type", Some("authorization_code")),
            ("code", Some(code)),
            ("redirect_uri", Some(redirect.as_str())),
            ("code_verifier", Some(verifier.as_str())),
            ("client_id", Some(client.id.as_str())),
        ];
        let answer = env.ask_json("spotify", form(Request::post(TOKEN), &pairs)).await;
        Grant::of(&answer.map_err(|_| unanswered())?).ok_or_else(unanswered)
    }

    async fn identify(&self, env: &ProviderEnv, grant: &Grant, _: &Object) -> Result<String> {
        let user = env.ask_json("spotify", Request::get(USER).bearer(&grant.access_token)).await;
        text(user.map_err(|_| unanswered())?.get("id")).ok_or_else(|| foreign(self))
    }
}
