//! LDAP against slapd, which each test starts for itself: binds, groups, TLS, and attempts to inject.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::certificates;
use crate::support::server::{Answer, TestServer};
use crate::support::wait::until;

const PEOPLE: &str = "\
dn: dc=example,dc=com
objectClass: dcObject
objectClass: organization
o: Example
dc: example

dn: uid=ann,dc=example,dc=com
objectClass: inetOrgPerson
cn: Ann
sn: A
uid: ann
userPassword: secret

dn: uid=b\\,o\\2Bb*,dc=example,dc=com
objectClass: inetOrgPerson
cn: Bob
sn: B
uid: b,o+b*
userPassword: other

dn: cn=staff,dc=example,dc=com
objectClass: groupOfUniqueNames
cn: staff
uniqueMember: uid=ann,dc=example,dc=com
";

struct Directory {
    slapd: Child,
    plain: u16,
    tls: u16,
    authority: String,
    _folder: TempDir,
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = self.slapd.kill();
        let _ = self.slapd.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Directory {
    /// Needs `slapd` and `slapadd` (Debian: slapd).
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().display().to_string();
        std::fs::create_dir(folder.path().join("data")).unwrap();
        let authority = certificates::write(folder.path()).authority;
        let schemas = ["core", "cosine", "inetorgperson"]
            .map(|name| format!("include /etc/ldap/schema/{name}.schema\n"));
        let config = format!(
            "{}modulepath /usr/lib/ldap\nmoduleload back_mdb\npidfile {at}/pid\nallow bind_anon_cred\n\
             TLSCACertificateFile {at}/ca.pem\nTLSCertificateFile {at}/leaf.pem\nTLSCertificateKeyFile {at}/leaf.key\n\
             database mdb\nsuffix \"dc=example,dc=com\"\nrootdn \"cn=root,dc=example,dc=com\"\nrootpw root\n\
             directory {at}/data\n",
            schemas.concat()
        );
        let file = folder.path().join("slapd.conf");
        std::fs::write(&file, config).unwrap();
        let people = folder.path().join("people.ldif");
        std::fs::write(&people, PEOPLE).unwrap();
        let added = Command::new("/usr/sbin/slapadd").arg("-f").arg(&file).arg("-l").arg(&people).output();
        let added = added.expect("slapadd: install the package slapd");
        assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
        let (plain, tls) = (free_port(), free_port());
        let slapd = Command::new("/usr/sbin/slapd")
            .args(["-d", "0", "-h", &format!("ldap://127.0.0.1:{plain} ldaps://127.0.0.1:{tls}"), "-f"])
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        until("slapd", || std::net::TcpStream::connect(("127.0.0.1", tls)).is_ok());
        Self { slapd, plain, tls, authority, _folder: folder }
    }

    async fn server(&self, more: Value) -> TestServer {
        let mut entry = json!({
            "url": format!("ldap://127.0.0.1:{}", self.plain), "suffix": "dc=example,dc=com",
        });
        entry.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        TestServer::with(json!({"auth": {"ldap": entry}})).await
    }
}

async fn log_in(server: &TestServer, id: Value, password: Value) -> Answer {
    server.anonymous().post("/users", json!({"authData": {"ldap": {"id": id, "password": password}}})).await
}

const WRONG: (u16, i64, &str) = (404, 101, "LDAP: Wrong username or password");

#[actix_web::test]
async fn users_bind_with_their_password() {
    let directory = Directory::start();
    let server = directory.server(json!({})).await;
    let created = log_in(&server, json!("ann"), json!("secret")).await;
    assert_eq!(created.status, 201, "{}", created.text);
    let path = format!("/users/{}", created.body["objectId"].as_str().unwrap());
    assert_eq!(server.master().get(&path).await.ok()["authData"], json!({"ldap": {"id": "ann"}}));
    assert_eq!(log_in(&server, json!("ann"), json!("secret")).await.status, 200);
    assert_eq!(log_in(&server, json!("b,o+b*"), json!("other")).await.status, 201, "escaped as a name");
    for (id, password) in [
        (json!("ann"), json!("wrong")),
        (json!("nobody"), json!("secret")),
        (json!("ann"), json!("")),
        (json!("ann"), Value::Null),
        (json!("ann"), json!(1)),
        (json!("ann"), json!({"$ne": ""})),
        (json!("ann,dc=example,dc=com"), json!("secret")),
        (json!("ann\u{0}"), json!("secret")),
        (json!("*"), json!("secret")),
        (json!("a".repeat(2000)), json!("secret")),
    ] {
        let answer = log_in(&server, id.clone(), password.clone()).await;
        assert_eq!(answer.error(), WRONG, "{id} {password}");
    }
    let server = directory.server(json!({"dn": "uid={{id}},dc=example,dc=com"})).await;
    assert_eq!(log_in(&server, json!("ann"), json!("secret")).await.status, 201);
    assert_eq!(log_in(&server, json!("ann"), json!("x")).await.error(), WRONG);
}

#[actix_web::test]
async fn users_have_to_be_in_the_group() {
    let directory = Directory::start();
    let filter = "(&(uniqueMember=uid={{id}},dc=example,dc=com)(objectClass=groupOfUniqueNames))";
    let server = directory.server(json!({"groupCn": "staff", "groupFilter": filter})).await;
    assert_eq!(log_in(&server, json!("ann"), json!("secret")).await.status, 201);
    assert_eq!(log_in(&server, json!("ann"), json!("wrong")).await.error(), WRONG);
    let outside = log_in(&server, json!("b,o+b*"), json!("other")).await;
    assert_eq!(outside.error(), (500, 1, "LDAP: User not in group"));
    let server = directory.server(json!({"groupCn": "admins", "groupFilter": filter})).await;
    assert_eq!(log_in(&server, json!("ann"), json!("secret")).await.error().2, "LDAP: User not in group");
    let server = directory.server(json!({"groupCn": "staff", "groupFilter": "((broken"})).await;
    let answer = log_in(&server, json!("ann"), json!("secret")).await;
    assert_eq!(answer.error(), (500, 1, "LDAP group search failed"));
}

#[actix_web::test]
async fn connections_are_encrypted_and_checked() {
    let directory = Directory::start();
    let url = format!("ldaps://localhost:{}", directory.tls);
    let trusted = json!({"url": url, "tlsOptions": {"ca": directory.authority}});
    let server = directory.server(trusted).await;
    for status in [201, 200] {
        assert_eq!(log_in(&server, json!("ann"), json!("secret")).await.status, status);
    }
    let start_tls = json!({
        "url": format!("ldap://localhost:{}", directory.plain), "startTls": true,
        "tlsOptions": {"ca": [directory.authority]},
    });
    let server = directory.server(start_tls).await;
    assert_eq!(log_in(&server, json!("ann"), json!("secret")).await.status, 201);
    let server = directory.server(json!({"url": url, "tlsOptions": {}})).await;
    let answer = log_in(&server, json!("ann"), json!("secret")).await;
    assert_eq!(answer.error(), (404, 101, "LDAPS: Certificate mismatch"));
    let server = directory.server(json!({"url": url})).await;
    assert_eq!(
        log_in(&server, json!("ann"), json!("secret")).await.error().2,
        "LDAP auth configuration missing"
    );
    let server = directory.server(json!({"url": format!("ldap://127.0.0.1:{}", free_port())})).await;
    let answer = log_in(&server, json!("ann"), json!("secret")).await;
    assert_eq!(answer.error(), (404, 101, "LDAP: Somthing went wrong (ECONNREFUSED)"));
}
