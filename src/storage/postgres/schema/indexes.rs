//! Indexes of start-up: parse-server's names and definitions, and ours (those of the schema API are built
//! in `builds`). Those of small tables are built before the first request, others `CONCURRENTLY` on a
//! connection of their own, so that writes go on meanwhile.

use std::sync::Arc;

use diesel_async::AsyncPgConnection;

use crate::storage::postgres::connection::connect::Connector;
use crate::storage::postgres::connection::control::ControlLane;
use crate::storage::postgres::connection::error::is_already_there;
use crate::storage::postgres::schema::concurrently::{START_LOCK, drop_abandoned, run_concurrently, turn};
use crate::storage::postgres::schema::names::{self, OWN, own_name};
use crate::storage::postgres::sql::Sql;
use crate::storage::postgres::{column_text, command};
use crate::storage::{StartupIndexes, StorageResult};
use crate::types::ClassName;

/// What is indexed, in this program's own words; names of columns are identifiers.
#[derive(Clone, Debug, PartialEq)]
enum Shape {
    Unique(&'static str),
    Plain(&'static str),
    /// `lower(column)` for look-ups that ignore case.
    CaseInsensitive(&'static str),
    /// One row for all spellings of a name: what parse-server looks for before it writes, and two
    /// requests at the same time do not see of each other. Left out where rows break it already.
    UniqueSpelling(&'static str),
    /// The id of one auth provider.
    AuthProvider(String),
}

struct Wanted {
    name: String,
    table: ClassName,
    shape: Shape,
}

fn wanted(options: &StartupIndexes, providers: &[String]) -> Vec<Wanted> {
    let user = ClassName::known("_User");
    let index = |on: bool, name: &str, table: &ClassName, shape: Shape| {
        on.then(|| Wanted { name: name.to_owned(), table: table.clone(), shape })
    };
    let idempotency = ClassName::known("_Idempotency");
    let fixed = [
        index(options.user_username, "_User_unique_username", &user, Shape::Unique("username")),
        index(options.user_email, "_User_unique_email", &user, Shape::Unique("email")),
        index(options.role_name, "_Role_unique_name", &ClassName::known("_Role"), Shape::Unique("name")),
        index(true, "_Idempotency_unique_reqId", &idempotency, Shape::Unique("reqId")),
        index(
            options.user_username_case_insensitive,
            "case_insensitive_username",
            &user,
            Shape::CaseInsensitive("username"),
        ),
        index(
            options.user_email_case_insensitive,
            "case_insensitive_email",
            &user,
            Shape::CaseInsensitive("email"),
        ),
        index(
            options.user_email_verify_token,
            "_email_verify_token",
            &user,
            Shape::Plain("_email_verify_token"),
        ),
        index(
            options.user_password_reset_token,
            "_perishable_token",
            &user,
            Shape::Plain("_perishable_token"),
        ),
        index(
            options.user_username_case_insensitive,
            "parsimony_User_spelling_unique_username",
            &user,
            Shape::UniqueSpelling("username"),
        ),
        index(
            options.user_email_case_insensitive,
            "parsimony_User_spelling_unique_email",
            &user,
            Shape::UniqueSpelling("email"),
        ),
        index(true, "ttl", &idempotency, Shape::Plain("expire")),
    ];
    let providers = providers.iter().filter(|_| options.auth_data_uniqueness).map(|provider| Wanted {
        name: format!("_User_unique_authData_{provider}_id"),
        table: user.clone(),
        shape: Shape::AuthProvider(provider.clone()),
    });
    let own = OWN.iter().map(|(class, column)| Wanted {
        name: own_name(class, column),
        table: ClassName::known(class),
        shape: Shape::Plain(column),
    });
    fixed.into_iter().flatten().chain(providers).chain(own).collect()
}

/// Bytes of a table whose indexes are built in moments.
const SMALL_TABLE: u32 = 4 << 20;

/// Builds the missing start-up indexes, unique ones first.
///
/// # Errors
/// `Duplicate` when existing rows break a unique index (auth providers' are only warned about).
pub async fn ensure(
    connector: &Arc<Connector>,
    options: &StartupIndexes,
    providers: &[String],
) -> StorageResult<()> {
    let conn = turn(connector, START_LOCK).await?;
    drop_abandoned(&conn).await?;
    let present = index_names(&conn).await?;
    for index in wanted(options, providers) {
        if present.contains(&index.name)
            || !crate::storage::postgres::table_exists(&conn, &index.table).await?
        {
            continue;
        }
        match build(&conn, &index).await {
            Ok(()) => {}
            Err(error) if is_already_there(&error) && index_names(&conn).await?.contains(&index.name) => {}
            Err(error) if matches!(index.shape, Shape::AuthProvider(_) | Shape::UniqueSpelling(_)) => {
                tracing::warn!(index = %index.name, %error, "index {} cannot be built: {error}", index.name);
            }
            Err(error) => return Err(error),
        }
    }
    ensure_owner_indexes(&conn).await
}

/// Names of valid indexes in schema `public`.
async fn index_names(conn: &AsyncPgConnection) -> StorageResult<Vec<String>> {
    let rows = Sql::new(
        "SELECT c.relname::text FROM pg_catalog.pg_index i \
         JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = 'public' AND i.indisvalid",
    )
    .load(conn)
    .await?;
    Ok(rows.iter().filter_map(|row| column_text(row, 0)).collect())
}

/// Builds the missing ones of small tables at once, before the first request: the promise that a name
/// or a request id counts once has to hold from then on. What cannot be done quickly (a table that is
/// large or busy, rows that break a rule) is left to [`ensure`].
///
/// # Errors
/// When it cannot be found out what is missing.
pub async fn ensure_small(
    control: &ControlLane,
    options: &StartupIndexes,
    providers: &[String],
) -> StorageResult<()> {
    let conn = control.lock().await?;
    let present = index_names(&conn).await?;
    let missing: Vec<_> =
        wanted(options, providers).into_iter().filter(|index| !present.contains(&index.name)).collect();
    if missing.is_empty() {
        conn.done();
        return Ok(());
    }
    let mut sql = Sql::new(
        "SELECT c.relname::text FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = 'public' AND c.relkind = 'r' AND c.relname::text = ANY(",
    );
    sql.push_text_array(missing.iter().map(|index| index.table.to_string()).collect());
    sql.push_sql(&format!(") AND pg_catalog.pg_relation_size(c.oid) < {SMALL_TABLE}")).uncacheable();
    let small: Vec<_> = sql.load(&conn).await?.iter().filter_map(|row| column_text(row, 0)).collect();
    let mut script = "BEGIN; SET LOCAL lock_timeout = '1s'; ".to_owned();
    for index in missing.iter().filter(|index| small.iter().any(|name| index.table == name.as_str())) {
        script.push_str(&statement(index, "IF NOT EXISTS").to_text());
        script.push_str("; ");
    }
    script.push_str("COMMIT");
    if let Err(error) = command(&conn, &script).await {
        tracing::debug!(%error, "indexes are built while requests are served: {error}");
        command(&conn, "ROLLBACK").await?;
    }
    conn.done();
    Ok(())
}

async fn build(conn: &AsyncPgConnection, index: &Wanted) -> StorageResult<()> {
    run_concurrently(conn, statement(index, "CONCURRENTLY"), &index.name).await
}

/// DDL without binds.
fn statement(index: &Wanted, how: &str) -> Sql {
    let unique = matches!(index.shape, Shape::Unique(_) | Shape::UniqueSpelling(_) | Shape::AuthProvider(_));
    let mut sql = Sql::new(if unique { "CREATE UNIQUE INDEX " } else { "CREATE INDEX " });
    sql.push_sql(how).push_sql(" ").push_identifier(&index.name).push_sql(" ON ");
    sql.push_class(&index.table).push_sql(" (").uncacheable();
    match &index.shape {
        Shape::Unique(column) | Shape::Plain(column) => {
            sql.push_identifier(column).push_sql(")");
        }
        Shape::CaseInsensitive(column) => {
            sql.push_sql("lower(").push_identifier(column).push_sql(") varchar_pattern_ops)");
        }
        Shape::UniqueSpelling(column) => {
            sql.push_sql("lower(").push_identifier(column).push_sql("))");
        }
        Shape::AuthProvider(provider) => {
            // DDL takes no binds: the provider is quoted as a literal.
            let id = format!("(\"authData\" -> {} ->> 'id')", literal(provider));
            sql.push_sql(&format!("({id})) WHERE {id} IS NOT NULL"));
        }
    }
    sql
}

/// A string literal for DDL; standard-conforming, so only quotes need doubling. NUL cannot be sent.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\0', "").replace('\'', "''"))
}

/// Join tables that parse-server made have no index for look-ups by owner.
async fn ensure_owner_indexes(conn: &AsyncPgConnection) -> StorageResult<()> {
    let present = index_names(conn).await?;
    let rows = Sql::new(
        r"SELECT c.relname::text FROM pg_catalog.pg_class c
          JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
          WHERE n.nspname = 'public' AND c.relkind = 'r' AND c.relname LIKE '\_Join:%'",
    )
    .load(conn)
    .await?;
    for join in rows.iter().filter_map(|row| ClassName::valid(&column_text(row, 0)?)) {
        let name = names::owner_index(&join);
        if present.contains(&name) {
            continue;
        }
        let mut sql = Sql::new("CREATE INDEX CONCURRENTLY IF NOT EXISTS ");
        sql.push_identifier(&name).push_sql(" ON ").push_class(&join);
        sql.push_sql(r#" ("owningId")"#).uncacheable();
        run_concurrently(conn, sql, &name).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_closed() {
        assert_eq!(literal("o'brien"), "'o''brien'");
    }
}
