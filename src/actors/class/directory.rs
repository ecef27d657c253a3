//! The addresses of the owners of classes in use, for the registry and the schema actor.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};

use actix::{Actor, Addr};

use super::owner::{ClassActor, Published};
use crate::types::ClassName;

/// One class in use. Whoever holds it keeps its owner from stopping.
pub struct InUse {
    pub owner: Addr<ClassActor>,
    pub published: Arc<Published>,
    /// Requests that find the snapshot stale read it again one after another: see the registry.
    pub renewal: tokio::sync::Mutex<()>,
}

impl InUse {
    /// Whether nobody holds it but the directory, and nobody what is published but the owner.
    fn is_idle(this: &Arc<Self>) -> bool {
        Arc::strong_count(this) == 1 && Arc::strong_count(&this.published) == 2
    }
}

/// One for each app.
pub struct Directory {
    classes: RwLock<HashMap<ClassName, Arc<InUse>>>,
    this: Weak<Self>,
}

impl Directory {
    pub fn new() -> Arc<Self> {
        Arc::new_cyclic(|this| Self { classes: RwLock::default(), this: this.clone() })
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<ClassName, Arc<InUse>>> {
        self.classes.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<ClassName, Arc<InUse>>> {
        self.classes.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn get(&self, class: &ClassName) -> Option<Arc<InUse>> {
        self.read().get(class).cloned()
    }

    /// The class's owner, started on this thread's arbiter when there is none: classes spread over the
    /// threads of those who use them first. For names that are proven, since clients choose them.
    pub fn open(&self, class: &ClassName) -> Arc<InUse> {
        if let Some(known) = self.get(class).filter(|known| known.owner.connected()) {
            return known;
        }
        let mut classes = self.write();
        if let Some(known) = classes.get(class).filter(|known| known.owner.connected()) {
            return known.clone();
        }
        let published = Arc::<Published>::default();
        let (directory, name) = (self.this.clone(), class.clone());
        let release = move || directory.upgrade().is_none_or(|directory| directory.release(&name));
        let owner = ClassActor::new(published.clone(), Box::new(release)).start();
        let opened = Arc::new(InUse { owner, published, renewal: tokio::sync::Mutex::default() });
        classes.insert(class.clone(), opened.clone());
        opened
    }

    /// Takes an owner out that nobody uses; answers whether it did. Under the lock, so that nobody can
    /// begin to use it meanwhile.
    fn release(&self, class: &ClassName) -> bool {
        let mut classes = self.write();
        let is_idle = classes.get(class).is_some_and(InUse::is_idle);
        is_idle && classes.remove(class).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_web::test]
    async fn an_owner_is_let_go_when_nobody_uses_it() {
        let (directory, class) = (Directory::new(), ClassName::known("Game"));
        let in_use = directory.open(&class);
        assert!(Arc::ptr_eq(&in_use, &directory.open(&class)), "one owner for each class");
        assert!(!directory.release(&class), "somebody is about to use it");
        let published = in_use.published.clone();
        drop(in_use);
        assert!(!directory.release(&class), "a replica reads what it publishes");
        drop(published);
        assert!(directory.release(&class) && directory.get(&class).is_none());
    }
}
