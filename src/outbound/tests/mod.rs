//! [`Outbound`] against real servers on loopback: plain, in TLS, and a proxy. The keys in this folder are for these
//! tests alone: of a root, and of a server called `localhost` and `push.example` that it vouches for.

mod servers;
mod urls;

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::Mutex;

use futures_util::future::BoxFuture;
use futures_util::stream::StreamExt;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::*;
use servers::{PlainServer, Proxy, TlsServer};

const ROOT: &[u8] = include_bytes!("ca.pem");

fn root() -> TrustStore {
    TrustStore::of(vec![CertificateDer::from_pem_slice(ROOT).unwrap()])
}

/// Answers from a table; counts what it was asked.
#[derive(Default)]
struct Names {
    table: HashMap<&'static str, Vec<IpAddr>>,
    asked: Mutex<Vec<String>>,
}

impl Names {
    fn of(table: &[(&'static str, &[&str])]) -> Arc<Self> {
        let parsed = |addresses: &[&str]| addresses.iter().map(|text| text.parse().unwrap()).collect();
        let table = table.iter().map(|(name, addresses)| (*name, parsed(addresses))).collect();
        Arc::new(Self { table, asked: Mutex::default() })
    }
}

impl Resolver for Names {
    fn resolve(&self, host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let found = self.table.get(host.as_str()).cloned();
        self.asked.lock().unwrap().push(host);
        Box::pin(async { found.ok_or_else(|| io::ErrorKind::NotFound.into()) })
    }
}

fn settings() -> Settings {
    Settings {
        trust: root(),
        resolver: Names::of(&[("localhost", &["127.0.0.1"]), ("push.example", &["127.0.0.1"])]),
        proxies: Proxies::new("", "", ""),
        opened: IpRules::default(),
    }
}

/// Where the loopback is open to clients, too.
fn opened() -> IpRules {
    IpRules::of(["127.0.0.0/8".parse().unwrap()])
}

fn outbound(settings: Settings) -> Arc<Outbound> {
    Outbound::new(settings).unwrap()
}

#[tokio::test]
async fn a_request_arrives_as_it_was_made_and_connections_are_used_again() {
    let server =
        PlainServer::start(|_| b"HTTP/1.1 201 X\r\ncontent-length: 2\r\nx-a: b\r\n\r\nhi".to_vec()).await;
    let outbound = outbound(settings());
    for _ in 0..5 {
        let request = Request::post(&format!("http://user:p%40ss@{}/a?b=c#d", server.address))
            .query(&[("e", "f g")])
            .text_header(http::HeaderName::from_static("x-own"), "v")
            .json(&serde_json::json!({"k": 1}))
            .unwrap();
        let answer = outbound.send(request).await.unwrap();
        assert_eq!(
            (answer.status.as_u16(), &answer.body[..], &answer.headers["x-a"]),
            (201, &b"hi"[..], &"b".parse().unwrap())
        );
    }
    let seen = server.seen();
    assert!(seen[0].starts_with("POST /a?b=c&e=f+g HTTP/1.1\r\n"), "{}", seen[0]);
    assert!(seen[0].contains("x-own: v\r\n") && seen[0].contains("authorization: Basic dXNlcjpwQHNz\r\n"));
    assert!(seen[0].ends_with("\r\n\r\n{\"k\":1}"));
    assert_eq!((seen.len(), server.connections() < 5), (5, true));
}

#[tokio::test]
async fn redirects_are_followed_when_asked_for_and_secrets_stay_with_their_host() {
    let other = PlainServer::start(|_| b"HTTP/1.1 200 X\r\ncontent-length: 3\r\n\r\nend".to_vec()).await;
    let to = other.address;
    let server = PlainServer::start(move |head| match head.split(' ').nth(1) {
        Some("/start") => b"HTTP/1.1 302 X\r\nlocation: /next\r\ncontent-length: 0\r\n\r\n".to_vec(),
        Some("/next") => {
            format!("HTTP/1.1 307 X\r\nlocation: http://{to}/end\r\ncontent-length: 0\r\n\r\n").into_bytes()
        }
        _ => b"HTTP/1.1 302 X\r\nlocation: /loop\r\ncontent-length: 0\r\n\r\n".to_vec(),
    })
    .await;
    let outbound = outbound(settings());
    let url = |path: &str| format!("http://{}{path}", server.address);
    let unasked = outbound.send(Request::get(&url("/start"))).await.unwrap();
    assert_eq!(unasked.status, 302);
    let request = Request::post(&url("/start")).bearer("secret").body("body").following(3);
    assert_eq!(outbound.send(request).await.unwrap().body, "end");
    let seen = server.seen();
    assert!(
        seen[1].contains("authorization: Bearer secret") && seen[2].contains("authorization: Bearer secret")
    );
    // A POST that is redirected becomes a GET, as everywhere.
    assert!(seen[2].starts_with("GET /next") && seen[2].ends_with("\r\n\r\n"));
    assert!(!other.seen()[0].contains("secret"), "{}", other.seen()[0]);
    let endless = outbound.send(Request::get(&url("/loop")).following(5)).await;
    assert_eq!(endless.unwrap_err(), OutboundError::Redirect);
}

#[tokio::test]
async fn answers_have_a_bound_and_a_deadline() {
    let announced =
        PlainServer::start(|_| b"HTTP/1.1 200 X\r\ncontent-length: 100000\r\n\r\n".to_vec()).await;
    let unannounced = PlainServer::start(|_| {
        let mut answer = b"HTTP/1.1 200 X\r\nconnection: close\r\n\r\n".to_vec();
        answer.resize(100_000, b'x');
        answer
    })
    .await;
    let endless = PlainServer::start(|_| b"HTTP/1.1 200 X\r\ncontent-length: 10\r\n\r\nhalf".to_vec()).await;
    let silent = PlainServer::start(|_| Vec::new()).await;
    let outbound = outbound(settings());
    for server in [&announced, &unannounced] {
        let request = Request::get(&server.url()).at_most(1000);
        assert_eq!(outbound.send(request).await.unwrap_err(), OutboundError::TooLarge(1000));
    }
    for server in [&endless, &silent] {
        let request = Request::get(&server.url()).within(Duration::from_millis(100));
        assert_eq!(outbound.send(request).await.unwrap_err(), OutboundError::Deadline);
    }
    let opened = outbound.open(Request::get(&announced.url()).within(Duration::from_secs(5))).await.unwrap();
    assert_eq!(opened.status, 200);
    let mut pieces = outbound.open(Request::get(&endless.url())).await.unwrap().into_stream().boxed();
    assert_eq!(pieces.next().await.unwrap().unwrap(), "half");
}

#[tokio::test]
async fn what_is_no_http_or_nobody_is_told_apart() {
    let rubbish = PlainServer::start(|_| b"SSH-2.0-x\r\n\r\n".to_vec()).await;
    let outbound = outbound(settings());
    let failure = async |url: &str| outbound.send(Request::get(url)).await.unwrap_err();
    assert_eq!(failure(&rubbish.url()).await, OutboundError::Broken);
    assert_eq!(
        failure("http://127.0.0.1:1/").await,
        OutboundError::Connect(io::ErrorKind::ConnectionRefused)
    );
    assert_eq!(failure("http://nobody.example/").await, OutboundError::Resolve);
    for url in ["", "ftp://x/", "file:///etc/passwd", "http://", "/path", "javascript:1"] {
        assert_eq!(failure(url).await, OutboundError::Url, "{url}");
    }
    let secret =
        outbound.send(Request::get("http://user:hush@nobody.example/?token=hush")).await.unwrap_err();
    assert!(!format!("{secret} {secret:?}").contains("hush"));
}

#[tokio::test]
async fn tls_needs_a_certificate_that_is_trusted_and_the_hosts_own() {
    let server = TlsServer::start().await;
    let at = |host: &str| format!("https://{host}:{}/", server.port);
    let trusting = outbound(settings());
    let answer = trusting.send(Request::get(&at("localhost"))).await.unwrap();
    assert_eq!(answer.body, "h2", "both sides speak it");
    let named = trusting.send(Request::get(&at("127.0.0.1"))).await.unwrap_err();
    assert!(matches!(named, OutboundError::Tls(_)), "{named}");
    let bundled = outbound(Settings { trust: TrustStore::bundled(), ..settings() });
    let unknown = bundled.send(Request::get(&at("localhost"))).await.unwrap_err();
    assert!(matches!(&unknown, OutboundError::Tls(text) if text.contains("UnknownIssuer")), "{unknown}");
}

#[tokio::test]
async fn the_file_of_ssl_cert_file_is_what_is_trusted() {
    let server = TlsServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("roots.pem");
    std::fs::write(&file, ROOT).unwrap();
    let trust = TrustStore::read(Some(file.into()), None);
    assert!(trust.pem().unwrap().starts_with("-----BEGIN CERTIFICATE-----\n"));
    let outbound = outbound(Settings { trust, ..settings() });
    outbound.send(Request::get(&format!("https://localhost:{}/", server.port))).await.unwrap();
}

#[tokio::test]
async fn a_client_is_not_led_inside() {
    let plain = PlainServer::start(|_| b"HTTP/1.1 200 X\r\ncontent-length: 0\r\n\r\n".to_vec()).await;
    let names =
        Names::of(&[("rebind.example", &["8.8.8.8", "127.0.0.1"]), ("inside.example", &["::ffff:10.0.0.1"])]);
    let closed = outbound(Settings { resolver: names.clone(), ..settings() });
    let failure = async |url: &str| closed.send(Request::get(url).chosen_by_client()).await.unwrap_err();
    let port = plain.address.port();
    for host in
        ["127.0.0.1", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "0"]
    {
        assert_eq!(failure(&format!("http://{host}:{port}/")).await, OutboundError::Address, "{host}");
    }
    assert_eq!(failure("https://rebind.example/").await, OutboundError::Address);
    assert_eq!(failure("https://inside.example/").await, OutboundError::Address);
    assert_eq!(failure("https://8.8.8.8:22/").await, OutboundError::Port);
    assert_eq!(failure("http://8.8.8.8/").await, OutboundError::Port);
    assert_eq!(failure("https://user:password@8.8.8.8/").await, OutboundError::Url);
    assert_eq!(plain.connections(), 0);
    // What the operator chose goes there, and so does a client where the operator opened the network.
    closed.send(Request::get(&plain.url())).await.unwrap();
    let open = outbound(Settings { opened: opened(), ..settings() });
    open.send(Request::get(&plain.url()).chosen_by_client()).await.unwrap();
}

#[tokio::test]
async fn a_redirect_does_not_lead_a_client_inside_either() {
    let inner = PlainServer::start(|_| b"HTTP/1.1 200 X\r\ncontent-length: 0\r\n\r\n".to_vec()).await;
    let to = inner.address.port();
    let outer = PlainServer::start(move |_| {
        format!("HTTP/1.1 302 X\r\nlocation: http://127.0.0.2:{to}/\r\ncontent-length: 0\r\n\r\n")
            .into_bytes()
    })
    .await;
    let opened = IpRules::of(["127.0.0.1/32".parse().unwrap()]);
    let outbound = outbound(Settings { opened, ..settings() });
    let led = outbound.send(Request::get(&outer.url()).chosen_by_client().following(5)).await;
    assert_eq!(led.unwrap_err(), OutboundError::Address);
    assert_eq!((outer.connections(), inner.connections()), (1, 0));
}

#[tokio::test]
async fn proxies_carry_both_schemes_and_are_told_their_password_alone() {
    let proxy = Proxy::start().await;
    let tls = TlsServer::start().await;
    let plain = PlainServer::start(|_| b"HTTP/1.1 200 X\r\ncontent-length: 2\r\n\r\nhi".to_vec()).await;
    let url = format!("http://user:pass@{}", proxy.address);
    let proxies = Proxies::new(&url, &url, "127.0.0.1");
    let outbound = outbound(Settings { proxies, ..settings() });
    let answer = outbound.send(Request::get(&format!("https://localhost:{}/", tls.port))).await.unwrap();
    assert_eq!(answer.body, "h2");
    let through = outbound.send(Request::get("http://plain.example/x")).await.unwrap();
    assert_eq!(through.body, "proxied");
    outbound.send(Request::get(&plain.url())).await.unwrap();
    let seen = proxy.seen();
    assert!(seen[0].starts_with(&format!("CONNECT localhost:{} HTTP/1.1\r\n", tls.port)), "{}", seen[0]);
    assert!(seen[1].starts_with("GET http://plain.example/x HTTP/1.1\r\n"), "{}", seen[1]);
    assert!(seen.iter().all(|head| head.to_lowercase().contains("proxy-authorization: basic dxnlcjpwyxnz")));
    // NO_PROXY.
    assert_eq!((seen.len(), plain.connections()), (2, 1));
    assert!(!plain.seen()[0].to_lowercase().contains("proxy-authorization"));
}

#[tokio::test]
async fn a_proxy_is_told_the_address_that_was_looked_at() {
    let proxy = Proxy::start().await;
    let tls = TlsServer::start().await;
    let url = format!("http://{}", proxy.address);
    let made = |opened| outbound(Settings { proxies: Proxies::new(&url, &url, ""), opened, ..settings() });
    let request = || Request::get(&format!("https://push.example:{}/", tls.port)).chosen_by_client();
    assert_eq!(made(IpRules::default()).send(request()).await.unwrap_err(), OutboundError::Address);
    assert_eq!(proxy.seen(), [""; 0]);
    // The name is still the one in the certificate.
    assert_eq!(made(opened()).send(request()).await.unwrap().body, "h2");
    assert!(proxy.seen()[0].starts_with(&format!("CONNECT 127.0.0.1:{} HTTP/1.1\r\n", tls.port)));
}

#[tokio::test]
async fn a_proxy_that_refuses_is_not_taken_for_the_server() {
    let proxy = PlainServer::start(|_| b"HTTP/1.1 407 X\r\ncontent-length: 0\r\n\r\n".to_vec()).await;
    let url = format!("http://{}", proxy.address);
    let outbound = outbound(Settings { proxies: Proxies::new(&url, &url, ""), ..settings() });
    let refused = outbound.send(Request::get("https://localhost/")).await;
    assert_eq!(refused.unwrap_err(), OutboundError::Proxy);
}
