//! Documents that clients call by their hash: those that a client sent once (Apollo's automatic persisted queries),
//! or, with the option `graphQLPersistedQueries`, those of a file, which then are the only ones.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::errors::{Code, GraphQLError};
use super::{Answer, Request, locked};

/// Bytes of documents that are kept for clients.
const KEPT: usize = 8 * 1024 * 1024;

pub struct Persisted {
    sent: Mutex<Sent>,
    /// `None`: any document.
    allowed: Option<Allowed>,
}

#[derive(Default)]
struct Sent {
    documents: HashMap<String, String>,
    bytes: usize,
}

struct Allowed {
    by_id: HashMap<String, String>,
    documents: HashSet<String>,
}

impl Allowed {
    /// A file of ids and documents: an object, as Relay writes it, or a manifest of Apollo's.
    fn read(path: &str) -> Result<Self, String> {
        let fail = |why: &dyn std::fmt::Display| format!("graphQLPersistedQueries: {path}: {why}");
        let text = std::fs::read_to_string(path).map_err(|error| fail(&error))?;
        let file: Value = serde_json::from_str(&text).map_err(|error| fail(&error))?;
        let pairs: Option<Vec<(String, String)>> = match file.get("operations") {
            Some(Value::Array(operations)) => {
                let text = |operation: &Value, key: &str| Some(operation.get(key)?.as_str()?.to_owned());
                operations
                    .iter()
                    .map(|operation| Some((text(operation, "id")?, text(operation, "body")?)))
                    .collect()
            }
            _ => file.as_object().and_then(|pairs| {
                pairs.iter().map(|(id, document)| Some((id.clone(), document.as_str()?.to_owned()))).collect()
            }),
        };
        let by_id: HashMap<String, String> =
            pairs.ok_or_else(|| fail(&"it has no ids with documents"))?.into_iter().collect();
        let documents = by_id.values().cloned().collect();
        Ok(Self { by_id, documents })
    }
}

fn refuse(code: Code, text: &str) -> Answer {
    Answer::refused(400, &[GraphQLError::new(code, text)], "")
}

fn not_found() -> Answer {
    let error = GraphQLError::new(Code::PersistedQueryNotFound, "PersistedQueryNotFound");
    let mut answer = Answer::refused(200, &[error], "");
    answer.headers.push(("cache-control", "private, no-cache, must-revalidate"));
    answer
}

impl Persisted {
    /// `file`: the documents that are allowed.
    ///
    /// # Errors
    /// What is wrong with the file, for the operator.
    pub fn new(file: Option<&str>) -> Result<Self, String> {
        Ok(Self { sent: Mutex::default(), allowed: file.map(Allowed::read).transpose()? })
    }

    /// The text of a request's document. `may_send_any`: whoever asks need not keep to those that are allowed.
    ///
    /// # Errors
    /// The answer where there is none, or none that is allowed.
    pub fn source(&self, request: &Request, may_send_any: bool) -> Result<String, Answer> {
        let allowed = self.allowed.as_ref().filter(|_| !may_send_any);
        let query = request.query.as_deref();
        let is_allowed = |query: &str| allowed.is_none_or(|allowed| allowed.documents.contains(query));
        if query.is_some_and(|query| !query.is_empty() && !is_allowed(query)) {
            return Err(refuse(Code::BadRequest, "The document is not one of those that are allowed."));
        }
        let Some(persisted) = request.extensions.get("persistedQuery").filter(|given| given.is_object())
        else {
            return match query.filter(|query| !query.is_empty()) {
                Some(query) => Ok(query.to_owned()),
                None => Err(Answer::bad_request(
                    400,
                    "GraphQL operations must contain a non-empty `query` or a `persistedQuery` extension.",
                )),
            };
        };
        if persisted.get("version").and_then(Value::as_f64) != Some(1.0) {
            return Err(refuse(Code::Internal, "Unsupported persisted query version"));
        }
        let hash = persisted.get("sha256Hash").and_then(Value::as_str).unwrap_or_default();
        match (query, &self.allowed) {
            // The file counts for everybody; what somebody sent only where anything may be sent.
            (None, Some(known)) if allowed.is_some() || known.by_id.contains_key(hash) => {
                known.by_id.get(hash).cloned().ok_or_else(not_found)
            }
            (None, _) => locked(&self.sent).documents.get(hash).cloned().ok_or_else(not_found),
            (Some(query), _) => self.keep(query, hash),
        }
    }

    fn keep(&self, query: &str, hash: &str) -> Result<String, Answer> {
        let digest = Sha256::digest(query.as_bytes());
        let own: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        if own != hash {
            return Err(refuse(Code::Internal, "provided sha does not match query"));
        }
        let mut sent = locked(&self.sent);
        if sent.bytes + query.len() > KEPT {
            *sent = Sent::default();
        }
        if sent.documents.insert(own, query.to_owned()).is_none() {
            sent.bytes += query.len();
        }
        Ok(query.to_owned())
    }
}
