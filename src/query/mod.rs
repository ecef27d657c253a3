//! A parsed query: what `where`, `order`, `keys`, `include` and friends mean, without knowing a
//! database. `parse` builds it from REST JSON and refuses what no query may say; the permission
//! code rewrites it; `storage` turns it into SQL; `eval` answers it in memory (live queries, tests).

pub mod evaluate;
pub mod geo;
pub mod parse;
pub mod pipeline;
pub mod regex;
pub mod request;
pub mod term;
pub mod visit;

use std::sync::Arc;

use serde_json::Value;

pub use crate::query::parse::constraint::operand;
pub use crate::query::parse::relative_time::relative_time;
pub use parse::{ParseContext, QueryLimits, parse_where};
pub use pipeline::Pipeline;
pub use request::{FindRequest, GetRequest};

use crate::types::geo::GeoPoint;
use crate::types::names::{ClassName, FieldName, ObjectId};
use crate::types::number::number_json;
use crate::types::path::FieldPath;
use crate::types::room::Lent;
use crate::types::row::Layout;
use crate::types::schema::ClassSchema;
use crate::types::time::Millis;

/// A condition on one object.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// All must hold; empty = every object.
    And(Vec<Filter>),
    /// One must hold; empty = no object.
    Or(Vec<Filter>),
    /// None may hold; rows whose field is unset do not hold a comparison, so they pass.
    Nor(Vec<Filter>),
    /// Every constraint must hold for the value at the path.
    Field { path: FieldPath, constraints: Vec<Constraint> },
    /// The object is in the owner's relation.
    RelatedTo(RelatedTo),
}

impl Filter {
    pub fn all() -> Self {
        Self::And(Vec::new())
    }

    pub fn is_all(&self) -> bool {
        matches!(self, Self::And(parts) if parts.iter().all(Self::is_all))
    }

    pub fn field(path: impl Into<FieldPath>, constraint: Constraint) -> Self {
        Self::Field { path: path.into(), constraints: vec![constraint] }
    }

    /// `objectId == id`.
    pub fn by_id(id: &ObjectId) -> Self {
        Self::eq("objectId", Operand::Text(id.as_str().to_owned()))
    }

    /// Equality on a column that this program names.
    pub fn eq(column: &'static str, operand: Operand) -> Self {
        Self::field(FieldName::known(column), Constraint::Eq(operand))
    }

    /// Both must hold; flattens.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::And(mut left), Self::And(right)) => {
                left.extend(right);
                Self::And(left)
            }
            (Self::And(mut left), other) => {
                left.push(other);
                Self::And(left)
            }
            (other, Self::And(mut right)) => {
                right.insert(0, other);
                Self::And(right)
            }
            (left, right) => Self::And(vec![left, right]),
        }
    }

    /// The id that every matching row must have, whatever else is asked of it.
    pub fn pinned_id(&self) -> Option<&str> {
        match self {
            Self::And(parts) => parts.iter().find_map(Self::pinned_id),
            Self::Field { path, constraints } if path.is("objectId") => {
                constraints.iter().find_map(|constraint| match constraint {
                    Constraint::Eq(Operand::Text(id)) => Some(id.as_str()),
                    _ => None,
                })
            }
            _ => None,
        }
    }

    /// The id, when the filter is exactly `{"objectId": "<id>"}`: such a query counts as a `get`.
    pub fn exact_id(&self) -> Option<&str> {
        match self {
            Self::And(parts) => match parts.as_slice() {
                [only] => only.exact_id(),
                _ => None,
            },
            Self::Field { path, constraints } if path.is("objectId") => match constraints.as_slice() {
                [Constraint::Eq(Operand::Text(id))] => Some(id),
                _ => None,
            },
            _ => None,
        }
    }
}

/// A value that a stored value is compared with, decoded from REST JSON.
#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    Date(Millis),
    Pointer {
        class: ClassName,
        id: String,
    },
    GeoPoint(GeoPoint),
    /// Ring of at least three points, as sent (not necessarily closed).
    Polygon(Vec<GeoPoint>),
    /// The file's name.
    File(String),
    /// The base64 text.
    Bytes(String),
    /// A plain object, in REST encoding.
    Object(Value),
    /// In REST encoding, elements undecoded.
    Array(Vec<Value>),
}

