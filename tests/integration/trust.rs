//! Whom the program trusts: PostgreSQL, Redis and a mail server that speak TLS with a certificate of an authority that
//! `SSL_CERT_FILE` names, and refuse to speak without. Each is the real server, started by the test.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::json;
use tempfile::TempDir;

use crate::http_process::{Program, call, free_port};
use crate::support::certificates::{self, Certificates};
use crate::support::database::TestDatabase;
use crate::support::server::Client;
use crate::support::wait;

/// A server of the test's own, and the certificates that it shows.
struct Secured {
    child: Child,
    port: u16,
    certificates: Certificates,
    folder: TempDir,
}

impl Drop for Secured {
    fn drop(&mut self) {
        // PostgreSQL takes its children along when it is interrupted.
        let _ = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        let ended = || matches!(self.child.try_wait(), Ok(Some(_)));
        if std::thread::panicking() {
            let _ = self.child.kill();
        } else {
            wait::until("the server to end", ended);
        }
    }
}

impl Secured {
    /// `prepare` makes the command that starts it, given its folder, certificates and port.
    fn start(prepare: impl FnOnce(&Path, &Certificates, u16) -> Command) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let certificates = certificates::write(folder.path());
        let port = free_port();
        let mut command = prepare(folder.path(), &certificates, port);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let secured = Self { child, port, certificates, folder };
        wait::until("the server answers", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        secured
    }

    fn authority(&self) -> &Path {
        &self.certificates.authority_file
    }
}

/// An authority that none of the servers has a certificate of.
fn stranger() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = certificates::write(folder.path()).authority_file;
    (folder, file)
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Of PostgreSQL; as somebody else where root runs the tests, whom PostgreSQL refuses.
fn postgres_command(program: &str, folder: &Path) -> Command {
    let named = std::env::var_os("PARSIMONY_PG_BIN").map(PathBuf::from);
    let installed = || {
        let versions = std::fs::read_dir("/usr/lib/postgresql").unwrap().flatten();
        let newest = versions
            .max_by_key(|version| version.file_name().to_string_lossy().parse::<u32>().unwrap_or_default());
        newest.expect("PostgreSQL is installed").path().join("bin")
    };
    let path = named.unwrap_or_else(installed).join(program);
    if said("id", &["-u"]) != "0" {
        return Command::new(path);
    }
    let (user, group) = (said("id", &["-u", "postgres"]), said("id", &["-g", "postgres"]));
    said("chown", &["-R", &format!("{user}:{group}"), &folder.display().to_string()]);
    let mut command = Command::new("setpriv");
    command.arg(format!("--reuid={user}")).arg(format!("--regid={group}")).arg("--clear-groups").arg(path);
    command
}

