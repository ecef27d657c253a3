//! A class table in parse-server's layout, its rows, and the two ways to ask for them: SQL and the
//! evaluator in memory.

use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
use parsimony::query::evaluate::Matcher;
use parsimony::query::visit::{Guarded, visit_guarded};
use parsimony::query::{Filter, FindSpec, Operand, ParseContext, QueryLimits, operand, parse_where};
use parsimony::storage::postgres::query::select;
use parsimony::storage::postgres::sql::{Bind, Sql};
use parsimony::types::geo::GeoPoint;
use parsimony::types::time::Millis;
use parsimony::types::{ClassName, ClassSchema, Field, FieldName, FieldType, Object};
use serde_json::{Value, json};
use std::sync::Arc;

use crate::support::database::TestDatabase;

/// The instant `$relativeTime` is relative to.
pub const NOW: Millis = Millis(1_700_000_000_000);

pub struct Fixture {
    pub conn: AsyncPgConnection,
    pub schemas: Vec<Arc<ClassSchema>>,
    _database: TestDatabase,
}

pub fn class(name: &str) -> ClassName {
    ClassName::parse(name).unwrap()
}

pub fn schema(name: &str, fields: &[(&str, FieldType)]) -> ClassSchema {
    let mut schema = ClassSchema::with_defaults(class(name));
    for (field, ty) in fields {
        schema.fields.insert(FieldName::parse(field).unwrap(), Field::of(ty.clone()));
    }
    schema
}

fn sql_type(ty: &FieldType) -> Option<&'static str> {
    Some(match ty {
        FieldType::String | FieldType::File | FieldType::Pointer(_) => "text",
        FieldType::Number => "double precision",
        FieldType::Boolean => "boolean",
        FieldType::Date => "timestamp with time zone",
        FieldType::Object | FieldType::Array | FieldType::Bytes => "jsonb",
        FieldType::GeoPoint => "point",
        FieldType::Polygon => "polygon",
        FieldType::Relation(_) | FieldType::Acl => return None,
    })
}

impl Fixture {
    pub async fn new(schemas: Vec<ClassSchema>) -> Self {
        Self::with(schemas, "").await
    }

    /// Texts compare by code point, whatever the cluster's locale.
    pub async fn sorted_by_code_point(schemas: Vec<ClassSchema>) -> Self {
        Self::with(schemas, " COLLATE \"C\"").await
    }

    async fn with(schemas: Vec<ClassSchema>, collation: &str) -> Self {
        let database = TestDatabase::empty().await;
        let mut conn = AsyncPgConnection::establish(&database.uri).await.unwrap();
        for schema in &schemas {
            let mut ddl = format!("CREATE TABLE \"{}\" (\"_rperm\" text[], \"_wperm\" text[]", schema.name);
            for (name, field) in &schema.fields {
                match (&field.ty, sql_type(&field.ty)) {
                    (FieldType::Relation(_), _) => {
                        let join = format!(
                            "CREATE TABLE \"_Join:{name}:{}\" (\"relatedId\" varchar(120), \
                             \"owningId\" varchar(120), PRIMARY KEY(\"relatedId\", \"owningId\"))",
                            schema.name
                        );
                        conn.batch_execute(&join).await.unwrap();
                    }
                    (_, Some("text")) => ddl.push_str(&format!(", \"{name}\" text{collation}")),
                    (_, Some(ty)) => ddl.push_str(&format!(", \"{name}\" {ty}")),
                    _ => {}
                }
            }
            conn.batch_execute(&format!("{ddl}, PRIMARY KEY (\"objectId\"))")).await.unwrap();
        }
        Self { conn, schemas: schemas.into_iter().map(Arc::new).collect(), _database: database }
    }

    pub fn schema(&self, name: &str) -> Arc<ClassSchema> {
        Arc::clone(self.schemas.iter().find(|schema| schema.name == *name).unwrap())
    }

    /// Stores objects in REST encoding; missing dates are filled in.
    pub async fn insert(&mut self, class: &str, objects: &[Value]) {
        let schema = self.schema(class);
        for object in objects {
            let mut object = object.as_object().unwrap().clone();
            for date in ["createdAt", "updatedAt"] {
                object.entry(date).or_insert_with(|| json!("2020-01-01T00:00:00.000Z"));
            }
            let mut sql = Sql::new("INSERT INTO ");
            sql.push_class(&schema.name).push_sql(" (");
            let mut values = Sql::default();
            for (index, (name, value)) in object.iter().enumerate() {
                let comma = if index > 0 { ", " } else { "" };
                sql.push_sql(comma).push_identifier(name);
                values.push_sql(comma).push_bind(stored(&schema, name, value));
            }
            sql.push_sql(") VALUES (").append(values).push_sql(")");
            sql.execute(&self.conn).await.unwrap();
        }
    }

