//! Errors as Apollo Server shows them: message, places in the document, path in the answer, and a code.

use serde_json::{Map, Value, json};

use super::language::ast::Offset;
use super::language::{Lines, SyntaxError};
use crate::error::{Error, ErrorCode};

/// A step of a path in the answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Key(String),
    Index(usize),
}

/// One entry of `errors`.
#[derive(Clone, Debug)]
pub struct GraphQLError {
    pub message: String,
    pub at: Vec<Offset>,
    pub path: Option<Vec<Step>>,
    pub code: Code,
}

/// `extensions.code`: a name of Apollo's, or the number of Parse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    ParseFailed,
    ValidationFailed,
    BadUserInput,
    BadRequest,
    OperationResolutionFailure,
    PersistedQueryNotFound,
    PersistedQueryNotSupported,
    Internal,
    Parse(i32),
}

impl Code {
    fn shown(self) -> Value {
        Value::from(match self {
            Self::Parse(code) => return code.into(),
            Self::ParseFailed => "GRAPHQL_PARSE_FAILED",
            Self::ValidationFailed => "GRAPHQL_VALIDATION_FAILED",
            Self::BadUserInput => "BAD_USER_INPUT",
            Self::BadRequest => "BAD_REQUEST",
            Self::OperationResolutionFailure => "OPERATION_RESOLUTION_FAILURE",
            Self::PersistedQueryNotFound => "PERSISTED_QUERY_NOT_FOUND",
            Self::PersistedQueryNotSupported => "PERSISTED_QUERY_NOT_SUPPORTED",
            Self::Internal => "INTERNAL_SERVER_ERROR",
        })
    }
}

impl GraphQLError {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { message: message.into(), at: Vec::new(), path: None, code }
    }

    #[must_use]
    pub fn at(self, at: Offset) -> Self {
        Self { at: vec![at], ..self }
    }

    /// Bytes of its text, about.
    pub fn weight(&self) -> usize {
        const STEP: usize = 16;
        const PLACE: usize = 32;
        let steps = self.path.iter().flatten().map(|step| match step {
            Step::Key(key) => key.len() + STEP,
            Step::Index(_) => STEP,
        });
        64 + self.message.len() + self.at.len() * PLACE + steps.sum::<usize>()
    }

    /// `lines`: those of the document.
    pub fn to_json(&self, lines: &Lines<'_>) -> Value {
        let mut json = Map::new();
        json.insert("message".to_owned(), self.message.clone().into());
        if !self.at.is_empty() {
            let places = self.at.iter().map(|at| {
                let (line, column) = lines.location(*at);
                json!({ "line": line, "column": column })
            });
            json.insert("locations".to_owned(), places.collect());
        }
        if let Some(path) = &self.path {
            let steps = path.iter().map(|step| match step {
                Step::Key(key) => Value::from(key.as_str()),
                Step::Index(index) => Value::from(*index),
            });
            json.insert("path".to_owned(), steps.collect());
        }
        json.insert("extensions".to_owned(), json!({ "code": self.code.shown() }));
        Value::Object(json)
    }
}

impl From<SyntaxError> for GraphQLError {
    fn from(error: SyntaxError) -> Self {
        Self::new(Code::ParseFailed, error.message).at(error.at)
    }
}

/// What a resolver failed with.
#[derive(Debug)]
pub enum Failure {
    /// Shown with its Parse code.
    Coded(Error),
    /// Shown without: parse-server lets these pass by where it adds the codes.
    Plain(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Coded(error)
    }
}

impl Failure {
    /// Logs what is nobody's business, once.
    pub fn shown(&self, sanitize: bool) -> GraphQLError {
        let (Self::Coded(error) | Self::Plain(error)) = self;
        match error {
            Error::Internal(_) | Error::Database(_) => {
                tracing::error!(%error, "Uncaught internal server error.");
            }
            Error::Denied { .. } => tracing::error!(%error, "Sanitized error: {error}"),
            _ => tracing::info!(%error, "Parse error: {error}"),
        }
        let message = match error {
            Error::Internal(_) => "Internal server error",
            other => other.public_message(sanitize),
        };
        let code = match self {
            Self::Plain(_) => Code::Internal,
            Self::Coded(error) => Code::Parse(error.code().unwrap_or(ErrorCode::INTERNAL_SERVER_ERROR).0),
        };
        GraphQLError::new(code, message)
    }
}
