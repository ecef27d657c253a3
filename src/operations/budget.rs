//! How much one request may be answered: bytes and objects, shared by all that the request asks for, the
//! items of a batch included (options `requestComplexity.responseBytes` and its kind).
//!
//! What multiplies (an include shows a shared object once for each pointer) is weighed before it is written
//! ([`Budget::check_weight`]); everything is refused while it is written, by a [`Meter`] that is asked once for
//! each object; what an answer has in the end is charged where all
//! routes come together (`rest::route::dispatch`).

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::Value;

use super::caller::Auth;
use crate::config::{RequestComplexity, ResponseLimits};
use crate::error::{Error, Result};
use crate::types::RowSet;

/// Answers up to here are not looked for in the pool.
const SHORT: usize = 64 * 1024;

/// Rows in memory are up to so many times as long as their text.
const ROWS_TO_TEXT: u64 = 2;

/// Of one request, with all that is done for it.
#[derive(Debug)]
pub struct Budget {
    limits: ResponseLimits,
    bytes_left: AtomicU64,
    objects_left: AtomicU64,
    /// For the rows that are read at a time.
    memory_left: AtomicU64,
    /// What all clients share; the master key does not ask.
    pool: Option<Arc<Pool>>,
    /// Of the answer, in the pool.
    pooled: AtomicU64,
    /// The pool had no room.
    is_crowded: AtomicBool,
}

impl Default for Budget {
    /// No limit.
    fn default() -> Self {
        Self::new(ResponseLimits { bytes: None, objects: None })
    }
}

/// A copy has what is left and is spent by itself.
impl Clone for Budget {
    fn clone(&self) -> Self {
        Self {
            limits: self.limits,
            bytes_left: AtomicU64::new(self.bytes_left.load(Ordering::Relaxed)),
            objects_left: AtomicU64::new(self.objects_left.load(Ordering::Relaxed)),
            memory_left: AtomicU64::new(self.memory_left.load(Ordering::Relaxed)),
            pool: self.pool.clone(),
            pooled: AtomicU64::new(0),
            is_crowded: AtomicBool::new(false),
        }
    }
}

impl Budget {
    pub fn new(limits: ResponseLimits) -> Self {
        Self {
            limits,
            bytes_left: AtomicU64::new(limits.bytes.unwrap_or(u64::MAX)),
            objects_left: AtomicU64::new(limits.objects.unwrap_or(u64::MAX)),
            pool: None,
            pooled: AtomicU64::new(0),
            is_crowded: AtomicBool::new(false),
            memory_left: AtomicU64::new(
                limits.bytes.map_or(u64::MAX, |bytes| bytes.saturating_mul(ROWS_TO_TEXT)),
            ),
        }
    }

    /// What this caller may have.
    pub fn of(complexity: &RequestComplexity, answers: &Arc<Pool>, auth: &Auth) -> Self {
        if auth.is_unrestricted() {
            return Self::new(complexity.master_response);
        }
        Self::new(complexity.response).sharing(answers)
    }

    fn sharing(mut self, pool: &Arc<Pool>) -> Self {
        self.pool = Some(pool.clone());
        self
    }

    pub fn bytes_left(&self) -> usize {
        usize::try_from(self.bytes_left.load(Ordering::Relaxed)).unwrap_or(usize::MAX)
    }

    pub fn objects_left(&self) -> u64 {
        self.objects_left.load(Ordering::Relaxed)
    }

    /// For one text that is about to be written.
    pub fn meter(&self) -> Meter {
        Meter {
            most_bytes: self.bytes_left(),
            most_objects: self.objects_left(),
            objects: Cell::new(0),
            is_full: Cell::new(false),
        }
    }

    /// # Errors
    /// 102 when nothing is left, or so much is not.
    pub fn check_objects(&self, count: usize) -> Result<()> {
        if self.bytes_left() == 0 {
            return Err(self.too_many_bytes());
        }
        if count as u64 > self.objects_left() {
            return Err(self.too_many_objects());
        }
        Ok(())
    }

    /// Whether so much may be answered, before any of it is written.
    ///
    /// # Errors
    /// 102 when it may not; nothing is left then.
    pub fn check_weight(&self, objects: u64, bytes: u64) -> Result<()> {
        if objects > self.objects_left() {
            return Err(self.too_many_objects());
        }
        if bytes > self.bytes_left() as u64 {
            return Err(self.too_many_bytes());
        }
        Ok(())
    }

