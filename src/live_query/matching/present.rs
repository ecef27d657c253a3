//! What has become of an object since something happened to it.

use std::sync::Arc;

use super::subscription::{Rights, acl_of};
use crate::operations::ClassSnapshot;
use crate::types::{Object, Operation};

#[derive(Clone)]
pub enum Present {
    /// As it is now, or was when it was deleted.
    Known(Arc<Object>),
    /// It is gone, and its last state is not known.
    Gone,
}

impl Present {
    pub fn state(&self) -> Option<&Object> {
        match self {
            Self::Known(object) => Some(object),
            Self::Gone => None,
        }
    }

    /// Whether a find of this audience would show it.
    pub fn is_for(&self, class: &ClassSnapshot, op: Operation, rights: &Rights) -> bool {
        let admitted = |object: &Object| {
            rights.admitted(class, op, object).is_ok_and(|is| is) && rights.may_read(acl_of(object).as_ref())
        };
        self.state().is_some_and(admitted)
    }
}
