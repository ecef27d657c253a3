//! Answers an operation: root fields are resolved, what they gave is cut to the selection. What has to be read for
//! fields below (relations, cloud functions) is read level by level: one round for each level of the selection, not
//! one for each object.

pub mod collect;
mod complete;
mod introspect;
pub mod leaf;
mod room;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use futures_util::future::{LocalBoxFuture, join_all};
use serde_json::{Map, Value};

use super::errors::{Code, Failure, GraphQLError, Step};
use super::input::{self, Variables};
use super::language::Lines;
use super::language::ast::{Field, Offset, Operation, OperationKind};
use super::limits::Fragments;
use super::schema::types::{FieldDef, Introspection, Resolver, TypeDef};
use super::schema::{self, Schema};
use collect::Cache;
use room::Room;

/// A field that a resolver is asked for.
pub struct Asked<'e> {
    /// The object that has the field; null for root fields.
    pub source: Value,
    pub parent: &'e TypeDef,
    pub definition: &'e FieldDef,
    /// The same field may stand in several places of a selection.
    pub fields: Vec<&'e Field>,
    /// The same ones for all objects that are asked.
    pub arguments: Rc<Map<String, Value>>,
}

impl Asked<'_> {
    pub fn name(&self) -> &str {
        self.fields.first().map_or("", |field| &field.name.text)
    }
}

/// What reads and writes for the fields of a schema.
pub trait Resolvers {
    /// Values of fields that were asked for at one level, each in its place.
    fn resolve<'a>(&'a self, asked: Vec<Asked<'a>>) -> LocalBoxFuture<'a, Vec<Result<Value, Failure>>>;

    /// What was resolved has become part of the answer.
    fn taken(&self);

    /// Whether details of errors are kept from clients.
    fn sanitizes(&self) -> bool;
}

/// One operation under way.
pub struct Execution<'e> {
    pub schema: &'e Schema,
    pub fragments: &'e Fragments<'e>,
    pub variables: &'e Variables,
    cache: RefCell<Cache<'e>>,
    /// By the address of the field.
    arguments: RefCell<HashMap<usize, Rc<Map<String, Value>>>>,
    room: Room,
    state: RefCell<State<'e>>,
}

#[derive(Default)]
struct State<'e> {
    errors: Vec<GraphQLError>,
    pending: Vec<Pending<'e>>,
}

/// A field below the root that has to be resolved.
struct Pending<'e> {
    asked: Asked<'e>,
    path: Vec<Step>,
    /// How much of the path leads to what may be null.
    nullable: usize,
}

/// Data and errors of an operation.
pub struct Outcome {
    pub data: Value,
    pub errors: Vec<GraphQLError>,
    /// There was no room for all of it.
    pub is_cut: bool,
}

impl Outcome {
    /// The body of an answer; `source` is the document.
    pub fn body(self, source: &str) -> Value {
        let mut body = Map::new();
        if !self.errors.is_empty() {
            let lines = Lines::of(source);
            body.insert("errors".to_owned(), self.errors.iter().map(|error| error.to_json(&lines)).collect());
        }
        body.insert("data".to_owned(), self.data);
        Value::Object(body)
    }
}

impl<'e> Execution<'e> {
    /// `room`: bytes that the answer may have.
    pub fn new(
        schema: &'e Schema,
        fragments: &'e Fragments<'e>,
        variables: &'e Variables,
        room: usize,
    ) -> Self {
        Self {
            schema,
            fragments,
            variables,
            cache: RefCell::default(),
            arguments: RefCell::default(),
            room: Room::of(room),
            state: RefCell::default(),
        }
    }

