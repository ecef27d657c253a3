//! The rules of `_User`: sign-up and changes of users, step by step (`RestWrite.validateAuthData`,
//! `transformUser` and what follows the statement).

use async_trait::async_trait;
use serde_json::{Value, json};

use super::memory::Memory;
use super::{auth_data, fields, follow_up, load, log_in};
use crate::cloud::TriggerKind;
use crate::error::{Error, ErrorCode, Result};
use crate::operations::object::write::ops::is_delete;
use crate::operations::object::write::triggers::has;
use crate::operations::object::write::{Checked, ClassRules, Draft, Saved, Stored};
use crate::operations::transactions::Effect;
use crate::operations::{Ctx, audit};
use crate::storage::StorageError;
use crate::types::{FieldPath, ObjectId, Op, RowRef};

#[derive(Debug, Default)]
pub struct UserRules(Memory);

#[async_trait(?Send)]
impl ClassRules for UserRules {
    /// Names, passwords and `authData` of a request; a login through `authData` ends here.
    async fn prepare(&mut self, ctx: &Ctx, draft: &mut Draft) -> Result<Option<Saved>> {
        refuse_paths(draft)?;
        check_id(draft)?;
        let answer = log_in::check(ctx, &mut self.0, draft).await?;
        let verifies = draft.data.keys().any(|key| key.split('.').next() == Some("emailVerified"));
        if verifies && !ctx.auth.is_unrestricted() {
            return Err(Error::forbidden("Clients aren't allowed to manually update email verification."));
        }
        Ok(answer)
    }

    /// A trigger may have put ids of its own into `authData`: 208 for an id of somebody else.
    async fn after_before_save(&mut self, ctx: &Ctx, draft: &mut Draft) -> Result<()> {
        if has(ctx, TriggerKind::BeforeSave, &draft.class)
            && let Some(Value::Object(given)) = draft.data.get("authData")
        {
            let mut given = given.clone();
            let found = auth_data::find_users(ctx, &mut given, false, None).await?;
            let found = auth_data::not_locked_out(ctx, found);
            let own = log_in::subject(ctx, draft).or(draft.object_id());
            if found.len() > 1 || found.first().is_some_and(|user| Some(load::object_id(user)) != own) {
                return Err(auth_data::already_used());
            }
        }
        let changes = |key: &str| draft.data.contains_key(key);
        if !draft.is_create() && (changes("password") || changes("email")) {
            for column in ["_perishable_token", "_perishable_token_expires_at"] {
                draft.internal.insert(column.to_owned(), json!({ "__op": "Delete" }));
            }
        }
        Ok(())
    }

    async fn transform(&mut self, ctx: &Ctx, checked: &mut Checked) -> Result<()> {
        fields::transform(ctx, &mut self.0, checked).await
    }

    /// A user without its name could only be found by its id.
    fn check(&self, draft: &Draft) -> Result<()> {
        if draft.is_create() && draft.data.get("username").is_some_and(is_delete) {
            return Err(Error::parse(ErrorCode::USERNAME_MISSING, "bad or missing username"));
        }
        Ok(())
    }

    /// `authData` goes provider by provider: those that are not named stay.
    fn operations(&self, field: &str, value: &Value) -> Option<Vec<(FieldPath, Op)>> {
        (field == "authData").then(|| value.as_object().map(auth_data::operations).unwrap_or_default())
    }

    fn map_error(&self, error: StorageError) -> Error {
        match &error {
            StorageError::Duplicate { field: Some(field), provider: None }
                if matches!(field.as_str(), "username" | "email") =>
            {
                fields::taken(field)
            }
            _ => error.into(),
        }
    }

    fn nothing_found(&self) -> Error {
        if self.0.is_locked { auth_data::lost_race() } else { Error::object_not_found() }
    }

    /// Whoever changes a user that is not there (or somebody else) is told that the rights do not suffice.
    fn map_missing(&self, ctx: &Ctx, error: Error) -> Error {
        let is_restricted = !ctx.auth.is_unrestricted();
        if is_restricted { Error::denied(ErrorCode::SESSION_MISSING, "Insufficient auth.") } else { error }
    }

    async fn after_store(&mut self, ctx: &Ctx, stored: &Stored, saved: &mut Saved) -> Result<()> {
        follow_up::run(ctx, &mut self.0, stored, saved).await
    }

    fn location(&self, id: &str) -> Option<String> {
        Some(format!("/users/{id}"))
    }

    fn told(&self) -> &'static [&'static str] {
        &["username"]
    }

    /// 205 where sign-ups wait for their address to be verified.
    fn finish(&self, ctx: &Ctx, saved: &mut Saved) -> Result<()> {
        load::strip_secrets(&mut saved.body);
        auth_data::masked(ctx, &mut saved.body);
        if let Some(response) = &self.0.auth_data_response {
            saved.body.insert("authDataResponse".to_owned(), Value::Object(response.clone()));
        }
        if self.0.is_rejected && ctx.config().users.prevent_signup_with_unverified_email {
            return Err(Error::parse(ErrorCode::EMAIL_NOT_FOUND, "User email is not verified."));
        }
        Ok(())
    }

    fn check_delete(&self, ctx: &Ctx) -> Result<()> {
        if !ctx.auth.is_unrestricted() && ctx.auth.principal.is_none() {
            return Err(Error::parse(ErrorCode::SESSION_MISSING, "Insufficient auth to delete user"));
        }
        Ok(())
    }

    async fn after_delete(&self, ctx: &Ctx, id: &ObjectId, _row: Option<RowRef<'_>>) {
        audit::note(ctx, "user_deleted", id.as_str());
        ctx.after_commit(Effect::UserChanged(id.as_str().to_owned())).await;
    }
}

/// `authData` is written provider by provider, through their checks; a path would go around them.
fn refuse_paths(draft: &Draft) -> Result<()> {
    let path = draft.data.keys().find(|key| key.starts_with("authData."));
    match path {
        Some(path) => {
            Err(Error::parse(ErrorCode::INVALID_KEY_NAME, format!("Invalid field name for update: {path}")))
        }
        None => Ok(()),
    }
}

/// An id that reads like a role would be given that role's rights.
fn check_id(draft: &Draft) -> Result<()> {
    let role_like =
        draft.data.get("objectId").and_then(Value::as_str).is_some_and(|id| id.starts_with("role:"));
    if draft.is_create() && role_like { Err(Error::forbidden("Invalid object ID.")) } else { Ok(()) }
}
