//! What of a user's `authData` proves who he is: tokens, codes, secrets. Ids are not among it.

use super::Object;

/// Members of any provider's data.
const PROOFS: [&str; 16] = [
    "access_token",
    "assertion",
    "auth_token",
    "auth_token_secret",
    "code",
    "code_verifier",
    "id_token",
    "oauth_token",
    "oauth_token_secret",
    "oauth_verifier",
    "password",
    "recovery",
    "refresh_token",
    "secret",
    "signature",
    "token",
];

/// Takes the proofs out of `authData`; whether there were any.
pub fn without_proofs(providers: &mut Object) -> bool {
    let mut found = false;
    for data in providers.values_mut().filter_map(serde_json::Value::as_object_mut) {
        let before = data.len();
        data.retain(|key, _| !PROOFS.contains(&key.as_str()));
        found |= data.len() != before;
    }
    found
}
