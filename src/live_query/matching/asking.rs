//! Subscriptions whose query looks at other objects (`$inQuery`, `$select`, `$relatedTo`): when the
//! rest of the query leaves it open, the database is asked about the one object concerned, with the
//! rights that a find of this audience has now.

use std::sync::Arc;

use super::subscription::{Opened, Rights};
use crate::operations::gate;
use crate::operations::permissions::Protection;
use crate::operations::permissions::query::authorize_filter;
use crate::operations::{ClassSnapshot, Services};
use crate::query::evaluate::Matcher;
use crate::query::evaluate::ask::{Answers, Question, Verdict};
use crate::query::{Constraint, Filter, FindSpec, Operand};
use crate::types::{ClassSchema, Object};

/// Decides one query for one audience and event; what was answered for one state holds for the other.
pub struct Asker<'e> {
    services: &'e Services,
    class: &'e ClassSnapshot,
    /// With the rights of the audience in its sub-queries.
    matcher: Matcher,
    answers: Answers,
}

impl<'e> Asker<'e> {
    /// `None` when the audience may not ask this (any more): nothing matches.
    pub async fn new(
        services: &'e Arc<Services>,
        class: &'e ClassSnapshot,
        rights: &Rights,
        opened: &Opened,
    ) -> Option<Self> {
        let ctx = gate::listening(services, rights.auth.clone(), None, String::new());
        let mut filter = opened.matcher.filter().clone();
        let protection = Protection::of(&ctx, class, filter.exact_id());
        authorize_filter(&ctx, class, &protection, &mut filter).await.ok()?;
        Some(Self { services, class, matcher: Matcher::new(filter), answers: Answers::new() })
    }

    /// Asks one question after the other until the query is decided. What cannot be answered (the
    /// database is away, the statement took too long) does not match.
    pub async fn matches(&mut self, object: &Object) -> bool {
        loop {
            let (key, answer) = match self.matcher.decide(object, &self.answers) {
                Verdict::Matches => return true,
                Verdict::Differs => return false,
                Verdict::Asks(questions) => {
                    let Some(question) = questions.into_iter().next() else { return false };
                    let Some(answer) = self.ask(&question).await else { return false };
                    (question.key(), answer)
                }
            };
            self.answers.insert(key, answer);
        }
    }

    async fn ask(&self, question: &Question<'_>) -> Option<bool> {
        match question {
            Question::Found { sub, id } => {
                let by_id = Filter::eq("objectId", Operand::Text(id.clone()));
                let Some(schema) = sub.access.schema.as_ref().filter(|_| !sub.access.denied) else {
                    return Some(false);
                };
                self.exists(schema, by_id.and(sub.filter.clone()), sub.access.readers.clone()).await
            }
            Question::Selected { sub, values } => {
                let Some(schema) = sub.access.schema.as_ref().filter(|_| !sub.access.denied) else {
                    return Some(false);
                };
                let path = sub.key.clone()?;
                let wanted = Filter::Field { path, constraints: vec![Constraint::In(values.clone())] };
                self.exists(schema, wanted.and(sub.filter.clone()), sub.access.readers.clone()).await
            }
            Question::Related { related, id } => {
                let by_id = Filter::eq("objectId", Operand::Text(id.clone()));
                let filter = by_id.and(Filter::RelatedTo((*related).clone()));
                self.exists(&self.class.schema, filter, None).await
            }
        }
    }

    async fn exists(
        &self,
        schema: &Arc<ClassSchema>,
        filter: Filter,
        readers: Option<Arc<[String]>>,
    ) -> Option<bool> {
        let mut spec = FindSpec::new(filter).limit(1);
        spec.readers = readers;
        spec.columns = Some(Vec::new());
        match self.services.storage.find(schema, &spec).await {
            Ok(rows) => Some(rows.first().is_some()),
            Err(error) => {
                tracing::warn!(%error, class = %self.class.name(), "a live query could not be decided");
                None
            }
        }
    }
}
