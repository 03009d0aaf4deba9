//! Log lines: where they go and what they look like.

use std::io::IsTerminal;

use anyhow::{Context, Error, Result};
use tracing_subscriber::fmt::time::ChronoLocal;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use super::args::LogFormat;
use super::output::colour;
use super::settings::Settings;

/// What `notify` complains of is no news: a path that went is found out by looking, and an exhausted
/// watch is said by `source` in words.
const QUIET: &str = "notify=off";

/// ISO 8601 in the zone that `TZ` names.
const TIME: &str = "%Y-%m-%dT%H:%M:%S%.3f%:z";

/// Starts logging to standard error or the journal. `usual` is the filter when nobody gives one.
pub fn start(settings: &Settings, usual: &str) -> Result<()> {
    let given = settings.log.value.clone();
    let filter = filter(&given.unwrap_or_else(|| format!("{usual},{QUIET}"))).map_err(Error::msg)?;
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_timer(ChronoLocal::new(TIME.to_owned()))
        .with_ansi(colour(std::io::stderr().is_terminal()));
    let layer = match settings.log_format.value {
        LogFormat::Pretty => lines.with_target(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
        LogFormat::Journal => tracing_journald::layer().context("cannot log to the systemd journal")?.boxed(),
    };
    tracing_subscriber::registry().with(layer.with_filter(filter)).init();
    Ok(())
}

/// A filter, or in words why a text is none.
pub fn filter(text: &str) -> Result<EnvFilter, String> {
    // The parser's own words repeat themselves and do not help.
    EnvFilter::try_new(text).map_err(|_| {
        format!("{text:?} is no log filter: write one such as `debug` or `xds_bridge::serve=debug,info`")
    })
}
