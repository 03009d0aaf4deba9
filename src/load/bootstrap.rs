//! An Envoy bootstrap as a fragment: its static resources are served, the rest is only checked.

use super::decode::StaticSecrets;
use super::fragment::{Reader, Scope};
use super::suggest;
use super::yaml::{Entry, Node};
use crate::envoy_api::{FieldType, MessageType};
use crate::resource::Kind;

impl<'a> Reader<'a> {
    /// Reads `static_resources`.
    pub(super) fn static_resources(&mut self, entry: &Entry<'_>, scope: &mut Scope) {
        let value = &entry.value;
        if value.is_null() {
            return;
        }
        let Some(entries) = value.entries() else {
            self.decoder.findings.wrong_type(value, "a mapping with `listeners`, `clusters` and `secrets`");
            return;
        };
        let secrets = value.get(&["secrets"]).map(Node::elements).unwrap_or_default();
        let names = secrets.iter().filter_map(|secret| secret.get(&["name"])?.text());
        self.decoder.static_secrets = StaticSecrets::Here(names.map(str::to_owned).collect());
        let before = self.decoder.findings.enter("static_resources");
        for entry in entries {
            match Kind::from_fragment_key(&entry.key) {
                Some(kind @ (Kind::Listener | Kind::Cluster | Kind::Secret)) => self.list(kind, entry, scope),
                _ => self.unknown_static(entry),
            }
        }
        self.decoder.findings.back(before);
        self.decoder.static_secrets = StaticSecrets::Elsewhere;
    }

    fn unknown_static(&mut self, entry: &Entry<'_>) {
        let message = format!("`static_resources` has no field `{}`", entry.key);
        let hint = match Kind::from_fragment_key(&entry.key) {
            Some(_) => {
                Some(format!("`{}` stands at the top of a fragment, beside `static_resources`", entry.key))
            }
            None if self.bootstrap.is_some_and(|ty| ty.field(&entry.key).is_some()) => {
                Some(format!("`{}` stands at the top, beside `static_resources`", entry.key))
            }
            None => suggest::hint(&entry.key, ["listeners", "clusters", "secrets"].into_iter()),
        };
        let before = self.decoder.findings.enter_key(&entry.key);
        self.decoder.findings.error("unknown-field", entry.key_span, message).hint = hint;
        self.decoder.findings.back(before);
    }

    /// Checks what only a bootstrap can hold. It is not served, so a type that is not known there
    /// does no harm.
    pub(super) fn bootstrap_only(&mut self, ty: &'a MessageType, field: &'a FieldType, entry: &Entry<'_>) {
        if entry.value.is_null() {
            return;
        }
        self.decoder.findings.unserved = true;
        self.decoder.judged_field(ty, field, entry, &mut Vec::new());
        self.decoder.findings.unserved = false;
    }
}
