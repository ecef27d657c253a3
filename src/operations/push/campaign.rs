//! A push as the runner of a server knows it: what it says, and to whom.

use std::sync::Arc;

use chrono::NaiveDateTime;
use serde_json::Value;

use super::request::{BROADCAST, Badge, LOCAL, UNREADABLE, later};
use super::texts::Texts;
use super::zones::{self, Wave};
use crate::error::{Error, Result};
use crate::operations::object::read::parse_context;
use crate::operations::permissions::Protection;
use crate::operations::permissions::query::authorize_filter;
use crate::operations::services::Services;
use crate::operations::{ClassSnapshot, gate};
use crate::push::{Broadcast, Halt};
use crate::query::{Constraint, Filter, Operand, parse_where};
use crate::storage::push::StoredPush;
use crate::types::time::Millis;
use crate::types::{ClassName, FieldName, Object};

pub const INSTALLATION: &str = "_Installation";

pub struct Campaign {
    pub id: String,
    pub body: Object,
    pub condition: Object,
    /// It goes to no installations.
    pub broadcast: Option<Broadcast>,
    pub texts: Texts,
    pub badge: Option<Badge>,
    pub rate: Option<f64>,
    pub batch: usize,
    pub deadline: Millis,
    pub due_at: Millis,
    expires_at: Option<Millis>,
    interval: Option<f64>,
    waves: Vec<Wave>,
    pub halt: Halt,
}

impl Campaign {
    pub fn of(stored: StoredPush) -> Self {
        let settings = &stored.settings;
        let number = |name: &str| settings.get(name).and_then(Value::as_f64);
        let body = read(stored.body);
        let data = body.get("data").and_then(Value::as_object).cloned().unwrap_or_default();
        let badge = settings.get("badge").and_then(|badge| {
            let of = |name: &str| badge.get(name).and_then(Value::as_f64);
            of("set").map(Badge::Set).or_else(|| of("increment").map(Badge::Increment))
        });
        let local = settings.get("local").and_then(Value::as_str);
        let local = local.and_then(|text| NaiveDateTime::parse_from_str(text, LOCAL).ok());
        let condition = stored.condition.as_object().cloned().unwrap_or_default();
        Self {
            texts: Texts::of(&data),
            broadcast: condition.get(BROADCAST).and_then(|to| Broadcast::read(to).ok()),
            condition,
            badge,
            rate: number("rate"),
            batch: number("batch").map_or(100, |batch| batch as usize).clamp(1, 10_000),
            deadline: stored.deadline,
            due_at: stored.due_at,
            expires_at: number("expiresAt").map(|at| Millis(at as i64)),
            interval: number("interval"),
            waves: local.map(zones::waves).unwrap_or_default(),
            halt: Halt::default(),
            id: stored.id,
            body,
        }
    }

    /// Where the wave that is due at this moment reaches; `None`: it is none of this push.
    pub fn wave(&self, at: i64) -> Option<&Wave> {
        self.waves.iter().find(|wave| wave.at.0 == at)
    }

    /// When the service is to give up.
    pub fn expires_at(&self, wave: Option<&Wave>) -> Option<Millis> {
        let due_at = wave.map_or(self.due_at, |wave| wave.at);
        self.expires_at.or_else(|| self.interval.map(|seconds| later(due_at, seconds)))
    }

    /// Devices of one page: fewer where they are to be sent to slowly.
    pub fn page(&self) -> usize {
        let a_second = self.rate.map_or(usize::MAX, |rate| rate.ceil().max(1.0) as usize);
        self.batch.min(a_second)
    }

