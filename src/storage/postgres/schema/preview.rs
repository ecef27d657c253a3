//! The statements of a schema change, written and not made: by the same hands as those of `ddl` and `builds`.

use super::{builds, ddl, names};
use crate::storage::postgres::sql::Sql;
use crate::storage::postgres::value::ColumnType;
use crate::storage::preview::{Effect, Planned, Statement};
use crate::types::{ClassName, Field, FieldName, FieldType};

pub fn statements(planned: Planned<'_>) -> Vec<Statement> {
    match planned {
        Planned::Create(schema) => {
            let columns = ddl::columns(schema);
            let mut all = vec![statement(&ddl::table_statement(schema, &columns), Effect::MakesTable)];
            all.extend(joins(&schema.name, schema.fields.iter()));
            all.push(row("INSERT INTO", &schema.name));
            all
        }
        Planned::AddFields(class, fields) => {
            let columns: Vec<_> = fields
                .iter()
                .filter_map(|(name, field)| Some((name.clone(), ColumnType::of(&field.ty)?)))
                .collect();
            let mut all = Vec::new();
            if !columns.is_empty() {
                all.push(statement(&ddl::columns_statement(class, &columns), Effect::LocksBriefly));
            }
            all.extend(joins(class, fields.iter().map(|(name, field)| (name, field))));
            all.push(row("UPDATE", class));
            all
        }
        Planned::DeleteFields(schema, fields) => {
            let class = &schema.name;
            let mut all: Vec<_> = fields
                .iter()
                .map(|name| match schema.relation_target(name) {
                    Some(_) => ddl::drop_table_statement(&ClassName::join(name, class)),
                    None => ddl::drop_column_statement(class, name),
                })
                .map(|sql| statement(&sql, Effect::LosesData))
                .collect();
            all.push(row("UPDATE", class));
            all
        }
        Planned::Note(class) => vec![row("UPDATE", class)],
        Planned::Indexes(schema, create, drop) => {
            let mut all = Vec::new();
            for name in drop {
                let mut sql = Sql::new("DROP INDEX CONCURRENTLY IF EXISTS ");
                sql.push_in_public(&names::index_name(name.clone()));
                all.push(statement(&sql, Effect::DropsIndex));
            }
            for (name, columns) in create {
                let real = names::index_name(name.clone());
                let text = match builds::schema_index(schema, &real, columns) {
                    Ok(sql) => sql.to_text(),
                    Err(error) => format!("-- cannot be made: {error}"),
                };
                all.push(Statement { text, effect: Effect::BuildsIndex });
            }
            all.push(row("UPDATE", &schema.name));
            all
        }
    }
}

fn statement(sql: &Sql, effect: Effect) -> Statement {
    Statement { text: sql.to_text(), effect }
}

fn joins<'f>(
    class: &ClassName,
    fields: impl Iterator<Item = (&'f FieldName, &'f Field)>,
) -> impl Iterator<Item = Statement> {
    let relations = fields.filter(|(_, field)| matches!(field.ty, FieldType::Relation(_)));
    relations.flat_map(|(name, _)| {
        ddl::join_statements(&ClassName::join(name, class)).map(|sql| statement(&sql, Effect::MakesTable))
    })
}

/// The class in `_SCHEMA`; what it holds is long.
fn row(verb: &str, class: &ClassName) -> Statement {
    let name = class.as_str().replace('\'', "''");
    let text = match verb {
        "UPDATE" => format!(r#"UPDATE public."_SCHEMA" SET "schema" = … WHERE "className" = '{name}'"#),
        _ => format!(r#"INSERT INTO public."_SCHEMA" VALUES ('{name}', …, true)"#),
    };
    Statement { text, effect: Effect::ChangesRow }
}
