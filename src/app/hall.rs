//! What the rooms meet in: the API, what is served, and what is known of files and clients.

use std::sync::Arc;

use super::board::Board;
use super::record::Record;
use crate::envoy_api::Api;
use crate::serve::Clients;
use crate::snapshot::Store;

/// Handles on what there is one of. Cheap to clone.
#[derive(Clone)]
pub struct Hall {
    /// Envoy's API.
    pub api: Api,
    /// What is served; only the loader publishes.
    pub store: Arc<Store>,
    /// What happens on streams, written down.
    pub record: Arc<Record>,
    /// What people may know of the files.
    pub board: Arc<Board>,
    /// The open streams.
    pub clients: Arc<Clients>,
}

impl Hall {
    /// Nothing is served yet, and nobody has come.
    pub fn new(api: Api) -> Hall {
        let record = Arc::new(Record::default());
        let clients = Arc::new(Clients::new(record.clone()));
        Hall { api, store: Arc::default(), record, board: Arc::default(), clients }
    }
}
