//! `$geoNear`.

use bson::{Document, doc};

use super::Scope;
use crate::query::FindHints;
use crate::query::pipeline::{DistanceUnit, GeoNear};
use crate::storage::StorageResult;
use crate::storage::mongo::MongoAdapter;
use crate::storage::mongo::query::filter::Near;
use crate::types::{Field, FieldType};

impl MongoAdapter {
    /// It has to be the first stage of all.
    pub(super) async fn near(
        &self,
        near: &GeoNear,
        scope: &mut Scope,
        out: &mut Vec<Document>,
        hints: &FindHints,
    ) -> StorageResult<()> {
        let schema = scope.schema.clone();
        let wanted = self.condition(&schema, &near.filter, Document::new(), Near::Filters, hints).await?;
        let pair = [near.center.longitude, near.center.latitude];
        let mut stage = match near.unit {
            DistanceUnit::Metres => {
                doc! { "near": { "type": "Point", "coordinates": pair.to_vec() }, "spherical": true }
            }
            DistanceUnit::Radians => doc! { "near": pair.to_vec(), "spherical": true },
            DistanceUnit::Degrees => doc! { "near": pair.to_vec(), "spherical": false },
        };
        stage.insert("key", scope.column(&near.key));
        stage.insert("query", wanted);
        stage.insert("distanceField", scope.key(&near.distance));
        for (name, distance) in [("minDistance", near.least), ("maxDistance", near.most)] {
            if let Some(distance) = distance {
                stage.insert(name, distance);
            }
        }
        if near.multiplier.to_bits() != 1.0_f64.to_bits() {
            stage.insert("distanceMultiplier", near.multiplier);
        }
        if let Some(path) = &near.point {
            stage.insert("includeLocs", scope.key(path));
            // It is shown as what it is.
            if !path.is_dotted() {
                let mut schema = (*scope.schema).clone();
                schema.fields.insert(path.root.clone(), Field::of(FieldType::GeoPoint));
                scope.schema = std::sync::Arc::new(schema);
            }
        }
        out.insert(0, doc! { "$geoNear": stage });
        Ok(())
    }
}
