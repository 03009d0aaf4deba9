//! Looking at all fragments anew whenever one of them changes: `serve` without serving.
//!
//! Comes in: where the fragments are. Goes out: the outcome of a first look at all of them, each time,
//! until a signal ends it. Nothing is kept from one look to the next.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::signals::{Signal, Signals};
use super::{AppError, FileName, Fragments, Outcome, Policy, VariableSources};
use crate::envoy_api::Api;
use crate::source::{self, Next, Sources, Watch};

/// How often the waiting thread looks up although nothing happened.
const IDLE: Duration = Duration::from_secs(60);

/// Calls `each` for a first look and after every change, until SIGINT or SIGTERM.
///
/// # Errors
/// If the operating system gives no threads or signals, or the files cannot be watched.
pub fn follow(
    api: &Api,
    options: &source::Options,
    policy: &Policy,
    variables: &VariableSources,
    each: &mut dyn FnMut(&Sources, &Outcome),
) -> Result<(), AppError> {
    let mut watching = Watch::new(options.clone())?;
    let handle = watching.handle();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| AppError::System { what: "worker threads", error })?;
    let mut signals = runtime.block_on(async { Signals::new() })?;
    runtime.spawn(async move {
        loop {
            match signals.next().await {
                Signal::Reload => handle.look_now(),
                Signal::End => return handle.stop(),
            }
        }
    });
    let mut watched: BTreeSet<PathBuf> = BTreeSet::new();
    loop {
        match watching.next(IDLE) {
            Next::Changed(change) => {
                let mut fragments = Fragments::new(api.clone(), policy.clone(), BTreeMap::new())
                    .with_variables(variables.clone());
                let names: Vec<FileName> = change.sources.files.keys().map(Arc::clone).collect();
                let is_complete = fragments.stage(&change.sources, &names);
                let wanted = fragments.wanted();
                if wanted != watched {
                    watching.also(wanted.iter().cloned());
                    watched = wanted;
                }
                if is_complete {
                    each(&change.sources, &fragments.update(&change.sources, &[]));
                }
            }
            Next::Looked | Next::Idle => {}
            Next::Stopped => return Ok(()),
        }
    }
}
