//! What clients write: fields of creations and updates, links, conditions, orders, and the arguments of mutations and
//! finds.

use indexmap::IndexMap;

use super::{Class, Others, Part, about, object};
use crate::graphql::schema::types::{EnumValue, InputValue, Str, TypeRef};
use crate::types::{ClassName, FieldType};

impl Class {
    pub(super) fn written(
        &self,
        chosen: Option<&Vec<String>>,
        is_create: bool,
        others: &dyn Others,
    ) -> IndexMap<Str, InputValue> {
        let mut fields = IndexMap::new();
        fields.insert("ACL".into(), InputValue::plain(TypeRef::named("ACLInput")));
        for name in self.chosen(chosen) {
            let Some(ty) = self.type_of_field(name) else { continue };
            let ty = input_type(ty, others);
            let ty = if is_create && self.is_required(name) { ty.required() } else { ty };
            fields.insert(name.to_owned().into(), InputValue::new(ty, about(name)));
        }
        fields
    }

    pub(super) fn pointer(&self) -> IndexMap<Str, InputValue> {
        let class = &self.name;
        let mut fields = IndexMap::new();
        let link = format!(
            "Link an existing object from {class} class. You can use either the global or the object id."
        );
        fields.insert("link".into(), InputValue::new(TypeRef::named("ID"), link));
        if !self.switches.create.off {
            let ty = self.type_of(Part::CreateFields).unwrap_or_else(object);
            let text = format!("Create and link an object from {class} class.");
            fields.insert("createAndLink".into(), InputValue::new(ty, text));
        }
        fields
    }

    pub(super) fn relation(&self) -> IndexMap<Str, InputValue> {
        let class = &self.name;
        let ids = || TypeRef::named("ID").required().list();
        let mut fields = IndexMap::new();
        let add = format!(
            "Add existing objects from the {class} class into the relation. You can use either the global or the object ids."
        );
        fields.insert("add".into(), InputValue::new(ids(), add));
        let remove = format!(
            "Remove existing objects from the {class} class out of the relation. You can use either the global or the object ids."
        );
        fields.insert("remove".into(), InputValue::new(ids(), remove));
        if !self.switches.create.off {
            let ty = self.type_of(Part::CreateFields).unwrap_or_else(object).required().list();
            let text = format!("Create and add objects of the {class} class into the relation.");
            fields.insert("createAndAdd".into(), InputValue::new(ty, text));
        }
        fields
    }

    pub(super) fn constraints(&self, others: &dyn Others) -> IndexMap<Str, InputValue> {
        let chosen = match &self.switches.constraint_fields {
            Some(list) => self.chosen(Some(list)),
            None => self.fields().into_iter().chain(["id"]).collect(),
        };
        let mut fields = IndexMap::new();
        for name in chosen {
            // These are operators.
            if ["OR", "AND", "NOR"].contains(&name) {
                continue;
            }
            let ty = match name {
                "id" | "objectId" => TypeRef::named("IdWhereInput"),
                _ => match self.type_of_field(name) {
                    Some(ty) => where_type(ty, others),
                    None => continue,
                },
            };
            fields.insert(name.to_owned().into(), InputValue::new(ty, about(name)));
        }
        let own = self.type_of(Part::Where).unwrap_or_else(object);
        for name in ["OR", "AND", "NOR"] {
            let text = format!("This is the {name} operator to compound constraints.");
            fields.insert(name.into(), InputValue::new(own.clone().required().list(), text));
        }
        fields
    }

    pub(super) fn related(&self) -> IndexMap<Str, InputValue> {
        let own = || self.type_of(Part::Where).unwrap_or_else(object);
        let mut fields = IndexMap::new();
        let have = "Run a relational/pointer query where at least one child object can match.";
        fields.insert("have".into(), InputValue::new(own(), have));
        let have_not = "Run an inverted relational/pointer query where at least one child object can match.";
        fields.insert("haveNot".into(), InputValue::new(own(), have_not));
        let exists = "Check if the relation/pointer contains objects.";
        fields.insert("exists".into(), InputValue::new(TypeRef::named("Boolean"), exists));
        fields
    }

