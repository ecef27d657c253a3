//! Conditions that look at other tables: `$inQuery`, `$select`, `$relatedTo` and pointers on Relation
//! fields. Each is a sub-select with the rights that the permission code put on it; ids never travel
//! through the server. Unknown classes and denied access match nothing.

use super::{FilterBuilder, PermissionColumn};
use crate::query::{Access, Constraint, Operand, RelatedTo, SubQuery};
use crate::storage::StorageResult;
use crate::storage::postgres::query::column::{Alias, Expr, Kind, kind_of};
use crate::storage::postgres::query::json::{self, Leaf};
use crate::storage::postgres::query::order::{push_order, push_page};
use crate::storage::postgres::query::rest_json::push_rest_json;
use crate::storage::postgres::query::storable::{text_id, without_nul};
use crate::storage::postgres::sql::{Bind, Sql};
use crate::types::path::FieldPath;
use crate::types::schema::ClassSchema;
use crate::types::{ClassName, FieldType};

/// The class a sub-query may look at, if it may look at all.
fn reachable(access: &Access) -> Option<&ClassSchema> {
    access.schema.as_deref().filter(|_| !access.denied)
}

impl FilterBuilder {
    /// `FROM "Class" tN WHERE … ORDER BY … LIMIT …`.
    fn push_source(
        &mut self,
        sql: &mut Sql,
        schema: &ClassSchema,
        alias: Alias,
        query: &SubQuery,
    ) -> StorageResult<()> {
        sql.push_sql(" FROM ");
        sql.push_class(&schema.name);
        sql.push_sql(" ");
        alias.push(sql);
        sql.push_sql(" WHERE ");
        let readers = query.access.readers.as_ref().map(|entries| (PermissionColumn::Read, entries));
        self.condition(sql, schema, alias, &query.filter, readers)?;
        if query.limit.is_some() || query.skip > 0 {
            push_order(sql, schema, alias, &query.filter, &query.order, true)?;
            push_page(sql, query.limit, query.skip);
        }
        Ok(())
    }

    /// The value is a pointer to one of the sub-query's objects.
    pub(super) fn in_query(
        &mut self,
        sql: &mut Sql,
        class: &ClassName,
        value: Expr<'_>,
        kind: &Kind,
        query: &SubQuery,
    ) -> StorageResult<()> {
        // Nothing points into a table without ids.
        let Some(schema) = reachable(&query.access).filter(|schema| schema.field("objectId").is_some())
        else {
            sql.push_sql("FALSE");
            return Ok(());
        };
        let alias = self.new_alias();
        let mut ids = Sql::new("(SELECT ");
        alias.push(&mut ids);
        ids.push_sql(".\"objectId\"");
        self.push_source(&mut ids, schema, alias, query)?;
        ids.push_sql(")");
        let nested = value.path.is_dotted();
        match kind {
            Kind::Pointer(target) if !nested && *target == schema.name => {
                value.push(sql);
                sql.push_sql(" IN ");
                sql.append(ids);
            }
            Kind::Relation(target) if !nested && *target == schema.name => {
                push_owners(sql, class, value, |sql| {
                    sql.push_sql(" IN ");
                    sql.append(ids);
                });
            }
            Kind::Array | Kind::Object | Kind::Json if nested || *kind != Kind::Object => {
                let column = !nested && *kind == Kind::Array;
                let leaf = if column { Leaf::ArrayColumn } else { Leaf::Nested };
                json::push_any_element(sql, value, leaf, |sql| {
                    sql.push_sql("e ->> '__type' = 'Pointer' AND e ->> 'className' = ");
                    sql.push_text(schema.name.as_str());
                    sql.push_sql(" AND e ->> 'objectId' IN ");
                    sql.append(ids);
                });
            }
            _ => {
                sql.push_sql("FALSE");
            }
        }
        Ok(())
    }

    /// The value is among the values of the sub-query's key.
    pub(super) fn select(
        &mut self,
        sql: &mut Sql,
        value: Expr<'_>,
        kind: &Kind,
        query: &SubQuery,
    ) -> StorageResult<()> {
        let key_kind = |schema: &ClassSchema, key: &FieldPath| kind_of(schema, &key.root);
        let found = reachable(&query.access)
            .and_then(|schema| query.key.as_ref().map(|key| (schema, key)))
            .and_then(|(schema, key)| key_kind(schema, key).map(|kind| (schema, key, kind)));
        let Some((schema, key, key_kind)) = found else {
            sql.push_sql("FALSE");
            return Ok(());
        };
        if value.path.is_dotted() && !looks_inside(kind) {
            sql.push_sql("FALSE");
            return Ok(());
        }
        let alias = self.new_alias();
        let key_value = Expr { alias, path: key };
        let nested = value.path.is_dotted() || *kind == Kind::Array;
        let same = *kind == key_kind && !nested && !key.is_dotted();
        if same && !matches!(kind, Kind::Point | Kind::Polygon | Kind::Relation(_)) {
            value.push(sql);
            sql.push_sql(" IN (SELECT ");
            key_value.push(sql);
            self.push_source(sql, schema, alias, query)?;
            sql.push_sql(")");
            return Ok(());
        }
        let mut values = Sql::new("(SELECT x.e FROM (SELECT ");
        if !push_key(&mut values, key_value, &key_kind) {
            sql.push_sql("FALSE");
            return Ok(());
        }
        values.push_sql(" AS v");
        self.push_source(&mut values, schema, alias, query)?;
        // A list of values counts as its members.
        values.push_sql(
            ") s, LATERAL jsonb_array_elements(CASE WHEN jsonb_typeof(s.v) = 'array' THEN s.v \
             ELSE jsonb_build_array(s.v) END) x(e) WHERE s.v IS NOT NULL)",
        );
        if nested {
            let leaf = if value.path.is_dotted() { Leaf::Nested } else { Leaf::ArrayColumn };
            json::push_any_element(sql, value, leaf, |sql| {
                sql.push_sql("e IN ");
                sql.append(values);
            });
            return Ok(());
        }
        let mut own = Sql::default();
        if push_rest_json(&mut own, value, kind) {
            sql.append(own);
            sql.push_sql(" IN ");
            sql.append(values);
        } else {
            sql.push_sql("FALSE");
        }
        Ok(())
    }

