//! An aggregation pipeline, parsed once: stages, expressions and accumulators without a database. `parse`
//! builds it from MongoDB's JSON and refuses what is malformed or unknown; the permission code decides the
//! rights of its filters and of the classes it looks up; storage adapters translate it.
//!
//! Names are Parse's: `_id`, `_created_at` and `_p_owner` are read as `objectId`, `createdAt` and `owner`.

pub mod date;
pub mod expression;
pub mod function;
mod parse;
pub mod window;

pub use expression::Expr;
pub use parse::parse_pipeline;
pub use window::Windows;

use super::{Access, Filter};
use crate::types::geo::GeoPoint;
use crate::types::names::{ClassName, FieldName};
use crate::types::path::FieldPath;

/// Stages of one pipeline, those of its sub-pipelines included.
pub const MAX_STAGES: usize = 100;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pipeline {
    pub stages: Vec<Stage>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Stage {
    /// `$match`; `condition` is its `$expr`.
    Match {
        filter: Filter,
        condition: Option<Expr>,
    },
    /// `$group`, and what `$sortByCount` and `$bucket` are made of.
    Group(Group),
    /// A `$project` that names what is kept or computed. `keep_id`: `objectId` too, where there is one.
    Shape {
        keep_id: bool,
        fields: Vec<(FieldPath, Expr)>,
    },
    /// `$unset`, and a `$project` that names what is left out. PostgreSQL leaves whole fields out only.
    Exclude(Vec<FieldPath>),
    /// `$addFields`, `$set`.
    AddFields(Vec<(FieldPath, Expr)>),
    /// `$replaceRoot`, `$replaceWith`: the object that the expression gives.
    ReplaceRoot(Expr),
    Sort(Vec<SortKey>),
    Limit(u64),
    Skip(u64),
    /// That many rows by chance.
    Sample(u64),
    Unwind {
        path: FieldPath,
        keep_empty: bool,
        index: Option<FieldName>,
    },
    Count(FieldName),
    Lookup(Lookup),
    GraphLookup(GraphLookup),
    GeoNear(GeoNear),
    UnionWith {
        source: Source,
        pipeline: Pipeline,
    },
    /// `$setWindowFields`.
    Windows(Windows),
    /// Each pipeline runs on the same rows; one row with a list for each comes out.
    Facet(Vec<(FieldName, Pipeline)>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct SortKey {
    pub path: FieldPath,
    pub descending: bool,
}

/// Rows of one class, as another part of the pipeline asks for them.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// `None`: no name that a class could have, so there are no rows.
    pub class: Option<ClassName>,
    /// Set by the permission code before the pipeline reaches storage; without a schema there are no rows.
    pub access: Access,
}

/// `$lookup`: an array of the rows of another class.
#[derive(Clone, Debug, PartialEq)]
pub struct Lookup {
    pub source: Source,
    /// Own path and the other class's, whose values are equal or share a member.
    pub equal: Option<(FieldPath, FieldPath)>,
    /// `let`: what the pipeline sees as `$$name`.
    pub variables: Vec<(String, Expr)>,
    pub pipeline: Pipeline,
    pub into: FieldName,
}

/// `$graphLookup`: an array of the rows of another class that are reached from this one, step by step.
#[derive(Clone, Debug, PartialEq)]
pub struct GraphLookup {
    pub source: Source,
    /// What the rows of the first step are found by.
    pub start: Expr,
    /// What leads on from a row, and what it is looked for in.
    pub from: FieldPath,
    pub to: FieldPath,
    /// Steps after the first.
    pub max_depth: Option<u32>,
    /// Where a row is told how many steps lead to it.
    pub depth_field: Option<FieldName>,
    /// Other rows are neither found nor gone through.
    pub filter: Filter,
    pub into: FieldName,
}

/// What a distance of `$geoNear` is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DistanceUnit {
    /// Over the sphere, on which MongoDB's earth has a radius of [`GEO_NEAR_RADIUS_M`].
    Metres,
    /// Over the sphere.
    Radians,
    /// In the plane of longitude and latitude.
    Degrees,
}

/// The earth of MongoDB's `$geoNear`, in metres.
pub const GEO_NEAR_RADIUS_M: f64 = 6_378_100.0;

/// `$geoNear`: the rows by their distance, nearest first, with the distance in a field.
#[derive(Clone, Debug, PartialEq)]
pub struct GeoNear {
    pub center: GeoPoint,
    pub unit: DistanceUnit,
    pub key: FieldName,
    pub filter: Filter,
    pub least: Option<f64>,
    pub most: Option<f64>,
    /// The field has that many times the distance.
    pub multiplier: f64,
    /// The field of the distance.
    pub distance: FieldPath,
    /// Where the point is shown once more.
    pub point: Option<FieldPath>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// A literal null puts all rows into one group.
    pub key: Expr,
    /// Parts of a compound key that are plain fields: a group whose rows do not have the field has no such part.
    pub plain_parts: Vec<String>,
    pub accumulators: Vec<(FieldName, Accumulator)>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Accumulator {
    pub kind: Accumulate,
    pub value: Expr,
}

/// What a group does with the values of its rows, in the order of the last `$sort`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accumulate {
    Count,
    Sum,
    Avg,
    StdDevPop,
    StdDevSamp,
    Min,
    Max,
    First,
    Last,
    Push,
    AddToSet,
}

impl Accumulate {
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "$count" => Self::Count,
            "$sum" => Self::Sum,
            "$avg" => Self::Avg,
            "$stdDevPop" => Self::StdDevPop,
            "$stdDevSamp" => Self::StdDevSamp,
            "$min" => Self::Min,
            "$max" => Self::Max,
            "$first" => Self::First,
            "$last" => Self::Last,
            "$push" => Self::Push,
            "$addToSet" => Self::AddToSet,
            _ => return None,
        })
    }
}

/// A place of a pipeline that wants rights.
#[derive(Debug)]
pub enum Guarded<'a> {
    /// A filter on the rows of the class that the pipeline, or sub-pipeline, began with.
    Filter {
        class: Option<ClassName>,
        filter: &'a mut Filter,
    },
    Source(&'a mut Source),
}

impl Pipeline {
    /// Every place that wants rights; `class` is what the pipeline runs on.
    pub fn guarded<'p>(&'p mut self, class: Option<&ClassName>, found: &mut Vec<Guarded<'p>>) {
        for stage in &mut self.stages {
            match stage {
                Stage::Match { filter, .. } => {
                    found.push(Guarded::Filter { class: class.cloned(), filter });
                }
                Stage::Lookup(Lookup { source, pipeline, .. }) | Stage::UnionWith { source, pipeline } => {
                    pipeline.guarded(source.class.as_ref(), found);
                    found.push(Guarded::Source(source));
                }
                Stage::GraphLookup(GraphLookup { source, filter, .. }) => {
                    found.push(Guarded::Filter { class: source.class.clone(), filter });
                    found.push(Guarded::Source(source));
                }
                Stage::GeoNear(GeoNear { filter, .. }) => {
                    found.push(Guarded::Filter { class: class.cloned(), filter });
                }
                Stage::Facet(facets) => {
                    facets.iter_mut().for_each(|(_, pipeline)| pipeline.guarded(class, found));
                }
                _ => {}
            }
        }
    }
}
