//! The floor: the benchmark's requests answered by hyper and tokio-postgres with prepared statements and
//! hand-written JSON, and nothing of Parse: no schema, no keys, no permissions, no errors worth the name.
//! What Parsimony costs beyond this is the price of being a Parse server.
//!
//! `floor <port> <database URI>`; one single-threaded runtime for each of two cores, five connections each.

use std::cell::Cell;
use std::convert::Infallible;
use std::error::Error;
use std::io::Write as _;
use std::pin::pin;
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::TryStreamExt;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, NoTls, Row, RowStream, Statement};

type Failure = Box<dyn Error + Send + Sync>;

const THREADS: usize = 2;
const CONNECTIONS: usize = 5;
/// Short reads share these; writes wait for the disk and use all.
const READERS: usize = 2;

const GAME: &str = r#"SELECT "objectId", "createdAt", "updatedAt", _rperm, _wperm, score, level, stage, "playerName", region, "cheatMode", tags, stats, "playedAt", player FROM "GameScore" WHERE (_rperm IS NULL OR _rperm && ARRAY['*']) AND "#;

const MATCH: &str = r#"SELECT "objectId", "createdAt", "updatedAt", _rperm, _wperm, name, score, level, won, "playedAt", tags, stats, place, player FROM "Match" WHERE (_rperm IS NULL OR _rperm && ARRAY['*']) AND "#;

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Number,
    Bool,
    Json,
    /// An ISO text.
    Time,
    /// `{"__type": "Date", …}`
    Date,
    Pointer(&'static str),
    Point,
    Hidden,
}

