//! Reads regular expressions as RE2 does, which is what Envoy compiles them with.
//!
//! Comes in: an expression. Goes out: what RE2 refuses in it, in words, or how large its program
//! is at least. Refuses only what RE2 surely refuses: what it does not know (names of Unicode's
//! groups) it takes. One pass, no recursion, so that time and stack are bounded by the length.

use std::iter::Peekable;
use std::ops::ControlFlow;
use std::str::Chars;

/// How often something may be repeated, nested repetitions multiplied.
const MAX_REPEAT: u64 = 1_000;

/// Reads an expression. Gives a lower bound of the number of instructions that RE2 makes of it.
pub(super) fn check(expression: &str) -> Result<u64, String> {
    let mut reader = Reader { chars: expression.chars().peekable(), groups: vec![Group::default()] };
    loop {
        match reader.step() {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) => break,
            Err(complaint) => return Err(complaint),
        }
    }
    let mut groups = reader.groups;
    match (groups.pop(), groups.is_empty()) {
        (Some(mut group), true) => Ok(group.close().size),
        _ => Err("a `(` is not closed".to_owned()),
    }
}

struct Reader<'e> {
    chars: Peekable<Chars<'e>>,
    /// The groups that are open; the first is the whole expression.
    groups: Vec<Group>,
}

/// A part of an expression.
#[derive(Clone, Copy, Default)]
struct Part {
    /// Least number of instructions.
    size: u64,
    /// How often its most repeated part is repeated.
    repeats: u64,
}

/// What stands between parentheses.
#[derive(Default)]
struct Group {
    /// What is complete of the current alternative.
    done: Part,
    /// What a repetition behind it would repeat.
    last: Option<Part>,
    /// Whether `last` is a repetition already.
    is_repeated: bool,
    /// The largest of the alternatives before.
    largest: Part,
}

impl Group {
    fn push(&mut self, part: Part) {
        self.settle();
        self.last = Some(part);
    }

    /// `last` can no longer be repeated.
    fn settle(&mut self) {
        if let Some(last) = self.last.take() {
            self.done.size = self.done.size.saturating_add(last.size);
            self.done.repeats = self.done.repeats.max(last.repeats);
        }
        self.is_repeated = false;
    }

    fn alternative(&mut self) {
        self.settle();
        let done = std::mem::take(&mut self.done);
        self.largest.size = self.largest.size.max(done.size);
        self.largest.repeats = self.largest.repeats.max(done.repeats);
    }

    fn close(&mut self) -> Part {
        self.alternative();
        self.largest
    }
}