    /// Members of one object's relation.
    pub(super) fn related_to(&mut self, sql: &mut Sql, alias: Alias, related: &RelatedTo) {
        let schema = reachable(&related.access);
        let Some(owner) =
            schema.filter(|s| matches!(s.field_type(&related.key), Some(FieldType::Relation(_))))
        else {
            sql.push_sql("FALSE");
            return;
        };
        let join = self.new_alias();
        alias.push(sql);
        sql.push_sql(".\"objectId\" IN (SELECT ");
        join.push(sql);
        sql.push_sql(".\"relatedId\" FROM ");
        sql.push_class(&ClassName::join(&related.key, &related.owner_class));
        sql.push_sql(" ");
        join.push(sql);
        sql.push_sql(" WHERE ");
        join.push(sql);
        sql.push_sql(".\"owningId\" = ");
        sql.push_text(without_nul(&related.owner_id));
        sql.push_sql(")");
        if let Some(readers) = &related.access.readers {
            let table = self.new_alias();
            sql.push_sql(" AND EXISTS (SELECT 1 FROM ");
            sql.push_class(&owner.name);
            sql.push_sql(" ");
            table.push(sql);
            sql.push_sql(" WHERE ");
            table.push(sql);
            sql.push_sql(".\"objectId\" = ");
            sql.push_text(without_nul(&related.owner_id));
            sql.push_sql(" AND (");
            table.push(sql);
            sql.push_sql(".\"_rperm\" IS NULL OR ");
            table.push(sql);
            sql.push_sql(".\"_rperm\" && ");
            sql.push_bind(Bind::TextArray(readers.to_vec()));
            sql.push_sql("))");
        }
    }
}

/// Whether the column is `jsonb`, which paths lead into.
fn looks_inside(kind: &Kind) -> bool {
    matches!(kind, Kind::Object | Kind::Array | Kind::Bytes | Kind::Json)
}

/// The values of a `$select`'s key as `jsonb`; `false` when they have no such form. A path below another column
/// leads into what its value is in REST encoding: `owner.objectId` of a pointer.
fn push_key(sql: &mut Sql, key: Expr<'_>, kind: &Kind) -> bool {
    if !key.path.is_dotted() || looks_inside(kind) {
        return push_rest_json(sql, key, kind);
    }
    let column = FieldPath { root: key.path.root.clone(), rest: Vec::new() };
    let mut whole = Sql::default();
    if !push_rest_json(&mut whole, Expr { alias: key.alias, path: &column }, kind) {
        return false;
    }
    sql.push_sql("((").append(whole);
    sql.push_sql(") #> ").push_bind(Bind::TextArray(key.path.rest.clone()));
    sql.push_sql(")");
    true
}

/// Objects whose relation holds a member that satisfies `test`.
fn push_owners(sql: &mut Sql, class: &ClassName, field: Expr<'_>, test: impl FnOnce(&mut Sql)) {
    field.alias.push(sql);
    sql.push_sql(".\"objectId\" IN (SELECT j.\"owningId\" FROM ");
    sql.push_class(&ClassName::join(&field.path.root, class));
    sql.push_sql(" j WHERE j.\"relatedId\"");
    test(sql);
    sql.push_sql(")");
}

/// A constraint on a Relation field: pointers are looked up from the members' side.
pub fn push_relation_constraint(sql: &mut Sql, class: &ClassName, field: Expr<'_>, constraint: &Constraint) {
    let members = |list: &[Operand]| list.iter().filter_map(text_id).collect::<Vec<String>>();
    let ids = match constraint {
        Constraint::Eq(operand) => members(std::slice::from_ref(operand)),
        Constraint::In(list) => members(list),
        Constraint::Exists(_) => {
            push_owners(sql, class, field, |sql| {
                sql.push_sql(" IS NOT NULL");
            });
            return;
        }
        _ => Vec::new(),
    };
    if ids.is_empty() {
        sql.push_sql("FALSE");
        return;
    }
    push_owners(sql, class, field, |sql| {
        sql.push_sql(" = ANY(");
        sql.push_text_array(ids);
        sql.push_sql(")");
    });
}
