//! Relations: collections `_Join:<field>:<Class>` with a document for each member, and the roles of users, which
//! are relations.

use std::collections::BTreeSet;

use bson::{Bson, Document, doc};
use mongodb::options::FindOptions;

use crate::storage::mongo::error::{NAMESPACE_NOT_FOUND, check_reply, code, of_query};
use crate::storage::mongo::query::related::{IN_QUERY, MOST_ANSWERED, too_many};
use crate::storage::mongo::{MongoAdapter, run};
use crate::storage::{RelationSide, StorageResult};
use crate::types::update::RelationChange;
use crate::types::{ClassName, FieldName, ObjectId};

/// Members that one command adds or removes.
const CHUNK: usize = 1000;

impl MongoAdapter {
    async fn texts(
        &self,
        collection: &str,
        filter: Document,
        key: &'static str,
    ) -> StorageResult<BTreeSet<String>> {
        let mut found = BTreeSet::new();
        let options = FindOptions::builder().projection(doc! { "_id": 0, key: 1 }).batch_size(1000).build();
        let collection = self.core.collection(collection);
        let mut bytes = 0;
        self.each(&collection, filter, options, |document| {
            if let Ok(text) = document.get_str(key)
                && found.insert(text.to_owned())
            {
                bytes += text.len() + IN_QUERY;
            }
            bytes <= MOST_ANSWERED
        })
        .await?;
        if bytes > MOST_ANSWERED { Err(too_many()) } else { Ok(found) }
    }

    /// Members of owners, or owners of members; each once.
    pub(in crate::storage::mongo) async fn pairs(
        &self,
        join: &ClassName,
        side: &RelationSide,
    ) -> StorageResult<Vec<String>> {
        let (given, wanted, ids) = match side {
            RelationSide::Owners(ids) => ("owningId", "relatedId", ids),
            RelationSide::Members(ids) => ("relatedId", "owningId", ids),
        };
        let filter = match ids.as_slice() {
            [] => return Ok(Vec::new()),
            [one] => doc! { given: one },
            many => doc! { given: { "$in": many } },
        };
        Ok(self.texts(join.as_str(), filter, wanted).await?.into_iter().collect())
    }

    pub(in crate::storage::mongo) async fn all_owners(&self, join: &ClassName) -> StorageResult<Vec<String>> {
        Ok(self.texts(join.as_str(), Document::new(), "owningId").await?.into_iter().collect())
    }

    pub(in crate::storage::mongo) async fn change_members(
        &self,
        class: &ClassName,
        owner: &ObjectId,
        changes: &[RelationChange],
    ) -> StorageResult<()> {
        for change in changes {
            let join = ClassName::join(&change.field, class);
            for members in change.remove.chunks(CHUNK) {
                let members: Vec<&str> = members.iter().map(|id| id.as_str()).collect();
                let filter = doc! { "owningId": owner.as_str(), "relatedId": { "$in": members } };
                run!(self, self.documents(join.as_str()).delete_many(filter.clone()))?;
            }
            let mut added: Vec<&str> = change.add.iter().map(|id| id.as_str()).collect();
            // In one order for all writers.
            added.sort_unstable();
            added.dedup();
            for members in added.chunks(CHUNK) {
                let upsert = |member: &&str| {
                    let pair = doc! { "relatedId": *member, "owningId": owner.as_str() };
                    Bson::Document(doc! { "q": pair.clone(), "u": { "$set": pair }, "upsert": true })
                };
                let updates: Vec<Bson> = members.iter().map(upsert).collect();
                let command = doc! { "update": self.core.full_name(join.as_str()), "updates": updates };
                let reply = run!(self, self.core.db.run_command(command.clone()))?;
                check_reply(&reply)?;
            }
        }
        Ok(())
    }

    pub(in crate::storage::mongo) async fn role_names(&self, user_id: &str) -> StorageResult<Vec<String>> {
        let role = ClassName::known("_Role");
        let join = |field: &'static str| ClassName::join(&FieldName::known(field), &role);
        let mut names = BTreeSet::new();
        let mut seen: BTreeSet<String> = BTreeSet::new();
        let side = RelationSide::Members(vec![user_id.to_owned()]);
        let mut fresh = self.pairs(&join("users"), &side).await?;
        while !fresh.is_empty() {
            seen.extend(fresh.iter().cloned());
            // A role that is gone passes nothing on, though its membership rows are still there.
            let mut there = Vec::new();
            let options = FindOptions::builder().projection(doc! { "name": 1 }).build();
            let roles = self.objects(&role);
            self.each(&roles, doc! { "_id": { "$in": &fresh } }, options, |document| {
                if let (Ok(id), Ok(name)) = (document.get_str("_id"), document.get_str("name")) {
                    there.push(id.to_owned());
                    names.insert(name.to_owned());
                }
                true
            })
            .await?;
            fresh = self.pairs(&join("roles"), &RelationSide::Members(there)).await?;
            fresh.retain(|id| !seen.contains(id));
        }
        Ok(names.into_iter().collect())
    }

    /// Removes a collection, if it is there.
    pub(in crate::storage::mongo) async fn drop_collection(&self, name: &str) -> StorageResult<()> {
        match self.core.timed(self.documents(name).drop()).await {
            Err(error) if code(&error) == Some(NAMESPACE_NOT_FOUND) => Ok(()),
            other => other.map_err(of_query),
        }
    }
}