impl Operand {
    /// REST encoding, as stored inside Object and Array columns.
    pub fn to_json(&self) -> Value {
        use serde_json::json;
        match self {
            Self::Null => Value::Null,
            Self::Bool(b) => Value::Bool(*b),
            Self::Number(n) => number_json(*n),
            Self::Text(text) => Value::String(text.clone()),
            Self::Date(at) => json!({ "__type": "Date", "iso": at.to_iso() }),
            Self::Pointer { class, id } => {
                json!({ "__type": "Pointer", "className": class.as_str(), "objectId": id })
            }
            Self::GeoPoint(point) => point.to_json(),
            Self::Polygon(ring) => {
                let points: Vec<_> =
                    ring.iter().map(|p| json!([number_json(p.latitude), number_json(p.longitude)])).collect();
                json!({ "__type": "Polygon", "coordinates": points })
            }
            Self::File(name) => json!({ "__type": "File", "name": name }),
            Self::Bytes(base64) => json!({ "__type": "Bytes", "base64": base64 }),
            Self::Object(object) => object.clone(),
            Self::Array(elements) => Value::Array(elements.clone()),
        }
    }
}

/// One condition on the value at a path. Semantics are those of facts 01 §6.4 (where parse-server
/// on PostgreSQL departs from its own documents, the documented one); `eval` is the reference.
#[derive(Clone, Debug, PartialEq)]
pub enum Constraint {
    /// Null = unset. On an Array column: contains the value, or equals it when it is an array.
    Eq(Operand),
    /// Not equal or unset; on arrays: does not contain.
    Ne(Operand),
    Lt(Operand),
    Lte(Operand),
    Gt(Operand),
    Gte(Operand),
    In(Vec<Operand>),
    Nin(Vec<Operand>),
    All(Vec<Operand>),
    /// `$all` of start-anchored expressions: some element starts with each of these literals.
    AllStartingWith(Vec<String>),
    ContainedBy(Vec<Operand>),
    Exists(bool),
    /// The text, or a text of the array, is this one but for the case of letters.
    EqIgnoreCase(String),
    Regex(RegexConstraint),
    Text(TextSearch),
    /// Nearest first. Distance in radians.
    NearSphere {
        center: GeoPoint,
        max_radians: Option<f64>,
    },
    WithinBox {
        southwest: GeoPoint,
        northeast: GeoPoint,
    },
    WithinPolygon(Vec<GeoPoint>),
    WithinCircle {
        center: GeoPoint,
        radians: f64,
    },
    /// The Polygon column contains the point.
    Intersects(GeoPoint),
    InQuery(Box<SubQuery>),
    NotInQuery(Box<SubQuery>),
    Select(Box<SubQuery>),
    DontSelect(Box<SubQuery>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegexConstraint {
    /// JavaScript syntax; `\Q…\E` allowed.
    pub pattern: String,
    /// Subset of `imxsu`.
    pub options: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextSearch {
    pub term: String,
    pub language: Option<String>,
    pub case_sensitive: bool,
    pub diacritic_sensitive: bool,
}

/// `$inQuery`, `$select` and their negations.
#[derive(Clone, Debug, PartialEq)]
pub struct SubQuery {
    pub class: ClassName,
    pub filter: Filter,
    /// `$select`: the column (or path) whose values are compared; `None` for `$inQuery`.
    pub key: Option<FieldPath>,
    pub redirect_class_name_for_key: Option<FieldName>,
    pub order: Vec<OrderKey>,
    pub limit: Option<u64>,
    pub skip: u64,
    /// Set by the permission code before the query reaches storage.
    pub access: Access,
}

/// `$relatedTo`.
#[derive(Clone, Debug, PartialEq)]
pub struct RelatedTo {
    pub owner_class: ClassName,
    pub owner_id: String,
    pub key: FieldName,
    /// Rights on the owning object, set by the permission code: unreadable owner, no rows.
    pub access: Access,
}

/// How a part of a query may look at a class; filled in by the permission code, so that storage
/// never sees a sub-query whose rights nobody decided.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Access {
    /// `None` until resolved, or when the class does not exist (then nothing matches).
    pub schema: Option<Arc<ClassSchema>>,
    /// `None`: master, no ACL filter. Otherwise `*`, user id and `role:…` entries.
    pub readers: Option<Arc<[String]>>,
    /// Permission denied where the caller only sees emptiness: matches nothing.
    pub denied: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderKey {
    Field {
        path: FieldPath,
        descending: bool,
    },
    /// Relevance of the `$text` search, best first.
    Score,
}

/// What storage needs to answer a find. Everything is decided: rights, limits, columns.
#[derive(Clone, Debug, PartialEq)]
pub struct FindSpec {
    pub filter: Filter,
    /// Rights on this class's rows.
    pub readers: Option<Arc<[String]>>,
    pub order: Vec<OrderKey>,
    /// `None`: no limit.
    pub limit: Option<u64>,
    pub skip: u64,
    /// Columns to read besides `objectId`, `createdAt`, `updatedAt`, ACL; `None` = all.
    pub columns: Option<Vec<FieldName>>,
    /// Add a `score` cell to each row (relevance of the `$text` search).
    pub with_score: bool,
    /// The columns laid out, when the caller has that at hand: those of `columns` and `with_score`.
    /// Storage lays them out itself otherwise, at each read.
    pub layout: Option<Arc<Layout>>,
    pub hints: FindHints,
}

impl FindSpec {
    pub fn new(filter: Filter) -> Self {
        Self {
            filter,
            readers: None,
            order: Vec::new(),
            limit: None,
            skip: 0,
            columns: None,
            with_score: false,
            layout: None,
            hints: FindHints::default(),
        }
    }

    pub fn limit(mut self, limit: u64) -> Self {
        self.limit = Some(limit);
        self
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct FindHints {
    pub read_preference: ReadPreference,
    /// Of sub-queries, where they are statements of their own.
    pub subquery_preference: ReadPreference,
    /// Name or specification of the index to use, where the database takes one.
    pub hint: Option<Value>,
    /// Free text for the statement's comment; never spliced unescaped.
    pub comment: Option<String>,
    /// Of a plan, where one is asked for.
    pub plan: PlanDetail,
    /// What the rows may take.
    pub room: Lent,
}

/// How much a plan tells, where the database knows degrees: MongoDB's verbosity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PlanDetail {
    #[default]
    Planner,
    /// The query is run, and what that took is told.
    Execution,
    /// So are the plans that were not chosen.
    AllPlans,
}

impl PlanDetail {
    /// What the parameter `explain` asks for. `true` is everything, as MongoDB's driver reads it.
    pub fn asked(explain: Option<&Value>) -> Self {
        match explain {
            Some(Value::Bool(true)) => Self::AllPlans,
            Some(Value::String(text)) if text == "true" || text == "allPlansExecution" => Self::AllPlans,
            Some(Value::String(text)) if text == "executionStats" => Self::Execution,
            _ => Self::Planner,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadPreference {
    #[default]
    Primary,
    PrimaryPreferred,
    Secondary,
    SecondaryPreferred,
    Nearest,
}

impl ReadPreference {
    /// Case-insensitive, `SECONDARY_PREFERRED` style.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text.to_ascii_uppercase().as_str() {
            "PRIMARY" => Self::Primary,
            "PRIMARY_PREFERRED" => Self::PrimaryPreferred,
            "SECONDARY" => Self::Secondary,
            "SECONDARY_PREFERRED" => Self::SecondaryPreferred,
            "NEAREST" => Self::Nearest,
            _ => return None,
        })
    }

    /// Whether a streaming replica may answer.
    pub fn allows_replica(self) -> bool {
        matches!(self, Self::Secondary | Self::SecondaryPreferred | Self::Nearest)
    }
}
