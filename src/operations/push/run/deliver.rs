//! Devices out of rows, and what each of them is sent.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use super::Runner;
use crate::error::Result;
use crate::operations::ClassSnapshot;
use crate::operations::push::campaign::Campaign;
use crate::operations::push::request::Badge;
use crate::operations::push::zones::Wave;
use crate::push::{Device, Message, Outcome};
use crate::query::{Constraint, Filter, FindSpec, Operand, OrderKey};
use crate::types::row::CellRef;
use crate::types::{FieldName, RowRef, RowSet};

/// Devices that get the same message: the text by its language, and the badge.
type Kind = (Option<usize>, Option<i64>);

impl Runner {
    /// The devices with these ids that there still are.
    pub(super) async fn again(&self, class: &Arc<ClassSnapshot>, ids: &[String]) -> Result<Vec<Device>> {
        let ids = ids.iter().map(|id| Operand::Text(id.clone())).collect();
        let filter = Filter::field(FieldName::known("objectId"), Constraint::In(ids));
        Ok(self.devices(&self.rows(class, filter, None).await?))
    }

    pub(super) async fn rows(
        &self,
        class: &Arc<ClassSnapshot>,
        filter: Filter,
        limit: Option<usize>,
    ) -> Result<RowSet> {
        const COLUMNS: &[&str] =
            &["deviceToken", "deviceType", "pushType", "appIdentifier", "localeIdentifier", "badge"];
        let mut spec = FindSpec::new(filter);
        spec.limit = limit.map(|limit| limit as u64);
        spec.order = vec![OrderKey::Field { path: FieldName::known("objectId").into(), descending: false }];
        if !self.adapter.wants_objects() {
            spec.columns = Some(COLUMNS.iter().map(|name| FieldName::known(name)).collect());
        }
        Ok(self.services.storage.as_session().find(&class.schema, &spec).await?)
    }

    pub(super) fn devices(&self, rows: &RowSet) -> Vec<Device> {
        rows.iter().filter_map(|row| self.device(row)).collect()
    }

    /// Without a token there is nothing to send to.
    fn device(&self, row: RowRef<'_>) -> Option<Device> {
        let text = |name: &str| row.text(name).map(str::to_owned);
        let token = text("deviceToken").filter(|token| !token.is_empty())?;
        let badge = match row.by_name("badge") {
            CellRef::Number(badge) => Some(badge),
            _ => None,
        };
        Some(Device {
            id: row.object_id().to_owned(),
            token,
            device_type: text("deviceType"),
            push_type: text("pushType"),
            app_identifier: text("appIdentifier"),
            locale: text("localeIdentifier"),
            badge,
            broadcast: None,
            object: self.adapter.wants_objects().then(|| {
                let mut object = row.to_object();
                object.retain(|key, _| !key.starts_with('_'));
                object
            }),
        })
    }

    /// Gives the devices to the adapter, a message for each text and badge.
    pub(super) async fn hand_over(
        &self,
        campaign: &Campaign,
        wave: Option<&Wave>,
        devices: &[Device],
    ) -> Vec<Outcome> {
        let counts_badges = matches!(campaign.badge, Some(Badge::Increment(_)));
        let mut groups: Vec<(Kind, Vec<usize>)> = Vec::new();
        let mut places: HashMap<Kind, usize> = HashMap::new();
        for (index, device) in devices.iter().enumerate() {
            let badge = counts_badges.then(|| device.badge.unwrap_or(0.0) as i64);
            let key = (campaign.texts.choose(device.locale.as_deref()), badge);
            let place = *places.entry(key).or_insert_with(|| {
                groups.push((key, Vec::new()));
                groups.len() - 1
            });
            if let Some((_, indices)) = groups.get_mut(place) {
                indices.push(index);
            }
        }
        let sending = groups.into_iter().map(|((choice, badge), indices)| {
            let data = campaign.texts.data(choice, badge.map(|badge| badge as f64));
            let mut body = campaign.body.clone();
            if body.contains_key("data") {
                body.insert("data".to_owned(), Value::Object(data.clone()));
            }
            let expires_at = campaign.expires_at(wave);
            if let Some(at) = expires_at {
                body.insert("expiration_time".to_owned(), at.0.into());
            }
            // As it was sent: a push to channels has no condition of its own.
            if self.adapter.wants_objects() && !body.contains_key("channels") {
                body.insert("where".to_owned(), Value::Object(campaign.condition.clone()));
            }
            let message =
                Message { push_id: campaign.id.clone(), body, data, expires_at, halt: campaign.halt.clone() };
            let group: Vec<Device> =
                indices.iter().filter_map(|index| devices.get(*index).cloned()).collect();
            async move {
                let known: Vec<Device> = group.iter().map(Device::without_row).collect();
                let sent = self.adapter.send(&message, group).await;
                self.services.state.figures.pushed(&known, &sent);
                (indices, sent)
            }
        });
        let mut outcomes = vec![Outcome::Unknown; devices.len()];
        for (indices, sent) in futures_util::future::join_all(sending).await {
            for (index, outcome) in indices.into_iter().zip(sent) {
                if let Some(slot) = outcomes.get_mut(index) {
                    *slot = outcome;
                }
            }
        }
        outcomes
    }
}
