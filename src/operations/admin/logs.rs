//! `GET /scriptlog` (parse-server's `LoggerController.getLogs`).

use serde_json::Value;

use crate::logging::{self, Query};
use crate::operations::Ctx;
use crate::types::Object;
use crate::types::time::Millis;

const WEEK_MS: i64 = 7 * 24 * 60 * 60 * 1000;
const DEFAULT_SIZE: usize = 10;

/// Lines of the application's own log: `level`, `from`, `until`, `size` or `n`, `order` as the URL gave them.
pub fn lines(ctx: &Ctx, params: &Object) -> Vec<Value> {
    let text = |key: &str| params.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let time = |key: &str| text(key).and_then(Millis::parse);
    let now = Millis::now();
    // As `Number(size) || 10` has it: nothing is no size.
    let size = text("n")
        .or_else(|| text("size"))
        .and_then(|size| size.parse::<usize>().ok())
        .filter(|size| *size > 0);
    logging::recent(&Query {
        app: ctx.services.state.presence.number(),
        errors_only: text("level") == Some("error"),
        from: time("from").unwrap_or(Millis(now.0 - WEEK_MS)),
        until: time("until").unwrap_or(now),
        size: size.unwrap_or(DEFAULT_SIZE),
        ascending: text("order") == Some("asc"),
    })
}
