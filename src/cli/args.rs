//! The command line as it is typed, but for the flags of settings: those are made from their table
//! (`settings/table`). Nothing here has a default that a settings file could set.

mod daemon;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as Arguments, Parser, Subcommand, ValueEnum};

use crate::app::Listen;
use crate::migrate::Endpoint;

pub use daemon::{Completions, History, Man, Reload, Status};

/// Serves a directory of Envoy configuration fragments to every Envoy, over incremental xDS
#[derive(Debug, Parser)]
#[command(version = env!("XDS_BRIDGE_VERSION"), max_term_width = 110)]
pub struct Args {
    /// Settings file [default: /etc/xds-bridge/xds-bridge.yaml, if it exists]
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "XDS_BRIDGE_SETTINGS",
        hide_env_values = true,
        help_heading = "Settings"
    )]
    pub settings: Option<PathBuf>,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Watch the fragments and serve them to Envoys
    Serve,
    /// Load fragments as `serve` does and show every finding
    Check(Check),
    /// Print an Envoy bootstrap that connects to this bridge
    Bootstrap(Bootstrap),
    /// Turn an envoy.yaml, filesystem-xDS files or a running Envoy's configuration into fragments
    Import(Import),
    /// Print everything for one kind of node as one static envoy.yaml
    Render(Render),
    /// Show what differs between two configurations: directories of fragments, static files, or the daemon
    Diff(Diff),
    /// Let the running bridge read everything at once, and say what came of it
    Reload(Reload),
    /// Show what each connected Envoy runs, and why not the newest
    Status(Status),
    /// Show what became of the last changes
    History(History),
    /// Print the completions of a shell
    Completions(Completions),
    /// Print or write the man pages
    Man(Man),
    /// Print the settings as they are in effect, and where each comes from
    Settings(Settings),
    /// Print the JSON Schema by which editors complete and check a file
    Schema(Schema),
}

#[derive(Debug, Arguments)]
pub struct Check {
    /// Fragments, or directories of them; `-` is standard input [default: config.d]
    pub paths: Vec<PathBuf>,
    /// Check again at every change of the files, until Ctrl-C; the last result counts
    #[arg(long)]
    pub watch: bool,
    /// How to show findings
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    pub format: FindingsFormat,
    /// List the variables that the fragments refer to, instead of the findings; values are not shown
    #[arg(long = "variables")]
    pub list_variables: bool,
    /// Let this Envoy program judge the fragments, too, as each kind of node receives them
    #[arg(long, value_name = "PROGRAM", env = "XDS_BRIDGE_ENVOY", hide_env_values = true)]
    pub envoy: Option<PathBuf>,
    /// How long one run of that program may take [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, requires = "envoy")]
    pub envoy_timeout: Option<Duration>,
    /// Let findings of this severity fail the check, too
    #[arg(long, value_name = "SEVERITY")]
    pub deny: Option<Deny>,
}

#[derive(Debug, Arguments)]
pub struct Bootstrap {
    /// `node.id` of the Envoy [default: the host's name]
    #[arg(long, value_name = "ID")]
    pub node_id: Option<String>,
    /// `node.cluster` of the Envoy
    #[arg(long, value_name = "CLUSTER", default_value = "default")]
    pub node_cluster: String,
    /// Where the Envoy finds this bridge, IP:PORT, HOST:PORT or unix:PATH [default: the first unix socket among
    /// `listen` of the settings, else the first address]
    #[arg(long, value_name = "ADDRESS", value_parser = super::bootstrap::xds)]
    pub xds: Option<Endpoint>,
    #[command(flatten)]
    pub tls: EnvoyTls,
    /// Port of the Envoy's admin interface, on 127.0.0.1
    #[arg(long, value_name = "PORT", default_value_t = 9901)]
    pub admin_port: u16,
    /// Variant of the protocol
    #[arg(long, value_name = "API", default_value = "delta")]
    pub api: ApiVariant,
    /// As what to print it; Envoy reads JSON from a file that ends in .json
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    pub format: DocumentFormat,
}

/// How the Envoy connects by TLS; the files are on its machine.
#[derive(Debug, Default, Arguments)]
pub struct EnvoyTls {
    /// Connect by TLS; the bridge's certificate must be signed by one of these CA certificates
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Certificate that the Envoy shows
    #[arg(long, value_name = "FILE", requires_all = ["ca", "key"])]
    pub cert: Option<PathBuf>,
    /// Its private key
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,
    /// Name that the bridge's certificate must have [default: the host of --xds]
    #[arg(long, value_name = "NAME", requires = "ca")]
    pub server_name: Option<String>,
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
    /// Where the Envoy finds this bridge, IP:PORT, HOST:PORT or unix:PATH [default: the first unix socket among
    /// `listen` of the settings, else the first address]
    #[arg(long, value_name = "ADDRESS", value_parser = super::bootstrap::xds)]
    pub xds: Option<Endpoint>,
    #[command(flatten)]
    pub tls: EnvoyTls,
    /// How to show the report
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    pub format: ReportFormat,
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
    /// As what to print it; Envoy reads JSON from a file that ends in .json
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    pub format: DocumentFormat,
}

#[derive(Debug, Arguments)]
pub struct Diff {
    /// Directory of fragments, fragment, static envoy.yaml (v2 or v3), saved config dump, or `daemon:` for what
    /// the running bridge serves (`daemon:ADDRESS` if it is not at its usual --admin address)
    #[arg(value_name = "A")]
    pub before: PathBuf,
    /// What to compare it with
    #[arg(value_name = "B")]
    pub after: PathBuf,
    /// How to show differences
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    pub format: ReportFormat,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DocumentFormat {
    /// YAML with comments
    #[value(alias = "yaml")]
    Human,
    /// The same as JSON
    Json,
}

#[derive(Debug, Arguments)]
pub struct Settings {
    /// How to show them
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    pub format: ReportFormat,
    /// Print a settings file that has each default with its reason, commented out
    #[arg(long)]
    pub example: bool,
}

#[derive(Debug, Arguments)]
pub struct Schema {
    /// Of which file
    #[arg(value_name = "FILE", default_value = "fragment")]
    pub of: SchemaOf,
    /// As what to print it; a JSON Schema is JSON
    #[arg(long, value_name = "FORMAT", default_value = "json")]
    pub format: SchemaFormat,
}

/// Scripts may say `--format json` to every command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SchemaFormat {
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SchemaOf {
    /// A fragment
    Fragment,
    /// The settings file
    Settings,
}

/// Where a bridge is commanded, if anywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminAddress {
    At(Listen),
    None,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people
    Pretty,
    /// One JSON object a line
    Json,
    /// To the systemd journal, with fields
    Journal,
}
