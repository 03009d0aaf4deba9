//! The command line as it is typed; nothing here has a default that a settings file could set.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args as Arguments, Parser, Subcommand, ValueEnum};

use crate::app::Address;

/// Serves a directory of Envoy configuration fragments to every Envoy, over incremental xDS
#[derive(Debug, Parser)]
#[command(version, max_term_width = 110)]
pub struct Args {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Arguments)]
pub struct Common {
    /// Settings file [default: /etc/xds-bridge/xds-bridge.yaml, if it exists]
    #[arg(long, global = true, value_name = "FILE", env = "XDS_BRIDGE_SETTINGS")]
    pub settings: Option<PathBuf>,
    /// What to log, such as `debug` or `xds_bridge::serve=debug,info`; RUST_LOG is read, too [default: info;
    /// warn where people read the output: `serve` at a terminal, `check`]
    #[arg(long, global = true, value_name = "FILTER", env = "XDS_BRIDGE_LOG")]
    pub log: Option<String>,
    /// How to log [default: pretty]
    #[arg(long, global = true, value_name = "FORMAT", env = "XDS_BRIDGE_LOG_FORMAT")]
    pub log_format: Option<LogFormat>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Watch the fragments and serve them to Envoys
    Serve(Serve),
    /// Load fragments as `serve` does and show every finding
    Check(Check),
    /// Print an Envoy bootstrap that connects to this bridge
    Bootstrap(Bootstrap),
    /// Turn an envoy.yaml, filesystem-xDS files or a running Envoy's configuration into fragments
    Import(Import),
    /// Print everything for one kind of node as one static envoy.yaml
    Render(Render),
    /// Show what differs between two configurations: directories of fragments, or static files
    Diff(Diff),
    /// Let the running bridge read everything at once, and say what came of it
    Reload(Reload),
}

/// Where Envoy's API comes from.
#[derive(Debug, Default, Arguments)]
pub struct Descriptors {
    /// Further message types: a FileDescriptorSet, as `protoc --include_imports -o` writes it; may be repeated
    #[arg(long, value_name = "FILE", env = "XDS_BRIDGE_DESCRIPTORS", value_delimiter = ':')]
    pub descriptors: Vec<PathBuf>,
    /// Take Envoy's API as this Envoy program knows it, such as /usr/bin/envoy
    #[arg(long, value_name = "PROGRAM", env = "XDS_BRIDGE_DESCRIPTORS_FROM")]
    pub descriptors_from: Option<PathBuf>,
}

/// How much rules matter.
#[derive(Debug, Default, Arguments)]
pub struct Rules {
    /// How much a rule matters, such as unreachable-route=error or constraint=warning (off, note, warning,
    /// error); may be repeated
    #[arg(long = "rule", value_name = "CODE=SEVERITY", env = "XDS_BRIDGE_RULES", value_delimiter = ',')]
    pub rules: Vec<String>,
}

/// What `${NAME}` in fragments stands for.
#[derive(Debug, Default, Arguments)]
pub struct VariableFlags {
    /// File of variables, NAME=value a line; the environment is stronger; may be repeated, later ones are stronger
    #[arg(long, value_name = "FILE", env = "XDS_BRIDGE_ENV_FILE", value_delimiter = ':')]
    pub env_file: Vec<PathBuf>,
    /// Replace references to these variables only, as in `NAME,OTHER`; nothing: none [default: all]
    #[arg(long, value_name = "NAMES", env = "XDS_BRIDGE_SUBSTITUTE")]
    pub substitute: Option<String>,
}

/// What Envoys have that is in no fragment.
#[derive(Debug, Default, Arguments)]
pub struct Outside {
    /// A cluster that the Envoys' own bootstrap has, so that fragments may name it; may be repeated
    #[arg(long, value_name = "NAME", env = "XDS_BRIDGE_EXTERNAL_CLUSTER", value_delimiter = ',')]
    pub external_cluster: Vec<String>,
}

