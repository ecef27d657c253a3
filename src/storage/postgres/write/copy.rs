//! `COPY … FROM STDIN` in its text format: many rows of an import.

use bytes::Bytes;
use futures_util::SinkExt;
use indexmap::IndexMap;
use serde_json::Value;
use std::fmt::Write as _;

use super::insert::column;
use crate::storage::StorageResult;
use crate::storage::postgres::connection::connect::Connector;
use crate::storage::postgres::sql::{Bind, Sql, array_literal};
use crate::storage::postgres::value::{self, ColumnType};
use crate::types::{ClassSchema, FieldName, GeoPoint, Object};

/// The statement, and what is sent behind it.
///
/// # Errors
/// 107 and 111 for values that do not fit, `StaleSchema` for a column the schema does not have.
fn written(schema: &ClassSchema, rows: &[Object]) -> StorageResult<(String, String)> {
    let mut columns: IndexMap<FieldName, ColumnType> = IndexMap::new();
    for row in rows {
        for (name, value) in row {
            if !value.is_null() && !columns.contains_key(name.as_str()) {
                let (column, ty) = column(schema, name)?;
                columns.insert(column, ty);
            }
        }
    }
    let mut statement = Sql::new("COPY ");
    statement.push_class(&schema.name).push_sql(" (");
    for (index, name) in columns.keys().enumerate() {
        statement.push_sql(if index > 0 { ", " } else { "" }).push_field(name);
    }
    statement.push_sql(") FROM STDIN");
    let mut text = String::with_capacity(rows.len() * 200);
    for row in rows {
        for (index, (name, ty)) in columns.iter().enumerate() {
            if index > 0 {
                text.push('\t');
            }
            match value::bind(schema, name, *ty, row.get(name.as_str()).unwrap_or(&Value::Null))? {
                Some(bind) => push(&mut text, &bind),
                None => text.push_str("\\N"),
            }
        }
        text.push('\n');
    }
    Ok((statement.to_text(), text))
}

fn push(out: &mut String, bind: &Bind) {
    let point = |out: &mut String, at: &GeoPoint| {
        let _ = write!(out, "({:?},{:?})", at.longitude, at.latitude);
    };
    match bind {
        Bind::Text(text) | Bind::Jsonb(text) => escape(out, text),
        Bind::Double(number) => {
            let _ = write!(out, "{number:?}");
        }
        Bind::Bool(is) => out.push(if *is { 't' } else { 'f' }),
        Bind::Timestamptz(at) => out.push_str(&at.to_iso()),
        Bind::Point(at) => point(out, at),
        Bind::Polygon(ring) => {
            out.push('(');
            for (index, at) in ring.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                point(out, at);
            }
            out.push(')');
        }
        Bind::TextArray(texts) => escape(out, &array_literal(texts)),
        // No column is bound as anything else.
        _ => out.push_str("\\N"),
    }
}

fn escape(out: &mut String, text: &str) {
    let mut rest = text;
    while let Some(at) = rest.find(['\\', '\n', '\r', '\t']) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        out.push_str(match from.as_bytes().first() {
            Some(b'\n') => "\\n",
            Some(b'\r') => "\\r",
            Some(b'\t') => "\\t",
            _ => "\\\\",
        });
        rest = from.get(1..).unwrap_or_default();
    }
    out.push_str(rest);
}

/// The connection on which copies are sent; opened with the first.
#[derive(Default)]
pub struct Copier {
    client: tokio::sync::Mutex<Option<tokio_postgres::Client>>,
}

impl Copier {
    /// Sends the rows; `false` when the database did not take them, none of them.
    ///
    /// # Errors
    /// Those of [`written`], and those of opening the connection.
    pub async fn copy(
        &self,
        connector: &Connector,
        schema: &ClassSchema,
        rows: &[Object],
    ) -> StorageResult<bool> {
        let (statement, text) = written(schema, rows)?;
        let mut place = self.client.lock().await;
        let client = match place.take().filter(|client| !client.is_closed()) {
            Some(client) => client,
            None => connector.connect_to_copy().await?,
        };
        let sent = async {
            let sink = client.copy_in::<_, Bytes>(&statement).await?;
            let mut sink = std::pin::pin!(sink);
            sink.send(Bytes::from(text)).await?;
            sink.finish().await
        };
        match sent.await {
            Ok(_) => {
                *place = Some(client);
                Ok(true)
            }
            Err(error) => {
                tracing::debug!(%error, class = %schema.name, "rows cannot be copied: {error}");
                Ok(false)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::types::{ClassName, Field, FieldType};

    #[test]
    fn rows_are_written_as_copy_reads_them() {
        let mut schema = ClassSchema::with_defaults(ClassName::known("Thing"));
        for (name, ty) in [
            ("t", FieldType::String),
            ("n", FieldType::Number),
            ("o", FieldType::Object),
            ("g", FieldType::GeoPoint),
        ] {
            schema.fields.insert(FieldName::known(name), Field::of(ty));
        }
        let row = |value: Value| value.as_object().unwrap().clone();
        let rows = [
            row(json!({"objectId": "a", "t": "x\ty\\\n", "n": 1e300, "_rperm": ["*", "a\"\\b"]})),
            row(
                json!({"objectId": "b", "o": {"k": "\\"}, "g": {"__type": "GeoPoint", "latitude": 1, "longitude": 2.5}}),
            ),
        ];
        let (statement, text) = written(&schema, &rows).unwrap();
        assert_eq!(statement, r#"COPY public."Thing" ("objectId", "t", "n", "_rperm", "o", "g") FROM STDIN"#);
        let expected = "a\tx\\ty\\\\\\n\t1e300\t{\"*\",\"a\\\\\"\\\\\\\\b\"}\t\\N\t\\N\n\
                        b\t\\N\t\\N\t\\N\t{\"k\":\"\\\\\\\\\"}\t(2.5,1.0)\n";
        assert_eq!(text, expected);
        assert!(written(&schema, &[row(json!({"objectId": "c", "t": "\u{0}"}))]).is_err());
    }
}
