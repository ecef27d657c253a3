//! Hooks are not told what proves who somebody is: tokens and secrets in the `authData` of users. Where a hook
//! answers the rest of it unchanged, it stays what it was.

use serde_json::{Map, Value};

use crate::types::auth_data::without_proofs;

/// What was kept back of one user.
struct Kept {
    user: Option<Value>,
    shown: Value,
    whole: Value,
}

/// What was kept back of a call.
#[derive(Default)]
pub struct Proofs(Vec<Kept>);

impl Proofs {
    /// Takes them out of the body of a call. `is_user`: its objects are users, as the caller always is.
    pub fn keep_back(body: &mut Map<String, Value>, is_user: bool) -> Self {
        let mut kept = Self::default();
        if let Some(user) = body.get_mut("user") {
            kept.take_from(user);
        }
        if is_user {
            for key in ["original", "object"] {
                body.get_mut(key).into_iter().for_each(|user| kept.take_from(user));
            }
            if let Some(Value::Array(users)) = body.get_mut("objects") {
                users.iter_mut().for_each(|user| kept.take_from(user));
            }
        }
        kept
    }

    fn take_from(&mut self, user: &mut Value) {
        let id = user.get("objectId").cloned();
        let Some(data) = user.get_mut("authData") else { return };
        let whole = data.clone();
        if data.as_object_mut().is_some_and(without_proofs) {
            self.0.push(Kept { user: id, shown: data.clone(), whole });
        }
    }

    /// Puts them back where the answer has what was shown. The last one counts: the object, not the original.
    pub fn put_back(&self, answer: &mut Value) {
        if let Value::Array(users) = answer {
            users.iter_mut().for_each(|user| self.put_back(user));
            return;
        }
        let id = answer.get("objectId").cloned();
        let Some(data) = answer.get_mut("authData") else { return };
        let found = self.0.iter().rev().find(|kept| kept.user == id && kept.shown == *data);
        if let Some(kept) = found {
            *data = kept.whole.clone();
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn proofs_are_kept_back_and_put_back() {
        let user = json!({"objectId": "u", "authData": {"facebook": {"id": "1", "access_token": "t"}, "anonymous": {"id": "a"}}});
        let Value::Object(mut body) = json!({"object": user, "user": user, "objects": [user]}) else {
            panic!()
        };
        let proofs = Proofs::keep_back(&mut body, true);
        let shown = json!({"objectId": "u", "authData": {"facebook": {"id": "1"}, "anonymous": {"id": "a"}}});
        assert_eq!((&body["object"], &body["user"], &body["objects"][0]), (&shown, &shown, &shown));
        let mut echo = json!([shown]);
        proofs.put_back(&mut echo);
        assert_eq!(echo, json!([user]));
        let mut changed = json!({"objectId": "u", "authData": {"facebook": {"id": "2"}}});
        let meant = changed.clone();
        proofs.put_back(&mut changed);
        assert_eq!(changed, meant);
        let Value::Object(mut other) = json!({"object": user}) else { panic!() };
        Proofs::keep_back(&mut other, false);
        assert_eq!(other["object"], user);
    }
}