fn postgres() -> Secured {
    Secured::start(|folder, certificates, port| {
        let data = folder.join("data");
        std::fs::create_dir(&data).unwrap();
        let made = postgres_command("initdb", folder)
            .current_dir(folder)
            .arg("-D")
            .arg(&data)
            .args(["-U", "tester", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let entry = "hostssl all all 127.0.0.1/32 trust\nhostssl all all ::1/128 trust\n";
        std::fs::write(data.join("pg_hba.conf"), entry).unwrap();
        said("chmod", &["600", &certificates.key.display().to_string()]);
        let mut command = postgres_command("postgres", folder);
        command
            .current_dir(folder)
            .arg("-D")
            .arg(&data)
            .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-k", "", "-c", "fsync=off", "-c", "ssl=on"])
            .args(["-c", &format!("ssl_cert_file={}", certificates.leaf.display())])
            .args(["-c", &format!("ssl_key_file={}", certificates.key.display())]);
        command
    })
}

#[actix_web::test]
async fn postgresql_with_a_certificate_of_an_own_authority() {
    let postgres = postgres();
    let uri = |more: &str| format!("postgres://tester@localhost:{}/postgres{more}", postgres.port);
    let options = json!({ "databaseURI": uri("?sslmode=verify-full") });
    let mut program = Program::trusting(postgres.authority(), &options);
    program.until_healthy();
    let master =
        Client::with(program.port(), &[("X-Parse-Application-Id", "test"), ("X-Parse-Master-Key", "master")])
            .below("/parse");
    master.post("/classes/Game", json!({ "score": 1 })).await.ok();
    assert_eq!(master.get("/classes/Game").await.ok()["results"][0]["score"], 1);
    program.stop();

    let (_folder, stranger) = stranger();
    let text = Program::trusting(&stranger, &options).refused();
    assert!(text.contains("The database cannot be used"), "{text}");
    // The server really speaks TLS alone.
    let text = Program::trusting(postgres.authority(), &json!({ "databaseURI": uri("") })).refused();
    assert!(text.contains("The database cannot be used"), "{text}");
}

#[actix_web::test]
async fn redis_with_a_certificate_of_an_own_authority() {
    let redis = Secured::start(|folder, certificates, port| {
        let mut command = Command::new("redis-server");
        command
            .args(["--port", "0", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--tls-port", &port.to_string(), "--tls-auth-clients", "no", "--dir"])
            .arg(folder)
            .arg("--tls-cert-file")
            .arg(&certificates.leaf)
            .arg("--tls-key-file")
            .arg(&certificates.key)
            .arg("--tls-ca-cert-file")
            .arg(&certificates.authority_file);
        command
    });
    let database = TestDatabase::empty().await;
    let options = json!({
        "databaseURI": database.uri,
        "rateLimit": [{
            "requestPath": "/functions/*path", "requestTimeWindow": 600_000, "requestCount": 2,
            "includeInternalRequests": true, "redisUrl": format!("rediss://localhost:{}", redis.port),
        }],
    });
    let (_folder, stranger) = stranger();
    let start = |authority: &Path| {
        let program = Program::trusting(authority, &options);
        program.until_healthy();
        program
    };
    let (one, other) = (start(redis.authority()), start(redis.authority()));
    let status = |program: &Program| call(program, "/parse/functions/x");
    // They count together.
    assert_eq!([status(&one), status(&other), status(&one), status(&other)], ["400", "400", "429", "429"]);
    // Who does not trust it counts alone.
    let mut alone = start(&stranger);
    assert_eq!([status(&alone), status(&alone), status(&alone)], ["400", "400", "429"]);
    let text = alone.stop();
    assert!(text.contains("Redis is away"), "{text}");
}

/// aiosmtpd, with STARTTLS or with TLS from the start.
fn mail_server(certificate: &str, key: &str) -> Secured {
    Secured::start(|folder, certificates, port| {
        let python = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/python");
        let mut command = Command::new(python);
        command
            .args(["-m", "aiosmtpd", "-n", "-l", &format!("127.0.0.1:{port}")])
            .arg(certificate)
            .arg(&certificates.leaf)
            .arg(key)
            .arg(&certificates.key)
            .args(["-c", "aiosmtpd.handlers.Mailbox"])
            .arg(folder.join("mail"));
        command
    })
}

async fn mails_arrive(server: &Secured, tls: &str) {
    let database = TestDatabase::empty().await;
    let options = json!({
        "databaseURI": database.uri, "appName": "Game", "publicServerURL": "http://localhost/parse",
        "emailAdapter": { "module": "smtp", "options": {
            "host": "localhost", "port": server.port, "tls": tls, "from": "game@example.com",
        } },
    });
    let mails = || std::fs::read_dir(server.folder.path().join("mail/new")).map_or(0, Iterator::count);
    let (_folder, stranger) = stranger();
    let ask = async |program: &Program| {
        program.until_healthy();
        let client = Client::at(program.port()).below("/parse");
        client.post("/requestPasswordReset", json!({ "email": "ann@example.com" })).await
    };
    let mut program = Program::trusting(&stranger, &options);
    program.until_healthy();
    let ann = json!({ "username": "ann", "password": "secret", "email": "ann@example.com" });
    Client::at(program.port()).below("/parse").post("/users", ann).await.ok();
    ask(&program).await;
    program.stop();
    assert_eq!(mails(), 0, "a mail went to a server that nobody trusts");

    let mut program = Program::trusting(server.authority(), &options);
    ask(&program).await.ok();
    wait::until("the mail to arrive", || mails() == 1);
    program.stop();
}

#[actix_web::test]
async fn a_mail_server_with_a_certificate_of_an_own_authority() {
    mails_arrive(&mail_server("--tlscert", "--tlskey"), "starttls").await;
    mails_arrive(&mail_server("--smtpscert", "--smtpskey"), "tls").await;
}
