//! `GET /serverInfo`: what the dashboard may offer.

use serde_json::json;

use crate::error::Result;
use crate::operations::Ctx;
use crate::rest::request::{RestRequest, RestResponse};

/// The parse-server version whose behaviour this server has; the dashboard gates its menus on it.
pub const PARSE_SERVER_VERSION: &str = "9.10.0";

pub async fn server_info(ctx: Ctx, _: RestRequest) -> Result<RestResponse> {
    let config = ctx.config();
    let push = config.push.push.is_some();
    let all = json!({"create": true, "read": true, "update": true, "delete": true});
    Ok(RestResponse::value(json!({
        "features": {
            "globalConfig": all,
            "hooks": all,
            "cloudCode": {"jobs": true},
            "logs": {"level": true, "size": true, "order": true, "until": true, "from": true},
            "push": {
                "immediatePush": push,
                "scheduledPush": push && config.push.scheduled_push,
                "storedPushData": push,
                "pushAudiences": true,
                "localization": true,
            },
            "schemas": {
                "addField": true,
                "removeField": true,
                "addClass": true,
                "removeClass": true,
                "clearAllDataFromClass": true,
                "exportClass": false,
                "editClassLevelPermissions": true,
                "editPointerPermissions": true,
            },
            "settings": {"securityCheck": config.security.enable_check},
        },
        "parseServerVersion": PARSE_SERVER_VERSION,
    })))
}
