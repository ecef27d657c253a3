//! Keyset pagination, beyond parse-server: `cursor=true` asks a find for a cursor, `after=<cursor>`
//! goes on behind it. Unlike `skip`, its cost does not grow with the page number, and rows that come
//! or go meanwhile shift nothing.
//!
//! A cursor is the last row's sort values and id as the caller sees them in the answer, [sealed] for this
//! class, order and caller: it tells nothing, and nobody else can use it or make one.
//!
//! [sealed]: crate::operations::seal

use serde_json::{Value, json};

use super::values::shown_cell;
use super::view::View;
use crate::error::{Error, Result};
use crate::operations::budget::Budget;
use crate::operations::seal::Seal;
use crate::operations::{Auth, Credentials, Ctx};
use crate::query::{Constraint, Filter, Operand, OrderKey, operand};
use crate::types::limits::MAX_CURSOR_BYTES;
use crate::types::row::RowRef;
use crate::types::{ClassName, FieldName, Object};

/// What a find asks of pagination; taken out of the parameters before they are parsed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paging {
    pub wants_cursor: bool,
    /// Still sealed.
    after: Option<String>,
}

/// For whom and for what the cursors of one find are good.
pub struct Cursors<'a> {
    seal: &'a Seal,
    purpose: String,
}

impl<'a> Cursors<'a> {
    pub fn of(ctx: &'a Ctx, class: &ClassName, order: &[OrderKey]) -> Self {
        Self::new(&ctx.services.state.seal, &ctx.auth, class, order)
    }

    fn new(seal: &'a Seal, auth: &Auth, class: &ClassName, order: &[OrderKey]) -> Self {
        let keys: Vec<String> = order.iter().map(order_text).collect();
        Self { seal, purpose: json!(["cursor", class.as_str(), caller(auth), keys]).to_string() }
    }

    /// The cursor behind a row; `None` when the order cannot be told from what the caller sees of it.
    pub fn behind(&self, row: RowRef<'_>, view: &View, order: &[OrderKey]) -> Option<String> {
        let (mut values, unlimited) = (Vec::with_capacity(order.len()), Budget::default());
        for key in order {
            let OrderKey::Field { path, .. } = key else { return None };
            let mut value = shown_cell(row, row.layout().index_of(&path.root)?, view, &unlimited.meter())?;
            if let (Value::String(iso), true) = (&value, path.is("createdAt") || path.is("updatedAt")) {
                value = json!({ "__type": "Date", "iso": iso });
            }
            values.push(value);
        }
        Some(self.seal.seal(&self.purpose, Value::Array(values).to_string().as_bytes()))
    }

    fn open(&self, cursor: &str) -> Option<Vec<Value>> {
        // The condition repeats each value for each key behind it.
        if cursor.len() > MAX_CURSOR_BYTES {
            return None;
        }
        serde_json::from_slice(&self.seal.open(&self.purpose, cursor)?).ok()
    }
}

/// Whose rights a cursor is bound to.
fn caller(auth: &Auth) -> Value {
    match auth.credentials {
        Credentials::Client => json!(["client", auth.user_id()]),
        Credentials::Master => json!("master"),
        Credentials::ReadOnlyMaster => json!("readOnlyMaster"),
        Credentials::Maintenance => json!("maintenance"),
    }
}

fn order_text(key: &OrderKey) -> String {
    match key {
        OrderKey::Field { path, descending } => {
            format!("{}{}", if *descending { "-" } else { "" }, path.to_dotted())
        }
        OrderKey::Score => "$score".to_owned(),
    }
}