#[derive(Debug, Arguments)]
pub struct Serve {
    /// Directory of fragments; may be repeated, later ones replace files of earlier ones [default: config.d]
    #[arg(long, value_name = "DIR", env = "XDS_BRIDGE_CONFIG_DIR", value_delimiter = ':')]
    pub config_dir: Vec<PathBuf>,
    /// Address for Envoys, IP:PORT or unix:PATH; may be repeated [default: 127.0.0.1:18000]
    #[arg(long, value_name = "ADDRESS", env = "XDS_BRIDGE_LISTEN", value_delimiter = ',')]
    pub listen: Vec<Address>,
    /// Address for `reload`, IP:PORT on loopback, unix:PATH, or `none` [default: 127.0.0.1:18001, if it is free]
    #[arg(long, value_name = "ADDRESS", env = "XDS_BRIDGE_ADMIN")]
    pub admin: Option<AdminAddress>,
    /// Allow plain text beyond loopback addresses and unix sockets
    #[arg(long, env = "XDS_BRIDGE_INSECURE", value_parser = BoolishValueParser::new())]
    pub insecure: bool,
    /// Serve an empty configuration as such, instead of waiting for the first fragment
    #[arg(long, env = "XDS_BRIDGE_ALLOW_EMPTY", value_parser = BoolishValueParser::new())]
    pub allow_empty: bool,
    /// What an error in a fragment does to the others [default: contain]
    #[arg(long, value_name = "WHAT", env = "XDS_BRIDGE_ON_ERROR")]
    pub on_error: Option<OnErrorChoice>,
    /// Keep the last good content of every fragment here, for a start when one is broken [default: none, or what
    /// systemd's StateDirectory= gives]
    #[arg(long, value_name = "DIR", env = "XDS_BRIDGE_STATE_DIR")]
    pub state_dir: Option<PathBuf>,
    #[command(flatten)]
    pub outside: Outside,
    #[command(flatten)]
    pub variables: VariableFlags,
    /// How long files that are not renamed into place must be quiet before they are read [default: 300ms]
    #[arg(long, value_name = "TIME", env = "XDS_BRIDGE_SETTLE", value_parser = duration)]
    pub settle: Option<Duration>,
    /// Look for changes this often instead of being told by the kernel
    #[arg(long, value_name = "TIME", env = "XDS_BRIDGE_POLL", value_parser = duration)]
    pub poll: Option<Duration>,
    #[command(flatten)]
    pub waits: Waits,
    #[command(flatten)]
    pub descriptors: Descriptors,
    #[command(flatten)]
    pub rules: Rules,
}

/// How long changes wait for each other at a client, so that no request is lost.
#[derive(Debug, Default, Arguments)]
pub struct Waits {
    /// After its ACK, how long a cluster that resolves names or checks health may warm up [default: 300ms]
    #[arg(long, value_name = "TIME", env = "XDS_BRIDGE_WARM_UP", value_parser = duration)]
    pub warm_up: Option<Duration>,
    /// How long a removed cluster outlives a listener that named it itself; Envoy's own --drain-time-s is safest
    /// [default: 10s]
    #[arg(long, value_name = "TIME", env = "XDS_BRIDGE_DRAIN", value_parser = duration)]
    pub drain: Option<Duration>,
    /// How long a client may stay silent before it gets what waits for its ACK [default: 20s]
    #[arg(long, value_name = "TIME", env = "XDS_BRIDGE_ACK_DEADLINE", value_parser = duration)]
    pub ack_deadline: Option<Duration>,
}

#[derive(Debug, Arguments)]
pub struct Check {
    /// Fragments, or directories of them [default: config.d]
    pub paths: Vec<PathBuf>,
    /// How to show findings
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    pub format: FindingsFormat,
    /// List the variables that the fragments refer to, instead of the findings; values are not shown
    #[arg(long = "variables")]
    pub list_variables: bool,
    /// Let findings of this severity fail the check, too
    #[arg(long, value_name = "SEVERITY")]
    pub deny: Option<Deny>,
    #[command(flatten)]
    pub outside: Outside,
    #[command(flatten)]
    pub variables: VariableFlags,
    #[command(flatten)]
    pub descriptors: Descriptors,
    #[command(flatten)]
    pub rules: Rules,
}

#[derive(Debug, Arguments)]
pub struct Bootstrap {
    /// `node.id` of the Envoy [default: the host's name]
    #[arg(long, value_name = "ID")]
    pub node_id: Option<String>,
    /// `node.cluster` of the Envoy
    #[arg(long, value_name = "CLUSTER", default_value = "default")]
    pub node_cluster: String,
    /// Where this bridge listens, IP:PORT or unix:PATH [default: the first `listen` of the settings]
    #[arg(long, value_name = "ADDRESS")]
    pub xds: Option<Address>,
    /// Port of the Envoy's admin interface, on 127.0.0.1
    #[arg(long, value_name = "PORT", default_value_t = 9901)]
    pub admin_port: u16,
    /// Variant of the protocol
    #[arg(long, value_name = "API", default_value = "delta")]
    pub api: ApiVariant,
}