    /// Who gets it: those with a token, of this wave.
    ///
    /// # Errors
    /// As [`check`].
    pub async fn filter(
        &self,
        services: &Arc<Services>,
        class: &ClassSnapshot,
        wave: Option<&Wave>,
    ) -> Result<Filter> {
        let mut filter = compile(services, class, &self.condition).await?;
        if !self.condition.contains_key("deviceToken") {
            filter = filter.and(Filter::field(FieldName::known("deviceToken"), Constraint::Exists(true)));
        }
        let zone = |constraint| Filter::field(FieldName::known("timeZone"), constraint);
        let names = |zones: &mut dyn Iterator<Item = &String>| -> Vec<Operand> {
            zones.map(|zone| Operand::Text(zone.clone())).collect()
        };
        if let Some(wave) = wave {
            let own = zone(Constraint::In(names(&mut wave.zones.iter())));
            let of_wave = match wave.has_rest {
                false => own,
                true => Filter::Or(vec![
                    own,
                    zone(Constraint::Exists(false)),
                    zone(Constraint::Nin(names(&mut zones::known(&self.waves)))),
                ]),
            };
            filter = filter.and(of_wave);
        }
        Ok(filter)
    }
}

/// The body as it is stored: as text, since the order of its keys means something (a title before or after an
/// alert, what `aps` replaces), and `jsonb` does not keep it.
pub fn written(body: &Object) -> Value {
    Value::String(Value::Object(body.clone()).to_string())
}

fn read(stored: Value) -> Object {
    match stored {
        Value::String(text) => serde_json::from_str(&text).unwrap_or_default(),
        Value::Object(body) => body,
        _ => Object::new(),
    }
}

/// Whether a condition can be asked at all.
///
/// # Errors
/// 102, 105, 107 as of any query.
pub async fn check(services: &Arc<Services>, condition: &Object) -> Result<()> {
    if condition.contains_key(BROADCAST) {
        return Ok(());
    }
    if condition.contains_key(UNREADABLE) {
        return Err(Error::invalid_query("bad query: where must be an object"));
    }
    match services.classes.admit(&ClassName::known(INSTALLATION)).await? {
        Some(class) => compile(services, &class, condition).await.map(drop),
        None => Ok(()),
    }
}

/// With the rights of the master key, sub-queries resolved.
async fn compile(services: &Arc<Services>, class: &ClassSnapshot, condition: &Object) -> Result<Filter> {
    let ctx = gate::own_work(services);
    let condition = Value::Object(condition.clone());
    let mut filter = parse_where(&condition, &parse_context(&ctx, Some(class)))?;
    authorize_filter(&ctx, class, &Protection::of(&ctx, class, None), &mut filter).await?;
    Ok(filter)
}

/// The class of installations; without it there is nobody to send to.
///
/// # Errors
/// When storage fails.
pub async fn installations(services: &Services) -> Result<Option<Arc<ClassSnapshot>>> {
    services.classes.admit(&ClassName::known(INSTALLATION)).await
}

/// What an item is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Job {
    /// The page of installations after this id.
    Page { after: String, wave: Option<i64>, is_first: bool },
    /// These installations again.
    Again { ids: Vec<String>, tries: u32, reason: String, wave: Option<i64> },
}

impl Job {
    /// # Errors
    /// When another version wrote it.
    pub fn read(payload: &Value) -> Result<Self> {
        let text = |name: &str| payload.get(name).and_then(Value::as_str).map(str::to_owned);
        let wave = payload.get("wave").and_then(Value::as_i64);
        if let Some(after) = text("after") {
            return Ok(Self::Page { is_first: after.is_empty(), after, wave });
        }
        let ids = payload.get("ids").and_then(Value::as_array);
        let ids = ids.ok_or_else(|| Error::internal("an item of a push says nothing"))?;
        let ids = ids.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        let tries = payload.get("try").and_then(Value::as_u64).unwrap_or(1);
        Ok(Self::Again {
            ids,
            tries: u32::try_from(tries).unwrap_or(u32::MAX),
            reason: text("reason").unwrap_or_default(),
            wave,
        })
    }

    pub fn wave(&self) -> Option<i64> {
        match self {
            Self::Page { wave, .. } | Self::Again { wave, .. } => *wave,
        }
    }
}
