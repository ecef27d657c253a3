//! What follows a write: events, caches that must forget, triggers that ran with it in one transaction. At
//! once, or after the commit when a transaction is open.

use super::code_log;
use super::context::Ctx;
use super::ports::ObjectEvent;
use super::transactions::Effect;
use crate::pubsub::Notice;

impl Ctx {
    /// Runs the effect now, or after the commit when a transaction is open.
    pub async fn after_commit(&self, effect: Effect) {
        match &self.transaction {
            Some(open) => open.defer(effect),
            None => self.run_effect(effect).await,
        }
    }

    /// Events need no waiting.
    pub fn emit(&self, event: ObjectEvent) {
        match &self.transaction {
            Some(open) => open.defer(Effect::Event(Box::new(event))),
            None => self.services.events.emit(event),
        }
    }

    pub async fn run_effect(&self, effect: Effect) {
        let principals = &self.services.principals;
        match effect {
            Effect::Event(event) => self.services.events.emit(*event),
            Effect::RolesChanged(users) => {
                principals.roles_changed().await;
                self.services.events.roles_changed(&users);
            }
            Effect::UserChanged(user) => principals.forget_user(&user).await,
            Effect::SessionGone(token) => principals.forget_session(&token).await,
            Effect::ClassChanged(class) => {
                if let Err(error) = self.services.classes.refresh(&class).await {
                    tracing::warn!(%error, %class, "could not read class {class} again after a transaction");
                }
                let notice = Notice::Schema { class: Some(class) };
                if let Err(error) = self.services.pubsub.notify(notice).await {
                    tracing::warn!(%error, "could not tell other servers of a schema change");
                }
            }
            Effect::Trigger(mut call) => {
                // The transaction does not wait any more.
                call.scope.deadline = None;
                let (kind, class) = (call.kind, call.class_name.clone());
                if let Err(error) = code_log::run_trigger(self, *call).await {
                    tracing::warn!(%error, "{} of {class} caught an error", kind.as_str());
                }
            }
        }
    }
}
