//! The hub as the event buses see it: see [`Audience`].

use async_trait::async_trait;

use super::LiveQueryHub;
use crate::files::FileUrls;
use crate::pubsub::events::{Audience, ObjectEvent};
use crate::query::{Filter, FindSpec};
use crate::types::{ClassName, Object, ObjectId};

#[async_trait(?Send)]
impl Audience for LiveQueryHub {
    fn live_classes(&self) -> Vec<ClassName> {
        LiveQueryHub::live_classes(self)
    }

    fn has_subscribers(&self, class: &ClassName) -> bool {
        LiveQueryHub::has_subscribers(self, class)
    }

    fn deliver(&self, event: ObjectEvent) {
        LiveQueryHub::deliver(self, event);
    }

    fn may_have_missed(&self) {
        LiveQueryHub::may_have_missed(self);
    }

    async fn roles_changed(&self) {
        if let Ok(services) = self.services() {
            services.principals.roles_changed().await;
        }
    }

    async fn read(&self, class: &ClassName, id: &ObjectId) -> Option<Object> {
        let services = self.services().ok()?;
        let snapshot = services.classes.admit(class).await.ok()??;
        let spec = FindSpec::new(Filter::by_id(id)).limit(1);
        let rows = services.storage.find(&snapshot.schema, &spec).await.ok()?;
        let mut object = rows.first()?.to_object();
        object.retain(|key, _| !key.starts_with('_'));
        object.insert("className".to_owned(), class.as_str().into());
        Some(object)
    }

    fn file_url(&self, name: &str) -> String {
        let Ok(services) = self.services() else { return String::new() };
        services.files.url(&services.config.http.server_url, name)
    }
}
