//! Live queries of one application: the hub where the configuration publishes classes or serves
//! sockets, nothing otherwise.

use std::sync::Arc;

use crate::actors::live_query::LiveQueryHub;
use crate::actors::registry::ClassRegistry;
use crate::config::AppConfig;
use crate::operations::ports::{EventSink, NoEvents};

/// The sink for the operations, and the hub behind it for the sockets.
pub struct LiveQueries {
    pub events: Arc<dyn EventSink>,
    pub hub: Option<Arc<LiveQueryHub>>,
}

pub fn open(config: &Arc<AppConfig>, classes: &ClassRegistry) -> LiveQueries {
    if config.live_query.class_names.is_none() && !config.live_query_server.enabled {
        return LiveQueries { events: Arc::new(NoEvents), hub: None };
    }
    let hub = LiveQueryHub::new(config.clone(), classes.owners());
    LiveQueries { events: hub.clone(), hub: Some(hub) }
}
