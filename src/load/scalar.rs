//! What a scalar means: Envoy's own typing, and the text forms that proto3 JSON takes.
//!
//! Comes in: the text of a scalar, and whether it is written in a way that leaves its type open. Goes
//! out: numbers, booleans, bytes, times. Keeps the invariant that a text means here what it means to
//! Envoy's loader (yaml-cpp, then protobuf's JSON reader), so that a file which works there has the
//! same values here. Pure functions, no places, no findings.

use std::borrow::Cow;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::yaml::{Node, Style, Value};

/// What Envoy takes a scalar for, before it knows the field.
#[derive(Clone, Debug, PartialEq)]
pub enum Typed<'a> {
    /// Nothing, `~`, `null`.
    Null,
    /// `true`, `yes`, `on`, `y` and their opposites.
    Bool(bool),
    /// A decimal, hexadecimal or octal integer of 32 bits.
    Number(i32),
    /// Everything else: larger integers in decimal, fractions as they are written.
    Text(Cow<'a, str>),
}

/// Types a scalar as Envoy does. `None` for lists, mappings, files that are no text, and what is not known.
pub fn typed<'a>(node: &'a Node<'_>) -> Option<Typed<'a>> {
    if let Value::File(bytes) = &node.value {
        return std::str::from_utf8(bytes).ok().map(|text| Typed::Text(Cow::Borrowed(text)));
    }
    let Value::Scalar(text, style) = &node.value else { return None };
    if node.is_null() {
        return Some(Typed::Null);
    }
    let is_open = match node.tag.as_deref() {
        None => matches!(style, Style::Plain | Style::Number),
        // yaml-cpp keeps quoted texts apart by giving them the tag `!`, which any other tag replaces.
        Some(tag) => tag != "!",
    };
    Some(if is_open { by_content(text) } else { Typed::Text(Cow::Borrowed(text)) })
}

fn by_content(text: &str) -> Typed<'_> {
    if let Some(value) = yaml_bool(text) {
        return Typed::Bool(value);
    }
    match yaml_integer(text) {
        None => Typed::Text(Cow::Borrowed(text)),
        Some(number) => match i32::try_from(number) {
            Ok(small) => Typed::Number(small),
            Err(_) => Typed::Text(Cow::Owned(number.to_string())),
        },
    }
}

/// The number that a text is in JSON; nothing if it is none there.
pub fn json_number(text: &str) -> Option<f64> {
    let digits = text.strip_prefix('-').unwrap_or(text).as_bytes();
    let is_led_by_zero = matches!(digits, [b'0', b'0'..=b'9', ..]);
    let is_bounded = digits.first()?.is_ascii_digit() && digits.last()?.is_ascii_digit();
    let has_bare_point =
        text.split_once('.').is_some_and(|(_, rest)| !rest.starts_with(|c: char| c.is_ascii_digit()));
    let is_number = is_bounded && !is_led_by_zero && !has_bare_point;
    // What Rust takes besides begins with a letter, a sign or a point.
    text.parse().ok().filter(|number: &f64| is_number && number.is_finite())
}

/// yaml-cpp's booleans: all lower case, all upper case, or with a capital.
fn yaml_bool(text: &str) -> Option<bool> {
    Some(match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "true" | "True" | "TRUE" => true,
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" | "false" | "False" | "FALSE" => false,
        _ => return None,
    })
}

/// yaml-cpp's integers: C's `strtoll` with base 0 over the whole text.
fn yaml_integer(text: &str) -> Option<i64> {
    let first = *text.as_bytes().first()?;
    if !(first.is_ascii_digit() || first == b'-' || first == b'+') {
        return None;
    }
    let (negative, digits) = match first {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (digits, radix) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&digits[2..], 16),
        [b'0', _, ..] => (&digits[1..], 8),
        _ => (digits, 10),
    };
    if !digits.as_bytes().first().is_some_and(|byte| (*byte as char).is_digit(radix)) {
        return None;
    }
    let number = i128::from_str_radix(digits, radix).ok()?;
    i64::try_from(if negative { -number } else { number }).ok()
}

