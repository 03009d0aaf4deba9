//! Numbers of JSON in free-form values, on their way into YAML.
//!
//! Comes in: a tree that was JSON. Goes out: the same with its numbers written so that YAML has them as
//! numbers, and a remark for each that it cannot have: Envoy reads a plain scalar of YAML as a number only
//! if it is an integer of 32 bits. Where the API says that a number is wanted, texts are taken, too.

use super::report::Report;
use super::tree::{Form, Node};
use super::typed::{self, is_typed_struct, type_of};
use crate::envoy_api::{Api, WellKnown};
use crate::load::scalar::json_number;

/// Settles all free-form values in a message.
pub fn settle(api: &Api, message: &str, node: &mut Node, report: &mut Report) {
    typed::walk(api, message, node, &mut |ty, node| match ty.well_known {
        Some(WellKnown::Struct | WellKnown::ListValue | WellKnown::Value) => free_form(node, report),
        None if is_typed_struct(&ty.name) => {
            let inner = node.text_at("type_url").and_then(|url| api.message(type_of(url)));
            // What is known is walked as what it is.
            if let (None, Some(value)) = (inner, node.get_mut("value")) {
                free_form(value, report);
            }
        }
        _ => {}
    });
}

fn free_form(node: &mut Node, report: &mut Report) {
    let line = node.line;
    if let Form::Scalar(scalar) = &node.form {
        let number = if scalar.plain { json_number(&scalar.text) } else { None };
        let Some(number) = number.filter(|_| scalar.text.parse::<i32>().is_err()) else { return };
        let small = number as i32;
        if f64::from(small) == number {
            *node = Node::plain(&small.to_string());
            node.line = line;
        } else {
            report.decide(line, format!("{} {ONLY_IN_JSON}", scalar.text));
        }
        return;
    }
    for child in node.children_mut() {
        free_form(&mut child.value, report);
    }
}

const ONLY_IN_JSON: &str = "is a number in JSON and a text in YAML, as Envoy reads it: if the number matters, keep this resource in a .json file";
