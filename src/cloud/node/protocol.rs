//! Frames between the server and a host process: the Rust side of `host/wire.cjs`.
//!
//! One frame is a u32 length of what follows, a u8 kind, a u32 id and JSON, all numbers little-endian.
//! Calls and requests carry ids of their sender's choosing, so both directions multiplex freely.

use bytes::{Buf, Bytes, BytesMut};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::cloud::call::{
    AdapterArg, Caller, Context, FilePayload, LiveQueryPayload, Payload, TransactionId, TriggerCall,
};
use crate::cloud::registrations::{AdapterInfo, FunctionInfo, Registrations, TriggerInfo, TriggerKind};

pub const HEADER_LENGTH: usize = 9;
/// A host that announces a longer frame is out of its mind.
const MAX_FRAME: usize = 512 * 1024 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameKind {
    Init = 1,
    Call = 2,
    Cancel = 3,
    Reply = 4,
    ReplyError = 5,
    Stop = 6,
    Withdrawn = 7,
    /// To an attached host alone: the server serves.
    Listening = 8,
    Hello = 32,
    Ready = 33,
    Failed = 34,
    Registered = 35,
    Result = 36,
    Error = 37,
    Request = 38,
    Log = 39,
    Stalled = 40,
    Paused = 41,
    Resumed = 42,
    /// Of an attached host alone: the server may go.
    Leave = 44,
    /// The process runs, says its watchdog again and again.
    Alive = 45,
}

impl FrameKind {
    fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            32 => Self::Hello,
            33 => Self::Ready,
            34 => Self::Failed,
            35 => Self::Registered,
            36 => Self::Result,
            37 => Self::Error,
            38 => Self::Request,
            39 => Self::Log,
            40 => Self::Stalled,
            41 => Self::Paused,
            42 => Self::Resumed,
            44 => Self::Leave,
            45 => Self::Alive,
            _ => return None,
        })
    }
}

#[derive(Debug)]
pub struct Frame {
    pub kind: FrameKind,
    pub id: u32,
    pub payload: Bytes,
}

#[derive(Debug, thiserror::Error)]
pub enum ProtocolError {
    #[error("unknown frame kind {0}")]
    Kind(u8),
    #[error("frame of {0} bytes")]
    Length(usize),
}

pub fn header(kind: FrameKind, id: u32, payload_length: usize) -> [u8; HEADER_LENGTH] {
    let mut header = [0; HEADER_LENGTH];
    // A payload is bounded far below 4 GiB by the limits on requests.
    let length = u32::try_from(payload_length + HEADER_LENGTH - 4).unwrap_or(u32::MAX);
    header[..4].copy_from_slice(&length.to_le_bytes());
    header[4] = kind as u8;
    header[5..].copy_from_slice(&id.to_le_bytes());
    header
}

/// Takes the next complete frame off the buffer.
pub fn next_frame(buffer: &mut BytesMut) -> Result<Option<Frame>, ProtocolError> {
    let Some(prefix) = buffer.first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_le_bytes(*prefix) as usize;
    if !(HEADER_LENGTH - 4..=MAX_FRAME).contains(&length) {
        return Err(ProtocolError::Length(length));
    }
    if buffer.len() < 4 + length {
        buffer.reserve(4 + length - buffer.len());
        return Ok(None);
    }
    let mut frame = buffer.split_to(4 + length).freeze();
    frame.advance(4);
    let byte = frame.get_u8();
    let kind = FrameKind::from_byte(byte).ok_or(ProtocolError::Kind(byte))?;
    let id = frame.get_u32_le();
    Ok(Some(Frame { kind, id, payload: frame }))
}

/// First frame of a host: who it is.
#[derive(Debug, Deserialize)]
pub struct Hello {
    pub version: String,
}

impl Hello {
    /// Major version of Node.js, 0 if unreadable.
    pub fn major(&self) -> u32 {
        let digits = self.version.trim_start_matches('v').split('.').next().unwrap_or_default();
        digits.parse().unwrap_or(0)
    }
}

/// How long a host may stand still before it is replaced, by its own watchdog or, where that stands still too, by
/// whoever hears nothing of it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Alive {
    pub stall_ms: u64,
}

