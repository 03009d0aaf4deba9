//! What two fields of a message say together: exactly one of them, or the second not below the first;
//! and texts of a form that the API does not tell.
//!
//! Comes in: a message and the names of its fields. Goes out: findings. All of it was asked of a real Envoy,
//! and so were the values that count where a field is not given.

use super::super::decode::Decoder;
use super::super::scalar::{self, Typed, typed};
use super::super::yaml::Node;
use super::{child, elements, entry, is_value, number};
use crate::diagnostic::Severity;

/// The methods of which a request has a body, with their numbers in the API.
const WITH_BODY: [(&str, u64); 4] = [("POST", 3), ("PUT", 4), ("OPTIONS", 7), ("PATCH", 9)];

/// The sizes that Envoy gives a ring.
const SMALLEST_RING: &str = "1024";

impl Decoder<'_> {
    /// Two texts, of which exactly one says something.
    pub(super) fn lint_one_text(&mut self, node: &Node<'_>, fields: [&str; 2]) {
        if node.entries().is_none() {
            return;
        }
        let given = fields.map(|field| entry(node, field));
        // What is no text has been said.
        if given.iter().flatten().any(|entry| entry.value.text().is_none()) {
            return;
        }
        let says = given.map(|entry| entry.filter(|entry| entry.value.text() != Some("")));
        match says {
            [Some(first), Some(second)] => {
                let later = if first.key_span < second.key_span { second } else { first };
                let message = format!("only one of `{}` and `{}` may be given", fields[0], fields[1]);
                self.misplaced_part(&later.key, later.key_span, &message, "remove one of them");
            }
            [None, None] => {
                let span = given.into_iter().flatten().next().map_or(node.span, |entry| entry.value.span);
                let message = format!("neither `{}` nor `{}` is given", fields[0], fields[1]);
                self.missing_part(self.findings.head(span), &message, &format!("add `{}`", fields[0]));
            }
            _ => {}
        }
    }

    /// Fields that Envoy's API has and Envoy has not.
    pub(super) fn lint_unimplemented(&mut self, node: &Node<'_>, fields: &[&str]) {
        for field in fields {
            let Some(given) = entry(node, field) else { continue };
            let message =
                format!("`{field}` stands in Envoy's API only: no Envoy can do it, and all refuse it");
            self.misplaced_part(field, given.key_span, &message, "remove it");
        }
    }

    /// Two numbers or durations, of which the second must not be smaller; `default` counts where the first is
    /// not given.
    pub(super) fn lint_order(
        &mut self,
        node: &Node<'_>,
        inside: &str,
        (low, high): (&str, &str),
        default: &str,
    ) {
        let Some(end) = child(node, high) else { return };
        let given = child(node, low);
        let from = given.map_or_else(|| measure_of(default), measure);
        if from.zip(measure(end)).is_none_or(|(from, to)| from <= to) {
            return;
        }
        let than = match given.map(Node::text) {
            None => format!(", which is {default} where it is not given"),
            Some(Some(text)) => format!(", which is {text}"),
            Some(None) => String::new(),
        };
        let message = format!("`{high}` must be at least `{low}`{than}");
        let place = format!("{inside}{high}");
        self.findings.add_under(&place, Severity::Error, "empty-range", end.span, message);
    }

    /// The times between attempts. Asked of what Envoy looks at when it is told, which is not all that has such
    /// times.
    pub(super) fn lint_back_off(&mut self, inside: &str, times: &Node<'_>) {
        self.lint_order(times, inside, ("base_interval", "max_interval"), "");
    }

    pub(super) fn lint_back_off_in(&mut self, inside: &str, node: &Node<'_>, field: &str) {
        if let Some(times) = child(node, field) {
            self.lint_back_off(&format!("{inside}{field}."), times);
        }
    }

    /// The same of a `retry_policy`, one of `envoy.config.core.v3`.
    pub(super) fn lint_retries(&mut self, inside: &str, node: &Node<'_>) {
        if let Some(policy) = child(node, "retry_policy") {
            self.lint_back_off_in(&format!("{inside}retry_policy."), policy, "retry_back_off");
        }
    }

    /// The sizes of a ring to hash by.
    pub(super) fn lint_ring(&mut self, node: &Node<'_>, inside: &str) {
        self.lint_order(node, inside, ("minimum_ring_size", "maximum_ring_size"), SMALLEST_RING);
    }

    /// Ranges of statuses, none of which may be empty; elsewhere Envoy takes an empty range, and nothing matches.
    pub(super) fn lint_statuses(&mut self, node: &Node<'_>, field: &str) {
        for (at, range) in elements(node, field).iter().enumerate() {
            let read = |end| child(range, end).map_or(Some(0), number);
            let (Some(start), Some(end)) = (read("start"), read("end")) else { continue };
            let (side, message) = if range.entries().is_none() {
                continue;
            } else if end <= start {
                ("end", format!("`end` must be greater than `start`, which is {start}"))
            } else if start < 100 {
                ("start", "statuses begin at 100".to_owned())
            } else if end > 600 {
                ("end", "statuses go up to 599, so `end` to 600".to_owned())
            } else {
                continue;
            };
            let span = child(range, side).map_or_else(|| self.findings.head(range.span), |side| side.span);
            let place = format!("{field}[{at}].{side}");
            self.findings.add_under(&place, Severity::Error, "empty-range", span, message);
        }
    }

    /// The request of a health check has a body only if its method has one.
    pub(super) fn lint_check_request(&mut self, node: &Node<'_>) {
        let method = child(node, "method");
        if let Some(send) = entry(node, "send")
            && !WITH_BODY.iter().any(|(name, number)| is_value(method, name, *number))
        {
            let message = "a health check of this method has no body to `send`";
            self.misplaced_part("send", send.key_span, message, "set `method: POST`, PUT, PATCH or OPTIONS");
        }
    }

    /// Bytes as hexadecimal digits.
    pub(super) fn lint_hex(&mut self, node: &Node<'_>, field: &str) {
        let Some(value) = child(node, field) else { return };
        let is_hex = |text: &str| text.len().is_multiple_of(2) && text.bytes().all(|b| b.is_ascii_hexdigit());
        if let Some(Typed::Text(shown)) =
            typed(value).filter(|it| matches!(it, Typed::Text(text) if !is_hex(text)))
        {
            let message =
                format!("{} is not made of pairs of hexadecimal digits", self.findings.quote(&shown));
            let hex: String = shown.bytes().take(16).map(|byte| format!("{byte:02x}")).collect();
            let hint = (shown.len() <= 16 && !self.findings.secret)
                .then(|| format!("if the text itself is meant, write \"{hex}\""));
            let span = self.findings.head(value.span);
            self.findings.add_under(field, Severity::Error, "bad-hex", span, message).hint = hint;
        }
    }

    /// What a selector of subsets falls back on: some of its keys, and not all.
    pub(super) fn lint_subset(&mut self, node: &Node<'_>) {
        let names = |field| elements(node, field).iter().filter_map(Node::text).collect::<Vec<_>>();
        let (keys, fallback) = (names("keys"), names("fallback_keys_subset"));
        let place = entry(node, "fallback_keys_subset").map_or(node.span, |entry| entry.key_span);
        let place = self.findings.head(place);
        if !is_value(child(node, "fallback_policy"), "KEYS_SUBSET", 4) {
            if !fallback.is_empty() {
                let message = "only the `fallback_policy` KEYS_SUBSET has a `fallback_keys_subset`";
                self.misplaced_part(
                    "fallback_keys_subset",
                    place,
                    message,
                    "remove it, or change the policy",
                );
            }
            return;
        }
        if fallback.is_empty() {
            let hint = "add `fallback_keys_subset` with some of the `keys`";
            self.missing_part(place, "KEYS_SUBSET needs `fallback_keys_subset`", hint);
        } else if let Some(other) = fallback.iter().find(|name| !keys.contains(name)) {
            let message = format!("{} is none of the `keys`", self.findings.quote(other));
            self.misplaced_part(
                "fallback_keys_subset",
                place,
                &message,
                "only some of the `keys` are possible",
            );
        } else if keys.iter().all(|key| fallback.contains(key)) {
            let message = "`fallback_keys_subset` holds all of the `keys`, so it is no subset";
            self.misplaced_part(
                "fallback_keys_subset",
                place,
                message,
                "leave out at least one of the `keys`",
            );
        }
    }

    /// Settings of HTTP/2 that are given by their numbers: each is given once, and in one way.
    pub(super) fn lint_settings(&mut self, node: &Node<'_>) {
        const NAMED: [(u64, &str); 3] =
            [(1, "hpack_table_size"), (3, "max_concurrent_streams"), (4, "initial_stream_window_size")];
        let settings = elements(node, "custom_settings_parameters");
        let read = |setting| {
            Some((child(setting, "identifier").and_then(number)?, child(setting, "value").and_then(number)?))
        };
        for (at, setting) in settings.iter().enumerate() {
            let Some((id, value)) = read(setting) else { continue };
            let named = NAMED.iter().find(|(number, name)| *number == id && child(node, name).is_some());
            let differs = |other| read(other).is_some_and(|(other, to)| other == id && to != value);
            let (message, hint) = match (id, named) {
                (_, Some((_, name))) => {
                    (format!("this setting is given as `{name}`, too"), "remove one of them")
                }
                (2, _) if value == 1 => {
                    ("Envoy does not take pushes, so it cannot ask for them".to_owned(), "remove it")
                }
                (8, _) => (
                    "this setting is possible as `allow_connect` only".to_owned(),
                    "write `allow_connect: true`",
                ),
                _ if settings[..at].iter().any(differs) => {
                    ("this setting stands before, with another value".to_owned(), "remove one of them")
                }
                _ => continue,
            };
            let place = format!("custom_settings_parameters[{at}]");
            let span = self.findings.head(setting.span);
            self.misplaced_part(&place, span, &message, hint);
        }
    }
}

/// A number, or a duration in milliseconds, as Envoy compares them.
fn measure(node: &Node<'_>) -> Option<u64> {
    if let Some(seconds) = child(node, "seconds") {
        let nanos = child(node, "nanos").map_or(Some(0), number)?;
        return number(seconds)?.checked_mul(1000)?.checked_add(nanos / 1_000_000);
    }
    number(node).or_else(|| measure_of(node.text()?))
}

fn measure_of(text: &str) -> Option<u64> {
    let Some(time) = scalar::duration(text) else { return scalar::unsigned(text).ok() };
    let millis = u64::try_from(time.nanos).ok()? / 1_000_000;
    u64::try_from(time.seconds).ok()?.checked_mul(1000)?.checked_add(millis)
}
