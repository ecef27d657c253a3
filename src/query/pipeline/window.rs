//! `$setWindowFields`: fields of a row that depend on the rows around it.

use super::{Accumulator, Expr, SortKey};
use crate::types::names::FieldName;

#[derive(Clone, Debug, PartialEq)]
pub struct Windows {
    /// Rows for which this is equal make a partition; without it there is one.
    pub partition: Option<Expr>,
    /// The order within a partition.
    pub sort: Vec<SortKey>,
    pub fields: Vec<(FieldName, Windowed)>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Windowed {
    Over {
        accumulator: Accumulator,
        frame: Frame,
    },
    Ranking(Ranking),
    /// The value in the row that comes so many rows later (earlier when negative), or else the default.
    Shift {
        value: Expr,
        by: i32,
        default: Expr,
    },
}

/// Which place a row has in its partition, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ranking {
    /// `$documentNumber`
    Number,
    /// Equal rows share a place, and the next ones come after as many.
    Rank,
    /// Equal rows share a place, and no place is left out.
    DenseRank,
}

/// The rows that an accumulator sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    pub from: Bound,
    pub upto: Bound,
}

impl Frame {
    /// The whole partition.
    pub const ALL: Self = Self { from: Bound::Unbounded, upto: Bound::Unbounded };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The first or the last row of the partition.
    Unbounded,
    /// That many rows after this one; before it when negative.
    Rows(i32),
}
