//! A PostgreSQL database of its own for each test, made from a template in some 30 ms.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tokio_postgres::{Client, NoTls};

/// URI of the test server's database `postgres`, as its superuser.
pub fn admin_uri() -> &'static str {
    static URI: OnceLock<String> = OnceLock::new();
    URI.get_or_init(|| {
        std::env::var("PARSIMONY_TEST_DATABASE_URI").unwrap_or_else(|_| {
            let (uri, users) = borrow();
            // Held until this process ends.
            std::mem::forget(users);
            uri
        })
    })
}

/// A database that is dropped with this value.
#[derive(Debug)]
pub struct TestDatabase {
    pub name: String,
    pub uri: String,
}

impl TestDatabase {
    /// An empty one.
    pub async fn empty() -> Self {
        Self::create(&admin().await, "template1").await
    }

    /// A copy of a template that `prepare`, given a URI, fills: once for all test processes of a
    /// build, whoever comes first. `prepare` closes its connections before it returns.
    pub async fn from_template(label: &str, prepare: impl AsyncFnOnce(&str)) -> Self {
        let client = admin().await;
        let template = format!("template_{label}_{:016x}", build());
        // Released with the connection, whatever happens.
        let lock = i64::from_ne_bytes(hash(&template).to_ne_bytes());
        client.execute("SELECT pg_advisory_lock($1)", &[&lock]).await.unwrap();
        let found = client.query("SELECT FROM pg_database WHERE datname = $1", &[&template]).await.unwrap();
        if found.is_empty() {
            let draft = format!("{template}_draft");
            let drop = format!("DROP DATABASE IF EXISTS \"{draft}\" WITH (FORCE)");
            client.execute(&drop, &[]).await.unwrap();
            client.execute(&format!("CREATE DATABASE \"{draft}\""), &[]).await.unwrap();
            prepare(&uri_of(&draft)).await;
            let end = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1";
            client.execute(end, &[&draft]).await.unwrap();
            client
                .execute(&format!("ALTER DATABASE \"{draft}\" RENAME TO \"{template}\""), &[])
                .await
                .unwrap();
        }
        client.execute("SELECT pg_advisory_unlock($1)", &[&lock]).await.unwrap();
        Self::create(&client, &template).await
    }

    async fn create(client: &Client, template: &str) -> Self {
        let name = format!("test_{:016x}", rand::random::<u64>());
        let sql = format!("CREATE DATABASE \"{name}\" TEMPLATE \"{template}\"");
        client.execute(&sql, &[]).await.unwrap();
        Self { uri: uri_of(&name), name }
    }

    /// A connection of the test's own.
    pub async fn connect(&self) -> Client {
        connect(&self.uri).await
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let sql = format!("DROP DATABASE IF EXISTS \"{}\" WITH (FORCE)", self.name);
        // On a thread, since this may run inside a runtime. A failure leaves a database behind in a
        // cluster that is thrown away anyway.
        let _ = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map(|runtime| runtime.block_on(async { admin().await.execute(&sql, &[]).await }))
        })
        .join();
    }
}

pub async fn admin() -> Client {
    connect(admin_uri()).await
}

async fn connect(uri: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(uri, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

fn uri_of(database: &str) -> String {
    let mut uri = url::Url::parse(admin_uri()).unwrap();
    uri.set_path(database);
    uri.to_string()
}

/// Differs from build to build: a template is only as good as the code that made it.
fn build() -> u64 {
    let meta = std::env::current_exe().and_then(fs::metadata).unwrap();
    hash(&(meta.len(), meta.modified().unwrap()))
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// The PostgreSQL that all test processes of this build folder share, started if none runs, and a
/// lock that keeps it running.
fn borrow() -> (String, File) {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("postgres");
    fs::create_dir_all(&dir).unwrap();
    let users = File::create(dir.join("users")).unwrap();
    users.lock_shared().unwrap();
    let starting = File::create(dir.join("starting")).unwrap();
    starting.lock().unwrap();
    if let Some(uri) = running(&dir) {
        return (uri, users);
    }
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scripts/test-env.sh");
    let status = Command::new(script).arg("lend").arg(&dir).status().unwrap();
    assert!(status.success(), "scripts/test-env.sh lend failed");
    (running(&dir).unwrap(), users)
}

fn running(dir: &Path) -> Option<String> {
    let uri = fs::read_to_string(dir.join("uri")).ok()?.trim().to_owned();
    let address = url::Url::parse(&uri).ok()?.socket_addrs(|| None).ok()?;
    std::net::TcpStream::connect(&address[..]).ok()?;
    Some(uri)
}
