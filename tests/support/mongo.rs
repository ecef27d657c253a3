//! A database of its own for each test on the MongoDB stand-in (SecantusDB), where one was started.

/// A database that nobody else uses. The component's folder goes with the component, and its databases with it.
#[derive(Debug)]
pub struct TestMongo {
    pub uri: String,
}

impl TestMongo {
    pub const VARIABLE: &str = "PARSIMONY_TEST_MONGO_URI";

    /// `None`, and a word about it, where no such component runs: a test environment of an older start has none.
    pub fn empty() -> Option<Self> {
        let Ok(server) = std::env::var(Self::VARIABLE) else {
            eprintln!("{} is not set: nothing is tested on MongoDB", Self::VARIABLE);
            return None;
        };
        let name = format!("test_{:016x}", rand::random::<u64>());
        Some(Self { uri: format!("{}/{name}", server.trim_end_matches('/')) })
    }

    pub async fn database(&self) -> mongodb::Database {
        let client = mongodb::Client::with_uri_str(&self.uri).await.unwrap();
        client.default_database().unwrap()
    }
}