/// Why a text is no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberError {
    /// It is not a number at all.
    NotANumber,
    /// It has a fractional part where an integer is wanted.
    Fraction,
    /// It does not fit.
    OutOfRange,
}

/// The largest integer that a number with a decimal point may stand for, signed and unsigned.
const FLOAT_SIGNED: f64 = 9_007_199_254_740_992.0;
const FLOAT_UNSIGNED: f64 = 18_014_398_509_481_984.0;

/// A signed integer from the text of a JSON string or number: `80`, `+80`, `80.0`, `8e1`.
pub fn signed(text: &str) -> Result<i64, NumberError> {
    if let Ok(number) = text.parse::<i64>() {
        return Ok(number);
    }
    let number = float_as_integer(text, -FLOAT_SIGNED, FLOAT_SIGNED)?;
    Ok(number as i64)
}

/// An unsigned integer, otherwise as [`signed`].
pub fn unsigned(text: &str) -> Result<u64, NumberError> {
    if let Ok(number) = text.parse::<u64>() {
        return Ok(number);
    }
    let number = float_as_integer(text, 0.0, FLOAT_UNSIGNED)?;
    Ok(number as u64)
}

fn float_as_integer(text: &str, low: f64, high: f64) -> Result<f64, NumberError> {
    let digits = text.trim_start_matches(['+', '-']);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(NumberError::OutOfRange);
    }
    let number = match digits.as_bytes() {
        // A quoted hexadecimal number: Envoy's number reader takes it, if by accident.
        [b'0', b'x' | b'X', hex @ ..] if hex.first().is_some_and(u8::is_ascii_hexdigit) => {
            let magnitude = u64::from_str_radix(&digits[2..], 16).map_err(|_| NumberError::NotANumber)?;
            if text.starts_with('-') { -(magnitude as f64) } else { magnitude as f64 }
        }
        _ if text.contains(char::is_whitespace) => return Err(NumberError::NotANumber),
        _ => text.parse::<f64>().map_err(|_| NumberError::NotANumber)?,
    };
    match number {
        n if !n.is_finite() => Err(NumberError::NotANumber),
        n if n < low || n > high => Err(NumberError::OutOfRange),
        n if n.fract() != 0.0 => Err(NumberError::Fraction),
        n => Ok(n),
    }
}

/// A double from the text of a JSON string: `0.5`, `1e3`, `NaN`, `Infinity`, `-Infinity`.
pub fn double(text: &str) -> Option<f64> {
    text.trim_matches([' ', '\t', '\n', '\r']).parse::<f64>().ok()
}

/// A boolean from the text of a JSON string: what Envoy's reader takes, in any case.
pub fn quoted_bool(text: &str) -> Option<bool> {
    let is = |words: [&str; 5]| words.iter().any(|word| word.eq_ignore_ascii_case(text));
    if is(["true", "t", "yes", "y", "1"]) {
        Some(true)
    } else if is(["false", "f", "no", "n", "0"]) {
        Some(false)
    } else {
        None
    }
}

/// Seconds and nanoseconds, of equal sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seconds {
    /// Whole seconds.
    pub seconds: i64,
    /// The rest, in nanoseconds.
    pub nanos: i32,
}

/// The longest duration that protobuf knows, in seconds: ten thousand years.
const MAX_SECONDS: i64 = 315_576_000_000;

/// A duration such as `1.5s`.
pub fn duration(text: &str) -> Option<Seconds> {
    let number = text.strip_suffix('s')?;
    let (negative, number) = match number.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, number),
    };
    let (whole, fraction) = match number.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (number, None),
    };
    let seconds = digits(whole, 1, 12)?;
    let nanos = fraction.map_or(Some(0), nanos_of_fraction)?;
    if seconds > MAX_SECONDS {
        return None;
    }
    Some(if negative { Seconds { seconds: -seconds, nanos: -nanos } } else { Seconds { seconds, nanos } })
}

