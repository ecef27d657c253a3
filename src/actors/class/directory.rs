//! The addresses of the owners of classes in use, for the registry and the schema actor.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};

use actix::{Actor, Addr};

use super::owner::{ClassActor, Published, Retire};
use crate::live_query::listening::Listening;
use crate::types::ClassName;

/// One class in use. Its owner does not stop while this is held.
pub struct InUse {
    pub owner: Addr<ClassActor>,
    pub published: Arc<Published>,
    /// Requests that find the snapshot stale read it again one after another: see the registry.
    pub renewal: tokio::sync::Mutex<()>,
    /// There since the first subscription to the class.
    pub listening: OnceLock<Arc<Listening>>,
}

impl InUse {
    fn is_listened_to(&self) -> bool {
        self.listening.get().is_some_and(|listening| listening.is_listened_to())
    }

    /// Whether nobody holds it but the directory, nobody what is published but the owner, nobody listens, and
    /// nothing is counted.
    fn is_idle(this: &Arc<Self>) -> bool {
        Arc::strong_count(this) == 1
            && Arc::strong_count(&this.published) == 2
            && !this.is_listened_to()
            && !this.published.is_counting()
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
    /// threads that use them first. For names that are proven, since clients choose them.
    pub fn open(&self, class: &ClassName) -> Arc<InUse> {
        if let Some(known) = self.get(class).filter(|known| known.owner.connected()) {
            return known;
        }
        let mut classes = self.write();
        if let Some(known) = classes.get(class).filter(|known| known.owner.connected()) {
            return known.clone();
        }
        let published = Arc::<Published>::default();
        let (directory, name, mine) = (self.this.clone(), class.clone(), Arc::downgrade(&published));
        let release = move || directory.upgrade().is_none_or(|directory| directory.release(&name, &mine));
        let owner = ClassActor::new(class.clone(), published.clone(), Box::new(release)).start();
        let (renewal, listening) = Default::default();
        let opened = Arc::new(InUse { owner, published, renewal, listening });
        classes.insert(class.clone(), opened.clone());
        opened
    }

    /// Takes an owner out that nobody uses; answers whether it is out. Under the lock, so that nobody can
    /// begin to use it meanwhile.
    fn release(&self, class: &ClassName, published: &Weak<Published>) -> bool {
        let mut classes = self.write();
        match classes.get(class) {
            Some(in_use) if std::ptr::eq(Arc::as_ptr(&in_use.published), published.as_ptr()) => {
                InUse::is_idle(in_use) && classes.remove(class).is_some()
            }
            // It was taken out before, or another one took its place.
            _ => true,
        }
    }

    /// Ends the class's owner at once unless somebody uses it.
    pub fn let_go(&self, class: &ClassName) {
        let mut classes = self.write();
        if classes.get(class).is_some_and(InUse::is_idle)
            && let Some(in_use) = classes.remove(class)
            && in_use.owner.try_send(Retire).is_err()
        {
            tracing::debug!(class = %class, "the owner of a class had ended");
        }
    }

    /// How many classes are in use.
    pub fn count(&self) -> usize {
        self.read().len()
    }

    pub fn is_listened_to(&self, class: &ClassName) -> bool {
        self.read().get(class).is_some_and(|in_use| in_use.is_listened_to())
    }

    /// The classes that somebody listens to.
    pub fn listened_to(&self) -> Vec<ClassName> {
        let classes = self.read();
        let listened_to = classes.iter().filter(|(_, in_use)| in_use.is_listened_to());
        listened_to.map(|(class, _)| class.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_web::test]
    async fn an_owner_is_let_go_when_nobody_uses_it() {
        let (directory, class) = (Directory::new(), ClassName::known("Game"));
        let in_use = directory.open(&class);
        let mine = Arc::downgrade(&in_use.published);
        assert!(Arc::ptr_eq(&in_use, &directory.open(&class)), "one owner for each class");
        assert!(!directory.release(&class, &mine), "somebody is about to use it");
        let published = in_use.published.clone();
        drop(in_use);
        assert!(!directory.release(&class, &mine), "a replica reads what it publishes");
        drop(published);
        assert!(directory.release(&class, &mine) && directory.get(&class).is_none());
        let next = directory.open(&class);
        assert!(directory.release(&class, &mine), "it is out");
        assert!(Arc::ptr_eq(&next, &directory.open(&class)), "and the next one is not touched");
    }
}
