//! What a find found, and the forms in which a caller takes it: the bytes of an answer, values for code of the
//! server, or a JSON array for a trigger. Each goes through the same masking ([`super::shown`]).

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use serde_json::value::RawValue;

use super::encode;
use super::request::Request;
use super::values::Tree;
use super::view::View;
use super::weight::Weight;
use crate::error::{Error, Result};
use crate::operations::budget::Budget;
use crate::operations::{Ctx, Principal};
use crate::types::aside::{LONG, aside};
use crate::types::{ClassName, Object, RowSet};

/// Bytes that are copied on the thread of a request at most.
const LONG_COPY: usize = 1024 * 1024;

/// What a find found, before it takes a form.
pub struct Found {
    pub(super) results: Results,
    pub(super) count: Option<u64>,
    /// The objects' class, when it is not the one that was asked for.
    pub(super) redirected_to: Option<ClassName>,
    /// Where the next page begins, when the client asked for it and there was a row.
    pub(super) cursor: Option<String>,
    /// The caller, when the object is the caller's own user: it shows the session then.
    pub(super) own: Option<Arc<Principal>>,
}

#[allow(clippy::large_enum_variant, reason = "one for each find")]
pub(super) enum Results {
    /// Rows and how to show them.
    Rows(Arc<RowSet>, View),
    /// Objects that code of the server went through.
    Values(Vec<Value>),
    /// A JSON array of objects that went through a trigger, each with its class name.
    Raw(Box<RawValue>),
    Plan(Value),
}

impl Found {
    pub(super) fn new(results: Results, count: Option<u64>) -> Self {
        Self { results, count, redirected_to: None, cursor: None, own: None }
    }

    pub(super) fn nothing(request: &Request) -> Self {
        Self::new(Results::Values(Vec::new()), request.count.then_some(0))
    }

    /// What is told besides the objects.
    pub(super) fn told(&self) -> Self {
        Self {
            results: Results::Values(Vec::new()),
            count: self.count,
            redirected_to: self.redirected_to.clone(),
            cursor: self.cursor.clone(),
            own: self.own.clone(),
        }
    }

    /// The same of other objects.
    pub(super) fn with_results(self, results: Results) -> Self {
        Self { results, ..self }
    }

    /// How many match, where that was asked.
    pub fn count(&self) -> Option<u64> {
        self.count
    }

    /// `{"results":[…]}`, with `count` and `cursor` where asked; the plan for `explain`.
    ///
    /// # Errors
    /// 102 for more than the request may be answered.
    pub async fn into_body(self, ctx: &Ctx) -> Result<Bytes> {
        let budget = ctx.budget();
        let (mut expected, mut weight) = (0, Weight::default());
        if let Results::Rows(rows, view) = &self.results {
            weight = Weight::of(rows, view);
            weight.check(budget)?;
            expected = rows.json_size();
        }
        let mut meter = budget.meter();
        let mut out = Vec::with_capacity(256 + expected.min(budget.bytes_left()));
        out.extend_from_slice(b"{\"results\":");
        let class = self.redirected_to;
        match self.results {
            Results::Rows(rows, view) if weight.is_long() => {
                (out, meter) = aside(move || {
                    encode::write_rows(&mut out, &rows, &view, class.as_ref(), &meter);
                    (out, meter)
                })
                .await?;
            }
            // However long: other requests have their turn in between.
            Results::Rows(rows, view) => {
                encode::write_rows_in_turns(&mut out, &rows, &view, class.as_ref(), &meter).await;
            }
            Results::Values(values) => encode::write_values(&mut out, &values, class.as_ref(), &meter),
            Results::Raw(objects) if objects.get().len() > LONG_COPY => {
                out = aside(move || {
                    out.extend_from_slice(objects.get().as_bytes());
                    out
                })
                .await?;
            }
            Results::Raw(objects) => out.extend_from_slice(objects.get().as_bytes()),
            Results::Plan(plan) => encode::write_json(&mut out, &plan),
        }
        if let Some(count) = self.count {
            out.extend_from_slice(b",\"count\":");
            out.extend_from_slice(count.to_string().as_bytes());
        }
        if let Some(cursor) = &self.cursor {
            out.extend_from_slice(b",\"cursor\":");
            encode::write_string(&mut out, cursor);
        }
        out.push(b'}');
        budget.settle(&meter, out.len())?;
        Ok(Bytes::from(out))
    }

