//! The server under measurement, as a process: its command line, and what the kernel says it costs.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running server; killed when dropped.
pub struct Server(Child);

impl Server {
    /// Starts a command, with `{dir}` and `{port}` in it filled in.
    pub fn start(command: &str, dir: &Path, port: u16) -> Server {
        let dir = dir.to_str().expect("a temporary directory of ours");
        let filled = command.replace("{dir}", dir).replace("{port}", &port.to_string());
        let mut words = filled.split_whitespace();
        let mut process = Command::new(words.next().expect("a command"));
        process.args(words).stdout(Stdio::null()).stderr(Stdio::inherit());
        Server(process.spawn().expect("the server starts"))
    }

    /// CPU time used so far, by all threads that ever were.
    pub fn cpu(&self) -> Duration {
        cpu_of(self.0.id())
    }

    /// Resident memory, in MiB.
    pub fn memory(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a process has memory");
        let kib: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kib / 1024.0
    }

    /// Waits until it does nothing any more; gives when that began.
    pub async fn idle(&self) -> Instant {
        let (mut last, mut since) = (self.cpu(), Instant::now());
        while since.elapsed() < Duration::from_millis(400) {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let now = self.cpu();
            // A tick now and then is housekeeping.
            if now > last + Duration::from_millis(10)
                || (now > last && since.elapsed() < Duration::from_millis(60))
            {
                (last, since) = (now, Instant::now());
            }
        }
        since
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn cpu_of(process: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).expect("it runs");
    let fields: Vec<&str> = stat.rsplit_once(')').expect("its name").1.split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<u64>().expect("a number");
    // USER_HZ is 100 on every Linux.
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}