type Column = (&'static str, Kind);

const MATCH_COLUMNS: [Column; 14] = [
    ("objectId", Kind::Text),
    ("createdAt", Kind::Time),
    ("updatedAt", Kind::Time),
    ("_rperm", Kind::Hidden),
    ("_wperm", Kind::Hidden),
    ("name", Kind::Text),
    ("score", Kind::Number),
    ("level", Kind::Number),
    ("won", Kind::Bool),
    ("playedAt", Kind::Date),
    ("tags", Kind::Json),
    ("stats", Kind::Json),
    ("place", Kind::Point),
    ("player", Kind::Pointer("Player")),
];

const GAME_COLUMNS: [Column; 15] = [
    ("objectId", Kind::Text),
    ("createdAt", Kind::Time),
    ("updatedAt", Kind::Time),
    ("_rperm", Kind::Hidden),
    ("_wperm", Kind::Hidden),
    ("score", Kind::Number),
    ("level", Kind::Number),
    ("stage", Kind::Number),
    ("playerName", Kind::Text),
    ("region", Kind::Text),
    ("cheatMode", Kind::Bool),
    ("tags", Kind::Json),
    ("stats", Kind::Json),
    ("playedAt", Kind::Date),
    ("player", Kind::Pointer("Player")),
];

struct Connection {
    client: Client,
    get: Statement,
    equal: Statement,
    range: Statement,
    count: Statement,
    create: Statement,
    increment: Statement,
    match_get: Statement,
    match_equal: Statement,
    match_range: Statement,
    match_count: Statement,
    match_create: Statement,
    match_increment: Statement,
}

impl Connection {
    async fn open(uri: &str) -> Result<Self, Failure> {
        let (client, connection) = tokio_postgres::connect(uri, NoTls).await?;
        tokio::task::spawn_local(async move {
            if let Err(error) = connection.await {
                eprintln!("{error}");
            }
        });
        let prepare = async |sql: &str| client.prepare(sql).await;
        Ok(Self {
            get: prepare(&format!("{GAME} \"objectId\" = $1 LIMIT 1")).await?,
            equal: prepare(&format!("{GAME} level = $1 LIMIT 100")).await?,
            range: prepare(&format!("{GAME} score >= $1 ORDER BY score, \"objectId\" LIMIT 100")).await?,
            count: prepare(
                "SELECT count(*) FROM \"GameScore\" WHERE (_rperm IS NULL OR _rperm && ARRAY['*']) AND stage = $1",
            )
            .await?,
            create: prepare(
                "INSERT INTO \"Written\" (\"objectId\", \"createdAt\", \"updatedAt\", name, score) VALUES ($1, $2, $2, $3, $4)",
            )
            .await?,
            increment: prepare(
                "UPDATE \"Counter\" SET count = coalesce(count, 0) + $2, \"updatedAt\" = $3 WHERE \"objectId\" = $1 \
                 AND (_wperm IS NULL OR _wperm && ARRAY['*']) RETURNING count",
            )
            .await?,
            match_get: prepare(&format!("{MATCH} \"objectId\" = $1 LIMIT 1")).await?,
            match_equal: prepare(&format!("{MATCH} name = $1 LIMIT 100")).await?,
            match_range: prepare(&format!("{MATCH} score >= $1 ORDER BY score, \"objectId\" LIMIT 100")).await?,
            match_count: prepare(
                "SELECT count(*) FROM \"Match\" WHERE (_rperm IS NULL OR _rperm && ARRAY['*']) AND name = $1",
            )
            .await?,
            match_create: prepare(
                "INSERT INTO \"Match\" (\"objectId\", \"createdAt\", \"updatedAt\", name, score, level, won, \"playedAt\", tags, stats, place) \
                 VALUES ($1, $2, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            )
            .await?,
            match_increment: prepare(
                "UPDATE \"Match\" SET level = coalesce(level, 0) + $2, \"updatedAt\" = $3 WHERE \"objectId\" = $1 \
                 AND (_wperm IS NULL OR _wperm && ARRAY['*']) RETURNING level",
            )
            .await?,
            client,
        })
    }
}

struct Worker {
    connections: Vec<Connection>,
    turn: Cell<usize>,
}

impl Worker {
    fn connection(&self, among: usize) -> &Connection {
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        &self.connections[turn % among]
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Failure> {
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let below = uri.path().strip_prefix("/parse/").unwrap_or_default();
        if below == "health" {
            return Ok(json(200, b"{\"status\":\"ok\"}".to_vec()));
        }
        let below = below.strip_prefix("classes/").unwrap_or_default();
        let mut body = Vec::with_capacity(512);
        match (method, below.split_once('/')) {
            (Method::GET, Some(("GameScore", id))) => {
                let db = self.connection(READERS);
                let rows = db.client.query_raw(&db.get, [&id as &(dyn ToSql + Sync)]).await?;
                match pin!(rows).try_next().await? {
                    Some(row) => write_row(&mut body, &row, &GAME_COLUMNS)?,
                    None => return Ok(json(404, Vec::new())),
                }
            }
            (Method::GET, Some(("Match", id))) => {
                let db = self.connection(READERS);
                let rows = db.client.query_raw(&db.match_get, [&id as &(dyn ToSql + Sync)]).await?;
                match pin!(rows).try_next().await? {
                    Some(row) => write_row(&mut body, &row, &MATCH_COLUMNS)?,
                    None => return Ok(json(404, Vec::new())),
                }
            }
            (Method::GET, None) if below == "Match" => {
                let query = uri.query().unwrap_or_default();
                let db = self.connection(READERS);
                if query.contains("count=1") {
                    let name = name_in(query).ok_or("no name")?;
                    let row = db.client.query_one(&db.match_count, &[&name]).await?;
                    write!(body, "{{\"results\":[],\"count\":{}}}", row.get::<_, i64>(0))?;
                } else if query.contains("order=") {
                    let number = number_in(query).ok_or("no number")?;
                    let rows = db.client.query_raw(&db.match_range, [number]).await?;
                    write_rows(&mut body, rows, &MATCH_COLUMNS).await?;
                } else {
                    let name = name_in(query).ok_or("no name")?;
                    let rows = db.client.query_raw(&db.match_equal, [name]).await?;
                    write_rows(&mut body, rows, &MATCH_COLUMNS).await?;
                }
            }
            (Method::POST, None) if below == "Match" => {
                let bytes = request.into_body().collect().await?.to_bytes();
                let new: Match<'_> = serde_json::from_slice(&bytes)?;
                let id = next_id();
                let now = SystemTime::now();
                let played = Stamp(millis_of(new.played_at.iso).ok_or("no date")?);
                let place = Point(new.place.longitude, new.place.latitude);
                let (tags, stats) = (Json(new.tags.get()), Json(new.stats.get()));
                let db = self.connection(CONNECTIONS);
                let binds: [&(dyn ToSql + Sync); 10] =
                    [&id, &now, &new.name, &new.score, &new.level, &new.won, &played, &tags, &stats, &place];
                db.client.execute(&db.match_create, &binds).await?;
                write!(body, "{{\"objectId\":\"{id}\",\"createdAt\":\"")?;
                write_iso(&mut body, i64::try_from(now.duration_since(UNIX_EPOCH)?.as_millis())?)?;
                body.extend_from_slice(b"\"}");
                return Ok(json(201, body));
            }
            (Method::PUT, Some(("Match", id))) => {
                #[derive(serde::Deserialize)]
                struct Update {
                    level: Increment,
                }
                #[derive(serde::Deserialize)]
                struct Increment {
                    amount: f64,
                }
                let id = id.to_owned();
                let bytes = request.into_body().collect().await?.to_bytes();
                let update: Update = serde_json::from_slice(&bytes)?;
                let now = SystemTime::now();
                let db = self.connection(CONNECTIONS);
                let row =
                    db.client.query_one(&db.match_increment, &[&id, &update.level.amount, &now]).await?;
                write!(body, "{{\"level\":{},\"updatedAt\":\"", row.get::<_, f64>(0))?;
                write_iso(&mut body, i64::try_from(now.duration_since(UNIX_EPOCH)?.as_millis())?)?;
                body.extend_from_slice(b"\"}");
            }
            (Method::GET, None) => {
                let query = uri.query().unwrap_or_default();
                let number = number_in(query).ok_or("no number")?;
                let db = self.connection(READERS);
                if query.contains("count=1") {
                    let row = db.client.query_one(&db.count, &[&number]).await?;
                    write!(body, "{{\"results\":[],\"count\":{}}}", row.get::<_, i64>(0))?;
                } else {
                    let statement = if query.contains("order=") { &db.range } else { &db.equal };
                    let rows = db.client.query_raw(statement, [number]).await?;
                    write_rows(&mut body, rows, &GAME_COLUMNS).await?;
                }
            }
            (Method::POST, None) => {
                #[derive(serde::Deserialize)]
                struct Written {
                    name: String,
                    score: f64,
                }
                let bytes = request.into_body().collect().await?.to_bytes();
                let new: Written = serde_json::from_slice(&bytes)?;
                let id = next_id();
                let now = SystemTime::now();
                let db = self.connection(CONNECTIONS);
                db.client.execute(&db.create, &[&id, &now, &new.name, &new.score]).await?;
                write!(body, "{{\"objectId\":\"{id}\",\"createdAt\":\"")?;
                write_iso(&mut body, i64::try_from(now.duration_since(UNIX_EPOCH)?.as_millis())?)?;
                body.extend_from_slice(b"\"}");
                return Ok(json(201, body));
            }
            (Method::PUT, Some(("Counter", id))) => {
                #[derive(serde::Deserialize)]
                struct Update {
                    count: Increment,
                }
                #[derive(serde::Deserialize)]
                struct Increment {
                    amount: f64,
                }
                let id = id.to_owned();
                let bytes = request.into_body().collect().await?.to_bytes();
                let update: Update = serde_json::from_slice(&bytes)?;
                let now = SystemTime::now();
                let db = self.connection(CONNECTIONS);
                let row = db.client.query_one(&db.increment, &[&id, &update.count.amount, &now]).await?;
                write!(body, "{{\"count\":{},\"updatedAt\":\"", row.get::<_, f64>(0))?;
                write_iso(&mut body, i64::try_from(now.duration_since(UNIX_EPOCH)?.as_millis())?)?;
                body.extend_from_slice(b"\"}");
            }
            _ => return Ok(json(404, Vec::new())),
        }
        Ok(json(200, body))
    }
}

fn json(status: u16, body: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or_default();
    let headers = response.headers_mut();
    headers
        .insert("content-type", hyper::header::HeaderValue::from_static("application/json; charset=utf-8"));
    response
}

/// The text of `where={"name":"match 5"}`, still percent-encoded.
fn name_in(query: &str) -> Option<String> {
    let rest = &query[query.find("match%20")? + 8..];
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    Some(format!("match {}", &rest[..end]))
}

/// What a create of eight fields sends.
#[derive(serde::Deserialize)]
struct Match<'a> {
    name: &'a str,
    score: f64,
    level: f64,
    won: bool,
    #[serde(rename = "playedAt", borrow)]
    played_at: Iso<'a>,
    #[serde(borrow)]
    tags: &'a RawValue,
    #[serde(borrow)]
    stats: &'a RawValue,
    place: Place,
}

#[derive(serde::Deserialize)]
struct Iso<'a> {
    iso: &'a str,
}

#[derive(serde::Deserialize)]
struct Place {
    latitude: f64,
    longitude: f64,
}

/// Milliseconds of `2024-01-01T00:00:00.000Z`.
fn millis_of(iso: &str) -> Option<i64> {
    let part = |from: usize, to: usize| iso.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (part(0, 4)?, part(5, 7)?, part(8, 10)?);
    let year = year - i64::from(month <= 2);
    let (era, from_march) = (year.div_euclid(400), (month + 9) % 12);
    let of_year = (153 * from_march + 2) / 5 + day - 1;
    let of_era = (year - era * 400) * 365 + (year - era * 400) / 4 - (year - era * 400) / 100 + of_year;
    let days = era * 146_097 + of_era - 719_468;
    Some((((days * 24 + part(11, 13)?) * 60 + part(14, 16)?) * 60 + part(17, 19)?) * 1000 + part(20, 23)?)
}

/// Values whose bytes on the wire are known.
#[derive(Debug)]
struct Stamp(i64);
#[derive(Debug)]
struct Json<'a>(&'a str);
#[derive(Debug)]
struct Point(f64, f64);

