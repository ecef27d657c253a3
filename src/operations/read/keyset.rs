//! Keyset pagination, beyond parse-server: `cursor=true` asks a find for a cursor, `after=<cursor>`
//! goes on behind it. Unlike `skip`, its cost does not grow with the page number, and rows that come
//! or go meanwhile shift nothing.
//!
//! A cursor is the last row's sort values and id, as base64url of a JSON array: not secret, and worth
//! nothing without the rights to the rows.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::types::query::{Constraint, Filter, Operand, OrderKey, operand};
use crate::types::row::{RowRef, cell_json};
use crate::types::{FieldName, Object};

/// What a find asks of pagination; taken out of the parameters before they are parsed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paging {
    pub wants_cursor: bool,
    after: Option<Vec<Value>>,
}

impl Paging {
    /// # Errors
    /// 102 for something that is no cursor of ours.
    pub fn take(params: &mut Object) -> Result<Self> {
        let wants_cursor =
            params.shift_remove("cursor").is_some_and(|cursor| crate::operations::write::is_truthy(&cursor));
        let after = match params.shift_remove("after") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => {
                let json = URL_SAFE_NO_PAD.decode(text).ok();
                let values = json.and_then(|json| serde_json::from_slice::<Vec<Value>>(&json).ok());
                Some(values.filter(|values| !values.is_empty()).ok_or_else(bad_cursor)?)
            }
            Some(_) => return Err(bad_cursor()),
        };
        Ok(Self { wants_cursor: wants_cursor || after.is_some(), after })
    }

    /// Completes the order with the id, and restricts the filter to the rows behind the cursor.
    ///
    /// # Errors
    /// 102 when the cursor belongs to another order, or the order cannot be paged.
    pub fn apply(&self, order: &mut Vec<OrderKey>, filter: &mut Filter) -> Result<()> {
        if !self.wants_cursor {
            return Ok(());
        }
        let is_id = |key: &OrderKey| matches!(key, OrderKey::Field { path, .. } if path.is("objectId"));
        if !order.iter().any(is_id) {
            order.push(OrderKey::Field { path: FieldName::known("objectId").into(), descending: false });
        }
        let pageable = |key: &OrderKey| matches!(key, OrderKey::Field { path, .. } if !path.is_dotted());
        if !order.iter().all(pageable) {
            return Err(Error::invalid_query("A cursor needs an order by plain fields"));
        }
        let Some(after) = &self.after else { return Ok(()) };
        if after.len() != order.len() {
            return Err(bad_cursor());
        }
        let behind = behind(order, after);
        *filter = std::mem::replace(filter, Filter::all()).and(behind);
        Ok(())
    }
}

fn bad_cursor() -> Error {
    Error::invalid_query("Invalid value for after: not a cursor of this order")
}

/// (k1 behind v1) or (k1 = v1 and k2 behind v2) or …
fn behind(order: &[OrderKey], after: &[Value]) -> Filter {
    let mut alternatives = Vec::with_capacity(order.len());
    let mut equal_so_far: Vec<Filter> = Vec::new();
    for (key, value) in order.iter().zip(after) {
        let OrderKey::Field { path, descending } = key else { continue };
        let field = |constraint| Filter::field(path.clone(), constraint);
        let operand = operand(value);
        // Unset values come last in ascending order and first in descending order.
        let next = match (&operand, descending) {
            (Operand::Null, false) => None,
            (Operand::Null, true) => Some(field(Constraint::Exists(true))),
            (value, false) => {
                Some(Filter::Or(vec![field(Constraint::Gt(value.clone())), field(Constraint::Exists(false))]))
            }
            (value, true) => Some(field(Constraint::Lt(value.clone()))),
        };
        if let Some(next) = next {
            let mut all = equal_so_far.clone();
            all.push(next);
            alternatives.push(Filter::And(all));
        }
        equal_so_far.push(field(Constraint::Eq(operand)));
    }
    Filter::Or(alternatives)
}

/// The cursor behind a row; `None` when the order cannot be told from it.
pub fn cursor_of(row: RowRef<'_>, order: &[OrderKey]) -> Option<String> {
    let mut values = Vec::with_capacity(order.len());
    for key in order {
        let OrderKey::Field { path, .. } = key else { return None };
        let index = row.layout().index_of(&path.root)?;
        let column = &row.layout().columns[index];
        let mut value = cell_json(row.cell(index), column);
        if let (Value::String(iso), true) = (&value, path.is("createdAt") || path.is("updatedAt")) {
            value = json!({ "__type": "Date", "iso": iso });
        }
        values.push(value);
    }
    Some(URL_SAFE_NO_PAD.encode(Value::Array(values).to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::query::eval::matches;

    fn order(text: &str) -> Vec<OrderKey> {
        crate::types::query::request::parse_order(text).expect("an order")
    }

    fn page_filter(order_text: &str, after: Value) -> Filter {
        let cursor = URL_SAFE_NO_PAD.encode(after.to_string());
        let mut params = json!({ "after": cursor }).as_object().cloned().unwrap_or_default();
        let paging = Paging::take(&mut params).expect("a cursor");
        let (mut order, mut filter) = (order(order_text), Filter::all());
        paging.apply(&mut order, &mut filter).expect("a page");
        filter
    }

    fn holds(filter: &Filter, object: Value) -> bool {
        matches(filter, &object.as_object().cloned().unwrap_or_default())
    }

    #[test]
    fn rows_behind_the_cursor() {
        let ascending = page_filter("n", json!([5, "b"]));
        assert!(holds(&ascending, json!({"n": 6, "objectId": "a"})));
        assert!(holds(&ascending, json!({"n": 5, "objectId": "c"})));
        assert!(holds(&ascending, json!({"objectId": "a"})));
        assert!(!holds(&ascending, json!({"n": 5, "objectId": "b"})));
        assert!(!holds(&ascending, json!({"n": 4, "objectId": "z"})));
        let descending = page_filter("-n", json!([null, "b"]));
        assert!(holds(&descending, json!({"n": 1, "objectId": "a"})));
        assert!(holds(&descending, json!({"objectId": "c"})));
        assert!(!holds(&descending, json!({"objectId": "a"})));
    }

    #[test]
    fn foreign_cursors_are_refused() {
        let mut params = json!({ "after": "nonsense!" }).as_object().cloned().unwrap_or_default();
        assert!(Paging::take(&mut params).is_err());
        let mut params =
            json!({ "after": URL_SAFE_NO_PAD.encode("[1]") }).as_object().cloned().unwrap_or_default();
        let paging = Paging::take(&mut params).expect("well-formed");
        assert!(paging.apply(&mut order("a,b"), &mut Filter::all()).is_err());
    }
}
