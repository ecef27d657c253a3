//! The server on MongoDB (SecantusDB): the layout that parse-server reads, and the behaviour of the REST API.

mod faults;
mod follow;
mod layout;
mod migrate;
mod rest;

use mongodb::bson::Document;
use serde_json::{Value, json};

use crate::support::mongo::TestMongo;
use crate::support::server::TestServer;

/// A server on a database of its own, and that database.
struct Fixture {
    server: TestServer,
    database: mongodb::Database,
}

impl Fixture {
    async fn new(options: Value) -> Option<Self> {
        Some(Self::on(&TestMongo::empty()?, options).await)
    }

    /// On a database that may hold something already.
    async fn on(database: &TestMongo, options: Value) -> Self {
        let mut all = json!({ "databaseURI": database.uri });
        if let (Value::Object(all), Value::Object(options)) = (&mut all, options) {
            all.extend(options);
        }
        Self { server: TestServer::with(all).await, database: database.database().await }
    }

    fn collection(&self, name: &str) -> mongodb::Collection<Document> {
        self.database.collection(name)
    }

    async fn only(&self, name: &str) -> Document {
        self.collection(name).find_one(mongodb::bson::doc! {}).await.unwrap().unwrap()
    }
}