    pub(super) fn order(&self) -> IndexMap<Str, EnumValue> {
        let mut values = IndexMap::new();
        let mut add = |field: &str, asc: bool, desc: bool| {
            let column = if field == "id" { "objectId" } else { field };
            let value = |text: String| EnumValue { value: Some(text.into()), ..EnumValue::default() };
            if asc {
                values.insert(format!("{field}_ASC").into(), value(column.to_owned()));
            }
            if desc {
                values.insert(format!("{field}_DESC").into(), value(format!("-{column}")));
            }
        };
        match &self.switches.sort_fields {
            // An enum has one value at least.
            Some(list) if list.is_empty() => add("id", true, true),
            Some(list) => list.iter().for_each(|sort| add(&sort.field, sort.asc, sort.desc)),
            None => self.fields().into_iter().chain(["id"]).for_each(|field| add(field, true, true)),
        }
        values
    }

    /// Arguments of the query that finds objects of the class.
    pub fn find_args(&self) -> IndexMap<Str, InputValue> {
        let order = match self.type_of(Part::Order) {
            Some(order) => order.required().list(),
            None => TypeRef::named("String"),
        };
        let mut args = IndexMap::new();
        let mut add = |name: &'static str, ty: TypeRef, text: &'static str| {
            args.insert(Str::Borrowed(name), InputValue::new(ty, text));
        };
        let own = self.type_of(Part::Where).unwrap_or_else(object);
        add("where", own, "These are the conditions that the objects need to match in order to be found.");
        add("order", order, "The fields to be used when sorting the data fetched.");
        let (text, int) = (|| TypeRef::named("String"), || TypeRef::named("Int"));
        add("skip", int(), "This is the number of objects that must be skipped to return.");
        add("after", text(), "Returns the items in the list that come after the specified cursor.");
        add("first", int(), "Returns the first n items from the list.");
        add("before", text(), "Returns the items in the list that come before the specified cursor.");
        add("last", int(), "Returns the last n items from the list.");
        add("options", TypeRef::named("ReadOptionsInput"), "The read options for the query to be executed.");
        args
    }

    pub(super) fn input(&self, part: Part) -> IndexMap<Str, InputValue> {
        let mut fields = IndexMap::new();
        if part != Part::CreateInput {
            let text = "This is the object id. You can use either the global or the object id.";
            fields.insert("id".into(), InputValue::new(TypeRef::named("ID").required(), text));
        }
        let written = match part {
            Part::CreateInput => {
                Some((Part::CreateFields, "These are the fields that will be used to create the new object."))
            }
            Part::UpdateInput => {
                Some((Part::UpdateFields, "These are the fields that will be used to update the object."))
            }
            _ => None,
        };
        if let Some((written, text)) = written {
            let ty = self.type_of(written).unwrap_or_else(object);
            fields.insert("fields".into(), InputValue::new(ty, text));
        }
        fields.insert("clientMutationId".into(), InputValue::plain(TypeRef::named("String")));
        fields
    }
}

fn input_type(ty: &FieldType, others: &dyn Others) -> TypeRef {
    let of_target = |target: &ClassName, part| {
        others.class(target).and_then(|class| class.type_of(part)).unwrap_or_else(object)
    };
    match ty {
        FieldType::String => TypeRef::named("String"),
        FieldType::Number => TypeRef::named("Float"),
        FieldType::Boolean => TypeRef::named("Boolean"),
        FieldType::Array => TypeRef::named("Any").list(),
        FieldType::Object => object(),
        FieldType::Date => TypeRef::named("Date"),
        FieldType::Pointer(target) => of_target(target, Part::Pointer),
        FieldType::Relation(target) => of_target(target, Part::Relation),
        FieldType::File => TypeRef::named("FileInput"),
        FieldType::GeoPoint => TypeRef::named("GeoPointInput"),
        FieldType::Polygon => TypeRef::named("GeoPointInput").required().list(),
        FieldType::Bytes => TypeRef::named("Bytes"),
        FieldType::Acl => TypeRef::named("ACLInput"),
    }
}

fn where_type(ty: &FieldType, others: &dyn Others) -> TypeRef {
    TypeRef::named(match ty {
        FieldType::String => "StringWhereInput",
        FieldType::Number => "NumberWhereInput",
        FieldType::Boolean => "BooleanWhereInput",
        FieldType::Array => "ArrayWhereInput",
        FieldType::Object | FieldType::Acl => "ObjectWhereInput",
        FieldType::Date => "DateWhereInput",
        FieldType::File => "FileWhereInput",
        FieldType::GeoPoint => "GeoPointWhereInput",
        FieldType::Polygon => "PolygonWhereInput",
        FieldType::Bytes => "BytesWhereInput",
        FieldType::Pointer(target) | FieldType::Relation(target) => {
            let related = others.class(target).and_then(|class| class.type_of(Part::RelationWhere));
            return related.unwrap_or_else(object);
        }
    })
}
