//! The push services as real TLS servers on loopback, with a CA of their own, behind a proxy that leads every
//! host there: the program under test calls the hosts that it always calls.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

pub const APNS: &str = "api.push.apple.com";
pub const SANDBOX: &str = "api.sandbox.push.apple.com";
pub const FCM: &str = "fcm.googleapis.com";
pub const OAUTH: &str = "oauth2.googleapis.com";
pub const EXPO: &str = "exp.host";
const TOKEN: &str = "ya29.double";

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    pub host: String,
    pub path: String,
    pub headers: HashMap<String, String>,
    pub body: Bytes,
}

impl Seen {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The device that it is for.
    pub fn token(&self) -> String {
        match self.host.as_str() {
            APNS | SANDBOX => self.path.rsplit('/').next().unwrap().to_owned(),
            FCM => self.json()["message"]["token"].as_str().unwrap().to_owned(),
            _ => self.path.clone(),
        }
    }
}

/// What a service is to answer; `None`: what it does when all is well.
pub type Script = Box<dyn Fn(&Seen) -> Option<Reply> + Send + Sync>;

#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Value,
    pub delay: Duration,
}

impl Reply {
    pub fn new(status: u16, body: Value) -> Self {
        Self { status, headers: Vec::new(), body, delay: Duration::ZERO }
    }

    pub fn apns(status: u16, reason: &str) -> Self {
        Self::new(status, json!({ "reason": reason }))
    }
}

struct Inner {
    seen: Mutex<Vec<Seen>>,
    script: Mutex<Script>,
    /// Whoever is asked answers nothing, and closes.
    down: Mutex<bool>,
}

pub struct Doubles {
    inner: Arc<Inner>,
    pub proxy: SocketAddr,
    pub address: SocketAddr,
    folder: tempfile::TempDir,
}

impl Doubles {
    pub async fn start() -> Self {
        parsimony::tls::install_provider();
        let folder = tempfile::tempdir().unwrap();
        let config = server_config(&folder.path().join("ca.pem"));
        let inner = Arc::new(Inner {
            seen: Mutex::default(),
            script: Mutex::new(Box::new(|_| None)),
            down: Mutex::new(false),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (acceptor, served) = (TlsAcceptor::from(Arc::new(config)), inner.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                tokio::spawn(serve(acceptor.clone(), stream, served.clone()));
            }
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = listener.local_addr().unwrap();
        let led = inner.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if *led.down.lock().unwrap() {
                    continue;
                }
                tokio::spawn(lead(stream, address));
            }
        });
        Self { inner, proxy, address, folder }
    }

    /// What the program is told of the machine.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("SSL_CERT_FILE", self.folder.path().join("ca.pem").display().to_string()),
            ("HTTPS_PROXY", format!("http://{}", self.proxy)),
        ]
    }

    pub fn script(&self, script: impl Fn(&Seen) -> Option<Reply> + Send + Sync + 'static) {
        *self.inner.script.lock().unwrap() = Box::new(script);
    }

    pub fn set_down(&self, down: bool) {
        *self.inner.down.lock().unwrap() = down;
    }

    /// What came, but for OAuth.
    pub fn seen(&self) -> Vec<Seen> {
        let seen = self.inner.seen.lock().unwrap();
        seen.iter().filter(|seen| seen.host != OAUTH).cloned().collect()
    }

    pub fn count(&self) -> usize {
        self.inner.seen.lock().unwrap().len()
    }

    pub fn of(&self, host: &str) -> Vec<Seen> {
        self.inner.seen.lock().unwrap().iter().filter(|seen| seen.host == host).cloned().collect()
    }

    /// How often each device was asked for.
    pub fn ledger(&self) -> HashMap<String, usize> {
        let mut ledger = HashMap::new();
        for seen in self.seen() {
            *ledger.entry(seen.token()).or_default() += 1;
        }
        ledger
    }

    pub fn forget(&self) {
        self.inner.seen.lock().unwrap().clear();
    }
}

fn server_config(ca_file: &std::path::Path) -> ServerConfig {
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_key = KeyPair::generate().unwrap();
    std::fs::write(ca_file, ca.self_signed(&ca_key).unwrap().pem()).unwrap();
    let hosts = [APNS, SANDBOX, FCM, OAUTH, EXPO, "127.0.0.1", "localhost"].map(str::to_owned);
    let key = KeyPair::generate().unwrap();
    let issuer = Issuer::new(ca, ca_key);
    let leaf = CertificateParams::new(hosts.to_vec()).unwrap().signed_by(&key, &issuer).unwrap();
    let chain = vec![CertificateDer::from(leaf.der().to_vec())];
    let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_no_client_auth().with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

async fn serve(acceptor: TlsAcceptor, stream: TcpStream, inner: Arc<Inner>) {
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let service = service_fn(move |request| answer(inner.clone(), request, is_h2));
    let io = TokioIo::new(stream);
    if is_h2 {
        let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let _ = builder.max_concurrent_streams(1000).serve_connection(io, service).await;
    } else {
        let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
    }
}

async fn answer(
    inner: Arc<Inner>,
    request: Request<Incoming>,
    is_h2: bool,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let host = head.uri.host().map(str::to_owned);
    let host = host.or_else(|| Some(head.headers.get("host")?.to_str().ok()?.split(':').next()?.to_owned()));
    let headers = head.headers.iter().map(|(name, value)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    });
    let seen = Seen {
        host: host.unwrap_or_default(),
        path: head.uri.path().to_owned(),
        headers: headers.collect(),
        body: body.collect().await.map(|body| body.to_bytes()).unwrap_or_default(),
    };
    let scripted = inner.script.lock().unwrap()(&seen);
    let reply = scripted.unwrap_or_else(|| well(&seen, is_h2));
    inner.seen.lock().unwrap().push(seen);
    if !reply.delay.is_zero() {
        tokio::time::sleep(reply.delay).await;
    }
    let mut response = Response::builder().status(reply.status);
    for (name, value) in reply.headers {
        response = response.header(name, value);
    }
    let body = if reply.body.is_null() { Bytes::new() } else { reply.body.to_string().into() };
    Ok(response.body(Full::new(body)).unwrap())
}