#[derive(Debug, Arguments)]
pub struct Import {
    /// A bootstrap (v2 or v3, YAML or JSON), filesystem-xDS file, directory of them, saved config dump, or
    /// the URL of an Envoy's admin interface on this machine, such as http://127.0.0.1:9901
    #[arg(required = true, value_name = "SOURCE")]
    pub sources: Vec<String>,
    /// Directory for the fragments; existing files are never overwritten
    #[arg(long, value_name = "DIR", required_unless_present = "upgrade_only")]
    pub out: Option<PathBuf>,
    /// Where the minimal bootstrap goes [default: envoy-bootstrap.yaml beside DIR]
    #[arg(long, value_name = "FILE")]
    pub bootstrap: Option<PathBuf>,
    /// What shares a file
    #[arg(long, value_name = "HOW", default_value = "concern")]
    pub split: SplitBy,
    /// Make routes, endpoints and certificates resources of their own (RDS, EDS, SDS)
    #[arg(long)]
    pub dynamic: bool,
    /// Write nothing; show what would be written
    #[arg(long)]
    pub dry_run: bool,
    /// Only bring a file of the v2 API to v3, and print it
    #[arg(long, conflicts_with_all = ["out", "bootstrap", "dynamic", "dry_run"])]
    pub upgrade_only: bool,
    /// `node.id` for a bootstrap without one [default: the host's name]
    #[arg(long, value_name = "ID")]
    pub node_id: Option<String>,
    /// `node.cluster` for a bootstrap without one
    #[arg(long, value_name = "CLUSTER", default_value = "default")]
    pub node_cluster: String,
    /// Where this bridge listens, IP:PORT or unix:PATH [default: the first `listen` of the settings]
    #[arg(long, value_name = "ADDRESS")]
    pub xds: Option<Address>,
    /// How to show the report
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    pub format: ReportFormat,
    #[command(flatten)]
    pub descriptors: Descriptors,
}

#[derive(Debug, Arguments)]
pub struct Render {
    /// Fragments, or directories of them [default: config.d]
    pub paths: Vec<PathBuf>,
    /// The bootstrap that connects the Envoy to this bridge; what it holds besides is kept
    #[arg(long, value_name = "FILE")]
    pub bootstrap: Option<PathBuf>,
    /// `node.id` of the Envoy
    #[arg(long, value_name = "ID", default_value = "")]
    pub node_id: String,
    /// `node.cluster` of the Envoy
    #[arg(long, value_name = "CLUSTER", default_value = "")]
    pub node_cluster: String,
    /// `node.locality` of the Envoy, as far as it matters
    #[arg(long, value_name = "REGION/ZONE/SUB_ZONE", default_value = "")]
    pub node_locality: String,
    /// `node.metadata` of the Envoy, as JSON
    #[arg(long, value_name = "JSON", default_value = "{}")]
    pub node_metadata: String,
    #[command(flatten)]
    pub variables: VariableFlags,
    #[command(flatten)]
    pub descriptors: Descriptors,
}

#[derive(Debug, Arguments)]
pub struct Diff {
    /// Directory of fragments, fragment, static envoy.yaml (v2 or v3) or saved config dump
    #[arg(value_name = "A")]
    pub before: PathBuf,
    /// What to compare it with
    #[arg(value_name = "B")]
    pub after: PathBuf,
    /// How to show differences
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    pub format: ReportFormat,
    #[command(flatten)]
    pub variables: VariableFlags,
    #[command(flatten)]
    pub descriptors: Descriptors,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum SplitBy {
    /// A listener with its routes, a cluster with its endpoints
    Concern,
    /// All resources of a kind
    Kind,
    /// Nothing: a file for each resource
    Resource,
    /// Everything
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// Lines for people
    Human,
    /// For scripts
    Json,
}

#[derive(Debug, Arguments)]
pub struct Reload {
    /// Serve what is held because requests would go to what no fragment defines
    #[arg(long)]
    pub accept_unresolved: bool,
    /// Serve what is held because so much would be removed
    #[arg(long)]
    pub accept_removals: bool,
    /// The bridge's `--admin` address [default: 127.0.0.1:18001]
    #[arg(long, value_name = "ADDRESS", env = "XDS_BRIDGE_ADMIN")]
    pub admin: Option<AdminAddress>,
}

/// Where a bridge is commanded, if anywhere.
#[derive(Clone, Debug)]
pub enum AdminAddress {
    At(Address),
    None,
}

impl std::str::FromStr for AdminAddress {
    type Err = crate::app::AddressError;

    fn from_str(text: &str) -> Result<AdminAddress, Self::Err> {
        if text == "none" { Ok(AdminAddress::None) } else { text.parse().map(AdminAddress::At) }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ApiVariant {
    /// Incremental: only what changed
    Delta,
    /// State of the world: everything, each time
    Sotw,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum FindingsFormat {
    /// With the source line and a caret
    Human,
    /// For scripts
    Json,
    /// SARIF 2.1.0, for code hosts and editors
    Sarif,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnErrorChoice {
    /// The fragment keeps its last good content, the others go on
    Contain,
    /// Every change is held back until there is no error
    Hold,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Deny {
    /// Warnings fail the check
    Warnings,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people
    Pretty,
    /// One JSON object a line
    Json,
    /// To the systemd journal, with fields
    Journal,
}

/// A time such as `300ms`, `2s`, `1m`.
pub fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; write a time such as 300ms, 2s or 1m"))
}
