//! A bootstrap as JSON, for programs and for who keeps JSON files.
//!
//! Comes in: the text of a bootstrap of today's API. Goes out: the same message as JSON, with the names of the
//! API; what a text has besides (comments, anchors) is not in it. Keeps the invariant that both texts are
//! the same message: what cannot be read as one is an error.

use std::sync::Arc;

use super::ImportError;
use super::bootstrap::BOOTSTRAP;
use super::message;
use super::shown::json;
use crate::diagnostic::{Diagnostic, Position};
use crate::envoy_api::Api;
use crate::load;

/// The bootstrap in this text as JSON.
///
/// # Errors
/// What is wrong with it first.
pub fn bootstrap_json(api: &Api, file: &Arc<str>, text: &str) -> Result<serde_json::Value, ImportError> {
    let (bytes, findings) = load::load_message(api, BOOTSTRAP, file, text.as_bytes());
    if let Some(error) = findings.into_iter().find(Diagnostic::is_error) {
        let at = Position::of(text, error.span.unwrap_or_default().start);
        return Err(ImportError::Unreadable { file: file.clone(), at, message: error.message });
    }
    let unusable = |message: String| ImportError::Unusable { file: file.clone(), message };
    let ty = api.message(BOOTSTRAP).ok_or_else(|| unusable(format!("the API has no {BOOTSTRAP}")))?;
    let tree = message::decode(api, ty, &bytes.unwrap_or_default());
    Ok(json(&tree.map_err(|error| unusable(error.to_string()))?, str::to_owned))
}
