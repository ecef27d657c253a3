//! `POST /validate_purchase`: Apple's receipts (parse-server's `IAPValidationRouter`).

use std::time::Duration;

use serde_json::{Value, json};

use super::context::Ctx;
use crate::error::{Error, Result};
use crate::operations::object::read;
use crate::outbound::Request;
use crate::types::{ClassName, Object};

const PRODUCTION: &str = "https://buy.itunes.apple.com/verifyReceipt";
const SANDBOX: &str = "https://sandbox.itunes.apple.com/verifyReceipt";
/// The receipt is from the test environment.
const IS_SANDBOX: i64 = 21007;
const PATIENCE: Duration = Duration::from_secs(30);

/// The product's file when the receipt is good, else `{"status": n, "error": text}`.
///
/// # Errors
/// 107 without receipt or product, 101 for a product that does not exist.
pub async fn validate(ctx: &Ctx, body: &Object) -> Result<Value> {
    let missing = || Error::invalid_json("missing receipt or productIdentifier");
    let present = |key: &str| body.get(key).filter(|value| crate::types::javascript::is_truthy(value));
    let receipt = present("receipt").ok_or_else(missing)?;
    let product = present("productIdentifier").ok_or_else(missing)?;
    let receipt = match receipt.get("__type").and_then(Value::as_str) {
        Some("Bytes") => &receipt["base64"],
        _ => receipt,
    };
    let mut status = ask(ctx, PRODUCTION, receipt).await;
    if status == Some(IS_SANDBOX) {
        status = ask(ctx, SANDBOX, receipt).await;
    }
    match status {
        Some(0) => download(ctx, product).await,
        Some(status) => Ok(json!({"status": status, "error": error_text(status)})),
        // No answer that can be read.
        None => Ok(json!({"status": null, "error": "unknown error."})),
    }
}

async fn ask(ctx: &Ctx, url: &str, receipt: &Value) -> Option<i64> {
    let request = Request::post(url).within(PATIENCE).json(&json!({"receipt-data": receipt})).ok()?;
    let answer = ctx.services.outbound.send(request).await;
    let answer = answer.inspect_err(|error| tracing::warn!(%error, "the App Store cannot be asked")).ok()?;
    answer.json::<Value>().ok()?.get("status")?.as_i64()
}

async fn download(ctx: &Ctx, product: &Value) -> Result<Value> {
    let mut query = Object::new();
    query.insert("where".into(), json!({"productIdentifier": product}));
    let found = read::find(ctx, &ClassName::known("_Product"), query).await?.into_values(ctx)?;
    match found.as_slice() {
        [product] => Ok(product["download"].clone()),
        _ => Err(Error::object_not_found()),
    }
}

fn error_text(status: i64) -> &'static str {
    match status {
        21000 => "The App Store could not read the JSON object you provided.",
        21002 => "The data in the receipt-data property was malformed or missing.",
        21003 => "The receipt could not be authenticated.",
        21004 => "The shared secret you provided does not match the shared secret on file for your account.",
        21005 => "The receipt server is not currently available.",
        21006 => "This receipt is valid but the subscription has expired.",
        21007 => {
            "This receipt is from the test environment, but it was sent to the production environment for verification. Send it to the test environment instead."
        }
        21008 => {
            "This receipt is from the production environment, but it was sent to the test environment for verification. Send it to the production environment instead."
        }
        _ => "unknown error.",
    }
}