macro_rules! on_the_wire {
    ($name:ty, |$value:ident, $out:ident| $write:block) => {
        impl ToSql for $name {
            fn to_sql(&self, _: &Type, $out: &mut BytesMut) -> Result<IsNull, Failure> {
                let $value = self;
                $write
                Ok(IsNull::No)
            }

            fn accepts(_: &Type) -> bool {
                true
            }

            to_sql_checked!();
        }
    };
}

on_the_wire!(Stamp, |value, out| { out.put_i64((value.0 - 946_684_800_000) * 1000) });
on_the_wire!(Json<'_>, |value, out| {
    out.put_u8(1);
    out.put_slice(value.0.as_bytes());
});
on_the_wire!(Point, |value, out| {
    out.put_f64(value.0);
    out.put_f64(value.1);
});

/// The number of `where={"field":n}` or `{"field":{"$gte":n}}`, still percent-encoded.
fn number_in(query: &str) -> Option<f64> {
    let rest = &query[query.rfind("%3A")? + 3..];
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// Unique enough: the clock and a counter.
fn next_id() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.subsec_nanos());
    let mut n = u64::from(nanos) << 32 | COUNT.fetch_add(1, Ordering::Relaxed);
    let mut id = String::with_capacity(10);
    for _ in 0..10 {
        id.push(char::from(b"0123456789abcdefghijklmnopqrstuv"[(n % 32) as usize]));
        n >>= 5;
    }
    id
}