    /// Takes the bytes of an answer; nothing is left when there are not so many.
    ///
    /// # Errors
    /// 102 when they are too many, 503 when other answers have taken the memory.
    pub fn charge_bytes(&self, count: usize) -> Result<()> {
        if !take(&self.bytes_left, count as u64) {
            return Err(self.too_many_bytes());
        }
        match &self.pool {
            Some(pool) if count > SHORT => {
                if !pool.take(count) {
                    return Err(Error::overloaded());
                }
                self.pooled.fetch_add(count as u64, Ordering::Relaxed);
            }
            _ => {}
        }
        Ok(())
    }

    /// Gives back bytes that were held for a while only.
    pub fn refund_bytes(&self, count: usize) {
        add(&self.bytes_left, count as u64);
        if let Some(pool) = self.pool.as_ref().filter(|_| count > SHORT) {
            self.pooled.fetch_sub(count as u64, Ordering::Relaxed);
            pool.give_back(count);
        }
    }

    pub(super) fn take_memory(&self, count: usize) -> bool {
        if !take(&self.memory_left, count as u64) {
            return false;
        }
        let is_there = self.pool.as_ref().is_none_or(|pool| pool.take(count));
        if !is_there {
            add(&self.memory_left, count as u64);
            self.is_crowded.store(true, Ordering::Relaxed);
        }
        is_there
    }

    pub(super) fn give_memory_back(&self, count: usize) {
        add(&self.memory_left, count as u64);
        if let Some(pool) = &self.pool {
            pool.give_back(count);
        }
    }

    /// # Errors
    /// 102 when there was no room for all rows, 503 when other requests had taken it.
    pub fn check_whole(&self, rows: &RowSet) -> Result<()> {
        match (rows.is_cut(), self.is_crowded.load(Ordering::Relaxed)) {
            (false, _) => Ok(()),
            (true, true) => Err(Error::overloaded()),
            (true, false) => Err(self.too_many_bytes()),
        }
    }

    /// Whether what the meter counted was allowed. Its objects are taken; bytes are charged with the answer.
    ///
    /// # Errors
    /// 102 when it was not.
    pub fn settle(&self, meter: &Meter, written: usize) -> Result<()> {
        if written > meter.most_bytes || (meter.is_full.get() && meter.objects.get() <= meter.most_objects) {
            return Err(self.too_many_bytes());
        }
        if !take(&self.objects_left, meter.objects.get()) {
            return Err(self.too_many_objects());
        }
        Ok(())
    }

    /// The error of a request that asked for too much, if this one did.
    pub fn overdrawn(&self) -> Option<Error> {
        if self.bytes_left() == 0 {
            return Some(self.too_many_bytes());
        }
        (self.objects_left() == 0).then(|| self.too_many_objects())
    }

    /// The error of an answer that is too long, of which nothing is left then.
    pub fn too_many_bytes(&self) -> Error {
        self.bytes_left.store(0, Ordering::Relaxed);
        let limit = self.limits.bytes.unwrap_or_default();
        Error::invalid_query(format!("The response exceeds the limit of {limit} bytes."))
    }

    fn too_many_objects(&self) -> Error {
        self.objects_left.store(0, Ordering::Relaxed);
        let limit = self.limits.objects.unwrap_or_default();
        Error::invalid_query(format!("The response exceeds the limit of {limit} objects."))
    }
}

impl Drop for Budget {
    fn drop(&mut self) {
        let pooled = *self.pooled.get_mut();
        if let Some(pool) = self.pool.as_ref().filter(|_| pooled > 0) {
            pool.give_back(pooled as usize);
        }
    }
}

/// Memory for the long answers of all clients while they are made.
#[derive(Debug)]
pub struct Pool {
    limit: u64,
    used: AtomicU64,
}

impl Pool {
    pub fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicU64::new(0) })
    }

    /// One that is longer than the pool has its turn while half of it is free.
    pub fn take(&self, bytes: usize) -> bool {
        let before = self.used.fetch_add(bytes as u64, Ordering::Relaxed);
        let is_there = before <= self.limit / 2 || before.saturating_add(bytes as u64) <= self.limit;
        if !is_there {
            self.give_back(bytes);
        }
        is_there
    }

    pub fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes as u64, Ordering::Relaxed);
    }
}

fn add(left: &AtomicU64, count: u64) {
    let more = |left: u64| (left != u64::MAX).then(|| left.saturating_add(count));
    let _ = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
}