    /// The first field of an operation that is to be resolved.
    pub fn first_root(&self, root: &TypeDef, operation: &'e Operation) -> Option<&'e Field> {
        self.collect(root, &[&operation.selection]).values().next()?.first().copied()
    }

    pub async fn run(self, operation: &'e Operation, resolvers: &'e dyn Resolvers) -> Outcome {
        let root = match operation.kind {
            OperationKind::Query => "Query",
            OperationKind::Mutation => "Mutation",
            OperationKind::Subscription => "Subscription",
        };
        let Some(root) = self.schema.get(root) else {
            let text = format!("Schema is not configured to execute {} operation.", operation.kind.as_str());
            let errors = vec![GraphQLError::new(Code::Internal, text).at(operation.at)];
            return Outcome { data: Value::Null, errors, is_cut: false };
        };
        let collected = self.collect(root, &[&operation.selection]);
        let mut roots = Vec::new();
        for (key, fields) in collected.iter() {
            let Some(first) = fields.first() else { continue };
            if let Some(definition) = schema::field_of(root, &first.name.text) {
                roots.push((*key, definition, fields.clone()));
            }
        }
        let serial = operation.kind == OperationKind::Mutation;
        let mut data = Map::new();
        for (key, ..) in &roots {
            data.insert((*key).to_owned(), Value::Null);
        }
        let mut data = Value::Object(data);
        if serial {
            for one in roots {
                self.resolve_roots(root, vec![one], &mut data, resolvers).await;
                self.settle(&mut data, resolvers).await;
                if data.is_null() || self.room.is_full() {
                    break;
                }
            }
        } else {
            self.resolve_roots(root, roots, &mut data, resolvers).await;
            self.settle(&mut data, resolvers).await;
        }
        let errors = std::mem::take(&mut self.state.borrow_mut().errors);
        Outcome { data, errors, is_cut: self.room.is_full() }
    }

    async fn resolve_roots(
        &self,
        root: &'e TypeDef,
        roots: Vec<(&'e str, &'e FieldDef, Vec<&'e Field>)>,
        data: &mut Value,
        resolvers: &'e dyn Resolvers,
    ) {
        let mut pending = Vec::new();
        for (key, definition, fields) in roots {
            let path = vec![Step::Key(key.to_owned())];
            let nullable = usize::from(!definition.ty.is_required());
            if let Resolver::Introspection(what) = definition.resolver {
                let value = self.introspected(what, root, definition, &fields);
                self.place(data, &path, nullable, value, &fields);
                continue;
            }
            match self.arguments(definition, &fields) {
                Ok(arguments) => {
                    let asked = Asked { source: Value::Null, parent: root, definition, fields, arguments };
                    pending.push(Pending { asked, path, nullable });
                }
                Err(error) => self.fail(data, &path, nullable, error, &fields),
            }
        }
        self.resolve_level(pending, data, resolvers).await;
    }

    fn arguments(
        &self,
        definition: &FieldDef,
        fields: &[&Field],
    ) -> Result<Rc<Map<String, Value>>, GraphQLError> {
        let Some(field) = fields.first() else { return Ok(Rc::default()) };
        let address = std::ptr::from_ref(*field) as usize;
        if let Some(known) = self.arguments.borrow().get(&address) {
            return Ok(known.clone());
        }
        let read =
            input::arguments(self.schema, &definition.args, &field.arguments, field.at, self.variables);
        let read = Rc::new(read?);
        self.arguments.borrow_mut().insert(address, read.clone());
        Ok(read)
    }

    fn introspected(
        &self,
        what: Introspection,
        root: &TypeDef,
        definition: &'e FieldDef,
        fields: &[&'e Field],
    ) -> Result<Value, GraphQLError> {
        let sets = collect::sets(fields);
        Ok(match what {
            Introspection::Typename => root.name.as_ref().into(),
            Introspection::Schema => self.introspect_schema(&sets),
            Introspection::Type => {
                let arguments = self.arguments(definition, fields)?;
                let name = arguments.get("name").and_then(Value::as_str).unwrap_or_default();
                self.introspect_named(name, &sets)
            }
        })
    }

    /// Resolves what is left over below, until nothing is.
    async fn settle(&self, data: &mut Value, resolvers: &'e dyn Resolvers) {
        loop {
            let pending = std::mem::take(&mut self.state.borrow_mut().pending);
            if pending.is_empty() || self.room.is_full() {
                return;
            }
            // What lies in a part that became null is nobody's to see.
            let pending = pending.into_iter().filter(|pending| exists(data, &pending.path)).collect();
            self.resolve_level(pending, data, resolvers).await;
        }
    }

    async fn resolve_level(&self, pending: Vec<Pending<'e>>, data: &mut Value, resolvers: &'e dyn Resolvers) {
        // Fields of one place in the selection are asked for together.
        let mut groups: Vec<(usize, Vec<Pending<'e>>)> = Vec::new();
        let mut known: HashMap<usize, usize> = HashMap::new();
        for one in pending {
            let place = one.asked.fields.first().map_or(0, |field| std::ptr::from_ref(*field) as usize);
            let index = *known.entry(place).or_insert_with(|| {
                groups.push((place, Vec::new()));
                groups.len() - 1
            });
            if let Some((_, group)) = groups.get_mut(index) {
                group.push(one);
            }
        }
        let asked = groups.into_iter().map(|(_, group)| async move {
            let mut places = Vec::with_capacity(group.len());
            let mut all = Vec::with_capacity(group.len());
            for Pending { asked, path, nullable } in group {
                places.push((path, nullable, asked.fields.clone(), asked.definition, asked.parent));
                all.push(asked);
            }
            let values = resolvers.resolve(all).await;
            places.into_iter().zip(values).collect::<Vec<_>>()
        });
        let resolved = join_all(asked).await;
        for ((path, nullable, fields, definition, parent), value) in resolved.into_iter().flatten() {
            match value {
                Ok(value) => {
                    let info =
                        complete::ResolveInfo { parent, fields: &fields, path: path.clone(), nullable };
                    let value = self.complete_at(info, &definition.ty, &value);
                    match value {
                        Ok(value) => put(data, &path, value),
                        Err(complete::Nulled) => put_null(data, &path, nullable),
                    }
                }
                Err(failure) => {
                    let error = failure.shown(resolvers.sanitizes());
                    self.fail(data, &path, nullable, error, &fields);
                }
            }
        }
        resolvers.taken();
    }

    fn place(
        &self,
        data: &mut Value,
        path: &[Step],
        nullable: usize,
        value: Result<Value, GraphQLError>,
        fields: &[&Field],
    ) {
        match value {
            Ok(value) => put(data, path, value),
            Err(error) => self.fail(data, path, nullable, error, fields),
        }
    }

    fn fail(&self, data: &mut Value, path: &[Step], nullable: usize, error: GraphQLError, fields: &[&Field]) {
        self.tell(error, path, fields);
        put_null(data, path, nullable);
    }

    fn tell(&self, error: GraphQLError, path: &[Step], fields: &[&Field]) {
        let at: Vec<Offset> =
            if error.at.is_empty() { fields.iter().map(|field| field.at).collect() } else { error.at };
        let error = GraphQLError { at, path: Some(path.to_vec()), ..error };
        if self.room.take(error.weight()) {
            self.state.borrow_mut().errors.push(error);
        }
    }
}

fn exists(data: &Value, path: &[Step]) -> bool {
    let mut at = data;
    for step in path {
        let next = match step {
            Step::Key(key) => at.get(key),
            Step::Index(index) => at.get(index),
        };
        match next {
            Some(next) => at = next,
            None => return false,
        }
    }
    true
}

fn put(data: &mut Value, path: &[Step], value: Value) {
    let mut at = data;
    for step in path {
        let next = match step {
            Step::Key(key) => at.get_mut(key),
            Step::Index(index) => at.get_mut(index),
        };
        match next {
            Some(next) => at = next,
            None => return,
        }
    }
    *at = value;
}

fn put_null(data: &mut Value, path: &[Step], nullable: usize) {
    put(data, path.get(..nullable).unwrap_or_default(), Value::Null);
}
