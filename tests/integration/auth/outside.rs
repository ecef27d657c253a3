//! The outside as login providers make it: every host of the internet, on one loopback port. It is a proxy that is
//! asked for a host (CONNECT), speaks TLS as that host with a certificate of its own CA, HTTP/2 or HTTP/1.1, answers
//! as it was told, and remembers what it was asked.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use parsimony::outbound::{Proxies, Settings};
use parsimony::tls::TrustStore;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// A request that arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    /// `GET host/path`
    pub line: String,
    pub query: HashMap<String, String>,
    pub headers: HashMap<String, String>,
    pub body: String,
}

impl Seen {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The body as a form, or the top of a JSON object.
    pub fn fields(&self) -> HashMap<String, String> {
        match serde_json::from_str::<Value>(&self.body) {
            Ok(Value::Object(object)) => object
                .into_iter()
                .map(|(key, value)| (key, value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
                .collect(),
            _ => url::form_urlencoded::parse(self.body.as_bytes()).into_owned().collect(),
        }
    }
}

#[derive(Clone)]
pub enum Reply {
    Json(Value),
    Status(u16, Value),
    With(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// Never answers.
    Hang,
    /// Ends the connection.
    Close,
    /// More than anybody wants.
    Huge,
}

type Replies = Arc<Mutex<HashMap<String, Reply>>>;

pub struct Outside {
    address: SocketAddr,
    authority: CertificateDer<'static>,
    replies: Replies,
    seen: Arc<Mutex<Vec<Seen>>>,
    /// Taken when the double goes.
    thread: Option<tokio::runtime::Runtime>,
}

impl Drop for Outside {
    fn drop(&mut self) {
        // Tests are asynchronous, and nothing may block there.
        if let Some(thread) = self.thread.take() {
            thread.shutdown_background();
        }
    }
}

struct Host {
    issuer: Issuer<'static, KeyPair>,
    known: Mutex<HashMap<String, Arc<ServerConfig>>>,
    h2: bool,
}

impl Host {
    /// TLS as this host.
    fn config(&self, host: &str) -> Arc<ServerConfig> {
        let mut known = self.known.lock().unwrap();
        known
            .entry(host.to_owned())
            .or_insert_with(|| {
                let key = KeyPair::generate().unwrap();
                let params = CertificateParams::new(vec![host.to_owned()]).unwrap();
                let leaf = params.signed_by(&key, &self.issuer).unwrap();
                let provider = Arc::new(rustls::crypto::ring::default_provider());
                let mut config = ServerConfig::builder_with_provider(provider)
                    .with_safe_default_protocol_versions()
                    .unwrap()
                    .with_no_client_auth()
                    .with_single_cert(
                        vec![leaf.der().clone()],
                        PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
                    )
                    .unwrap();
                config.alpn_protocols = if self.h2 {
                    vec![b"h2".to_vec(), b"http/1.1".to_vec()]
                } else {
                    vec![b"http/1.1".to_vec()]
                };
                Arc::new(config)
            })
            .clone()
    }
}

impl Outside {
    pub fn new() -> Self {
        Self::speaking(true)
    }

    /// With HTTP/2, or without.
    pub fn speaking(h2: bool) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&key).unwrap().der().clone();
        let host = Arc::new(Host { issuer: Issuer::new(params, key), known: Mutex::default(), h2 });
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let (replies, seen) = (Replies::default(), Arc::<Mutex<Vec<Seen>>>::default());
        let (answers, log) = (replies.clone(), seen.clone());
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, host.clone(), answers.clone(), log.clone()));
            }
        });
        Self { address, authority, replies, seen, thread: Some(runtime) }
    }

    /// What a server is given so that this is its outside.
    pub fn settings(&self) -> Settings {
        Settings {
            trust: TrustStore::of(vec![self.authority.clone()]),
            proxies: Proxies::new("", &format!("http://{}", self.address), ""),
            ..Settings::default()
        }
    }

    /// From now on, what `line` (`GET host/path`) asks for is answered so.
    pub fn on(&self, line: &str, reply: Reply) {
        self.replies.lock().unwrap().insert(line.to_owned(), reply);
    }

    pub fn json(&self, line: &str, body: Value) {
        self.on(line, Reply::Json(body));
    }

    /// What was asked since the last time.
    pub fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }

    pub fn lines(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.line).collect()
    }
}

async fn serve(mut stream: TcpStream, host: Arc<Host>, replies: Replies, seen: Arc<Mutex<Vec<Seen>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let authority = head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()).expect("CONNECT");
    let name = authority.strip_suffix(":443").unwrap_or(authority).to_owned();
    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    let Ok(tls) = TlsAcceptor::from(host.config(&name)).accept(stream).await else { return };
    let is_h2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
    let service = service_fn(move |request| answer(request, name.clone(), replies.clone(), seen.clone()));
    if is_h2 {
        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let _ = server.serve_connection(TokioIo::new(tls), service).await;
    } else {
        let server = hyper::server::conn::http1::Builder::new();
        let _ = server.serve_connection(TokioIo::new(tls), service).await;
    }
}

async fn answer(
    request: http::Request<Incoming>,
    host: String,
    replies: Replies,
    log: Arc<Mutex<Vec<Seen>>>,
) -> Result<http::Response<Full<Bytes>>, std::io::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let line = format!("{} {host}{}", head.method, head.uri.path());
    let query = head.uri.query().unwrap_or_default();
    log.lock().unwrap().push(Seen {
        line: line.clone(),
        query: url::form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
        headers: head
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect(),
        body: String::from_utf8_lossy(&body).into_owned(),
    });
    let reply = replies.lock().unwrap().get(&line).cloned();
    let whole = |status: u16, headers: Vec<(&'static str, String)>, body: Vec<u8>| {
        let mut response = http::Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(name, value);
        }
        Ok(response.body(Full::new(Bytes::from(body))).unwrap())
    };
    let json = |status, body: Value| {
        whole(status, vec![("content-type", "application/json".to_owned())], body.to_string().into_bytes())
    };
    match reply {
        None => json(404, serde_json::json!({"message": "nobody said what to answer"})),
        Some(Reply::Json(body)) => json(200, body),
        Some(Reply::Status(status, body)) => json(status, body),
        Some(Reply::With(status, headers, body)) => whole(status, headers, body),
        Some(Reply::Hang) => std::future::pending().await,
        Some(Reply::Close) => Err(std::io::Error::other("closed")),
        Some(Reply::Huge) => whole(200, Vec::new(), vec![b' '; 1024 * 1024]),
    }
}
