//! `$setWindowFields`.

use bson::{Bson, Document, doc};

use super::Scope;
use super::expression::expression;
use super::stages::{accumulated, forget, pointer_of};
use crate::query::pipeline::Windows;
use crate::query::pipeline::window::{Bound, Frame, Ranking, Windowed};
use crate::storage::StorageResult;
use crate::storage::mongo::MongoAdapter;

impl MongoAdapter {
    pub(super) fn windowed(
        windows: &Windows,
        scope: &mut Scope,
        out: &mut Vec<Document>,
    ) -> StorageResult<()> {
        let mut stage = Document::new();
        if let Some(partition) = &windows.partition {
            stage.insert("partitionBy", expression(partition, scope)?);
        }
        if !windows.sort.is_empty() {
            let direction = |descending: bool| Bson::Int32(if descending { -1 } else { 1 });
            let keys = windows.sort.iter().map(|key| (scope.key(&key.path), direction(key.descending)));
            stage.insert("sortBy", keys.collect::<Document>());
        }
        let mut output = Document::new();
        let mut unset: Vec<String> = Vec::new();
        for (name, windowed) in &windows.fields {
            let path = name.clone().into();
            let is_pointer = pointer_of(scope, &path).is_some();
            if is_pointer {
                unset.push(scope.column(name));
            }
            let key = if is_pointer { name.as_str().to_owned() } else { scope.column(name) };
            output.insert(key, function(windowed, scope)?);
        }
        stage.insert("output", output);
        out.push(doc! { "$setWindowFields": stage });
        if !unset.is_empty() {
            out.push(doc! { "$unset": unset });
        }
        forget(scope, windows.fields.iter().map(|(name, _)| name));
        Ok(())
    }
}

fn function(windowed: &Windowed, scope: &Scope) -> StorageResult<Document> {
    Ok(match windowed {
        Windowed::Over { accumulator, frame } => {
            let mut function = accumulated(accumulator, scope)?;
            if *frame != Frame::ALL {
                let bounds = vec![bound(frame.from), bound(frame.upto)];
                function.insert("window", doc! { "documents": bounds });
            }
            function
        }
        Windowed::Ranking(Ranking::Number) => doc! { "$documentNumber": {} },
        Windowed::Ranking(Ranking::Rank) => doc! { "$rank": {} },
        Windowed::Ranking(Ranking::DenseRank) => doc! { "$denseRank": {} },
        Windowed::Shift { value, by, default } => {
            let mut shift = doc! { "output": expression(value, scope)?, "by": *by };
            if !default.is_null() {
                shift.insert("default", expression(default, scope)?);
            }
            doc! { "$shift": shift }
        }
    })
}

fn bound(bound: Bound) -> Bson {
    match bound {
        Bound::Unbounded => "unbounded".into(),
        Bound::Rows(0) => "current".into(),
        Bound::Rows(by) => by.into(),
    }
}
