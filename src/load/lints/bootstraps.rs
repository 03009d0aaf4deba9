//! What an Envoy asks of its own bootstrap, and how it speaks with others.

use super::super::decode::Decoder;
use super::super::yaml::Node;
use super::{child, elements, entry, is_value, text};
use crate::diagnostic::Severity;

impl Decoder<'_> {
    /// The protocol that was removed from Envoy in 2021.
    pub(super) fn lint_transport_version(&mut self, node: &Node<'_>) {
        let version = child(node, "transport_api_version");
        let Some(version) = version.filter(|it| is_value(Some(it), "V2", 1)) else { return };
        // Where Envoy speaks V3 whatever is written: `hds_config`, which stands in no message but the bootstrap, and `load_stats_config`.
        let around = self.within.last().map(|ty| &*ty.name);
        let is_passed_over = self.findings.unserved
            && around.is_none_or(|name| name == "envoy.config.bootstrap.v3.ClusterManager");
        let severity = if is_passed_over { Severity::Warning } else { Severity::Error };
        self.findings.retract("deprecated-value", version.span);
        let message = "Envoy no longer speaks version 2 of the protocol";
        self.findings
            .add_under("transport_api_version", severity, "disallowed-value", version.span, message)
            .hint = Some("write `transport_api_version: V3`".to_owned());
    }

    /// The layers of the runtime: each with a name of its own, one of them for the admin interface, and one that is
    /// fetched says from where.
    pub(super) fn lint_layers(&mut self, node: &Node<'_>) {
        let layers = elements(node, "layers");
        let mut admin = None;
        for (index, layer) in layers.iter().enumerate() {
            let place = format!("layers[{index}]");
            if let Some(name) = text(layer, "name")
                && layers[..index].iter().any(|other| text(other, "name") == Some(name))
            {
                let span = child(layer, "name").map_or(layer.span, |name| name.span);
                let message = format!("a layer before has the name {}, too", self.findings.quote(name));
                self.misplaced_part(
                    &format!("{place}.name"),
                    span,
                    &message,
                    "give each a name of its own, or write their values into one",
                );
            }
            if let Some(own) = entry(layer, "admin_layer")
                && admin.replace(index).is_some()
            {
                let message = "a layer before takes what is set by the admin interface";
                self.misplaced_part(
                    &format!("{place}.admin_layer"),
                    own.key_span,
                    message,
                    "leave one of them",
                );
            }
            if let Some(fetched) = entry(layer, "rtds_layer")
                && fetched.value.entries().is_some()
                && child(&fetched.value, "rtds_config").is_none()
            {
                let message = "this layer does not say from where it comes";
                let hint = "add `rtds_config: { resource_api_version: V3, ads: {} }`, or another source";
                self.findings
                    .add_under(
                        &format!("{place}.rtds_layer"),
                        Severity::Error,
                        "missing-part",
                        fetched.key_span,
                        message,
                    )
                    .hint = Some(hint.to_owned());
            }
        }
    }
}
