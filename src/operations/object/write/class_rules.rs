//! What a class of parse-server's own does differently while its objects are written: one trait, asked at each
//! step of the pipeline. The pipeline knows no class; whoever calls it brings the rules along
//! ([`crate::operations::classes`] has the table). Ordinary classes have none, and nothing is called for them.

use async_trait::async_trait;

use super::stages::{Checked, Draft, Saved, Stored};
use crate::error::{Error, Result};
use crate::operations::Ctx;
use crate::storage::StorageError;
use crate::types::{FieldPath, Object, ObjectId, Op, RowRef};

/// The rules for one write or delete; what they remember between its steps is in the value behind this.
pub type Rules = Option<Box<dyn ClassRules>>;

/// The steps in their order. What a class does not say is done as for any class.
#[async_trait(?Send)]
pub trait ClassRules {
    /// Before any trigger. `Some` ends the write with an answer of its own (a login through `authData`, a
    /// session made for a client). A create may become an update.
    ///
    /// # Errors
    /// Those of the class.
    async fn prepare(&mut self, _ctx: &Ctx, _draft: &mut Draft) -> Result<Option<Saved>> {
        Ok(None)
    }

    /// After beforeSave, which may have changed everything.
    ///
    /// # Errors
    /// Those of the class.
    async fn after_before_save(&mut self, _ctx: &Ctx, _draft: &mut Draft) -> Result<()> {
        Ok(())
    }

    /// Fields that a new object must bring, and that no update may take away.
    fn required_fields(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether the class has a field of a name that others may not use.
    fn has_reserved_field(&self, _name: &str) -> bool {
        false
    }

    /// After the schema agreed: values become what is stored.
    ///
    /// # Errors
    /// Those of the class.
    async fn transform(&mut self, _ctx: &Ctx, _checked: &mut Checked) -> Result<()> {
        Ok(())
    }

    /// The last look before the statement.
    ///
    /// # Errors
    /// Those of the class.
    fn check(&self, _draft: &Draft) -> Result<()> {
        Ok(())
    }

    /// What an update does with a field, where that is not one operation on the whole field.
    fn operations(&self, _field: &str, _value: &serde_json::Value) -> Option<Vec<(FieldPath, Op)>> {
        None
    }

    /// A refused statement in the words of the class.
    fn map_error(&self, error: StorageError) -> Error {
        error.into()
    }

    /// Why the statement of an update found nothing.
    fn nothing_found(&self) -> Error {
        Error::object_not_found()
    }

    /// What somebody is told who may not see whether the object is there.
    fn map_missing(&self, _ctx: &Ctx, error: Error) -> Error {
        error
    }

    /// After the statement: sessions, mails, caches.
    ///
    /// # Errors
    /// Those of the class.
    async fn after_store(&mut self, _ctx: &Ctx, _stored: &Stored, _saved: &mut Saved) -> Result<()> {
        Ok(())
    }

    /// Where a new object is found, if not below `/classes`.
    fn location(&self, _id: &str) -> Option<String> {
        None
    }

    /// Fields that answers tell although the client knows them.
    fn told(&self) -> &'static [&'static str] {
        &[]
    }

    /// The answer's last form.
    ///
    /// # Errors
    /// Those of the class.
    fn finish(&self, _ctx: &Ctx, _saved: &mut Saved) -> Result<()> {
        Ok(())
    }

    /// Before a delete looks at anything.
    ///
    /// # Errors
    /// Those of the class.
    fn check_delete(&self, _ctx: &Ctx) -> Result<()> {
        Ok(())
    }

    /// Whether the object is looked at before it is deleted, by [`ClassRules::check_deleted`], and the deleted
    /// row afterwards.
    fn sees_deleted(&self) -> bool {
        false
    }

    /// The object that a delete is about.
    ///
    /// # Errors
    /// Those of the class.
    fn check_deleted(&self, _ctx: &Ctx, _object: &Object) -> Result<()> {
        Ok(())
    }

    /// Whether deleting what is gone already succeeds.
    fn forgives_missing(&self) -> bool {
        false
    }

    /// After a delete. The row is there where the class asked for it.
    async fn after_delete(&self, _ctx: &Ctx, _id: &ObjectId, _row: Option<RowRef<'_>>) {}
}
