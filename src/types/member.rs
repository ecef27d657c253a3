//! Members of small objects. Typed values (`{"__type": …}`) and operators (`{"__op": …}`) have a handful: to compare
//! their names takes a fraction of the time that hashing the wanted one takes.

use serde_json::Value;

use super::Object;

/// Objects up to here are gone through.
const FEW: usize = 8;

/// The member of this name.
pub fn member<'o>(object: &'o Object, name: &str) -> Option<&'o Value> {
    if object.len() > FEW {
        return object.get(name);
    }
    object.iter().find(|(known, _)| known.as_str() == name).map(|(_, value)| value)
}

/// The member of this name, where the value is an object.
pub fn member_of<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    member(value.as_object()?, name)
}

/// Whether the value is typed as this: `{"__type": "Pointer", …}`.
pub fn is_typed(value: &Value, name: &str) -> bool {
    member_of(value, "__type").is_some_and(|tag| tag == name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn members_are_found_in_objects_of_any_size() {
        let small = json!({"__type": "Pointer", "className": "A"});
        assert!(
            is_typed(&small, "Pointer")
                && !is_typed(&small, "File")
                && !is_typed(&json!("Pointer"), "Pointer")
        );
        let large: Object = (0..20).map(|n| (format!("k{n}"), json!(n))).collect();
        assert_eq!((member(&large, "k19"), member(&large, "k20")), (Some(&json!(19)), None));
    }
}
