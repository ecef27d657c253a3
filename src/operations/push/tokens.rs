//! Tokens that are nobody's any more.

use serde_json::Value;

use crate::error::Result;
use crate::operations::ClassSnapshot;
use crate::query::{Constraint, Filter, Operand};
use crate::storage::{Returning, Session, WriteFilter};
use crate::types::time::Millis;
use crate::types::update::Op;
use crate::types::{FieldName, Update};

/// Takes tokens that are dead from their installations; whoever has registered anew meanwhile keeps the new one.
///
/// # Errors
/// When storage fails.
pub async fn remove_tokens(
    session: &dyn Session,
    class: &ClassSnapshot,
    dead: &[(String, String)],
) -> Result<()> {
    let one_of = |column: &'static str, texts: Vec<Operand>| {
        Filter::field(FieldName::known(column), Constraint::In(texts))
    };
    let ids = dead.iter().map(|(id, _)| Operand::Text(id.clone())).collect();
    let tokens = dead.iter().map(|(_, token)| Operand::Text(token.clone())).collect();
    let filter = one_of("objectId", ids).and(one_of("deviceToken", tokens));
    let mut update =
        Update::default().set(FieldName::known("updatedAt"), Value::String(Millis::now().to_iso()));
    update.ops.push((FieldName::known("deviceToken").into(), Op::Unset));
    session
        .update(&class.schema, &WriteFilter { filter, writers: None }, &update, Returning::default())
        .await?;
    Ok(())
}
