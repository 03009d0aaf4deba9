//! All settings, one entry each. From an entry follow the flag with its help, the variable, the key of
//! the settings file, the field of [`Settings`], a row of `xds-bridge settings`, the lines of the example
//! file and the key in the schema of the settings file.
//!
//! A default is a value with its reason. No setting holds a secret: keys and certificates are files, and
//! settings name them.

use std::path::PathBuf;
use std::time::Duration;

use clap::Command;
use clap::builder::{PossibleValue, ValueHint};
use serde_json::Value as Json;

use super::super::args::{AdminAddress, LogFormat, OnErrorChoice};
use super::super::logging;
use super::clients::Clients;
use super::kind::{Kind, Names, RuleLevels};
use super::read::{Origin, PREFIX, Reader, Setting};
use super::show::usual;
use crate::app::{Limits, Listen, Listens, Pace};
use crate::diagnostic::Diagnostic;
use crate::source;

/// What is said of a setting.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Its key in the settings file.
    pub name: &'static str,
    /// What it is for; the first line of its flag's help.
    pub help: &'static str,
    /// Why the default is what it is.
    pub because: &'static str,
    /// The default in words, where its value does not say it.
    pub usual: &'static str,
    /// What its flag is called, if not as the key.
    pub flag: &'static str,
    /// What its variable is called behind the prefix, if not as the flag.
    pub variable: &'static str,
    /// The commands that have its flag; none: all.
    pub on: &'static [&'static str],
    /// What stands for its value in help.
    pub value_name: &'static str,
    /// What parts several values in a variable.
    pub split: Option<char>,
    /// A weaker variable that is read, too.
    pub also: Option<&'static str>,
    /// The variable in which systemd gives it.
    pub systemd: Option<&'static str>,
    /// What the file is called in the directory that systemd gives; none: the directory itself is meant.
    pub credential: &'static str,
    /// How it may look in the settings file, where the default shows nothing.
    pub example: &'static str,
    /// The default as JSON.
    pub default: fn() -> Json,
    /// What its values are, as JSON Schema.
    pub schema: fn() -> Json,
    /// Its values, if they are few.
    pub possible: fn() -> Vec<PossibleValue>,
    /// What shells may offer.
    pub hint: ValueHint,
    /// Whether its flag may be repeated.
    pub repeats: bool,
    /// Whether its flag stands alone.
    pub is_switch: bool,
}

impl Entry {
    const PLAIN: Entry = Entry {
        name: "",
        help: "",
        because: "",
        usual: "",
        flag: "",
        variable: "",
        on: SERVE,
        value_name: "VALUE",
        split: None,
        also: None,
        systemd: None,
        credential: "",
        example: "",
        default: || Json::Null,
        schema: || Json::Null,
        possible: Vec::new,
        hint: ValueHint::Other,
        repeats: false,
        is_switch: false,
    };

    /// The name of its flag, without dashes.
    pub fn flag(&self) -> String {
        if self.flag.is_empty() { self.name.replace('_', "-") } else { self.flag.to_owned() }
    }

    /// The name of its variable.
    pub fn variable(&self) -> String {
        let own = if self.variable.is_empty() { self.flag() } else { self.variable.to_owned() };
        format!("{PREFIX}{}", own.replace('-', "_").to_uppercase())
    }

    /// Its help without the blanks that the table has.
    pub fn help(&self) -> &'static str {
        self.help.trim()
    }
}

/// A setting with its value, for people.
#[derive(Debug)]
pub struct Row<'s> {
    /// What is said of it.
    pub entry: &'static Entry,
    /// Its value.
    pub value: Json,
    /// Where it comes from.
    pub from: &'s [Origin],
}