struct Raw<'a>(&'a [u8]);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Failure> {
        Ok(Self(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

async fn write_rows(out: &mut Vec<u8>, rows: RowStream, columns: &[Column]) -> Result<(), Failure> {
    let mut rows = pin!(rows);
    out.extend_from_slice(b"{\"results\":[");
    let mut first = true;
    while let Some(row) = rows.try_next().await? {
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        write_row(out, &row, columns)?;
    }
    out.extend_from_slice(b"]}");
    Ok(())
}

fn write_row(out: &mut Vec<u8>, row: &Row, columns: &[Column]) -> Result<(), Failure> {
    out.push(b'{');
    let mut first = true;
    for (index, (name, kind)) in columns.iter().enumerate() {
        if matches!(kind, Kind::Hidden) {
            continue;
        }
        let Some(Raw(raw)) = row.get::<_, Option<Raw<'_>>>(index) else { continue };
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        write!(out, "\"{name}\":")?;
        match kind {
            Kind::Text => serde_json::to_writer(&mut *out, std::str::from_utf8(raw)?)?,
            Kind::Number => write!(out, "{}", f64::from_be_bytes(raw.try_into()?))?,
            Kind::Bool => out.extend_from_slice(if raw == [1] { b"true" } else { b"false" }),
            Kind::Json => out.extend_from_slice(&raw[1..]),
            Kind::Time | Kind::Date => {
                let millis = i64::from_be_bytes(raw.try_into()?).div_euclid(1000) + 946_684_800_000;
                let plain = matches!(kind, Kind::Time);
                out.extend_from_slice(if plain { b"\"" } else { b"{\"__type\":\"Date\",\"iso\":\"" });
                write_iso(out, millis)?;
                out.extend_from_slice(if plain { b"\"" } else { b"\"}" });
            }
            Kind::Pointer(class) => {
                write!(out, "{{\"__type\":\"Pointer\",\"className\":\"{class}\",\"objectId\":")?;
                serde_json::to_writer(&mut *out, std::str::from_utf8(raw)?)?;
                out.push(b'}');
            }
            Kind::Point => {
                let (x, y) = raw.split_at(8);
                let (longitude, latitude) =
                    (f64::from_be_bytes(x.try_into()?), f64::from_be_bytes(y.try_into()?));
                write!(out, "{{\"__type\":\"GeoPoint\",\"latitude\":{latitude},\"longitude\":{longitude}}}")?;
            }
            Kind::Hidden => {}
        }
    }
    out.push(b'}');
    Ok(())
}

/// `2024-01-01T00:00:00.000Z`, by the days-to-civil algorithm of the proleptic Gregorian calendar.
fn write_iso(out: &mut Vec<u8>, millis: i64) -> std::io::Result<()> {
    let (days, in_day) = (millis.div_euclid(86_400_000), millis.rem_euclid(86_400_000));
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute) = (in_day / 3_600_000, in_day / 60_000 % 60);
    let (second, milli) = (in_day / 1000 % 60, in_day % 1000);
    write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

async fn work(
    uri: String,
    mut accepted: mpsc::UnboundedReceiver<std::net::TcpStream>,
) -> Result<(), Failure> {
    let mut connections = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        connections.push(Connection::open(&uri).await?);
    }
    let worker = Rc::new(Worker { connections, turn: Cell::new(0) });
    while let Some(stream) = accepted.recv().await {
        let stream = TokioIo::new(tokio::net::TcpStream::from_std(stream)?);
        let worker = worker.clone();
        tokio::task::spawn_local(async move {
            let service = service_fn(move |request| {
                let worker = worker.clone();
                async move {
                    Ok::<_, Infallible>(worker.answer(request).await.unwrap_or_else(|error| {
                        eprintln!("{error}");
                        json(500, Vec::new())
                    }))
                }
            });
            // A client that leaves is no event.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await;
        });
    }
    Ok(())
}

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let (Some(port), Some(uri)) = (arguments.next(), arguments.next()) else {
        return Err("floor <port> <database URI>".into());
    };
    let listener = std::net::TcpListener::bind(("127.0.0.1", port.parse()?))?;
    let mut workers = Vec::new();
    for _ in 0..THREADS {
        let (sender, receiver) = mpsc::unbounded_channel();
        let uri = uri.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let local = tokio::task::LocalSet::new();
            let done = runtime
                .map_err(Failure::from)
                .and_then(|runtime| local.block_on(&runtime, work(uri, receiver)));
            if let Err(error) = done {
                eprintln!("{error}");
                std::process::exit(1);
            }
        });
        workers.push(sender);
    }
    for turn in 0.. {
        let (stream, _) = listener.accept()?;
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        workers[turn % workers.len()].send(stream)?;
    }
    Ok(())
}
