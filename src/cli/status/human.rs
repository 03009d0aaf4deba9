//! A status in words: first whether each Envoy runs the newest, then what keeps one from it, then the rest.

use crate::admin::{Client, Finding, Fragment, Status, Stream, Type, Version};

/// Digits of a version that tell it from others for a person.
const DIGITS: usize = 8;

/// Warnings that are shown.
const MAX_WARNINGS: usize = 5;

/// The whole status.
pub fn whole(status: &Status) -> String {
    let mut text = format!("{}\n{}\n", headline(status), files(status));
    for problem in &status.serving.problems {
        text.push_str(&format!("  {}\n", clean(problem)));
    }
    for fragment in &status.fragments {
        text.push_str(&of_fragment(fragment));
    }
    text.push_str(&warnings(status));
    for client in &status.clients {
        text.push_str(&of_client(client));
    }
    if status.summary.left_out > 0 {
        text.push_str(&format!("\nand {} more clients\n", status.summary.left_out));
    }
    text
}

/// The answer in one line.
pub fn headline(status: &Status) -> String {
    let serving = &status.serving;
    if !serving.ready {
        let why = serving.problems.first().map_or("nothing is loaded yet", String::as_str);
        return format!("NOT SERVING: {}; {} connected", clean(why), many(status.summary.clients, "client"));
    }
    let summary = &status.summary;
    let snapshot = format!("snapshot {}", serving.generation);
    let mut lacking = Vec::new();
    if summary.refused > 0 {
        lacking.push(format!("{} refused some of it", summary.refused));
    }
    if summary.behind > 0 {
        lacking.push(format!("{} behind", summary.behind));
    }
    match (summary.clients, lacking.is_empty()) {
        (0, _) => format!("no Envoy is connected; {snapshot} is served"),
        (1, true) => format!("the one Envoy that is connected runs the newest, {snapshot}"),
        (all, true) => format!("all {all} Envoys run the newest, {snapshot}"),
        (all, false) => {
            format!("{} of {all} Envoys run the newest, {snapshot}; {}", summary.in_sync, lacking.join(", "))
        }
    }
}

fn files(status: &Status) -> String {
    let serving = &status.serving;
    let of = |counts: &std::collections::BTreeMap<String, u64>| {
        let some = counts.iter().filter(|(_, count)| **count > 0);
        some.map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
    };
    let nothing = |text: String| if text.is_empty() { "none".to_owned() } else { text };
    let (files, resources) = (nothing(of(&serving.files)), nothing(of(&serving.resources)));
    let findings = of(&serving.findings);
    let findings = if findings.is_empty() { String::new() } else { format!("; findings: {findings}") };
    format!("files: {files}{findings}; resources: {resources}")
}

fn of_fragment(fragment: &Fragment) -> String {
    let Fragment { path, why, age_seconds, findings, .. } = fragment;
    let mut text = format!("  {} {} ({})\n", clean(path), clean(why), age(*age_seconds));
    for finding in findings {
        text.push_str(&format!("    {}\n", of_finding(finding)));
    }
    text
}

/// The first warnings, and how many there are besides.
fn warnings(status: &Status) -> String {
    let shown = status.warnings.iter().take(MAX_WARNINGS);
    let mut text: String = shown.map(|finding| format!("  {}\n", of_finding(finding))).collect();
    let all = status.serving.findings.get("warning").copied().unwrap_or_default();
    match all.saturating_sub(MAX_WARNINGS as u64) {
        0 => {}
        more => {
            text.push_str(&format!("  and {}; `xds-bridge check` shows all\n", many(more, "more warning")));
        }
    }
    text
}

/// A finding in a line.
pub fn of_finding(finding: &Finding) -> String {
    let Finding { severity, code, file, line, column, message, .. } = finding;
    let place = if *line == 0 { clean(file) } else { format!("{}:{line}:{column}", clean(file)) };
    format!("{place}: {severity}[{code}]: {}", clean(message))
}

/// What people call a client.
pub fn name_of(client: &Client) -> String {
    match (client.node_id.is_empty(), client.node_cluster.is_empty()) {
        (true, _) => format!("a client without a name from {}", clean(&client.address)),
        (false, true) => clean(&client.node_id),
        (false, false) => format!("{} ({})", clean(&client.node_id), clean(&client.node_cluster)),
    }
}

fn of_client(client: &Client) -> String {
    let state = match &*client.state {
        "in_sync" => "runs the newest",
        "refused" => "REFUSES",
        _ => "BEHIND",
    };
    let mut text = format!("\n{}: {state}; ", name_of(client));
    if !client.agent.is_empty() {
        text.push_str(&format!("{}, ", clean(&client.agent)));
    }
    text.push_str(&clean(&client.address));
    if !client.identity.is_empty() {
        text.push_str(&format!(", identity {}", clean(&client.identity)));
    }
    text.push('\n');
    for why in &client.why {
        text.push_str(&format!("  {}\n", clean(why)));
    }
    for of in client.streams.iter().flat_map(|stream| &stream.types).filter(|of| !of.missing.is_empty()) {
        let names = of.missing.iter().map(|name| clean(name)).collect::<Vec<_>>().join(", ");
        text.push_str(&format!("  asks for {} that are not there: {names}\n", of.kind));
    }
    for stream in &client.streams {
        text.push_str(&of_stream(stream));
    }
    text
}