/// False, and nothing left, when there is not so much. Without a limit nothing is ever taken.
fn take(left: &AtomicU64, count: u64) -> bool {
    if left.load(Ordering::Relaxed) == u64::MAX {
        return true;
    }
    let less = |left: u64| Some(left.saturating_sub(count));
    let before = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).unwrap_or_default();
    before >= count
}

/// Counts what one text shows while it is written.
#[derive(Debug)]
pub struct Meter {
    most_bytes: usize,
    most_objects: u64,
    objects: Cell<u64>,
    is_full: Cell<bool>,
}

impl Meter {
    /// Whether one more object may be written behind so many bytes. Once it may not, none may.
    pub fn admits(&self, written: usize) -> bool {
        let objects = self.objects.get() + 1;
        self.objects.set(objects);
        if objects > self.most_objects || written > self.most_bytes {
            self.is_full.set(true);
        }
        !self.is_full.get()
    }

    /// How many were asked for.
    pub fn objects(&self) -> u64 {
        self.objects.get()
    }

    pub fn is_full(&self) -> bool {
        self.is_full.get()
    }
}

/// About how long a value is as JSON text; counting ends where it is longer than `most`.
pub fn json_size(value: &Value, most: usize) -> usize {
    let mut sum = 0;
    add_size(value, most, &mut sum);
    sum
}

fn add_size(value: &Value, most: usize, sum: &mut usize) {
    match value {
        Value::Null | Value::Bool(_) => *sum += 5,
        Value::Number(_) => *sum += 8,
        Value::String(text) => *sum += text.len() + 2,
        Value::Array(elements) => {
            *sum += 2;
            for element in elements {
                if *sum > most {
                    return;
                }
                *sum += 1;
                add_size(element, most, sum);
            }
        }
        Value::Object(object) => {
            *sum += 2;
            for (key, value) in object {
                if *sum > most {
                    return;
                }
                *sum += key.len() + 4;
                add_size(value, most, sum);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn budget(bytes: u64, objects: u64) -> Budget {
        Budget::new(ResponseLimits { bytes: Some(bytes), objects: Some(objects) })
    }

    #[test]
    fn what_is_spent_is_gone() {
        let budget = budget(100, 3);
        budget.charge_bytes(60).unwrap();
        budget.refund_bytes(10);
        budget.charge_bytes(50).unwrap();
        let text = budget.charge_bytes(1).expect_err("too many").public_message(true).to_owned();
        assert_eq!(text, "The response exceeds the limit of 100 bytes.");
        assert!(budget.overdrawn().is_some());
        let nothing = Budget::default();
        nothing.charge_bytes(usize::MAX).unwrap();
        nothing.check_objects(usize::MAX).unwrap();
        assert!(nothing.overdrawn().is_none());
    }

    #[test]
    fn clients_share_a_pool() {
        let pool = Pool::new(1_000_000);
        let limits = ResponseLimits { bytes: None, objects: None };
        let of = || Budget::new(limits).sharing(&pool);
        let (first, second) = (of(), of());
        first.charge_bytes(600_000).unwrap();
        assert_eq!(second.charge_bytes(600_000).expect_err("no room").status(), 503);
        second.charge_bytes(SHORT).unwrap();
        assert!(second.take_memory(300_000) && !second.take_memory(300_000));
        second.give_memory_back(300_000);
        drop(first);
        second.charge_bytes(600_000).unwrap();
        second.refund_bytes(600_000);
        drop(second);
        assert_eq!(pool.used.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_refusal_leaves_nothing() {
        let budget = budget(100, 3);
        assert!(budget.charge_bytes(101).is_err());
        assert!(budget.charge_bytes(1).is_err());
    }

    proptest! {
        #[test]
        fn a_meter_never_lets_more_objects_pass(most in 0_u64..50, asked in 0_u64..100) {
            let budget = budget(1000, most);
            let meter = budget.meter();
            let passed = (0..asked).filter(|_| meter.admits(0)).count() as u64;
            prop_assert_eq!(passed, asked.min(most));
            prop_assert_eq!(budget.settle(&meter, 0).is_ok(), asked <= most);
        }

        #[test]
        fn the_size_of_a_value_is_about_that_of_its_text(texts in proptest::collection::vec("[a-z]{0,40}", 0..20)) {
            let value = json!({"results": texts});
            let (about, exact) = (json_size(&value, usize::MAX), value.to_string().len());
            prop_assert!(about >= exact && about <= exact + 2 * (texts.len() + 10));
        }
    }
}
