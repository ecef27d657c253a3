//! The feed of changes: one change stream over the database. A place is a resume token.

use async_trait::async_trait;
use bson::raw::{RawBsonRef, RawDocumentBuf};
use bson::{Bson, DateTime, Document, doc};
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use mongodb::change_stream::event::ResumeToken;

use super::listen::NOTICES;
use crate::storage::changes::{Change, ChangeFeed, Told};
use crate::storage::mongo::MongoAdapter;
use crate::storage::mongo::error::{boxed, code, stale};
use crate::storage::mongo::schema::SCHEMA;
use crate::storage::{StorageError, StorageResult};

/// Channel of the notices that marks are.
const MARKS: &str = "mark";
/// The server's history does not reach back to the token, or it is none of this server's.
const HISTORY_LOST: &[i32] = &[280, 286, 40576, 50811];

#[async_trait]
impl ChangeFeed for MongoAdapter {
    async fn place(&self) -> StorageResult<String> {
        let stream = self.core.timed(self.core.db.watch()).await?;
        match stream.resume_token() {
            Some(token) => written(&token),
            None => Err(StorageError::Other(boxed("the server told no resume token"))),
        }
    }

    async fn follow(&self, place: &str) -> StorageResult<BoxStream<'static, StorageResult<Told>>> {
        let token = read(place)?;
        let stream = self.core.db.watch().resume_after(token);
        let stream = self.core.timed(stream).await.map_err(lost)?.with_type::<RawDocumentBuf>();
        let prefix = self.core.prefix.clone();
        let told = move |event: RawDocumentBuf| {
            let token = event.get("_id").ok().flatten().and_then(|token| Bson::try_from(token).ok());
            let place = token.and_then(|token| text_of(token).ok());
            Told { place: place.unwrap_or_default(), change: change(&event, &prefix) }
        };
        Ok(stream.map_ok(told).map_err(lost).boxed())
    }

    async fn mark(&self, text: &str) -> StorageResult<()> {
        let notice = doc! { "channel": MARKS, "payload": text, "at": DateTime::now() };
        let collection = self.core.collection::<Document>(NOTICES);
        let id = self.core.timed(collection.insert_one(notice)).await?.inserted_id;
        // The server may not be one of ours, which have old notices removed.
        self.core.timed(collection.delete_one(doc! { "_id": id })).await?;
        Ok(())
    }
}

fn written(token: &ResumeToken) -> StorageResult<String> {
    text_of(bson::serialize_to_bson(token).map_err(|error| StorageError::Other(Box::new(error)))?)
}

/// The token's bytes, in a text.
fn text_of(token: Bson) -> StorageResult<String> {
    let raw = RawDocumentBuf::try_from(&doc! { "t": token });
    let raw = raw.map_err(|error| StorageError::Other(Box::new(error)))?;
    Ok(hex::encode(raw.as_bytes()))
}

fn read(place: &str) -> StorageResult<ResumeToken> {
    let unreadable = || stale("the place in the change stream cannot be read");
    let bytes = hex::decode(place).map_err(|_| unreadable())?;
    let raw = RawDocumentBuf::from_bytes(bytes).map_err(|_| unreadable())?;
    let mut document = Document::try_from(raw).map_err(|_| unreadable())?;
    let token = document.remove("t").ok_or_else(unreadable)?;
    bson::deserialize_from_bson(token).map_err(|_| unreadable())
}

fn lost(error: mongodb::error::Error) -> StorageError {
    if code(&error).is_some_and(|code| HISTORY_LOST.contains(&code)) {
        return stale("the change stream does not reach back that far");
    }
    error.into()
}

fn change(event: &RawDocumentBuf, prefix: &str) -> Change {
    let operation = event.get_str("operationType").unwrap_or_default();
    let collection = event.get_document("ns").ok().and_then(|ns| ns.get_str("coll").ok()).unwrap_or_default();
    if matches!(collection, "fs.files" | "fs.chunks") {
        // A file is there with its entry.
        return if collection == "fs.files" { Change::Files } else { Change::Other };
    }
    let Some(name) = collection.strip_prefix(prefix) else { return Change::Other };
    let key = event.get_document("documentKey").ok().and_then(|key| key.get("_id").ok().flatten());
    let id = key.and_then(id_text);
    if name == NOTICES {
        let notice = event.get_document("fullDocument").ok();
        let text = notice.filter(|notice| notice.get_str("channel").is_ok_and(|channel| channel == MARKS));
        let text = text.and_then(|notice| notice.get_str("payload").ok());
        return text.map_or(Change::Other, |text| Change::Mark(text.to_owned()));
    }
    if name.is_empty() || name.starts_with("_parsimony_") || name.starts_with("system.") {
        return Change::Other;
    }
    if name == SCHEMA {
        return id.map_or(Change::Other, |class| Change::Schema { class });
    }
    if let Some((field, class)) = name.strip_prefix("_Join:").and_then(|join| join.split_once(':')) {
        return Change::Relation { field: field.to_owned(), class: class.to_owned() };
    }
    let class = name.to_owned();
    match (operation, id) {
        ("insert" | "update" | "replace" | "delete", Some(id)) => Change::Object { class, id },
        ("insert" | "update" | "replace" | "delete" | "drop" | "rename", None) => Change::Class { class },
        // Of indexes and collections, which are read with the classes.
        _ => Change::Other,
    }
}

/// An id as objects show it.
fn id_text(id: RawBsonRef<'_>) -> Option<String> {
    Some(match id {
        RawBsonRef::String(id) => id.to_owned(),
        RawBsonRef::ObjectId(id) => id.to_hex(),
        RawBsonRef::Int32(id) => id.to_string(),
        RawBsonRef::Int64(id) => id.to_string(),
        RawBsonRef::Double(id) => id.to_string(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(collection: &str, operation: &str, id: impl Into<Bson>) -> Change {
        let event = doc! {
            "operationType": operation, "ns": { "db": "d", "coll": collection }, "documentKey": { "_id": id.into() },
            "fullDocument": { "channel": MARKS, "payload": "here" },
        };
        change(&RawDocumentBuf::try_from(&event).unwrap(), "p_")
    }

    #[test]
    fn events_name_what_was_changed() {
        let object = |id: &str| Change::Object { class: "Game".to_owned(), id: id.to_owned() };
        let oid = bson::oid::ObjectId::parse_str("5f0000000000000000000001").unwrap();
        assert_eq!(of("p_Game", "update", "a"), object("a"));
        assert_eq!(of("p_Game", "delete", oid), object("5f0000000000000000000001"));
        assert_eq!(of("p_Game", "drop", Bson::Null), Change::Class { class: "Game".to_owned() });
        let relation = Change::Relation { field: "users".to_owned(), class: "_Role".to_owned() };
        assert_eq!(of("p__Join:users:_Role", "delete", oid), relation);
        assert_eq!(of("p__SCHEMA", "update", "Game"), Change::Schema { class: "Game".to_owned() });
        assert_eq!(of("p__parsimony_notices", "insert", oid), Change::Mark("here".to_owned()));
        assert_eq!(of("p__parsimony_work", "insert", oid), Change::Other);
        assert_eq!(
            (of("fs.files", "insert", oid), of("Game", "insert", "a")),
            (Change::Files, Change::Other)
        );
    }

    #[test]
    fn places_can_be_written_down() {
        let place = text_of(Bson::Document(doc! { "_data": "8263" })).unwrap();
        assert_eq!(written(&read(&place).unwrap()).unwrap(), place);
        assert!(read("nonsense").is_err());
    }
}
