//! Files of variables, `NAME=value` a line, as Docker and systemd have them.
//!
//! Comes in: the text of such a file. Goes out: its variables in order, or the first line that is none
//! of the forms of docs/variables.md. Keeps the invariant that no value gets into an error.

/// A line that cannot be read. Values are not shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct EnvFileError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong, in words.
    pub problem: &'static str,
}

/// Reads a file of variables. Of equal names the last one is meant.
pub fn parse_env_file(text: &[u8]) -> Result<Vec<(String, String)>, EnvFileError> {
    let text = std::str::from_utf8(text).map_err(|error| EnvFileError {
        line: text[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1,
        problem: "this is not UTF-8 text",
    })?;
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut line = 1;
    let mut variables = Vec::new();
    while !rest.is_empty() {
        let before = rest;
        let read = entry(&mut rest);
        variables.extend(read.map_err(|problem| EnvFileError { line, problem })?);
        line += before[..before.len() - rest.len()].matches('\n').count();
    }
    Ok(variables)
}

/// Takes one entry, several lines if it is quoted, off the front.
fn entry(rest: &mut &str) -> Result<Option<(String, String)>, &'static str> {
    let (line, after) = split_line(rest);
    let trimmed = line.trim();
    if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
        *rest = after;
        return Ok(None);
    }
    let Some((name, _)) = line.split_once('=') else {
        *rest = after;
        // Docker takes a bare name from the environment, where it is looked up anyway.
        return if is_name(trimmed) { Ok(None) } else { Err("expected NAME=value") };
    };
    let bare = name.trim();
    let bare =
        bare.strip_prefix("export").filter(|name| name.starts_with([' ', '\t'])).unwrap_or(bare).trim();
    if !is_name(bare) {
        return Err("a name consists of letters, digits and `_`, and does not begin with a digit");
    }
    let value = rest[name.len() + 1..].trim_start_matches([' ', '\t']);
    let (value, after) = match value.as_bytes().first() {
        Some(b'\'') => single_quoted(value)?,
        Some(b'"') => double_quoted(value)?,
        _ => (plain(split_line(value).0).to_owned(), after),
    };
    *rest = after;
    Ok(Some((bare.to_owned(), value)))
}

fn split_line(text: &str) -> (&str, &str) {
    text.split_once('\n').unwrap_or((text, ""))
}

/// Without quotes: up to a comment, which begins behind a blank.
fn plain(value: &str) -> &str {
    let starts = value.match_indices('#').map(|(at, _)| at);
    let mut comments = starts.filter(|at| *at == 0 || value[..*at].ends_with([' ', '\t']));
    value[..comments.next().unwrap_or(value.len())].trim()
}

/// As it stands up to the next quote, over lines if need be.
fn single_quoted(value: &str) -> Result<(String, &str), &'static str> {
    let (text, after) = value[1..].split_once('\'').ok_or(UNCLOSED)?;
    Ok((text.to_owned(), end_of_line(after)?))
}

/// With the escapes `\n`, `\r`, `\t`, `\"`, `\\` and `\$`; any other backslash stands for itself.
fn double_quoted(value: &str) -> Result<(String, &str), &'static str> {
    let mut text = String::new();
    let mut characters = value[1..].char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((text, end_of_line(&value[1 + at + 1..])?)),
            '\\' => match characters.next().ok_or(UNCLOSED)?.1 {
                'n' => text.push('\n'),
                'r' => text.push('\r'),
                't' => text.push('\t'),
                escaped @ ('"' | '\\' | '$') => text.push(escaped),
                other => text.extend(['\\', other]),
            },
            other => text.push(other),
        }
    }
    Err(UNCLOSED)
}

const UNCLOSED: &str = "a quoted value is never closed";

/// Behind a closing quote only a comment may follow.
fn end_of_line(after: &str) -> Result<&str, &'static str> {
    let (line, rest) = split_line(after);
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        Ok(rest)
    } else {
        Err("something follows the closing quote of a value")
    }
}

/// Whether a text may be the name of a variable.
pub(super) fn is_name(text: &str) -> bool {
    let starts = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    text.bytes().next().is_some_and(starts) && text.bytes().all(|byte| starts(byte) || byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Vec<(String, String)> {
        parse_env_file(text.as_bytes()).expect("a good file")
    }

    fn one(text: &str) -> String {
        let mut variables = read(text);
        assert_eq!(variables.len(), 1, "{text:?}: {variables:?}");
        variables.remove(0).1
    }

    #[test]
    fn every_form_of_a_line_is_read_as_documented() {
        for (line, value) in [
            ("A=b", "b"),
            ("A=", ""),
            (" A = b c \r\n", "b c"),
            ("export A=b", "b"),
            ("A=b#c", "b#c"),
            ("A=b # c", "b"),
            ("A=# c", ""),
            ("A='b # \"c\" \\n'", "b # \"c\" \\n"),
            ("A='b\nc' # d\n", "b\nc"),
            (r#"A="b\n\"c\"\t\\ \$ \d""#, "b\n\"c\"\t\\ $ \\d"),
            ("A=b=c", "b=c"),
            ("A=${B}", "${B}"),
            ("\u{feff}A=b", "b"),
        ] {
            assert_eq!(one(line), value, "{line:?}");
        }
        assert_eq!(read("# c\n; c\n\n  \nNAME\nA=1\nA=2\n").len(), 2);
    }

    #[test]
    fn a_wrong_line_is_named_without_its_value() {
        for (text, line) in [
            ("A=1\n1B=hunter2\n", 2),
            ("A='x\ny'\nwhat is hunter2\n", 3),
            ("\n\nA='hunter2\n\n", 3),
            ("A=\"hunter2\\", 1),
            ("A='x' hunter2\n", 1),
            ("A B=hunter2", 1),
        ] {
            let error = parse_env_file(text.as_bytes()).expect_err(text);
            assert_eq!(error.line, line, "{text:?}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
        assert_eq!(parse_env_file(b"A=1\n\xff").expect_err("binary").line, 2);
    }

    proptest! {
        #[test]
        fn any_value_survives_in_single_quotes(value in "[^']{0,20}", text in "(\\PC|[\n\r\t\"'\\\\=#]){0,40}") {
            prop_assert_eq!(one(&format!("A='{value}'")), value);
            let _ = parse_env_file(text.as_bytes());
        }
    }
}
