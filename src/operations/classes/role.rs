//! `_Role`: what roles must have, and who hears that rights changed.

use async_trait::async_trait;

use crate::error::Result;
use crate::operations::object::write::{ClassRules, Saved, Stored};
use crate::operations::transactions::Effect;
use crate::operations::{Ctx, audit};
use crate::types::{Object, ObjectId, RowRef};

#[derive(Debug)]
pub struct RoleRules;

#[async_trait(?Send)]
impl ClassRules for RoleRules {
    fn required_fields(&self) -> &'static [&'static str] {
        &["name", "ACL"]
    }

    async fn after_store(&mut self, ctx: &Ctx, stored: &Stored, _saved: &mut Saved) -> Result<()> {
        let event = if stored.is_create() { "role_created" } else { "role_changed" };
        audit::note(ctx, event, stored.object_id().unwrap_or_default());
        ctx.after_commit(Effect::RolesChanged(concerned(ctx, &stored.data))).await;
        Ok(())
    }

    async fn after_delete(&self, ctx: &Ctx, id: &ObjectId, _row: Option<RowRef<'_>>) {
        audit::note(ctx, "role_deleted", id.as_str());
        ctx.after_commit(Effect::RolesChanged(writer(ctx).collect())).await;
    }
}

fn writer(ctx: &Ctx) -> impl Iterator<Item = String> {
    ctx.auth.user_id().map(str::to_owned).into_iter()
}

/// The users whose rights change: the one who writes the role, and its new and former members.
fn concerned(ctx: &Ctx, data: &Object) -> Vec<String> {
    let mut users: Vec<String> = writer(ctx).collect();
    let op = data.get("users");
    let batch = op.and_then(|op| op.get("ops")).and_then(|ops| ops.as_array());
    for op in batch.into_iter().flatten().chain(op) {
        let objects = op.get("objects").and_then(|objects| objects.as_array());
        users.extend(
            objects.into_iter().flatten().filter_map(|user| Some(user.get("objectId")?.as_str()?.to_owned())),
        );
    }
    users
}
