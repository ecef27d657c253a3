//! parse-server's own classes: what is special about each when it is written, in a file of its own, and the table
//! that finds it.
//!
//! Doors and [`crate::operations::account`] write through here, so that no write misses the rules of its class;
//! [`crate::operations::object::write`] does the rest and names no class. A class with rules is one file and one
//! row of [`TABLE`].

pub mod idempotency;
pub mod installation;
mod product;
mod role;
pub mod session;
pub mod user;

use super::Ctx;
use super::object::write::{self, ClassRules, Draft, Rules, Saved};
use crate::error::Result;
use crate::types::{ClassName, Object};

/// The rules of a class, new for each write.
type Make = fn() -> Box<dyn ClassRules>;

const TABLE: &[(&str, Make)] = &[
    ("_User", || Box::<user::UserRules>::default()),
    ("_Session", || Box::new(session::SessionRules)),
    ("_Installation", || Box::new(installation::InstallationRules)),
    ("_Role", || Box::new(role::RoleRules)),
    ("_Product", || Box::new(product::ProductRules)),
];

/// Classes of the application have none.
pub fn rules_of(class: &ClassName) -> Rules {
    if !class.is_system() {
        return None;
    }
    TABLE.iter().find(|(name, _)| *name == class.as_str()).map(|(_, make)| make())
}

/// `POST /classes/:C`, see [`write::create`].
///
/// # Errors
/// Those of [`write::create`].
pub fn create(ctx: &Ctx, class: &ClassName, body: Object) -> impl Future<Output = Result<Saved>> {
    write::create(ctx, class, body, rules_of(class))
}

/// `PUT /classes/:C/:id`, see [`write::update`].
///
/// # Errors
/// Those of [`write::update`].
pub fn update(ctx: &Ctx, class: &ClassName, id: &str, body: Object) -> impl Future<Output = Result<Saved>> {
    write::update(ctx, class, id, body, rules_of(class))
}

/// Writes a draft of the server's own.
///
/// # Errors
/// Those of [`write::save`].
pub async fn save(ctx: &Ctx, draft: Draft) -> Result<Saved> {
    let mut rules = rules_of(&draft.class);
    write::save(ctx, draft, &mut rules).await
}

/// `DELETE /classes/:C/:id`, see [`write::delete`].
///
/// # Errors
/// Those of [`write::delete`].
pub fn delete(ctx: &Ctx, class: &ClassName, id: &str) -> impl Future<Output = Result<()>> {
    write::delete(ctx, class, id, rules_of(class))
}
