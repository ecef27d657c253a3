//! How servers on one database tell each other: a change stream over `_SCHEMA`, where every program's changes of classes
//! show, and over `_parsimony_notices`, whose documents are what servers say and go by themselves. Needs a replica set.

use std::sync::Arc;

use async_trait::async_trait;
use bson::raw::RawDocumentBuf;
use bson::{DateTime, Document, doc};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use serde_json::json;

use crate::error::{Error, Result};
use crate::pubsub::postgres::{Channels, Notification, OWN_CHANNEL};
use crate::storage::mongo::Core;
use crate::storage::mongo::schema::SCHEMA;

pub const NOTICES: &str = "_parsimony_notices";
/// How long a notice stays: everybody who listens has heard it by then.
pub const NOTICE_SECONDS: i32 = 60;

/// The database's change streams.
pub(in crate::storage::mongo) struct ChangeStreams {
    pub(in crate::storage::mongo) core: Arc<Core>,
}

#[async_trait]
impl Channels for ChangeStreams {
    async fn listen(&self, channels: &[&str]) -> Result<BoxStream<'static, Notification>> {
        let (schema, notices) = (self.core.full_name(SCHEMA), self.core.full_name(NOTICES));
        let wanted = doc! { "$match": { "ns.coll": { "$in": [schema.as_str(), notices.as_str()] } } };
        let arriving = self.core.db.watch().pipeline([wanted]).await.map_err(Error::database)?;
        let arriving = arriving.with_type::<RawDocumentBuf>();
        let channels: Vec<String> = channels.iter().map(|channel| (*channel).to_owned()).collect();
        let notifications = arriving
            // Whoever listens begins anew after an error, and hears that something was lost.
            .take_while(|change| futures_util::future::ready(change.is_ok()))
            .filter_map(move |change| {
                let notification = change.ok().and_then(|change| notification(&change, &notices));
                let wanted = notification.filter(|(channel, _)| channels.contains(channel));
                futures_util::future::ready(wanted)
            });
        Ok(notifications.boxed())
    }

    async fn send(&self, notifications: &[(&'static str, String)]) -> Result<()> {
        let notice = |(channel, payload): &(&'static str, String)| {
            doc! { "channel": *channel, "payload": payload.as_str(), "at": DateTime::now() }
        };
        // What is told of classes shows in `_SCHEMA` itself.
        let own = notifications.iter().filter(|(channel, _)| *channel == OWN_CHANNEL);
        let documents: Vec<Document> = own.map(notice).collect();
        let collection = self.core.collection::<Document>(NOTICES);
        self.core.timed(collection.insert_many(documents)).await.map_err(Error::database)?;
        Ok(())
    }
}

/// What a change tells.
fn notification(change: &RawDocumentBuf, notices: &str) -> Option<Notification> {
    let collection = change.get_document("ns").ok()?.get_str("coll").ok()?;
    if collection == notices {
        let notice = change.get_document("fullDocument").ok()?;
        return Some((
            notice.get_str("channel").ok()?.to_owned(),
            notice.get_str("payload").ok()?.to_owned(),
        ));
    }
    let class = change.get_document("documentKey").ok().and_then(|key| key.get_str("_id").ok());
    Some((OWN_CHANNEL.to_owned(), json!({ "kind": "schema", "value": class }).to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_of_classes_and_notices_are_told() {
        let raw = |document: Document| RawDocumentBuf::try_from(&document).unwrap();
        let schema = raw(doc! { "ns": { "db": "d", "coll": "_SCHEMA" }, "documentKey": { "_id": "Game" } });
        let expected = (OWN_CHANNEL.to_owned(), r#"{"kind":"schema","value":"Game"}"#.to_owned());
        assert_eq!(notification(&schema, NOTICES), Some(expected));
        let notice = raw(doc! {
            "ns": { "db": "d", "coll": NOTICES }, "fullDocument": { "channel": OWN_CHANNEL, "payload": "{}" },
        });
        assert_eq!(notification(&notice, NOTICES), Some((OWN_CHANNEL.to_owned(), "{}".to_owned())));
        let gone = raw(doc! { "ns": { "db": "d", "coll": NOTICES }, "documentKey": { "_id": 1 } });
        assert_eq!(notification(&gone, NOTICES), None);
    }
}
