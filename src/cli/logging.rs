//! Log lines: where they go and what they look like.

use std::io::IsTerminal;

use anyhow::{Context, Result, anyhow};
use tracing_subscriber::fmt::time::ChronoLocal;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use super::args::{Common, LogFormat};
use super::output::colour;
use super::settings::File;

/// What `notify` complains of is no news: a path that went is found out by looking, and an exhausted
/// watch is said by `source` in words.
const QUIET: &str = "notify=off";

/// ISO 8601 in the zone that `TZ` names.
const TIME: &str = "%Y-%m-%dT%H:%M:%S%.3f%:z";

/// Starts logging to standard error or the journal. `usual` is the filter when nobody gives one.
pub fn start(common: &Common, file: &File, usual: &str) -> Result<()> {
    let given = common.log.clone().or_else(|| std::env::var("RUST_LOG").ok()).or_else(|| file.log.clone());
    let filter = given.unwrap_or_else(|| format!("{usual},{QUIET}"));
    // The parser's own words repeat themselves and do not help.
    let filter = EnvFilter::try_new(&filter).map_err(|_| {
        anyhow!("{filter:?} is no log filter: write one such as `debug` or `xds_bridge::serve=debug,info`")
    })?;
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_timer(ChronoLocal::new(TIME.to_owned()))
        .with_ansi(colour(std::io::stderr().is_terminal()));
    let layer = match common.log_format.or(file.log_format).unwrap_or(LogFormat::Pretty) {
        LogFormat::Pretty => lines.with_target(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
        LogFormat::Journal => tracing_journald::layer().context("cannot log to the systemd journal")?.boxed(),
    };
    tracing_subscriber::registry().with(layer.with_filter(filter)).init();
    Ok(())
}
