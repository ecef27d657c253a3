//! The program with a push configuration that leads to the doubles, and installations in its database.

use std::process::{Child, Command, Stdio};

use rcgen::KeyPair;
use serde_json::{Value, json};

use super::doubles::Doubles;
use crate::support::database::TestDatabase;
use crate::support::server::{Answer, Client};
use crate::support::wait;

/// Killed when dropped.
pub struct Node {
    child: Child,
    port: u16,
    pub master: Client,
    _folder: tempfile::TempDir,
}

pub const VAPID: (&str, &str) = (
    "BLpZkciKav5MD9BgyEKwVnsGPgZ03gxw1WbdgtH4wKeVrTTti7PK7J3nYSLB0apT8SzUdjewpXRszeV8-iWS5-8",
    "OfNwCWx9iQk45CVbANn3DASaXPqQ5j5sGoiTil9fWI8",
);

/// Every service.
pub fn senders() -> Value {
    let p8 = KeyPair::generate().unwrap().serialize_pem();
    let apns = json!({"token": {"key": p8, "keyId": "ABC123DEFG", "teamId": "DEF123GHIJ"}, "topic": "com.example.app"});
    let firebase = json!({"firebaseServiceAccount": {
        "project_id": "project", "client_email": "push@project.example", "private_key_id": "1",
        "private_key": include_str!("service-account.pem"),
    }});
    json!({
        "ios": apns, "tvos": apns, "osx": apns, "android": firebase, "fcm": firebase, "expo": {"accessToken": "expo-secret"},
        "web": {"vapidDetails": {"subject": "mailto:push@example.com", "publicKey": VAPID.0, "privateKey": VAPID.1}},
    })
}

impl Node {
    pub fn start(database: &TestDatabase, doubles: &Doubles, more: Value) -> Self {
        Self::with(database, doubles, more, &[])
    }

    pub fn with(
        database: &TestDatabase,
        doubles: &Doubles,
        more: Value,
        environment: &[(&str, &str)],
    ) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        let mut config = json!({
            "appId": "test", "masterKey": "master", "databaseURI": database.uri, "host": "127.0.0.1", "port": port,
            "logsFolder": null, "allowClientClassCreation": true, "verifyServerUrl": false, "push": senders(),
            "scheduledPush": true,
        });
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let file = folder.path().join("config.json");
        std::fs::write(&file, config.to_string()).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_parsimony"))
            .arg(&file)
            .current_dir(folder.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(doubles.environment())
            .envs(environment.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let keys = [("X-Parse-Application-Id", "test"), ("X-Parse-Master-Key", "master")];
        let master = Client::with(port, &keys);
        let node = Self { child, port, master, _folder: folder };
        wait::until("the program to serve", || {
            let Ok(mut stream) = std::net::TcpStream::connect(("127.0.0.1", port)) else { return false };
            use std::io::{Read, Write};
            let _ = stream.write_all(b"GET /parse/health HTTP/1.0\r\n\r\n");
            let mut answer = String::new();
            let _ = stream.read_to_string(&mut answer);
            answer.ends_with(r#"{"status":"ok"}"#)
        });
        node
    }

    pub fn client(&self, headers: &[(&str, &str)]) -> Client {
        let mut all = vec![("X-Parse-Application-Id", "test")];
        all.extend_from_slice(headers);
        Client::with(self.port, &all)
    }

    /// Nothing of it runs any more, all at once.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub async fn install(&self, installation: Value) -> String {
        let answer = self.master.post("/parse/classes/_Installation", installation).await.ok();
        answer["objectId"].as_str().unwrap().to_owned()
    }

    /// Accepts a push; its id.
    pub async fn push(&self, body: Value) -> String {
        let answer: Answer = self.master.post("/parse/push", body).await;
        assert_eq!((answer.status, &answer.body), (200, &json!({"result": true})), "{}", answer.text);
        answer.headers["x-parse-push-status-id"].as_str().unwrap().to_owned()
    }

    pub async fn status(&self, id: &str) -> Value {
        self.master.get(&format!("/parse/push_status/{id}")).await.ok()
    }

    pub async fn report(&self, id: &str) -> Value {
        self.master.get(&format!("/parse/push_status/{id}/report")).await.ok()
    }

    pub async fn until(&self, id: &str, status: &str) -> Value {
        wait::until_some(&format!("push {id} to be {status}"), || async {
            let row = self.status(id).await;
            (row["status"] == status).then_some(row)
        })
        .await
    }

    /// Accepts a push and waits for its end.
    pub async fn send(&self, body: Value) -> Value {
        let id = self.push(body).await;
        self.until(&id, "succeeded").await
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Many installations at once, with tokens of APNs: `{number:064x}`.
pub async fn install_many(node: &Node, database: &TestDatabase, count: i64) {
    const INSERT: &str = "INSERT INTO \"_Installation\" (\"objectId\", \"createdAt\", \"updatedAt\", \"installationId\", \
        \"deviceType\", \"deviceToken\", \"appIdentifier\", \"channels\", \"badge\") \
        SELECT substr(md5(n::text), 1, 10), now(), now(), 'i' || n, 'ios', lpad(to_hex(n), 64, '0'), \
        'com.example.app', '[\"all\"]'::jsonb, 0 FROM generate_series(1, $1::bigint) AS n \
        ON CONFLICT DO NOTHING";
    // The class comes with its first object.
    node.install(json!({"deviceType": "embedded", "installationId": "none"})).await;
    database.connect().await.execute(INSERT, &[&count]).await.unwrap();
}
