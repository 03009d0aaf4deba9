//! Plain values of settings: each is written as one text.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use clap::builder::{PossibleValue, ValueHint};
use serde_json::{Value as Json, json};

use super::Scalar;
use crate::app::Listen;
use crate::cli::args::{AdminAddress, LogFormat, OnErrorChoice};
use crate::load::scalar;

impl Scalar for String {
    const WHAT: &'static str = "a text";
    const IS_TEXT: bool = true;

    fn parse(text: &str) -> Result<String, String> {
        Ok(text.to_owned())
    }

    fn json(&self) -> Json {
        self.as_str().into()
    }
}

impl Scalar for PathBuf {
    const WHAT: &'static str = "a path";
    const IS_TEXT: bool = true;
    const HINT: ValueHint = ValueHint::AnyPath;

    fn parse(text: &str) -> Result<PathBuf, String> {
        if text.is_empty() || text.contains('\0') {
            return Err("an empty text is no path".to_owned());
        }
        Ok(text.into())
    }

    fn json(&self) -> Json {
        self.to_string_lossy().into()
    }
}

impl Scalar for bool {
    const WHAT: &'static str = "true or false";
    const IS_SWITCH: bool = true;

    fn parse(text: &str) -> Result<bool, String> {
        let on_off =
            || [("on", true), ("off", false)].into_iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
        let value = scalar::quoted_bool(text).or_else(|| on_off().map(|(_, value)| value));
        value.ok_or_else(|| format!("{text:?} is neither true nor false"))
    }

    fn json(&self) -> Json {
        (*self).into()
    }

    fn schema() -> Json {
        json!({ "type": "boolean" })
    }
}

impl Scalar for Duration {
    const WHAT: &'static str = "a time such as 300ms, 2s or 1m";

    fn parse(text: &str) -> Result<Duration, String> {
        humantime::parse_duration(text)
            .map_err(|_| format!("{text:?} is no time: write one such as 300ms, 2s or 1m"))
    }

    fn json(&self) -> Json {
        humantime::format_duration(*self).to_string().into()
    }

    fn schema() -> Json {
        json!({ "type": "string", "pattern": "^\\s*\\d+\\s*[a-z]+(\\s*\\d+\\s*[a-z]+)*\\s*$|^0$" })
    }
}

impl Scalar for Listen {
    const WHAT: &'static str = "an address: IP:PORT or unix:PATH";

    fn parse(text: &str) -> Result<Listen, String> {
        text.parse().map_err(|error: crate::app::AddressError| error.to_string())
    }

    fn json(&self) -> Json {
        self.to_string().into()
    }
}

impl Scalar for usize {
    const WHAT: &'static str = "a number";

    fn parse(text: &str) -> Result<usize, String> {
        text.parse().map_err(|_| format!("{text:?} is no whole number"))
    }

    fn json(&self) -> Json {
        (*self).into()
    }

    fn schema() -> Json {
        json!({ "type": "integer", "minimum": 1 })
    }
}

impl Scalar for AdminAddress {
    const WHAT: &'static str = "an address, IP:PORT or unix:PATH, or `none`";

    fn parse(text: &str) -> Result<AdminAddress, String> {
        if text == "none" { Ok(AdminAddress::None) } else { Listen::parse(text).map(AdminAddress::At) }
    }

    fn json(&self) -> Json {
        match self {
            AdminAddress::At(address) => Scalar::json(address),
            AdminAddress::None => "none".into(),
        }
    }
}

/// A choice between a few words.
macro_rules! choice {
    ($($type:ty),*) => { $(impl Scalar for $type {
        const WHAT: &'static str = "one of a few words";

        fn parse(text: &str) -> Result<$type, String> {
            <$type as ValueEnum>::from_str(text, true)
                .map_err(|_| format!("{text:?} is none of {}", words::<$type>().join(", ")))
        }

        fn json(&self) -> Json {
            self.to_possible_value().map_or(Json::Null, |value| value.get_name().into())
        }

        fn possible() -> Vec<PossibleValue> {
            Self::value_variants().iter().filter_map(ValueEnum::to_possible_value).collect()
        }

        fn schema() -> Json {
            json!({ "enum": words::<$type>() })
        }
    })* };
}

fn words<T: Scalar>() -> Vec<String> {
    <T as Scalar>::possible().iter().map(|value| value.get_name().to_owned()).collect()
}

choice!(LogFormat, OnErrorChoice);
