//! Placeholders in a source: `${NAME}` stays as it is, whatever stands around it.
//!
//! YAML alone would not read `{ address: ${HOST} }`, so the parser is shown stand-ins of the same
//! length, and everything that is kept is taken from the text itself.

/// The text with each placeholder replaced by a word of the same length in bytes.
pub fn stand_ins(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let length = placeholder(from);
        match length {
            // A literal `$${` is a text as any other.
            Some(length) if !before.ends_with('$') => {
                out.extend(std::iter::repeat_n('P', length));
                rest = &from[length..];
            }
            _ => {
                out.push_str(if before.ends_with('$') { "_P" } else { "${" });
                rest = &from[2..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// Whether there is a placeholder in a text.
pub fn has_any(text: &str) -> bool {
    text.contains("${")
}

/// How long the placeholder is with which a text begins, if it is one.
fn placeholder(text: &str) -> Option<usize> {
    let inner = text.strip_prefix("${")?;
    let name = inner.len() - inner.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_').len();
    if name == 0 || inner.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let behind = &inner[name..];
    if behind.starts_with('}') {
        return Some(2 + name + 1);
    }
    if !(behind.starts_with(":-") || behind.starts_with(":?")) {
        return None;
    }
    let line = behind.split('\n').next().unwrap_or_default();
    Some(2 + name + line.find('}')? + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stand_in_is_as_long_as_its_placeholder() {
        for text in
            ["a: ${A}", "{ a: ${A:-b c}, b: ${B:?no b} }", "a: $${A} ${", "é ${É} ${1} ${A", "${A:+x}"]
        {
            assert_eq!(stand_ins(text).len(), text.len(), "{text}");
        }
        assert_eq!(stand_ins("a: ${A}, $B, ${C:-x}"), "a: PPPP, $B, PPPPPPP");
    }
}