/// `/// help`, `name: kind = default, "reason" { what else is to be said }`, and before the reason what
/// values must fulfil.
macro_rules! settings {
    ($($(#[doc = $help:literal])+ $name:ident: $kind:ty = $default:expr, $because:literal $(if $check:expr)?
        => { $($attribute:ident: $value:expr),* $(,)? })*) => {
        /// What the program is to do, as the user has it: each setting with where it comes from.
        #[derive(Clone, Debug)]
        pub struct Settings { $($(#[doc = $help])+ pub $name: Setting<$kind>,)* }

        /// All settings.
        pub static TABLE: &[Entry] = &[$(Entry {
            $($attribute: $value,)*
            ..Entry {
                name: stringify!($name),
                help: concat!($($help),+),
                because: $because,
                default: || <$kind as Kind>::json(&$default),
                schema: <$kind as Kind>::schema,
                possible: <$kind as Kind>::possible,
                hint: <$kind as Kind>::HINT,
                repeats: <$kind as Kind>::REPEATS,
                is_switch: <$kind as Kind>::IS_SWITCH,
                ..Entry::PLAIN
            }
        }),*];

        impl Settings {
            /// Reads all of them, and what is wrong with any.
            pub fn take(mut reader: Reader<'_>) -> (Settings, Vec<Diagnostic>) {
                let mut entries = TABLE.iter();
                let mut entry = || entries.next().expect("as many entries as fields");
                let settings = Settings {
                    $($name: reader.take(entry(), || $default, settings!(@check $($check)?)),)*
                };
                (settings, reader.finish(TABLE))
            }

            /// All of them in the order of the table.
            pub fn rows(&self) -> Vec<Row<'_>> {
                let mut entries = TABLE.iter();
                let mut entry = || entries.next().expect("as many entries as fields");
                vec![$(Row { entry: entry(), value: Kind::json(&self.$name.value), from: &self.$name.from }),*]
            }
        }
    };
    (@check) => { |_| Ok(()) };
    (@check $check:expr) => { $check };
}

const SERVE: &[&str] = &["serve"];
const LOADING: &[&str] = &["serve", "check"];
const ALL: &[&str] = &[];

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// Refuses times that nobody means.
fn within<T: Copy + Into<Option<Duration>>>(
    low: Duration,
    high: Duration,
) -> impl Fn(&T) -> Result<(), String> {
    move |time| match (*time).into() {
        Some(time) if !(low..=high).contains(&time) => Err(format!(
            "{} is not within {} to {}",
            humantime::format_duration(time),
            humantime::format_duration(low),
            humantime::format_duration(high)
        )),
        _ => Ok(()),
    }
}

fn at_least_one<T>(list: &[T]) -> Result<(), String> {
    if list.is_empty() {
        Err("the list is empty: leave the setting out for its default".to_owned())
    } else {
        Ok(())
    }
}

fn some(number: &usize) -> Result<(), String> {
    if *number == 0 { Err("0 would let nobody in".to_owned()) } else { Ok(()) }
}

fn address(text: &str) -> Listen {
    text.parse().expect("it is written here, and a test reads every default")
}

settings! {
    /// Directory of fragments; may be repeated, later ones replace files of earlier ones
    config_dirs: Vec<PathBuf> = vec!["config.d".into()],
        "beside the one who starts the program, as in a clone of it" if |dirs| at_least_one(dirs) => {
        flag: "config-dir", value_name: "DIR", split: Some(':'), hint: ValueHint::DirPath,
    }
    /// Address for Envoys, IP:PORT[,plain] or unix:PATH[,mode=0660][,group=NAME]; may be repeated
    listen: Listens = Listens(vec![address("127.0.0.1:18000")]),
        "loopback: nothing leaves the machine unless somebody says so" if |list: &Listens| at_least_one(&list.0) => {
        usual: "127.0.0.1:18000, or the sockets that systemd hands over", value_name: "ADDRESS",
    }
    /// Address for `status`, `reload`, probes and metrics, IP:PORT on loopback, unix:PATH, or `none`
    admin: AdminAddress = AdminAddress::At(address("127.0.0.1:18001")),
        "beside the port for Envoys; another bridge on this machine may have it already" => {
        usual: "127.0.0.1:18001, if it is free", value_name: "ADDRESS", on: &["serve", "reload", "status", "history", "diff"],
    }
    /// Allow plain text beyond loopback addresses, and secrets over plain TCP to other users
    insecure: bool = false, "whoever reads along would read keys" => {}
    /// Certificate with which TCP addresses speak TLS, PEM; read again when it changes
    tls_cert: Option<PathBuf> = None, "plain text stays on the machine" => {
        usual: "none, or the credential tls.crt of systemd", value_name: "FILE", example: "/etc/xds-bridge/tls/tls.crt",
        systemd: Some("CREDENTIALS_DIRECTORY"), credential: "tls.crt", hint: ValueHint::FilePath,
    }
    /// Its private key, PEM
    tls_key: Option<PathBuf> = None, "it goes with the certificate" => {
        usual: "none, or the credential tls.key of systemd", value_name: "FILE", example: "/etc/xds-bridge/tls/tls.key",
        systemd: Some("CREDENTIALS_DIRECTORY"), credential: "tls.key", hint: ValueHint::FilePath,
    }
    /// CA certificates of the clients, PEM: who has none that one of them signed is not let in
    tls_client_ca: Option<PathBuf> = None, "only you know whom you trust" => {
        usual: "none, or the credential client-ca.crt of systemd", value_name: "FILE",
        example: "/etc/xds-bridge/tls/client-ca.crt", systemd: Some("CREDENTIALS_DIRECTORY"),
        credential: "client-ca.crt", hint: ValueHint::FilePath,
    }
    /// Who may claim which node: one of san_uri=, san_dns= (globs over the names in the client's certificate, in
    /// which {id} and {cluster} stand for the node's) and unix_uid=, then ids= and clusters= (globs); may be repeated
    clients: Clients = Clients::default(), "who may connect may be any node" => {
        flag: "client", value_name: "RULE",
        example: "[{ san_uri: \"spiffe://example.org/{cluster}/{id}\" }, { unix_uid: 0, ids: [\"edge-*\"] }]",
    }
    /// Open connections
    max_connections: usize = Limits::default().connections,
        "an Envoy has one; some thousand Envoys, and as many that are just coming back" if some => { value_name: "NUMBER" }
    /// Open connections of one IP address (of IPv6: one /64) or user of a unix socket
    max_connections_per_client: usize = Limits::default().connections_per_client,
        "thousands of Envoys may stand behind one address; one that goes mad must leave room for others" if some => {
        value_name: "NUMBER",
    }
    /// Open streams
    max_streams: usize = Limits::default().streams, "an Envoy has one, or one for each name that it asks for" if some => {
        value_name: "NUMBER",
    }
    /// Open streams of one connection
    max_streams_per_connection: usize = Limits::default().streams_per_connection,
        "an Envoy without ADS opens one for each of its thousands of clusters" if some => { value_name: "NUMBER" }
    /// How long TLS may take to be set up
    handshake_deadline: Duration = Limits::default().handshake,
        "some round trips over a bad line" if within(SECOND / 10, MINUTE) => { value_name: "TIME" }
    /// How long a connection, and a stream, may be open without a request
    request_deadline: Duration = Limits::default().first_request,
        "Envoy sends its first at once" if within(SECOND / 10, HOUR) => { value_name: "TIME" }
    /// Serve an empty configuration as such, instead of waiting for the first fragment
    allow_empty: bool = false, "an empty replacement machine must not empty the Envoys that connect to it" => {}
    /// What an error in a fragment does to the others
    on_error: OnErrorChoice = OnErrorChoice::Contain,
        "one team's mistake is not to stop another team's change" => { value_name: "WHAT" }
    /// Keep the last good content of every fragment here, for a start when one is broken
    state_dir: Option<PathBuf> = None, "only you know where there is room for it" => {
        usual: "none, or what systemd's StateDirectory= gives", value_name: "DIR",
        systemd: Some("STATE_DIRECTORY"), example: "/var/lib/xds-bridge", hint: ValueHint::DirPath,
    }
    /// A cluster that the Envoys' own bootstrap has, so that fragments may name it; may be repeated
    external_clusters: Vec<String> = Vec::new(),
        "the one that `xds-bridge bootstrap` prints is known anyway" => {
        flag: "external-cluster", value_name: "NAME", split: Some(','), on: LOADING, example: "[tracing]",
    }
    /// File of variables, NAME=value a line; the environment is stronger; may be repeated, later ones are
    /// stronger
    env_files: Vec<PathBuf> = Vec::new(), "the environment alone" => {
        flag: "env-file", value_name: "FILE", split: Some(':'), on: &["serve", "check", "render", "diff"],
        example: "[/etc/default/envoy-variables]", hint: ValueHint::FilePath,
    }
    /// Replace references to these variables only, as in `NAME,OTHER`; nothing: none
    substitute: Option<Names> = None, "a reference is there to be replaced" => {
        usual: "all", value_name: "NAMES", on: &["serve", "check", "render", "diff"],
        example: "[SERVICE_PORT]",
    }
    /// How long files that are not renamed into place must be quiet before they are read
    settle: Duration = source::Options::new(["."]).settle,
        "an editor is done with its saving well within it" if within(Duration::ZERO, MINUTE) => { value_name: "TIME" }
    /// Look for changes this often instead of being told by the kernel
    poll: Option<Duration> = None, "at once is soonest; every 30s all is looked at in any case"
        if within(Duration::from_millis(10), 24 * HOUR) => {
        usual: "the kernel tells", value_name: "TIME", example: "2s",
    }
    /// After its ACK, how long a cluster that resolves names or checks health may warm up
    warm_up: Duration = Pace::default().settle,
        "a name server in the same network answers well within it" if within(Duration::ZERO, HOUR) => { value_name: "TIME" }
    /// How long a removed cluster outlives a listener that named it itself; Envoy's own --drain-time-s is
    /// safest
    drain: Duration = Pace::default().drain,
        "Envoy closes what is busy within it" if within(Duration::ZERO, HOUR) => { value_name: "TIME" }
    /// How long a client may stay silent before it gets what waits for its ACK
    ack_deadline: Duration = Pace::default().deadline,
        "an Envoy that applies 20 000 clusters was seen to take 8s to its ACK" if within(SECOND / 10, HOUR) => {
        value_name: "TIME",
    }
    /// Further message types: a FileDescriptorSet, as `protoc --include_imports -o` writes it; may be
    /// repeated
    descriptors: Vec<PathBuf> = Vec::new(), "Envoy's API is built in" => {
        value_name: "FILE", split: Some(':'), on: API, example: "[/etc/xds-bridge/own.fds]",
        hint: ValueHint::FilePath,
    }
    /// Take Envoy's API as this Envoy program knows it, such as /usr/bin/envoy
    descriptors_from: Option<PathBuf> = None, "Envoy's API is built in" => {
        value_name: "PROGRAM", on: API, example: "/usr/bin/envoy", hint: ValueHint::FilePath,
    }
    /// How much a rule matters, such as unreachable-route=error or constraint=warning (off, note, warning,
    /// error); may be repeated
    rules: RuleLevels = RuleLevels::default(), "each rule has a severity of its own: docs/findings lists them" => {
        flag: "rule", variable: "rules", value_name: "CODE=SEVERITY", split: Some(','), on: LOADING,
        example: "{ unreachable-route: error, deprecated-field: off }",
    }
    /// What to log, such as `debug` or `xds_bridge::serve=debug,info`; RUST_LOG is read, too
    log: Option<String> = None, "a person at a terminal sees what is loaded and changed anyway"
        if |log: &Option<String>| log.as_ref().map_or(Ok(()), |log| logging::filter(log).map(|_| ())) => {
        usual: "info; warn where people read the output: `serve` at a terminal, `check`", value_name: "FILTER",
        on: ALL, also: Some("RUST_LOG"), example: "debug",
    }
    /// How to log
    log_format: LogFormat = LogFormat::Pretty, "people read it first" => { value_name: "FORMAT", on: ALL }
}

const API: &[&str] = &["serve", "check", "import", "render", "diff", "schema"];

/// Gives each command the flags of its settings; `settings` has all of them.
pub fn with_flags(mut command: Command) -> Command {
    for entry in TABLE {
        if entry.on.is_empty() {
            command = command.arg(arg(entry).global(true));
            continue;
        }
        for name in entry.on.iter().chain(&["settings"]) {
            command = command.mut_subcommand(name, |command| command.arg(arg(entry)));
        }
    }
    command
}

fn arg(entry: &'static Entry) -> clap::Arg {
    let default = match usual(entry) {
        _ if entry.is_switch => String::new(),
        text => format!(" [default: {text}]"),
    };
    let help = format!("{}{default} [env: {}]", entry.help(), entry.variable());
    let arg = clap::Arg::new(entry.name).long(entry.flag()).help(help).help_heading("Settings");
    if entry.is_switch {
        return arg.action(clap::ArgAction::SetTrue);
    }
    let action = if entry.repeats { clap::ArgAction::Append } else { clap::ArgAction::Set };
    arg.action(action)
        .value_name(entry.value_name)
        .value_hint(entry.hint)
        .value_parser(Any((entry.possible)()))
}

/// Takes any text, so that all mistakes are reported together; names what is possible to help and shells.
#[derive(Clone)]
struct Any(Vec<PossibleValue>);

impl clap::builder::TypedValueParser for Any {
    type Value = String;

    fn parse_ref(
        &self,
        command: &Command,
        arg: Option<&clap::Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<String, clap::Error> {
        clap::builder::StringValueParser::new().parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let values = || Box::new(self.0.iter().cloned()) as Box<dyn Iterator<Item = _>>;
        (!self.0.is_empty()).then(values)
    }
}
