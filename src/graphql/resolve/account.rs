//! Mutations of accounts: signing up, logging in and out, mails, challenges.

use serde_json::{Map, Value, json};

use super::super::errors::Failure;
use super::super::execute::Asked;
use super::{Resolved, Server, internal, text};
use crate::error::{Error, ErrorCode};
use crate::operations::account::{challenge, login, mail, me};
use crate::operations::classes;
use crate::operations::classes::user::load;
use crate::operations::{Auth, Ctx};
use crate::types::{ClassName, Object};

/// Without the code that others have: parse-server lets these pass by where it adds them.
fn plain(error: Error) -> Failure {
    Failure::Plain(error)
}

impl<'e> Server<'e> {
    async fn sign_up_with(&self, fields: Object, asked: &Asked<'e>) -> Resolved {
        let ctx = self.ctx();
        let saved = classes::create(&ctx, &ClassName::known("_User"), fields).await?;
        let Value::Object(user) = saved.into_value() else { return Err(internal()) };
        self.now(&ctx, user, asked).await
    }

    /// The request is the user's from here on.
    async fn now(&self, ctx: &Ctx, user: Object, asked: &Asked<'e>) -> Resolved {
        let invalid =
            || Failure::Coded(Error::denied(ErrorCode::INVALID_SESSION_TOKEN, "Invalid session token"));
        let token = text(&user, "sessionToken").ok_or_else(invalid)?.to_owned();
        let id = text(&user, "objectId").ok_or_else(invalid)?.to_owned();
        let as_user = load::with_rights_of(ctx, &id, &token).await?;
        let principal = as_user.auth.principal.clone();
        let mut now = ctx.with_auth(Auth { credentials: ctx.auth.credentials, principal });
        let mut info = (*ctx.info).clone();
        info.session_token = Some(token.clone());
        now.info = std::sync::Arc::new(info);
        let names = self.names(asked);
        let mut viewer = self.viewer_of(&now, &id, &token, names.at(&["viewer", "user"])).await?;
        if let (Some(response), Some(shown)) = (user.get("authDataResponse"), viewer.get_mut("user")) {
            shown["authDataResponse"] = response.clone();
        }
        *self.ctx.borrow_mut() = now;
        Ok(json!({ "viewer": viewer }))
    }

    pub(super) async fn sign_up(&self, mut input: Map<String, Value>, asked: &Asked<'e>) -> Resolved {
        self.count("POST", "/users").await?;
        let fields = self.user_fields(&mut input).await?;
        self.sign_up_with(fields, asked).await
    }

    async fn user_fields(&self, input: &mut Map<String, Value>) -> Result<Object, Failure> {
        let Some(Value::Object(given)) = input.shift_remove("fields") else { return Ok(Object::new()) };
        self.fields(&self.ctx(), &ClassName::known("_User"), given, true, 0).await
    }

    pub(super) async fn log_in_with(&self, mut input: Map<String, Value>, asked: &Asked<'e>) -> Resolved {
        self.count("POST", "/users").await?;
        let mut fields = self.user_fields(&mut input).await?;
        fields.insert("authData".to_owned(), input.shift_remove("authData").unwrap_or_default());
        self.sign_up_with(fields, asked).await
    }

    pub(super) async fn log_in(&self, input: Map<String, Value>, asked: &Asked<'e>) -> Resolved {
        self.count("POST", "/login").await?;
        let ctx = self.ctx();
        let user = login::log_in(&ctx, &input, &Object::new()).await?;
        self.now(&ctx, user, asked).await
    }

    pub(super) async fn log_out(&self) -> Resolved {
        self.count("POST", "/logout").await?;
        me::log_out(&self.ctx()).await?;
        Ok(json!({ "ok": true }))
    }

    pub(super) async fn reset_password(&self, input: Map<String, Value>) -> Resolved {
        self.count("POST", "/requestPasswordReset").await?;
        mail::request_password_reset(&self.ctx(), &input).await.map_err(plain)?;
        Ok(json!({ "ok": true }))
    }

    pub(super) async fn confirm_reset_password(&self, input: Map<String, Value>) -> Resolved {
        self.count("POST", "/requestPasswordReset").await?;
        let given = |key: &str| text(&input, key).filter(|text| !text.is_empty());
        let refused = |code, text: &'static str| plain(Error::parse(code, text));
        let password = given("password")
            .ok_or_else(|| refused(ErrorCode::PASSWORD_MISSING, "you must provide a password"))?;
        let token =
            given("token").ok_or_else(|| refused(ErrorCode::OTHER_CAUSE, "you must provide a token"))?;
        let updated = mail::update_password(&self.ctx(), token, password).await;
        // A text that is thrown is no error to graphql-js.
        updated.map_err(|text| {
            let text = format!("Unexpected error value: {}", Value::from(text));
            plain(Error::parse(ErrorCode::OTHER_CAUSE, text))
        })?;
        Ok(json!({ "ok": true }))
    }

    pub(super) async fn send_verification_email(&self, input: Map<String, Value>) -> Resolved {
        self.count("POST", "/verificationEmailRequest").await?;
        mail::verification_email_request(&self.ctx(), &input).await?;
        Ok(json!({ "ok": true }))
    }

    pub(super) async fn challenge(&self, input: Map<String, Value>) -> Resolved {
        self.count("POST", "/challenge").await?;
        Ok(Value::Object(challenge::challenge(&self.ctx(), &input, &Object::new()).await?))
    }
}