fn of_stream(stream: &Stream) -> String {
    let Stream { peer, variant, service, age_seconds, types, .. } = stream;
    let mut text =
        format!("  stream {service}, {variant}, {}, open for {}\n", clean(peer), age(*age_seconds));
    let head = ["", "wants", "sent", "acknowledged", "refused", "lacks"].map(str::to_owned);
    let rows: Vec<[String; 6]> = std::iter::once(head).chain(types.iter().map(row)).collect();
    let widths: Vec<usize> =
        (0..6).map(|at| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0)).collect();
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        text.push_str(&format!("    {}\n", cells.collect::<Vec<_>>().join("  ").trim_end()));
    }
    text
}

fn row(of: &Type) -> [String; 6] {
    let version = |version: &Option<Version>| match version {
        None => "-".to_owned(),
        Some(Version { version, age_seconds, .. }) => {
            format!("{} {} ago", version.get(..DIGITS).unwrap_or(version), age(*age_seconds))
        }
    };
    let wants = match (of.wildcard, of.names) {
        (true, 0) => "all".to_owned(),
        (true, names) => format!("all, {names} by name"),
        (false, names) => format!("{names} by name"),
    };
    let lacks = if of.behind == 0 { "-".to_owned() } else { of.behind.to_string() };
    [of.kind.clone(), wants, version(&of.sent), version(&of.acknowledged), version(&of.rejected), lacks]
}

/// An age in its largest unit.
fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

fn many(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// What a client or a file may have chosen, without what would command a terminal.
pub fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::{Bridge, Serving, Summary};

    fn status(summary: Summary) -> Status {
        let serving = Serving { ready: true, generation: 7, ..Serving::default() };
        Status { serving, summary, bridge: Bridge::default(), ..Status::default() }
    }

    #[test]
    fn the_first_line_says_whether_each_envoy_runs_the_newest() {
        let line = |clients, in_sync, behind, refused| {
            headline(&status(Summary { clients, in_sync, behind, refused, ..Summary::default() }))
        };
        assert_eq!(line(0, 0, 0, 0), "no Envoy is connected; snapshot 7 is served");
        assert_eq!(line(1, 1, 0, 0), "the one Envoy that is connected runs the newest, snapshot 7");
        assert_eq!(line(3, 3, 0, 0), "all 3 Envoys run the newest, snapshot 7");
        assert_eq!(
            line(3, 1, 1, 1),
            "1 of 3 Envoys run the newest, snapshot 7; 1 refused some of it, 1 behind"
        );
        let mut unready = status(Summary::default());
        unready.serving = Serving { problems: vec!["waiting".into()], ..Serving::default() };
        assert_eq!(headline(&unready), "NOT SERVING: waiting; 0 clients connected");
    }

    #[test]
    fn a_client_cannot_command_the_terminal() {
        let mut status = status(Summary::default());
        let node_id = "\u{1b}[2J\u{9b}evil\r\n".to_owned();
        let why = vec!["refuses \u{1b}]0;x\u{7}".to_owned()];
        let stream = Stream { peer: "\u{1b}c".into(), ..Stream::default() };
        status.clients.push(Client { node_id, why, streams: vec![stream], ..Client::default() });
        let text = whole(&status);
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
        assert!(text.contains("evil"), "{text}");
    }

    #[test]
    fn a_client_that_does_not_say_what_it_is_has_no_hole_in_its_line() {
        let client = |agent: &str| {
            let (node_id, address, state) = ("n".to_owned(), "127.0.0.1".to_owned(), "in_sync".to_owned());
            of_client(&Client { node_id, address, state, agent: agent.to_owned(), ..Client::default() })
        };
        assert_eq!(client(""), "\nn: runs the newest; 127.0.0.1\n");
        assert_eq!(client("envoy 1"), "\nn: runs the newest; envoy 1, 127.0.0.1\n");
    }

    #[test]
    fn of_many_warnings_the_first_are_shown_and_the_others_counted() {
        let lines = |count: u32| {
            let finding = |line| Finding { file: "a.yaml".into(), line, ..Finding::default() };
            let mut status = status(Summary::default());
            status.warnings = (1..=count).map(finding).collect();
            status.serving.findings.insert("warning".into(), count.into());
            warnings(&status)
        };
        assert_eq!(lines(0), "");
        assert_eq!((lines(5).lines().count(), lines(5).contains("more")), (5, false));
        assert!(lines(7).ends_with("  and 2 more warnings; `xds-bridge check` shows all\n"), "{}", lines(7));
    }

    #[test]
    fn ages_are_told_in_their_largest_unit() {
        assert_eq!([59, 60, 7200, 200_000].map(age), ["59 s", "1 min", "2 h", "2 d"]);
    }
}
