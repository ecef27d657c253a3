//! The one list of columns that a caller may not see, query or sort by: protected fields
//! (`DatabaseController.addProtectedFields` and `filterSensitiveData`), and what answers withhold from every
//! client. The encoder and every door of a query ask here.

use std::collections::BTreeSet;

use crate::operations::{Auth, ClassSnapshot, Ctx};
use crate::types::row::{CellRef, RowRef};
use crate::types::{ClassName, FieldType, Object};

/// Columns of users that answers do not show as they are stored: `authData` is shown masked and to its owner
/// only, the other to nobody. `password` is no column: a condition on it holds for nobody.
const WITHHELD_OF_USERS: [&str; 2] = ["authData", "sessionToken"];

/// Columns of users and sessions with which somebody could act as a user. A key that may only read sees none: the id
/// of an anonymous user logs in as that user, and other providers' data holds tokens and second factors.
const TOKENS: [&str; 7] = [
    "authData",
    "sessionToken",
    "_session_token",
    "_perishable_token",
    "_email_verify_token",
    "_hashed_password",
    "_password_history",
];

/// What answers withhold whatever the class's protected fields say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Withheld {
    /// The server's own keys query everything that the parser lets them name.
    #[default]
    Nothing,
    /// Every `_…` column.
    Internal,
    /// These and [`WITHHELD_OF_USERS`].
    OfUsers,
    /// [`TOKENS`], and no more.
    Tokens,
}

/// What is hidden from one caller in one class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Protection {
    withheld: Withheld,
    /// Hidden in every object; `None` when no group applies.
    fields: Option<BTreeSet<String>>,
    /// `userField:<field>` groups: where the field names the caller, only the intersection stays hidden.
    by_owner: Vec<OwnerGroup>,
    user_id: Option<String>,
    own_user_visible: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct OwnerGroup {
    field: String,
    hidden: BTreeSet<String>,
}

impl Protection {
    /// `exact_id`: the query is for this one object, which when it is the caller's own id is exempt.
    pub fn of(ctx: &Ctx, class: &ClassSnapshot, exact_id: Option<&str>) -> Self {
        Self::resolve(&ctx.auth, class, exact_id, ctx.config().users.protected_fields_owner_exempt)
    }

    /// The same from its parts, for live queries.
    pub fn resolve(auth: &Auth, class: &ClassSnapshot, exact_id: Option<&str>, owner_exempt: bool) -> Self {
        let Some(ids) = auth.acl_ids() else {
            let has_tokens = class.name().is_user() || class.name().is_session();
            let withheld =
                if auth.is_read_only() && has_tokens { Withheld::Tokens } else { Withheld::Nothing };
            return Self { withheld, ..Self::default() };
        };
        let withheld = if class.name().is_user() { Withheld::OfUsers } else { Withheld::Internal };
        let none = Self { withheld, ..Self::default() };
        if class.protected_fields.is_empty() {
            return none;
        }
        let user_id = auth.user_id().map(str::to_owned);
        if exact_id.is_some() && exact_id == user_id.as_deref() && class.name().is_user() && owner_exempt {
            return Self { user_id, own_user_visible: true, ..none };
        }
        let mut fields: Option<BTreeSet<String>> = None;
        let mut by_owner = Vec::new();
        for (group, hidden) in &class.protected_fields {
            if let Some(field) = group.strip_prefix("userField:") {
                by_owner
                    .push(OwnerGroup { field: field.to_owned(), hidden: hidden.iter().cloned().collect() });
                continue;
            }
            let applies =
                group == "*" || (user_id.is_some() && (group == "authenticated" || ids.contains(group)));
            if applies {
                let hidden: BTreeSet<String> = hidden.iter().cloned().collect();
                fields = Some(match fields {
                    Some(others) => others.intersection(&hidden).cloned().collect(),
                    None => hidden,
                });
            }
        }
        if user_id.is_none() {
            by_owner.clear();
        }
        Self { withheld, fields, by_owner, user_id, own_user_visible: owner_exempt && class.name().is_user() }
    }

    /// No field is protected in any object.
    pub fn is_empty(&self) -> bool {
        self.fields.as_ref().is_none_or(BTreeSet::is_empty) && self.by_owner.is_empty()
    }