    /// The one object of a get.
    ///
    /// # Errors
    /// 101 when there is none, 102 for more than the request may be answered.
    pub async fn into_object_body(self, ctx: &Ctx) -> Result<Bytes> {
        let budget = ctx.budget();
        let (mut out, mut meter) = (Vec::with_capacity(256), budget.meter());
        match self.results {
            Results::Rows(rows, view) => {
                let row = rows.first().ok_or_else(Error::object_not_found)?;
                let weight = Weight::of(&rows, &view);
                weight.check(budget)?;
                if weight.is_long() || rows.json_size() > LONG {
                    (out, meter) = aside(move || {
                        if let Some(row) = rows.first() {
                            encode::write_row(&mut out, row, &view, None, &meter);
                        }
                        (out, meter)
                    })
                    .await?;
                } else {
                    encode::write_row(&mut out, row, &view, None, &meter);
                }
                budget.settle(&meter, out.len())?;
            }
            Results::Values(values) => {
                let object = values.first().ok_or_else(Error::object_not_found)?;
                encode::write_json(&mut out, object);
            }
            Results::Raw(objects) => {
                let objects: Vec<&RawValue> = serde_json::from_str(objects.get()).map_err(Error::internal)?;
                let object = objects.first().ok_or_else(Error::object_not_found)?;
                out.extend_from_slice(object.get().as_bytes());
            }
            Results::Plan(plan) => encode::write_json(&mut out, &plan),
        }
        if let Some(own) = &self.own
            && out.last() == Some(&b'}')
        {
            out.pop();
            out.extend_from_slice(if out.len() > 1 { b",\"sessionToken\":" } else { b"\"sessionToken\":" });
            encode::write_string(&mut out, &own.session_token);
            out.push(b'}');
        }
        Ok(Bytes::from(out))
    }

    /// The objects, for code of the server.
    ///
    /// # Errors
    /// 102 for more than the request may be answered; 500 for what a trigger answered that is no list of JSON.
    pub fn into_values(self, ctx: &Ctx) -> Result<Vec<Value>> {
        self.values(ctx.budget())
    }

    pub(super) fn values(self, budget: &Budget) -> Result<Vec<Value>> {
        Ok(match self.results {
            Results::Values(values) => values,
            Results::Plan(plan) => vec![plan],
            Results::Raw(objects) => serde_json::from_str(objects.get()).map_err(Error::internal)?,
            Results::Rows(rows, view) => {
                Weight::of(&rows, &view).check(budget)?;
                let meter = budget.meter();
                let mut tree = Tree::new(&meter);
                let values = tree.rows(&rows, &view);
                budget.settle(&meter, tree.written())?;
                values
            }
        })
    }

    /// The one object of a get, for code of the server.
    ///
    /// # Errors
    /// 101 when there is none, and those of [`Found::into_values`].
    pub fn into_object(mut self, ctx: &Ctx) -> Result<Object> {
        let own = self.own.take();
        match self.into_values(ctx)?.into_iter().next() {
            Some(Value::Object(mut object)) => {
                if let Some(own) = own {
                    object.insert("sessionToken".to_owned(), own.session_token.as_str().into());
                }
                Ok(object)
            }
            _ => Err(Error::object_not_found()),
        }
    }

    /// The objects as a JSON array for afterFind, each with its class name.
    ///
    /// # Errors
    /// 102 for more than the request may be answered.
    pub(super) async fn into_named_json(self, class: &ClassName, budget: &Budget) -> Result<Box<RawValue>> {
        let class = self.redirected_to.unwrap_or_else(|| class.clone());
        let (mut out, mut meter) = (Vec::with_capacity(1024), budget.meter());
        match self.results {
            Results::Raw(objects) => return Ok(objects),
            Results::Rows(rows, view) => {
                let weight = Weight::of(&rows, &view);
                weight.check(budget)?;
                out.reserve(rows.json_size().min(budget.bytes_left()));
                if weight.is_long() || rows.json_size() > LONG {
                    (out, meter) = aside(move || {
                        encode::write_rows(&mut out, &rows, &view, Some(&class), &meter);
                        (out, meter)
                    })
                    .await?;
                } else {
                    encode::write_rows(&mut out, &rows, &view, Some(&class), &meter);
                }
            }
            Results::Values(values) => encode::write_values(&mut out, &values, Some(&class), &meter),
            Results::Plan(plan) => encode::write_json(&mut out, &plan),
        }
        budget.settle(&meter, out.len())?;
        // It is read once more for that.
        if out.len() > LONG { aside(move || raw(out)).await? } else { raw(out) }
    }
}

fn raw(text: Vec<u8>) -> Result<Box<RawValue>> {
    let text = String::from_utf8(text).map_err(Error::internal)?;
    RawValue::from_string(text).map_err(Error::internal)
}