impl Paging {
    /// # Errors
    /// 102 for something that is no text.
    pub fn take(params: &mut Object) -> Result<Self> {
        let wants_cursor =
            params.shift_remove("cursor").is_some_and(|cursor| crate::types::javascript::is_truthy(&cursor));
        let after = match params.shift_remove("after") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text),
            Some(_) => return Err(bad_cursor()),
        };
        Ok(Self { wants_cursor: wants_cursor || after.is_some(), after })
    }

    /// Completes the order with the id, and restricts the filter to the rows behind the cursor, which
    /// `cursors` of the completed order opens. The order must be authorized before.
    ///
    /// # Errors
    /// 102 when the cursor belongs to another class, order or caller, or the order cannot be paged.
    pub fn apply<'a>(
        &self,
        order: &mut Vec<OrderKey>,
        filter: &mut Filter,
        cursors: impl FnOnce(&[OrderKey]) -> Cursors<'a>,
    ) -> Result<Option<Cursors<'a>>> {
        if !self.wants_cursor {
            return Ok(None);
        }
        let is_id = |key: &OrderKey| matches!(key, OrderKey::Field { path, .. } if path.is("objectId"));
        if !order.iter().any(is_id) {
            order.push(OrderKey::Field { path: FieldName::known("objectId").into(), descending: false });
        }
        let pageable = |key: &OrderKey| matches!(key, OrderKey::Field { path, .. } if !path.is_dotted());
        if !order.iter().all(pageable) {
            return Err(Error::invalid_query("A cursor needs an order by plain fields"));
        }
        let cursors = cursors(&order[..]);
        if let Some(after) = &self.after {
            let after = cursors.open(after).filter(|after| after.len() == order.len());
            let behind = behind(order, &after.ok_or_else(bad_cursor)?);
            *filter = std::mem::replace(filter, Filter::all()).and(behind);
        }
        Ok(Some(cursors))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::AppConfig;
    use crate::query::evaluate::matches;

    fn order(text: &str) -> Vec<OrderKey> {
        crate::query::request::parse_order(text).expect("an order")
    }

    fn seal() -> Seal {
        Seal::new(&AppConfig::for_tests(json!({})))
    }

    fn cursors<'a>(seal: &'a Seal, class: &str, order: &[OrderKey]) -> Cursors<'a> {
        Cursors::new(seal, &Auth::anonymous(), &ClassName::valid(class).expect("a name"), order)
    }

    fn page(seal: &Seal, order_text: &str, class: &str, cursor: &str) -> Result<Filter> {
        let mut params = json!({ "after": cursor }).as_object().cloned().unwrap_or_default();
        let paging = Paging::take(&mut params)?;
        let (mut order, mut filter) = (order(order_text), Filter::all());
        paging.apply(&mut order, &mut filter, |order| cursors(seal, class, order))?;
        Ok(filter)
    }

    fn page_filter(order_text: &str, after: Value) -> Filter {
        let seal = seal();
        let whole = order(&format!("{order_text},objectId"));
        let cursors = cursors(&seal, "A", &whole);
        let cursor = cursors.seal.seal(&cursors.purpose, after.to_string().as_bytes());
        page(&seal, order_text, "A", &cursor).expect("a page")
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
    fn cursors_are_bound_to_class_order_and_caller() {
        let seal = seal();
        let whole = order("n,objectId");
        let made = cursors(&seal, "A", &whole);
        let cursor = seal.seal(&made.purpose, b"[5,\"b\"]");
        assert!(page(&seal, "n", "A", &cursor).is_ok());
        for (order, class) in [("-n", "A"), ("m", "A"), ("n,m", "A"), ("n", "B")] {
            assert!(page(&seal, order, class, &cursor).is_err(), "{order} of {class}");
        }
        let other = Cursors::new(&seal, &Auth::master(), &ClassName::known("A"), &whole);
        assert!(page(&seal, "n", "A", &seal.seal(&other.purpose, b"[5,\"b\"]")).is_err());
        assert!(page(&seal, "n", "A", &seal.seal(&made.purpose, b"[5]")).is_err());
        for text in ["nonsense!", "", "WzUsImIiXQ"] {
            assert!(page(&seal, "n", "A", text).is_err(), "{text}");
        }
        let mut params = json!({ "after": 1 }).as_object().cloned().unwrap_or_default();
        assert!(Paging::take(&mut params).is_err());
    }
}
