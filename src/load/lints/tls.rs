//! TLS: certificates that must be there, and names of ciphers that Envoy's library knows.

use super::super::decode::Decoder;
use super::super::yaml::Node;
use super::{child, elements, entry};
use crate::diagnostic::Severity;

/// Fields of which one gives a server its certificate.
const CERTIFICATES: [&str; 7] = [
    "tls_certificates",
    "tls_certificate_sds_secret_configs",
    "tls_certificate_provider_instance",
    "tls_certificate_certificate_provider",
    "tls_certificate_certificate_provider_instance",
    "custom_tls_certificate_selector",
    "custom_handshaker",
];

/// Fields of which one says who is trusted.
const AUTHORITIES: [&str; 5] = [
    "trusted_ca",
    "ca_certificate_provider_instance",
    "ca_certificate_provider",
    "custom_validator_config",
    "system_root_certs",
];

/// The ciphers up to TLS 1.2 of BoringSSL, as Envoy takes them; the last one since 1.40.
const CIPHERS: [&str; 22] = [
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
    "ECDHE-PSK-CHACHA20-POLY1305",
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-RSA-AES128-SHA256",
    "ECDHE-ECDSA-AES256-SHA",
    "ECDHE-RSA-AES256-SHA",
    "ECDHE-PSK-AES128-CBC-SHA",
    "ECDHE-PSK-AES256-CBC-SHA",
    "AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
    "AES128-SHA",
    "AES256-SHA",
    "PSK-AES128-CBC-SHA",
    "PSK-AES256-CBC-SHA",
    "DES-CBC3-SHA",
    "ECDHE-ECDSA-AES128-SHA256",
];

/// BoringSSL's names of groups of ciphers.
const GROUPS: [&str; 28] = [
    "ALL", "kRSA", "kECDHE", "kEECDH", "ECDH", "kPSK", "aRSA", "aECDSA", "ECDSA", "aPSK", "ECDHE", "EECDH",
    "RSA", "PSK", "3DES", "AES128", "AES256", "AES", "AESGCM", "CHACHA20", "SHA", "SHA1", "SSLv3", "TLSv1",
    "TLSv1.2", "HIGH", "FIPS", "DEFAULT",
];

/// BoringSSL's rules, which are no names.
const RULES: [&str; 1] = ["@STRENGTH"];

impl Decoder<'_> {
    /// A server shows a certificate.
    pub(super) fn lint_server_certificate(&mut self, node: &Node<'_>) {
        if node.entries().is_none() {
            return;
        }
        let common = entry(node, "common_tls_context");
        let has = |field: &str| {
            let given = common.and_then(|entry| child(&entry.value, field));
            given.is_some_and(|it| it.entries().is_some() || !it.elements().is_empty())
        };
        if !CERTIFICATES.iter().any(|field| has(field)) {
            let span = common.map_or_else(|| self.findings.head(node.span), |entry| entry.key_span);
            let hint = "add `tls_certificates` or `tls_certificate_sds_secret_configs`";
            self.missing_part(span, "a server needs a certificate, and here is none", hint);
        }
    }

    /// A client shows one certificate at most.
    pub(super) fn lint_client_certificate(&mut self, node: &Node<'_>) {
        let Some(common) = child(node, "common_tls_context") else { return };
        if let [_, second, ..] = elements(common, "tls_certificates") {
            let span = self.findings.head(second.span);
            let message = "a client has one certificate at most";
            self.misplaced_part("common_tls_context.tls_certificates[1]", span, message, "remove it");
        }
    }

    /// Names and lists of revoked certificates mean nothing without an authority.
    pub(super) fn lint_trust(&mut self, node: &Node<'_>) {
        let Some(context) = child(node, "validation_context") else { return };
        if AUTHORITIES.iter().any(|field| child(context, field).is_some()) {
            return;
        }
        for field in ["match_typed_subject_alt_names", "match_subject_alt_names", "crl"] {
            let Some(given) = entry(context, field) else { continue };
            if field != "crl" && given.value.elements().is_empty() {
                continue;
            }
            let message = format!("`{field}` needs `trusted_ca`: without it nobody's word is proven");
            let hint = "add `trusted_ca: { filename: … }`";
            self.missing_part(given.key_span, &message, hint);
        }
    }

    /// A certificate and its key come together.
    pub(super) fn lint_certificate_pair(&mut self, node: &Node<'_>) {
        if ["pkcs12", "private_key_provider"].iter().any(|field| child(node, field).is_some()) {
            return;
        }
        let pair = (entry(node, "certificate_chain"), entry(node, "private_key"));
        let (given, missing) = match pair {
            (Some(given), None) => (given, "private_key"),
            (None, Some(given)) => (given, "certificate_chain"),
            _ => return,
        };
        let message = format!("this certificate has no `{missing}`");
        self.missing_part(given.key_span, &message, &format!("add `{missing}`"));
    }

    pub(super) fn lint_ciphers(&mut self, node: &Node<'_>) {
        for (index, suite) in elements(node, "cipher_suites").iter().enumerate() {
            // Names stand between colons and, in a group of equals, bars; before them what is done with them;
            // and names that are joined by `+` say which ciphers are meant together.
            let names = suite.text().unwrap_or_default().split([':', '|']);
            let names = names.map(|name| name.trim_matches(['[', ']']).trim_start_matches(['!', '-', '+']));
            let bad =
                names.flat_map(|name| name.split('+')).find(|name| !name.is_empty() && !is_cipher(name));
            let Some(name) = bad else { continue };
            let place = format!("cipher_suites[{index}]");
            let shown = self.findings.quote(name);
            let message = format!("Envoy's TLS library has no cipher {shown} to choose");
            let hint = if name.starts_with("TLS_AES_") || name.starts_with("TLS_CHACHA20_") {
                "ciphers of TLS 1.3 are always on: remove it"
            } else if name.contains([' ', ',', ';']) {
                "make each name an element of the list"
            } else {
                "remove it; such as ECDHE-RSA-AES128-GCM-SHA256 is possible"
            };
            let span = self.findings.head(suite.span);
            self.findings.add_under(&place, Severity::Error, "bad-cipher", span, message).hint =
                Some(hint.to_owned());
        }
    }
}

/// Whether BoringSSL has a cipher, a group of them, or a rule of this name. Names of the standards
/// (`TLS_RSA_WITH_…`) are not all known here: they pass.
fn is_cipher(name: &str) -> bool {
    CIPHERS.contains(&name)
        || GROUPS.contains(&name)
        || RULES.contains(&name)
        || name.starts_with("TLS_") && name.contains("_WITH_")
}
