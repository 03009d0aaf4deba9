//! An Envoy program on this machine: whether it is one, and what it says to a configuration.
//!
//! Comes in: a path, and configurations. Goes out: its verdict in its own words, without what it quotes.
//! Keeps the invariants that every run ends in time, that what it says is kept in bounds, and that
//! nobody else can read what it was given.

use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use tempfile::TempDir;

/// Longest output that is looked at. Envoy quotes whole configurations.
const MAX_OUTPUT: u64 = 4 << 20;

/// How long `--version` may take.
const GREETING: Duration = Duration::from_secs(20);

/// An Envoy.
pub struct Envoy {
    program: PathBuf,
    /// Such as `1.40.0`.
    pub version: String,
    /// How long one run may take.
    limit: Duration,
    /// Where configurations are written: only we may read it, and it is removed in the end.
    room: TempDir,
}

/// What a program said, and how it ended.
struct Answer {
    code: Option<i32>,
    how: String,
    stdout: String,
    stderr: String,
}

impl Envoy {
    /// Asks the program for its version.
    pub fn find(program: &Path, limit: Duration) -> Result<Envoy> {
        let room = TempDir::with_prefix("xds-bridge-").context("cannot make a temporary directory")?;
        let mut command = Command::new(program);
        command.arg("--version");
        let answer = run(command, program, GREETING)?;
        // `…/envoy  version: <commit>/1.40.0/Clean/RELEASE/BoringSSL`
        let version =
            answer.stdout.split_once("version:").and_then(|(_, rest)| rest.trim().split('/').nth(1));
        let Some(version) = version.filter(|_| answer.code == Some(0)) else {
            return Err(anyhow!(
                "{} is not an Envoy: to `--version` it says `{}` and {}",
                program.display(),
                first_line(&answer.stdout, &answer.stderr),
                answer.how
            ));
        };
        Ok(Envoy { program: program.to_owned(), version: version.to_owned(), limit, room })
    }

    /// What it says to this bootstrap: nothing, or why it refuses it.
    pub fn judge(&self, bootstrap: &str) -> Result<Option<String>> {
        let path = self.room.path().join("envoy.yaml");
        let mut file = std::fs::File::create(&path).and_then(|mut file| {
            file.write_all(bootstrap.as_bytes())?;
            Ok(file)
        });
        file = file.and_then(|mut file| file.flush().map(|()| file));
        file.with_context(|| format!("cannot write {}", path.display()))?;
        let mut command = Command::new(&self.program);
        command.args(["--mode", "validate", "--log-level", "error", "--concurrency", "1", "-c"]).arg(&path);
        command.current_dir(self.room.path());
        let answer = run(command, &self.program, self.limit)?;
        match answer.code {
            Some(0) => Ok(None),
            Some(1) => Ok(Some(reason(&answer.stderr))),
            _ => Err(anyhow!(
                "{} {} while it looked at the configuration; its last words: {}",
                self.program.display(),
                answer.how,
                first_line(&reason(&answer.stderr), "nothing")
            )),
        }
    }
}

/// Runs a program to its end, or to the limit.
fn run(mut command: Command, program: &Path, limit: Duration) -> Result<Answer> {
    let until = Instant::now() + limit;
    // Ctrl-C is for us: we end it.
    command.process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot run {}", program.display()))?;
    let (ended, outputs) = mpsc::channel();
    let pipes: [Box<dyn Read + Send>; 2] = match (child.stdout.take(), child.stderr.take()) {
        (Some(stdout), Some(stderr)) => [Box::new(stdout), Box::new(stderr)],
        _ => return Err(anyhow!("{}: its output cannot be read", program.display())),
    };
    for (which, mut pipe) in pipes.into_iter().enumerate() {
        let ended = ended.clone();
        std::thread::spawn(move || {
            let mut text = Vec::new();
            // What was said until an error, or the limit, is all there is; the rest is only taken away.
            let _ = pipe.by_ref().take(MAX_OUTPUT).read_to_end(&mut text);
            let _ = std::io::copy(&mut pipe, &mut std::io::sink());
            let _ = ended.send((which, String::from_utf8_lossy(&text).into_owned()));
        });
    }
    let mut texts = [String::new(), String::new()];
    for _ in 0..texts.len() {
        let left = until.saturating_duration_since(Instant::now());
        match outputs.recv_timeout(left) {
            Ok((which, text)) => texts[which] = text,
            Err(_) => {
                end(&mut child);
                return Err(anyhow!(
                    "{} did not end within {} (see --envoy-timeout)",
                    program.display(),
                    humantime::format_duration(limit)
                ));
            }
        }
    }
    let [stdout, stderr] = texts;
    // Both outputs are closed: it ends now.
    let status = child.wait().with_context(|| format!("cannot wait for {}", program.display()))?;
    Ok(Answer { code: status.code(), how: format!("ended with {status}"), stdout, stderr })
}

fn end(child: &mut Child) {
    // It may just have ended by itself.
    let _ = child.kill();
    let _ = child.wait();
}

/// Why Envoy refused, from its log.
fn reason(log: &str) -> String {
    const MARK: &str = "error initializing configuration '";
    let message = match log.rsplit_once(MARK).and_then(|(_, rest)| rest.split_once("': ")) {
        Some((_, message)) => message,
        None => log.lines().last().unwrap_or_default(),
    };
    // Nothing of what it quotes is shown: that may hold keys.
    crate::admin::without_quotes(message)
}

fn first_line<'t>(text: &'t str, other: &'t str) -> &'t str {
    let line = |text: &'t str| text.lines().map(str::trim).find(|line| !line.is_empty());
    let line = line(text).or_else(|| line(other)).unwrap_or_default();
    line.char_indices().nth(200).map_or(line, |(end, _)| &line[..end])
}