    /// Whether answers withhold this column from the caller, in every object.
    pub fn withholds(&self, column: &str) -> bool {
        match self.withheld {
            Withheld::Nothing => false,
            Withheld::Internal => column.starts_with('_'),
            Withheld::OfUsers => column.starts_with('_') || WITHHELD_OF_USERS.contains(&column),
            Withheld::Tokens => TOKENS.contains(&column),
        }
    }

    /// Whether the caller reads everything but what somebody could act with.
    pub fn hides_tokens(&self) -> bool {
        self.withheld == Withheld::Tokens
    }

    /// Whether a query may not name this column (root or dotted path): it is hidden in some object that the
    /// caller may read.
    pub fn forbids(&self, path: &str) -> bool {
        let root = path.split('.').next().unwrap_or(path);
        if self.withholds(root) {
            return true;
        }
        let names = |fields: &BTreeSet<String>| {
            fields.contains(root)
                || fields.contains(path)
                // A protected path below the column would be told by sorting or matching its parents.
                || fields.iter().any(|field| field.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
        };
        match &self.fields {
            // What owners may see is less than this, never more.
            Some(fields) => names(fields),
            None => self.by_owner.iter().any(|group| names(&group.hidden)),
        }
    }

    /// Columns that must be read to decide `userField` groups.
    pub fn needed_columns(&self) -> impl Iterator<Item = &str> {
        self.by_owner.iter().map(|group| group.field.as_str())
    }

    /// What is hidden in every object when no owner group has a say.
    pub fn static_fields(&self) -> Option<&BTreeSet<String>> {
        self.fields.as_ref()
    }

    /// Whether the hidden set differs from object to object.
    pub fn varies(&self) -> bool {
        !self.by_owner.is_empty() || self.own_user_visible
    }

    /// The columns hidden in this row.
    pub fn hidden_in(&self, row: RowRef<'_>) -> BTreeSet<String> {
        let class = &row.layout().class;
        self.hidden(class, row.object_id(), |field| owner_ids_of_cell(row, field))
    }

    /// The columns hidden in this object.
    pub fn hidden_in_object(&self, class: &ClassName, object: &Object) -> BTreeSet<String> {
        let id = object.get("objectId").and_then(|id| id.as_str()).unwrap_or_default();
        self.hidden(class, id, |field| object.get(field).map(owner_ids_of_json).unwrap_or_default())
    }

    fn hidden(&self, class: &ClassName, id: &str, owners: impl Fn(&str) -> Vec<String>) -> BTreeSet<String> {
        if self.own_user_visible && class.is_user() && self.user_id.as_deref() == Some(id) {
            return BTreeSet::new();
        }
        let mut hidden = self.fields.clone();
        if let Some(user) = &self.user_id {
            for group in &self.by_owner {
                if owners(&group.field).contains(user) {
                    hidden = Some(match hidden {
                        Some(others) => others.intersection(&group.hidden).cloned().collect(),
                        None => group.hidden.clone(),
                    });
                }
            }
        }
        hidden.unwrap_or_default()
    }

    /// Removes what the caller may not see.
    pub fn strip(&self, class: &ClassName, object: &mut Object) {
        if self.is_empty() {
            return;
        }
        for field in self.hidden_in_object(class, object) {
            object.remove(&field);
        }
    }
}

fn owner_ids_of_cell(row: RowRef<'_>, field: &str) -> Vec<String> {
    match row.by_name(field) {
        CellRef::Text(id) => {
            let is_pointer = row.layout().index_of(field).is_some_and(|index| {
                matches!(
                    row.layout().columns[index].kind,
                    crate::types::row::ColumnKind::Field(FieldType::Pointer(_))
                )
            });
            if is_pointer { vec![id.to_owned()] } else { Vec::new() }
        }
        CellRef::Json(bytes) => {
            serde_json::from_slice(bytes).map(|value| owner_ids_of_json(&value)).unwrap_or_default()
        }
        _ => Vec::new(),
    }
}

fn owner_ids_of_json(value: &serde_json::Value) -> Vec<String> {
    let id = |value: &serde_json::Value| value.get("objectId").and_then(|id| id.as_str()).map(str::to_owned);
    match value {
        serde_json::Value::Array(elements) => elements.iter().filter_map(id).collect(),
        other => id(other).into_iter().collect(),
    }
}
