//! [`Senders`]: the built-in adapter. It finds the sender of each device, as `@parse/push-adapter` does.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use super::apns::Apns;
use super::expo::Expo;
use super::fcm::{Fcm, Kind, Project};
use super::options::{self, QueueOptions, misconfigured};
use super::token::ProviderTokens;
use super::web::WebPush;
use super::{Broadcast, Device, Message, Outcome, PushAdapter, Receipt, Sender};
use crate::error::Result;
use crate::outbound::{Outbound, OutboundError};
use crate::types::Object;

/// Devices that are read, sent to and noted together. So many may get a push twice when the server dies.
const BATCH: usize = 500;

pub struct Senders {
    by_type: BTreeMap<&'static str, Arc<dyn Sender>>,
    expo: Option<Arc<Expo>>,
    batch_size: usize,
}

impl Senders {
    /// # Errors
    /// 115 for configurations that cannot work, as parse-server refuses to start with them.
    pub fn new(push: &Object, outbound: &Arc<Outbound>) -> Result<Self> {
        let mut by_type: BTreeMap<&'static str, Arc<dyn Sender>> = BTreeMap::new();
        let mut expo = None;
        let mut tokens = ProviderTokens::default();
        let mut projects: Vec<(&Value, Arc<Project>)> = Vec::new();
        for (kind, given) in options::types(push)? {
            let account = given.get("firebaseServiceAccount");
            let firebase = match (account, projects.iter().find(|(known, _)| Some(*known) == account)) {
                (None, _) => None,
                (Some(_), Some((_, project))) => Some(project.clone()),
                (Some(account), None) => {
                    let project = Arc::new(Project::new(given, outbound)?);
                    projects.push((account, project.clone()));
                    Some(project)
                }
            };
            let sender: Arc<dyn Sender> = match (kind, firebase) {
                ("web", _) => Arc::new(WebPush::new(given, outbound)?),
                ("expo", _) => {
                    let sender = Arc::new(Expo::new(given, outbound)?);
                    expo = Some(sender.clone());
                    sender
                }
                ("android" | "fcm", Some(project)) => Arc::new(Fcm::new(project, Kind::Android)),
                ("android" | "fcm", None) => {
                    return Err(misconfigured(
                        "Firebase service account is required for Android/FCM push notifications",
                    ));
                }
                (_, Some(project)) => Arc::new(Fcm::new(project, Kind::Apple)),
                (_, None) => Arc::new(Apns::new(given, outbound, &mut tokens)?),
            };
            by_type.insert(kind, sender);
        }
        let batch_size = QueueOptions::read(push)?.batch_size.unwrap_or(BATCH);
        Ok(Self { by_type, expo, batch_size })
    }
}

#[async_trait]
impl PushAdapter for Senders {
    async fn send(&self, message: &Message, devices: Vec<Device>) -> Vec<Outcome> {
        let mut outcomes = vec![Outcome::Unknown; devices.len()];
        let mut groups: BTreeMap<&'static str, (Vec<usize>, Vec<Device>)> = BTreeMap::new();
        for (index, device) in devices.into_iter().enumerate() {
            let slot = outcomes.get_mut(index);
            match device.kind() {
                Some(kind) if self.by_type.contains_key(kind) => {
                    let (indices, group) = groups.entry(kind).or_default();
                    indices.push(index);
                    group.push(device);
                }
                Some(kind) => {
                    let reason = format!("Can not find sender for push type {kind}");
                    slot.into_iter().for_each(|slot| *slot = Outcome::rejected(reason.as_str()));
                }
                None => {
                    let reason = "Can not find sender for the device type";
                    slot.into_iter().for_each(|slot| *slot = Outcome::rejected(reason));
                }
            }
        }
        let sending = groups.into_iter().filter_map(|(kind, (indices, group))| {
            let sender = self.by_type.get(kind)?.clone();
            Some(async move { (indices, sender.send(message, group).await) })
        });
        for (indices, sent) in futures_util::future::join_all(sending).await {
            for (index, outcome) in indices.into_iter().zip(sent) {
                if let Some(slot) = outcomes.get_mut(index) {
                    *slot = outcome;
                }
            }
        }
        outcomes
    }

    fn batch_size(&self) -> usize {
        self.batch_size
    }

    fn reaches(&self, broadcast: &Broadcast) -> Option<&'static str> {
        self.by_type.iter().find(|(_, sender)| sender.reaches(broadcast)).map(|(kind, _)| *kind)
    }

    async fn receipts(&self, tickets: &[String]) -> std::result::Result<Vec<Receipt>, OutboundError> {
        match &self.expo {
            Some(expo) => expo.receipts(tickets).await,
            None => Ok(tickets.iter().map(|_| Receipt::Delivered).collect()),
        }
    }
}
