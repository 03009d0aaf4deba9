//! Prometheus' text format 0.0.4: families of samples, escaped as it asks.

use std::fmt::{Display, Write};

use crate::serve::{BOUNDS, Counted};

/// A text under construction.
#[derive(Debug, Default)]
pub struct Exposition(String);

impl Exposition {
    /// Begins a family; its samples follow.
    pub fn family(&mut self, name: &'static str, kind: &str, help: &str) -> Family<'_> {
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        Family { out: &mut self.0, name }
    }

    /// A family of one sample without labels.
    pub fn one(&mut self, name: &'static str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help).sample(&[], value);
    }

    /// The text.
    pub fn finish(self) -> String {
        self.0
    }
}

/// The samples of one family.
pub struct Family<'e> {
    out: &'e mut String,
    name: &'static str,
}

impl Family<'_> {
    /// Adds a sample.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.line("", labels, None, value);
    }

    /// Adds the samples of a histogram.
    pub fn histogram(&mut self, labels: &[(&str, &str)], counted: &Counted) {
        for (place, count) in counted.up_to.iter().enumerate() {
            let bound = BOUNDS.get(place).map_or_else(|| "+Inf".to_owned(), f64::to_string);
            self.line("_bucket", labels, Some(&bound), count);
        }
        self.line("_sum", labels, None, counted.sum);
        self.line("_count", labels, None, counted.count());
    }

    fn line(&mut self, suffix: &str, labels: &[(&str, &str)], bound: Option<&str>, value: impl Display) {
        let _ = write!(self.out, "{}{suffix}", self.name);
        let all = labels.iter().copied().chain(bound.map(|bound| ("le", bound)));
        for (at, (label, text)) in all.clone().enumerate() {
            let _ = write!(self.out, "{}{label}=\"{}\"", if at == 0 { '{' } else { ',' }, escaped(text));
        }
        let close = if all.count() == 0 { "" } else { "}" };
        let _ = writeln!(self.out, "{close} {value}");
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped_and_histograms_end_with_infinity() {
        let mut text = Exposition::default();
        text.family("a", "gauge", "A.").sample(&[("x", "q\"b\\n\n")], 1.5);
        text.family("h", "histogram", "H.").histogram(&[("x", "y")], &Counted::default());
        let text = text.finish();
        assert!(text.starts_with("# HELP a A.\n# TYPE a gauge\na{x=\"q\\\"b\\\\n\\n\"} 1.5\n"), "{text}");
        assert!(text.contains("h_bucket{x=\"y\",le=\"0.001\"} 0\n"), "{text}");
        assert!(
            text.ends_with("h_bucket{x=\"y\",le=\"+Inf\"} 0\nh_sum{x=\"y\"} 0\nh_count{x=\"y\"} 0\n"),
            "{text}"
        );
    }
}