impl Reader<'_> {
    fn group(&mut self) -> &mut Group {
        self.groups.last_mut().expect("the whole expression is a group that nothing closes")
    }

    /// Something that takes an instruction for each of its bytes.
    fn push(&mut self, size: usize) {
        self.group().push(Part { size: size as u64, repeats: 1 });
    }

    fn step(&mut self) -> Result<ControlFlow<()>, String> {
        let Some(c) = self.chars.next() else { return Ok(ControlFlow::Break(())) };
        match c {
            '(' => self.open()?,
            ')' => {
                if self.groups.len() < 2 {
                    return Err("a `)` has no `(` before it".to_owned());
                }
                let part = self.groups.pop().map(|mut group| group.close()).unwrap_or_default();
                // RE2 takes even an empty group as something that can be repeated.
                self.group().push(Part { size: part.size, repeats: part.repeats.max(1) });
            }
            '|' => self.group().alternative(),
            '[' => {
                self.class()?;
                self.push(1);
            }
            '*' | '+' | '?' => self.repeat(&c.to_string(), 1, 1)?,
            '{' => self.brace()?,
            '\\' => self.escape()?,
            '^' | '$' | '.' => self.push(1),
            c => self.push(c.len_utf8()),
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Behind `(`.
    fn open(&mut self) -> Result<(), String> {
        if self.chars.next_if_eq(&'?').is_none() {
            self.groups.push(Group::default());
            return Ok(());
        }
        let mut seen = "(?".to_owned();
        let rest = self.chars.clone().take(2).collect::<String>();
        if rest.starts_with("P<") || rest.starts_with('<') && !matches!(&*rest, "<=" | "<!") {
            self.chars.by_ref().take(rest.find('<').unwrap_or(0) + 1).for_each(drop);
            return self.name();
        }
        let (mut negated, mut any) = (false, false);
        while let Some(c) = self.chars.next() {
            seen.push(c);
            match c {
                'i' | 'm' | 's' | 'U' => any = true,
                '-' if !negated => (negated, any) = (true, false),
                ':' | ')' if !negated || any => {
                    if c == ':' {
                        self.groups.push(Group::default());
                    }
                    return Ok(());
                }
                _ => {
                    seen.extend(self.chars.next_if(|next| matches!(next, '=' | '!')).filter(|_| c == '<'));
                    let hint = match &*seen {
                        "(?=" | "(?!" | "(?<=" | "(?<!" => ": RE2 has no look-around",
                        _ => "",
                    };
                    return Err(format!("`{seen}` is not possible{hint}"));
                }
            }
        }
        Err("a `(` is not closed".to_owned())
    }

    /// Behind `(?P<`.
    fn name(&mut self) -> Result<(), String> {
        let mut name = String::new();
        for c in self.chars.by_ref() {
            if c != '>' {
                name.push(c);
                continue;
            }
            if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || c == '_') {
                break;
            }
            self.groups.push(Group::default());
            return Ok(());
        }
        Err("a group's name must be letters, digits and `_` between `<` and `>`".to_owned())
    }

    /// A repetition; what stands before it is repeated `times` and `at_least` so often.
    fn repeat(&mut self, sign: &str, times: u64, at_least: u64) -> Result<(), String> {
        self.chars.next_if_eq(&'?');
        let group = self.group();
        let Some(last) = group.last else {
            return Err(format!("there is nothing before `{sign}` that it could repeat"));
        };
        if group.is_repeated {
            return Err(format!("`{sign}` stands behind another repetition"));
        }
        let repeats = last.repeats.max(1).saturating_mul(times.max(1));
        if repeats > MAX_REPEAT {
            return Err(format!("`{sign}` repeats something more than {MAX_REPEAT} times"));
        }
        let size = last.size.saturating_mul(at_least);
        group.last = Some(Part { size, repeats });
        group.is_repeated = true;
        Ok(())
    }

    /// Behind `{`, which is a plain character if no counts follow.
    fn brace(&mut self) -> Result<(), String> {
        let inside: String = self.chars.clone().take_while(|c| *c != '}').take(32).collect();
        let is_closed = self.chars.clone().nth(inside.chars().count()) == Some('}');
        let number = |text: &str| {
            let is_plain =
                text.bytes().all(|b| b.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
            text.parse::<u64>().ok().filter(|_| is_plain)
        };
        let counts = match inside.split_once(',') {
            None => number(&inside).map(|n| (n, Some(n))),
            Some((low, "")) => number(low).map(|low| (low, None)),
            Some((low, high)) => number(low).zip(number(high)).map(|(low, high)| (low, Some(high))),
        };
        let Some((low, high)) = counts.filter(|_| is_closed) else {
            self.push(1);
            return Ok(());
        };
        self.chars.by_ref().take(inside.chars().count() + 1).for_each(drop);
        let sign = format!("{{{inside}}}");
        let most = high.unwrap_or(low);
        if most < low || most > MAX_REPEAT || low > MAX_REPEAT {
            return Err(format!("`{sign}` is no possible number of repetitions (at most {MAX_REPEAT})"));
        }
        self.repeat(&sign, most, low)
    }

    /// Behind `\`, outside of a class.
    fn escape(&mut self) -> Result<(), String> {
        match self.chars.peek().copied() {
            Some('Q') => {
                self.chars.next();
                self.quoted();
                return Ok(());
            }
            Some('A' | 'z' | 'b' | 'B' | 'C' | 'd' | 'D' | 's' | 'S' | 'w' | 'W') => {
                self.chars.next();
            }
            Some('p' | 'P') => self.unicode_group()?,
            _ => {
                let size = self.character()?.len_utf8();
                self.push(size);
                return Ok(());
            }
        }
        self.push(1);
        Ok(())
    }

    /// Behind `\Q`: everything is plain up to `\E`.
    fn quoted(&mut self) {
        while let Some(c) = self.chars.next() {
            if c == '\\' && self.chars.next_if_eq(&'E').is_some() {
                return;
            }
            self.push(c.len_utf8());
        }
    }

    /// At the `p` of `\pL` or `\p{Greek}`.
    fn unicode_group(&mut self) -> Result<(), String> {
        let sign = self.chars.next().unwrap_or('p');
        let ended = match self.chars.next() {
            Some('{') => self.chars.any(|c| c == '}'),
            other => other.is_some(),
        };
        if ended { Ok(()) } else { Err(format!("`\\{sign}` needs the name of a group of characters")) }
    }

    /// Behind a `\` that stands for one character.
    fn character(&mut self) -> Result<char, String> {
        let Some(c) = self.chars.next() else { return Err("a `\\` stands at the end".to_owned()) };
        let octal = |reader: &mut Self, first: char, more: usize| {
            let mut code = first.to_digit(8).unwrap_or(0);
            for _ in 0..more {
                let Some(digit) = reader.chars.next_if(|c| c.is_digit(8)) else { break };
                code = code * 8 + digit.to_digit(8).unwrap_or(0);
            }
            char::from_u32(code).unwrap_or('\0')
        };
        Ok(match c {
            '0' => octal(self, c, 2),
            '1'..='7' if self.chars.peek().is_some_and(|c| c.is_digit(8)) => octal(self, c, 2),
            '1'..='9' => return Err(format!("`\\{c}` is not possible: RE2 has no back-references")),
            'x' => return self.hexadecimal(),
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'a' => '\u{7}',
            'f' => '\u{c}',
            'v' => '\u{b}',
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => c,
            c => return Err(format!("`\\{c}` is not possible")),
        })
    }

    fn hexadecimal(&mut self) -> Result<char, String> {
        let bad =
            || "behind `\\x` two hexadecimal digits must stand, or any number of them in `{}`".to_owned();
        let is_braced = self.chars.next_if_eq(&'{').is_some();
        let digits: String = if is_braced {
            let mut digits = String::new();
            loop {
                match self.chars.next() {
                    Some('}') => break digits,
                    Some(c) if digits.len() < 8 => digits.push(c),
                    _ => return Err(bad()),
                }
            }
        } else {
            self.chars.by_ref().take(2).collect()
        };
        let is_whole = if is_braced { !digits.is_empty() } else { digits.len() == 2 };
        if !is_whole || !digits.chars().all(|c| c.is_ascii_hexdigit()) {
            return Err(bad());
        }
        u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32).ok_or_else(bad)
    }

    /// Behind `[`, up to its `]`.
    fn class(&mut self) -> Result<(), String> {
        const UNCLOSED: &str = "a `[` is not closed";
        self.chars.next_if_eq(&'^');
        let mut is_first = true;
        loop {
            let Some(c) = self.chars.peek().copied() else { return Err(UNCLOSED.to_owned()) };
            if c == ']' && !is_first {
                self.chars.next();
                return Ok(());
            }
            is_first = false;
            let mut ahead = self.chars.clone();
            ahead.next();
            let second = ahead.next();
            match (c, second) {
                ('[', Some(':')) if self.named_class()? => continue,
                ('\\', Some('d' | 'D' | 's' | 'S' | 'w' | 'W')) => {
                    self.chars.by_ref().take(2).for_each(drop);
                    continue;
                }
                ('\\', Some('p' | 'P')) => {
                    self.chars.next();
                    self.unicode_group()?;
                    continue;
                }
                _ => {}
            }
            let low = self.class_character()?;
            let mut ahead = self.chars.clone();
            if ahead.next() == Some('-') && ahead.next().is_some_and(|c| c != ']') {
                self.chars.next();
                let high = self.class_character()?;
                if high < low {
                    return Err(format!("in a class, `{low}-{high}` goes backwards"));
                }
            }
        }
    }

    fn class_character(&mut self) -> Result<char, String> {
        match self.chars.next() {
            Some('\\') => self.character(),
            Some(c) => Ok(c),
            None => Err("a `[` is not closed".to_owned()),
        }
    }

    /// At `[:`; false if that is no name of a class but two characters.
    fn named_class(&mut self) -> Result<bool, String> {
        const NAMES: [&str; 14] = [
            "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
            "space", "upper", "word", "xdigit",
        ];
        let rest: String = self.chars.clone().skip(2).take(64).collect();
        let Some(end) = rest.find(":]") else { return Ok(false) };
        let name = &rest[..end];
        if !NAMES.contains(&name.trim_start_matches('^')) {
            return Err(format!("`[:{name}:]` is no class of characters"));
        }
        self.chars.by_ref().take(name.chars().count() + 4).for_each(drop);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a real Envoy takes.
    const TAKEN: [&str; 81] = [
        r"a*?",
        r"a(?i)*",
        r"()*",
        r"^*",
        r"a{2}",
        r"a{1000}",
        r"(a{10}){10}",
        r"a{,5}",
        r"{id}",
        r"/foo/{id}",
        r"a{02}",
        r"a{2}?",
        r"(?P<n>a)",
        r"(?<n>a)",
        r"(?P<n>a)(?P<n>b)",
        r"(?P<1n>a)",
        r"(?i:a)",
        r"(?i-s:a)",
        r"(?)a",
        r"\12",
        r"\0",
        r"\x41",
        r"\x{41}",
        r"\_",
        r"\-",
        r#"\""#,
        r"\<",
        r"\/",
        r"\z",
        r"\A",
        r"\b",
        r"\B",
        r"\C",
        r"\Q(a*\E",
        r"\Qab\E*",
        r"\Q",
        r"\pL",
        r"\p{Greek}",
        r"\p{^Greek}",
        r"é*",
        r"[]a]",
        r"[^]a]",
        r"[a-]",
        r"[-a]",
        r"[a-z-9]",
        r"[\d-z]",
        r"[[:alpha:]]",
        r"[[:^alpha:]]",
        r"[[a]]",
        r"[[a]",
        r"[a&&b]",
        r"[\]]",
        r"[\pL]",
        r"[\x41-\x5a]",
        r"[\-a]",
        r"[\_a]",
        r"^.*$",
        r"^/api/v[0-9]+/.*",
        r"(?:a|b)+",
        r"a||b",
        r"|",
        r"a|",
        r".{3,}",
        r".{3,5}?",
        r"\d+\.\d+",
        r"https?://[^/]+\.example\.com(:\d+)?",
        r"(?s).*",
        r"(?U)a+",
        r"(a*)*",
        r"(?:)*",
        r"$*",
        r"\b*",
        r"[[.a.]]",
        r"[[=a=]]",
        r"[--a]",
        r"(a{0,1000})",
        r"[a-z]{95}",
        r"[a-z]{97}",
        r"[a-z]{110}",
        r"a{0}",
        r"x{1,}",
    ];

    /// What a real Envoy refuses.
    const REFUSED: [&str; 62] = [
        r"a(b",
        r"a)b",
        r"a**",
        r"a*??",
        r"a+*",
        r"*a",
        r"(*a)",
        r"a|*b",
        r"(?i)*",
        r"a{2,1}",
        r"a{1001}",
        r"(a{100}){11}",
        r"a{2}{3}",
        r"{2}",
        r"(?=a)",
        r"(?!a)",
        r"(?<=a)",
        r"(?<!a)",
        r"(?P<n-m>a)",
        r"(?P<>a)",
        r"(?P=n)",
        r"(?P>n)",
        r"(?-:a)",
        r"(?i--s:a)",
        r"(?x)a",
        r"(?u)a",
        r"(?",
        r"(?i",
        r"\1",
        r"\8",
        r"\x4",
        r"\x{110000}",
        r"\x{}",
        r"\xg1",
        r"\q",
        r"\e",
        r"\h",
        r"\Z",
        r"\G",
        r"\K",
        r"\R",
        r"\E",
        r"\p",
        r"\p{Greek",
        r"\é",
        r"[a",
        r"[]",
        r"[^]",
        r"[z-a]",
        r"[a-\d]",
        r"[\b]",
        r"[[:foo:]]",
        r"[[:any:]]",
        r"a\",
        r"(a|b",
        r"a{1,2}{3}",
        r"\u0041",
        r"\cA",
        r"[a--]",
        r"(a{3}){400}",
        r"((a{10}){10}){11}",
        r"(a{0,100}){0,11}",
    ];

    #[test]
    fn an_expression_is_refused_just_where_envoy_refuses_it() {
        for expression in TAKEN {
            assert!(check(expression).is_ok(), "{expression}: {:?}", check(expression));
        }
        for expression in REFUSED {
            assert!(check(expression).is_err(), "{expression}");
        }
    }

    #[test]
    fn the_size_is_what_the_program_has_at_least() {
        for (expression, size) in
            [("", 0), ("abc", 3), ("[a-z]{900}", 900), ("a{3,}b*", 4), ("(abc|d){2}", 6)]
        {
            assert_eq!(check(expression), Ok(size), "{expression}");
        }
    }

    #[test]
    fn long_and_deep_expressions_end_in_time() {
        let deep = format!("{}a{}", "(".repeat(100_000), ")".repeat(100_000));
        assert!(check(&deep).is_ok());
        assert!(check(&"[".repeat(100_000)).is_err());
        assert!(check(&"a{2}".repeat(50_000)).is_ok());
    }
}