/// When all is well; what the services document as refused is refused.
fn well(seen: &Seen, is_h2: bool) -> Reply {
    match seen.host.as_str() {
        APNS | SANDBOX => apns(seen, is_h2),
        FCM => fcm(seen, is_h2),
        OAUTH => {
            let form = String::from_utf8_lossy(&seen.body).into_owned();
            assert!(form.starts_with(
                "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=ey"
            ));
            Reply::new(200, json!({"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"}))
        }
        EXPO => expo(seen),
        _ => Reply::new(201, Value::Null),
    }
}

fn apns(seen: &Seen, is_h2: bool) -> Reply {
    let header = |name: &str| seen.headers.get(name).map(String::as_str);
    let refuse = Reply::apns;
    if !is_h2 {
        return refuse(505, "HTTP/2 is needed");
    }
    let Some(token) = seen.path.strip_prefix("/3/device/") else { return refuse(404, "BadPath") };
    if !token.bytes().all(|c| c.is_ascii_hexdigit()) || token.len() < 8 {
        return refuse(400, "BadDeviceToken");
    }
    match header("authorization") {
        Some(text) if text.starts_with("bearer ey") => {}
        _ => return refuse(403, "MissingProviderToken"),
    }
    if header("apns-topic").is_none() {
        return refuse(400, "MissingTopic");
    }
    let kind = header("apns-push-type").unwrap_or_default();
    let priority = header("apns-priority");
    if !matches!(priority, None | Some("1" | "5" | "10")) || (kind == "background" && priority == Some("10"))
    {
        return refuse(400, "BadPriority");
    }
    if header("apns-collapse-id").is_some_and(|id| id.len() > 64) {
        return refuse(400, "BadCollapseId");
    }
    if header("apns-expiration").is_some_and(|at| at.parse::<u64>().is_err()) {
        return refuse(400, "BadExpirationDate");
    }
    if seen.body.len() > 4096 {
        return refuse(413, "PayloadTooLarge");
    }
    match serde_json::from_slice::<Value>(&seen.body) {
        Ok(Value::Object(payload)) if payload.contains_key("aps") => Reply::new(200, Value::Null),
        _ => refuse(400, "PayloadEmpty"),
    }
}

fn fcm(seen: &Seen, is_h2: bool) -> Reply {
    let refuse = |status: u16, code: &str, text: &str| {
        let detail =
            json!({"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code});
        Reply::new(
            status,
            json!({"error": {"code": status, "message": text, "status": code, "details": [detail]}}),
        )
    };
    if !is_h2 || seen.headers.get("authorization").is_none_or(|value| *value != format!("Bearer {TOKEN}")) {
        return refuse(401, "UNAUTHENTICATED", "no");
    }
    if seen.path != "/v1/projects/project/messages:send" {
        return refuse(404, "NOT_FOUND", "no such project");
    }
    let message = &seen.json()["message"];
    let texts = |value: &Value| value.as_object().is_none_or(|map| map.values().all(Value::is_string));
    if !texts(&message["android"]["data"]) || !texts(&message["apns"]["headers"]) {
        return refuse(400, "INVALID_ARGUMENT", "values must be strings");
    }
    match message["token"].as_str() {
        Some("gone") => refuse(404, "UNREGISTERED", "Requested entity was not found."),
        Some(_) => Reply::new(200, json!({"name": "projects/project/messages/1"})),
        None => refuse(400, "INVALID_ARGUMENT", "no token"),
    }
}

fn expo(seen: &Seen) -> Reply {
    let body = seen.json();
    if seen.path == "/--/api/v2/push/getReceipts" {
        let receipts = body["ids"]
            .as_array()
            .unwrap()
            .iter()
            .map(|id| (id.as_str().unwrap().to_owned(), json!({"status": "ok"})));
        return Reply::new(200, json!({"data": Value::Object(receipts.collect())}));
    }
    let messages = body.as_array().unwrap();
    assert!(messages.len() <= 100);
    let tickets: Vec<Value> = messages
        .iter()
        .enumerate()
        .map(|(index, message)| match message["to"].as_str().unwrap() {
            "ExponentPushToken[gone]" => json!({
                "status": "error", "message": "not registered", "details": {"error": "DeviceNotRegistered"},
            }),
            _ => json!({"status": "ok", "id": format!("ticket-{index}")}),
        })
        .collect();
    Reply::new(200, json!({"data": tickets}))
}

/// Takes `CONNECT` for any host to the one server.
async fn lead(mut stream: TcpStream, to: SocketAddr) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    let Ok(mut server) = TcpStream::connect(to).await else { return };
    if stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.is_ok() {
        let _ = copy_bidirectional(&mut stream, &mut server).await;
    }
}