    pub async fn relate(&mut self, field: &str, owner_class: &str, owner: &str, member: &str) {
        let mut sql = Sql::new("INSERT INTO ");
        sql.push_class(&ClassName::join(&FieldName::parse(field).unwrap(), &class(owner_class)));
        sql.push_sql(" (\"relatedId\", \"owningId\") VALUES (").push_text(member);
        sql.push_sql(", ").push_text(owner).push_sql(")");
        sql.execute(&self.conn).await.unwrap();
    }

    /// Parses as a client would and gives sub-queries the rights of `readers`.
    pub fn parse(&self, class: &str, query: &Value, readers: Option<&[&str]>) -> Filter {
        let schema = self.schema(class);
        let ctx =
            ParseContext { is_master: true, limits: QueryLimits::NONE, now: NOW, schema: Some(&schema) };
        let mut filter = parse_where(query, &ctx).unwrap_or_else(|error| panic!("{query}: {error}"));
        let readers: Option<Arc<[String]>> =
            readers.map(|list| list.iter().map(|entry| (*entry).to_owned()).collect());
        visit_guarded(&mut filter, &mut |mut guarded: Guarded<'_>| {
            let schema = self.schemas.iter().find(|schema| schema.name == *guarded.class()).cloned();
            *guarded.access_mut() =
                parsimony::query::Access { schema, readers: readers.clone(), denied: false };
            Ok::<(), ()>(())
        })
        .unwrap();
        filter
    }

    /// `None` for a query that the parser refuses.
    pub fn try_parse(&self, class: &str, query: &Value) -> Option<Filter> {
        let schema = self.schema(class);
        let ctx =
            ParseContext { is_master: true, limits: QueryLimits::NONE, now: NOW, schema: Some(&schema) };
        parse_where(query, &ctx).ok()
    }

    /// Ids of the rows a find answers, in its order.
    pub async fn find(&self, class: &str, spec: &FindSpec) -> Vec<String> {
        let query = select::find(&self.schema(class), spec).unwrap_or_else(|error| panic!("{error}"));
        let rows = query.load(&self.conn, || ()).await;
        let rows = rows.unwrap_or_else(|error| panic!("{}\n{error}", query.sql.to_text()));
        rows.iter().map(|row| row.object_id().to_owned()).collect()
    }

    /// Sorted ids that SQL answers.
    pub async fn sql_ids(&self, class: &str, filter: &Filter) -> Vec<String> {
        let mut ids = self.find(class, &FindSpec::new(filter.clone())).await;
        ids.sort();
        ids
    }

    /// Every row as an object.
    pub async fn objects(&self, class: &str) -> Vec<Object> {
        let query = select::find(&self.schema(class), &FindSpec::new(Filter::all())).unwrap();
        query.load(&self.conn, || ()).await.unwrap().iter().map(|row| row.to_object()).collect()
    }
}

pub fn evaluate(objects: &[Object], filter: &Filter) -> Vec<String> {
    let matcher = Matcher::new(filter.clone());
    let mut ids: Vec<String> = objects
        .iter()
        .filter(|object| matcher.matches(object))
        .map(|object| object["objectId"].as_str().unwrap().to_owned())
        .collect();
    ids.sort();
    ids
}

fn stored(schema: &ClassSchema, name: &str, value: &Value) -> Bind {
    let texts = |value: &Value| {
        value.as_array().unwrap().iter().map(|v| v.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let Some(ty) = schema.field_type(name) else { return Bind::TextArray(texts(value)) };
    match (ty, operand(value)) {
        (FieldType::Object | FieldType::Array | FieldType::Bytes, _) => Bind::Jsonb(value.to_string()),
        (FieldType::Date, Operand::Text(text)) => Bind::Timestamptz(Millis::parse(&text).unwrap()),
        (_, Operand::Date(at)) => Bind::Timestamptz(at),
        (_, Operand::Text(text) | Operand::File(text) | Operand::Pointer { id: text, .. }) => {
            Bind::Text(text)
        }
        (_, Operand::Number(n)) => Bind::Double(n),
        (_, Operand::Bool(b)) => Bind::Bool(b),
        (_, Operand::GeoPoint(point)) => Bind::Point(point),
        (_, Operand::Polygon(mut ring)) => {
            ring.push(ring[0]);
            Bind::Polygon(ring)
        }
        (ty, other) => panic!("{name}: {ty:?} cannot store {other:?}"),
    }
}

pub fn point(latitude: f64, longitude: f64) -> Value {
    GeoPoint { latitude, longitude }.to_json()
}

pub fn date(iso: &str) -> Value {
    json!({ "__type": "Date", "iso": iso })
}

pub fn pointer(class: &str, id: &str) -> Value {
    json!({ "__type": "Pointer", "className": class, "objectId": id })
}
