//! Small servers on loopback: one that answers plain HTTP as it is told, one in TLS, one that is a proxy.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// Reads one request: its head, and as much body as `content-length` says. `None` at the end of the connection.
async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut text = Vec::new();
    loop {
        if let Some(end) = text.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&text[..end]).to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.map_or(0, |length| length.parse().unwrap());
            if text.len() >= end + 4 + length {
                return Some(String::from_utf8_lossy(&text).into_owned());
            }
        }
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return None,
            Ok(read) => text.extend_from_slice(&chunk[..read]),
        }
    }
}

pub struct PlainServer {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
}

impl PlainServer {
    /// Answers each request with these bytes; none leaves it waiting.
    pub async fn start(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, connections, answer) =
            (Arc::<Mutex<Vec<String>>>::default(), Arc::<AtomicUsize>::default(), Arc::new(answer));
        let server = Self { address, seen: seen.clone(), connections: connections.clone() };
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                let (seen, answer) = (seen.clone(), answer.clone());
                tokio::spawn(async move {
                    while let Some(request) = read_request(&mut stream).await {
                        let bytes = answer(&request);
                        let closes = bytes.windows(17).any(|part| part == b"connection: close");
                        seen.lock().unwrap().push(request);
                        if stream.write_all(&bytes).await.is_err() || closes {
                            return;
                        }
                    }
                });
            }
        });
        server
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Speaks HTTP/2 in TLS.
pub struct TlsServer {
    pub port: u16,
}

impl TlsServer {
    pub async fn start() -> Self {
        let chain = vec![CertificateDer::from_pem_slice(include_bytes!("leaf.pem")).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(include_bytes!("leaf.key")).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut config = builder.with_no_client_auth().with_single_cert(chain, key).unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    // It ends with its connection.
                    let _ = answer_h2(stream).await;
                });
            }
        });
        Self { port }
    }
}

/// As much of HTTP/2 as an answer `h2` to every request takes.
async fn answer_h2(mut stream: tokio_rustls::server::TlsStream<TcpStream>) -> std::io::Result<()> {
    const DATA: u8 = 0;
    const HEADERS: u8 = 1;
    const SETTINGS: u8 = 4;
    let mut preface = [0; 24];
    stream.read_exact(&mut preface).await?;
    assert_eq!(&preface, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).await?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        stream.read_exact(&mut payload).await?;
        let (kind, flags) = (head[3], head[4]);
        let number = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        if kind == SETTINGS && flags & 1 == 0 {
            stream.write_all(&frame(SETTINGS, 1, 0, &[])).await?;
        }
        if kind == HEADERS {
            // 0x88 is `:status: 200`; then the end of the headers, and the end of the stream.
            stream.write_all(&frame(HEADERS, 4, number, &[0x88])).await?;
            stream.write_all(&frame(DATA, 1, number, b"h2")).await?;
        }
        stream.flush().await?;
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// A proxy that connects to whatever it is told on this machine, and answers plain requests itself.
pub struct Proxy {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let proxy = Self { address, seen: seen.clone() };
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let seen = seen.clone();
                tokio::spawn(async move {
                    let Some(request) = read_request(&mut stream).await else { return };
                    seen.lock().unwrap().push(request.clone());
                    let Some(target) =
                        request.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next())
                    else {
                        let _ = stream.write_all(b"HTTP/1.1 200 X\r\ncontent-length: 7\r\n\r\nproxied").await;
                        return;
                    };
                    let port: u16 = target.rsplit(':').next().unwrap().parse().unwrap();
                    let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
                    let _ = stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await;
                    let _ = copy_bidirectional(&mut stream, &mut server).await;
                });
            }
        });
        proxy
    }

    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}