fn nanos_of_fraction(fraction: &str) -> Option<i32> {
    let value = digits(fraction, 1, 9)?;
    let scale = 10_i64.pow(9 - u32::try_from(fraction.len()).ok()?);
    i32::try_from(value * scale).ok()
}

/// A decimal number of so many digits and nothing else.
fn digits(text: &str, at_least: usize, at_most: usize) -> Option<i64> {
    let fits = (at_least..=at_most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if fits { text.parse().ok() } else { None }
}

/// A point in time such as `2026-01-31T12:00:00.5Z` or with an offset `+01:00`, from the year 1 on.
pub fn timestamp(text: &str) -> Option<Seconds> {
    let (date, time) = text.split_once('T')?;
    let mut parts = date.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let (year, month, day) = (digits(year, 4, 4)?, digits(month, 2, 2)?, digits(day, 2, 2)?);
    if parts.next().is_some() || year == 0 || day == 0 || day > days_of_month(year, month)? {
        return None;
    }
    let zone_at = time.find(['Z', '+', '-'])?;
    let offset = zone_offset(&time[zone_at..])?;
    let (clock, fraction) = match time[..zone_at].split_once('.') {
        Some((clock, fraction)) => (clock, Some(fraction)),
        None => (&time[..zone_at], None),
    };
    let mut parts = clock.split(':');
    let (hour, minute, second) = (parts.next()?, parts.next()?, parts.next()?);
    let (hour, minute, second) = (digits(hour, 2, 2)?, digits(minute, 2, 2)?, digits(second, 2, 2)?);
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = days_since_epoch(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - offset;
    Some(Seconds { seconds, nanos: fraction.map_or(Some(0), nanos_of_fraction)? })
}

fn zone_offset(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let (hours, minutes) = (digits(hours, 2, 2)?, digits(minutes, 2, 2)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3_600 + minutes * 60))
}

fn days_of_month(year: i64, month: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    Some(match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    })
}

/// Days from 1970-01-01, in the Gregorian calendar; years are counted from March, so that the leap
/// day is a year's last.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year / 4 - year / 100 + year / 400;
    year * 365 + leap_days + (month * 306 + 5) / 10 + day - 1 - 719_468
}