/// Why a host could not start, or why its watchdog gives it up.
#[derive(Debug, Deserialize)]
pub struct Reason {
    pub reason: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct WireError {
    pub code: Option<i32>,
    pub message: String,
    /// What was thrown, where that is no text, or has no code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thrown: Option<Value>,
}

#[derive(Debug, Deserialize)]
pub struct LogLine {
    pub level: String,
    pub message: String,
    #[serde(default)]
    pub meta: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct NamedFunction {
    name: String,
    #[serde(flatten)]
    info: FunctionInfo,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct NamedTrigger {
    #[serde(rename = "type")]
    kind: TriggerKind,
    class_name: String,
    #[serde(flatten)]
    info: TriggerInfo,
}

/// What a host has registered.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    functions: Vec<NamedFunction>,
    jobs: Vec<String>,
    triggers: Vec<NamedTrigger>,
    live_query_events: bool,
    rate_limits: Vec<Value>,
    #[serde(default)]
    adapters: std::collections::BTreeMap<String, AdapterInfo>,
}

impl Summary {
    pub fn into_registrations(self) -> Registrations {
        let mut registrations = Registrations::default();
        for function in self.functions {
            registrations.add_function(function.name, function.info);
        }
        for job in self.jobs {
            registrations.add_job(job);
        }
        for trigger in self.triggers {
            registrations.add_trigger(trigger.kind, trigger.class_name, trigger.info);
        }
        if self.live_query_events {
            registrations.add_trigger(TriggerKind::OnLiveQueryEvent, "", TriggerInfo::default());
        }
        for (name, info) in self.adapters {
            registrations.add_adapter(name, info);
        }
        registrations.rate_limits = self.rate_limits;
        registrations
    }
}

/// A call, as the host reads it.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum CallFrame<'a> {
    #[serde(rename_all = "camelCase")]
    Function {
        name: &'a str,
        params: &'a Map<String, Value>,
        uploads: Map<String, Value>,
        caller: &'a Caller,
        context: &'a Context,
        depth: u16,
        #[serde(skip_serializing_if = "Option::is_none")]
        transaction: Option<TransactionId>,
    },
    Trigger(TriggerFrame<'a>),
    #[serde(rename_all = "camelCase")]
    Job {
        name: &'a str,
        job_id: &'a str,
        params: &'a Map<String, Value>,
        ip: Option<&'a str>,
        headers: &'a Map<String, Value>,
        depth: u16,
    },
    /// Loads the code of the application, in a start of two steps; answered with a [`Summary`].
    Load {
        depth: u16,
    },
    Callback {
        callback: u32,
        args: Vec<ArgFrame<'a>>,
        depth: u16,
    },
    Files {
        adapter: &'a str,
        method: &'a str,
        args: &'a Value,
        pipe: u32,
        depth: u16,
    },
    Adapter {
        adapter: &'a str,
        method: &'a str,
        args: Vec<ArgFrame<'a>>,
        depth: u16,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TriggerFrame<'a> {
    #[serde(rename = "type")]
    kind: TriggerKind,
    class_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    object_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    original: Option<&'a Payload>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Payload>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<&'a Payload>,
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<&'a Payload>,
    #[serde(skip_serializing_if = "Option::is_none")]
    objects: Option<&'a Payload>,
    #[serde(skip_serializing_if = "Option::is_none")]
    query: Option<&'a Value>,
    count: bool,
    is_get: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a FilePayload>,
    #[serde(skip_serializing_if = "Option::is_none")]
    live: Option<&'a LiveQueryPayload>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    extra: &'a Map<String, Value>,
    caller: &'a Caller,
    context: &'a Context,
    depth: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction: Option<TransactionId>,
}

impl<'a> From<&'a TriggerCall> for TriggerFrame<'a> {
    fn from(call: &'a TriggerCall) -> Self {
        Self {
            kind: call.kind,
            class_name: &call.class_name,
            object_id: call.object_id.as_deref(),
            original: call.original.as_ref(),
            data: call.data.as_ref(),
            response: call.response.as_ref(),
            object: call.object.as_ref(),
            objects: call.objects.as_ref(),
            query: call.query.as_ref(),
            count: call.count,
            is_get: call.is_get,
            file: call.file.as_ref(),
            live: call.live.as_ref(),
            extra: &call.extra,
            caller: &call.caller,
            context: &call.context,
            depth: call.scope.depth,
            transaction: call.scope.transaction,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ArgFrame<'a> {
    Json(&'a Value),
    Decoded(&'a Value),
    Nothing(bool),
    Options(bool),
    Exchange(&'a Value),
    Request(Box<TriggerFrame<'a>>),
}

impl<'a> From<&'a AdapterArg> for ArgFrame<'a> {
    fn from(arg: &'a AdapterArg) -> Self {
        match arg {
            AdapterArg::Json(value) => Self::Json(value),
            AdapterArg::Decoded(value) => Self::Decoded(value),
            AdapterArg::Nothing => Self::Nothing(true),
            AdapterArg::Options => Self::Options(true),
            AdapterArg::Exchange(request) => Self::Exchange(request),
            AdapterArg::Request(call) => Self::Request(Box::new(TriggerFrame::from(call.as_ref()))),
        }
    }
}

/// The answer of a function.
#[derive(Deserialize)]
pub struct FunctionFrame {
    /// Absent for undefined; `null` is a result.
    #[serde(default, deserialize_with = "present")]
    pub result: Option<Box<RawValue>>,
    #[serde(default)]
    pub status: Option<u16>,
    #[serde(default)]
    pub headers: Map<String, Value>,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}

#[derive(Deserialize)]
pub struct JobFrame {
    #[serde(default)]
    pub message: Option<String>,
}

/// What application code asks of the server.
#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum RequestFrame {
    #[serde(rename_all = "camelCase")]
    Rest {
        method: String,
        path: String,
        #[serde(default)]
        data: Value,
        use_master_key: bool,
        #[serde(default)]
        session_token: Option<String>,
        installation_id: String,
        #[serde(default)]
        context: Context,
        #[serde(default)]
        transaction: Option<TransactionId>,
        depth: u16,
    },
    Mail {
        data: Map<String, Value>,
    },
    Config {
        data: Map<String, Value>,
    },
    /// A file adapter takes the next piece of its input.
    Pull {
        pipe: u32,
    },
    /// A file adapter tells what its output will be.
    Head {
        pipe: u32,
        size: u64,
        start: u64,
        length: u64,
    },
    /// A file adapter puts out a piece, in base64.
    Push {
        pipe: u32,
        data: String,
    },
    #[serde(rename_all = "camelCase")]
    JobMessage {
        job_id: String,
        #[serde(default)]
        message: Value,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn encoded(kind: FrameKind, id: u32, payload: &str) -> Vec<u8> {
        let mut bytes = header(kind, id, payload.len()).to_vec();
        bytes.extend_from_slice(payload.as_bytes());
        bytes
    }

    #[test]
    fn frames_come_out_whole_however_they_arrive() {
        let mut bytes = encoded(FrameKind::Result, 7, r#"{"a":1}"#);
        bytes.extend(encoded(FrameKind::Error, u32::MAX, ""));
        let mut buffer = BytesMut::new();
        let mut seen = Vec::new();
        for byte in bytes {
            buffer.extend_from_slice(&[byte]);
            while let Some(frame) = next_frame(&mut buffer).unwrap() {
                seen.push((frame.kind, frame.id, frame.payload));
            }
        }
        assert_eq!(
            seen,
            [
                (FrameKind::Result, 7, Bytes::from_static(br#"{"a":1}"#)),
                (FrameKind::Error, u32::MAX, Bytes::new())
            ]
        );
    }

    #[test]
    fn nonsense_is_an_error() {
        let mut buffer = BytesMut::from(&[255, 255, 255, 255, 0][..]);
        assert!(matches!(next_frame(&mut buffer), Err(ProtocolError::Length(_))));
        let mut buffer = BytesMut::from(&[5, 0, 0, 0, 99, 0, 0, 0, 0][..]);
        assert!(matches!(next_frame(&mut buffer), Err(ProtocolError::Kind(99))));
    }

    #[test]
    fn null_is_a_result_and_undefined_is_none() {
        let null: FunctionFrame = serde_json::from_str(r#"{"result":null,"headers":{}}"#).unwrap();
        assert_eq!(null.result.unwrap().get(), "null");
        let nothing: FunctionFrame = serde_json::from_str(r#"{"headers":{}}"#).unwrap();
        assert!(nothing.result.is_none());
    }

    #[test]
    fn a_summary_becomes_registrations() {
        let summary: Summary = serde_json::from_value(json!({
            "functions": [{"name": "hello", "needsRoles": true}],
            "jobs": ["nightly"],
            "triggers": [{"type": "afterEvent", "className": "Game", "needsRoles": false}],
            "liveQueryEvents": true,
            "rateLimits": [{"requestPath": "/functions/hello"}],
        }))
        .unwrap();
        let registrations = summary.into_registrations();
        assert!(registrations.function("hello").unwrap().needs_roles);
        assert!(registrations.has_job("nightly"));
        assert!(registrations.has_trigger(TriggerKind::AfterEvent, "Game"));
        assert!(registrations.observes_live_query());
        assert_eq!(registrations.rate_limits.len(), 1);
    }

    #[test]
    fn versions_are_read() {
        for (text, major) in [("v20.11.1", 20), ("v8.0.0", 8), ("what", 0)] {
            assert_eq!(Hello { version: text.into() }.major(), major);
        }
    }
}
