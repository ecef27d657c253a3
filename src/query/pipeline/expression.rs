//! Expressions of a pipeline. What has no value is null; an operator on values of the wrong type answers null
//! instead of failing.

use super::date::{DateFunction, Zone};
use super::function::Function;
use crate::query::{Operand, RegexConstraint};
use crate::types::path::FieldPath;

#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    Literal(Operand),
    /// `$field`, `$field.sub`.
    Field(FieldPath),
    /// `$$ROOT`.
    Root,
    /// `$$name`, `$$name.sub`: of `$let`, `$map` and their like, or of a `$lookup`.
    Variable {
        name: String,
        rest: Vec<String>,
    },
    Object(Vec<(String, Expr)>),
    Array(Vec<Expr>),
    Call(Function, Vec<Expr>),
    /// `$switch`, and `$cond` with one branch.
    Switch {
        branches: Vec<(Expr, Expr)>,
        otherwise: Box<Expr>,
    },
    Let {
        variables: Vec<(String, Expr)>,
        body: Box<Expr>,
    },
    Map {
        input: Box<Expr>,
        name: String,
        body: Box<Expr>,
    },
    Filter {
        input: Box<Expr>,
        name: String,
        condition: Box<Expr>,
    },
    /// The body sees `$$value` and `$$this`.
    Reduce {
        input: Box<Expr>,
        initial: Box<Expr>,
        body: Box<Expr>,
    },
    /// By the value at each of these paths in a member (none: by the member itself), `true` for descending.
    SortArray {
        input: Box<Expr>,
        keys: Vec<(Vec<String>, bool)>,
    },
    RegexMatch {
        input: Box<Expr>,
        regex: RegexConstraint,
    },
    Date {
        function: DateFunction,
        arguments: Vec<Expr>,
        zone: Zone,
    },
}

impl Expr {
    pub fn null() -> Self {
        Self::Literal(Operand::Null)
    }

    pub fn is_null(&self) -> bool {
        *self == Self::Literal(Operand::Null)
    }

    pub fn number(n: f64) -> Self {
        Self::Literal(Operand::Number(n))
    }
}