/// Base64 of either alphabet, padded to the end or not at all, with loose last bits as Envoy takes them.
pub fn base64(text: &str) -> Option<Vec<u8>> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true),
    );
    if text.ends_with('=') && !text.len().is_multiple_of(4) {
        return None;
    }
    if text.contains(['-', '_']) {
        return LENIENT.decode(text.replace('-', "+").replace('_', "/")).ok();
    }
    LENIENT.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> Typed<'_> {
        by_content(text)
    }

    #[test]
    fn plain_scalars_are_typed_as_yaml_cpp_does() {
        for (text, value) in [("y", true), ("On", true), ("TRUE", true), ("no", false), ("Off", false)] {
            assert_eq!(plain(text), Typed::Bool(value), "{text}");
        }
        let numbers = [
            ("0", 0),
            ("-0", 0),
            ("017", 15),
            ("0755", 493),
            ("0x1F", 31),
            ("-0x1f", -31),
            ("+5", 5),
            ("2147483647", i32::MAX),
            ("-2147483648", i32::MIN),
        ];
        for (text, value) in numbers {
            assert_eq!(plain(text), Typed::Number(value), "{text}");
        }
        for text in [
            "0.25",
            "1e3",
            ".inf",
            "0o17",
            "1_000",
            "08",
            "0x",
            "0x+1",
            "-",
            "+",
            "tRuE",
            "2026-01-31",
            "1.0",
        ] {
            assert_eq!(plain(text), Typed::Text(text.into()), "{text}");
        }
        assert_eq!(plain("0x100000000"), Typed::Text("4294967296".into()));
        assert_eq!(plain("18446744073709551615"), Typed::Text("18446744073709551615".into()));
    }

    #[test]
    fn numbers_of_json_are_what_its_grammar_says() {
        for (text, number) in
            [("0", 0.0), ("-0.5", -0.5), ("1e3", 1e3), ("1.0", 1.0), ("3000000000", 3e9), ("1E-2", 0.01)]
        {
            assert_eq!(json_number(text), Some(number), "{text}");
        }
        for text in
            ["", "-", "01", "-00.5", "+1", ".5", "1.", "1.e3", "e3", "1e", "inf", "NaN", "0x1", "1 ", "1e999"]
        {
            assert_eq!(json_number(text), None, "{text}");
        }
    }

    #[test]
    fn integers_may_be_written_as_whole_floats() {
        assert_eq!(signed("80.0"), Ok(80));
        assert_eq!(signed("-8e1"), Ok(-80));
        assert_eq!(unsigned("0x10"), Ok(16));
        assert_eq!(unsigned("18446744073709551615"), Ok(u64::MAX));
        assert_eq!(unsigned("18446744073709551616"), Err(NumberError::OutOfRange));
        assert_eq!(unsigned("-1"), Err(NumberError::OutOfRange));
        assert_eq!(signed("1.5"), Err(NumberError::Fraction));
        for text in ["", " 80", "80 ", "eighty", "NaN", "inf", "0x", "0x-1", "1__0"] {
            assert_eq!(signed(text), Err(NumberError::NotANumber), "{text:?}");
        }
    }

    #[test]
    fn durations_are_seconds_with_up_to_nine_digits() {
        assert_eq!(duration("1.5s"), Some(Seconds { seconds: 1, nanos: 500_000_000 }));
        assert_eq!(duration("-0.000000001s"), Some(Seconds { seconds: 0, nanos: -1 }));
        assert_eq!(duration("315576000000s"), Some(Seconds { seconds: 315_576_000_000, nanos: 0 }));
        for text in ["1", "s", ".5s", "5.s", "1m", "1000ms", "1 s", "315576000001s", "1.1234567891s", "+1s"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn timestamps_count_from_the_epoch() {
        let at = |text| timestamp(text).map(|t| (t.seconds, t.nanos));
        assert_eq!(at("1970-01-01T00:00:00Z"), Some((0, 0)));
        assert_eq!(at("2000-02-29T12:34:56.25Z"), Some((951_827_696, 250_000_000)));
        assert_eq!(at("1970-01-01T01:00:00+01:00"), Some((0, 0)));
        assert_eq!(at("0001-01-01T00:00:00Z"), Some((-62_135_596_800, 0)));
        assert_eq!(at("9999-12-31T23:59:59Z"), Some((253_402_300_799, 0)));
        for text in ["2023-02-29T00:00:00Z", "2023-01-01", "2023-01-01T00:00:00", "2023-01-01T00:00:00z", "T"]
        {
            assert_eq!(at(text), None, "{text}");
        }
    }

    #[test]
    fn base64_takes_both_alphabets_and_no_padding() {
        assert_eq!(base64("+/8="), Some(vec![0xfb, 0xff]));
        assert_eq!(base64("-_8"), Some(vec![0xfb, 0xff]));
        assert_eq!(base64("YR"), Some(b"a".to_vec()));
        assert_eq!(base64("YWI"), base64("YWI="));
        for text in ["Y", "YQ=", "YWI==", "YWJj=", "YWJj===="] {
            assert_eq!(base64(text), None, "{text}");
        }
        assert_eq!(base64("a b="), None);
    }

    #[test]
    fn quoted_booleans_are_read_loosely() {
        assert_eq!(quoted_bool("T"), Some(true));
        assert_eq!(quoted_bool("0"), Some(false));
        assert_eq!(quoted_bool("on"), None);
    }
}
