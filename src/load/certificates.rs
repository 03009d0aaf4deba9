//! Certificates and keys that stand in a fragment, or in files that it names: do they parse, does the
//! key fit, for how long are they good?
//!
//! Comes in: a message that holds them, and the present time. Goes out: findings, and when the first
//! certificate of the item expires. What cannot be judged here (`filename:`, encrypted keys, kinds of
//! keys that are not read) is left to Envoy; nothing is refused that Envoy takes.

use std::borrow::Cow;

use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_cert::certificate::{CertificateInner, Raw};
use x509_cert::der::Decode;
use x509_cert::der::asn1::AnyRef;
use x509_cert::spki::SubjectPublicKeyInfoRef;

use super::decode::Decoder;
use super::scalar;
use super::yaml::{Node, Value};
use crate::diagnostic::{Severity, Span};
use crate::envoy_api::MessageType;

const TLS_CERTIFICATE: &str = "envoy.extensions.transport_sockets.tls.v3.TlsCertificate";
const VALIDATION_CONTEXT: &str = "envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext";

const DAY: i64 = 86_400;

/// Certificates are renewed weeks before they expire; one with less left will not be by itself.
const SOON: i64 = 14 * DAY;

/// What is known of the certificates of one item.
#[derive(Debug, Default)]
pub(super) struct Certificates {
    /// Whether they are looked at: in fragments, not in messages alone.
    pub are_checked: bool,
    /// Now, in seconds since 1970, if it is to be told what has expired.
    pub now: Option<i64>,
    /// When the first of the certificates so far expires.
    pub expires: Option<i64>,
}

/// PEM in a fragment, with its place.
struct Pem<'n> {
    bytes: Cow<'n, [u8]>,
    span: Span,
}

impl Pem<'_> {
    fn mentions(&self, what: &str) -> bool {
        memchr::memmem::find(&self.bytes, what.as_bytes()).is_some()
    }
}

impl Decoder<'_> {
    /// Looks at the certificates of the two messages that hold some.
    pub(super) fn check_certificates(&mut self, ty: &MessageType, node: &Node<'_>) {
        if !self.certificates.are_checked {
            return;
        }
        if &*ty.name == TLS_CERTIFICATE {
            self.check_pair(node);
        } else if &*ty.name == VALIDATION_CONTEXT
            && let Some(pem) = pem(node, &["trusted_ca", "trustedCa"])
        {
            let before = self.findings.enter("trusted_ca");
            self.parse_certificates(&pem);
            self.findings.back(before);
        }
    }

    fn check_pair(&mut self, node: &Node<'_>) {
        let chain = pem(node, &["certificate_chain", "certificateChain"]);
        let before = self.findings.enter("certificate_chain");
        let certificates = chain.as_ref().and_then(|pem| self.parse_certificates(pem)).unwrap_or_default();
        if let Some(chain) = &chain {
            self.check_expiry(&certificates, chain.span);
        }
        self.findings.back(before);
        let Some(key) = pem(node, &["private_key", "privateKey"]) else { return };
        let before = self.findings.enter("private_key");
        self.check_key(&key, certificates.first(), chain.map(|chain| chain.span), node);
        self.findings.back(before);
    }

    /// The certificates of a PEM text; with a finding if they are none.
    fn parse_certificates(&mut self, pem: &Pem<'_>) -> Option<Vec<CertificateInner<Raw>>> {
        if pem.mentions("BEGIN TRUSTED CERTIFICATE") || pem.mentions("BEGIN X509 CERTIFICATE") {
            return None;
        }
        let problem = match CertificateDer::pem_slice_iter(&pem.bytes).collect::<Result<Vec<_>, _>>() {
            Ok(found) if found.is_empty() => {
                "there is no certificate in this; it begins with -----BEGIN CERTIFICATE-----"
            }
            Err(_) => "this is not well-formed PEM",
            Ok(found) => {
                let parsed: Result<Vec<_>, _> =
                    found.iter().map(|der| CertificateInner::from_der(der)).collect();
                match parsed {
                    Ok(certificates) => return Some(certificates),
                    Err(_) => "one of the certificates is damaged: it does not parse",
                }
            }
        };
        let span = self.findings.head(pem.span);
        self.findings.error("bad-certificate", span, problem).hint =
            Some("check it with `openssl x509 -in FILE -noout -text`".to_owned());
        None
    }

    fn check_expiry(&mut self, chain: &[CertificateInner<Raw>], span: Span) {
        let end = |certificate: &CertificateInner<Raw>| {
            let seconds = certificate.tbs_certificate.validity.not_after.to_unix_duration().as_secs();
            i64::try_from(seconds).unwrap_or(i64::MAX)
        };
        let Some((index, end)) = chain.iter().map(end).enumerate().min_by_key(|(_, end)| *end) else {
            return;
        };
        self.certificates.expires = Some(self.certificates.expires.map_or(end, |known| known.min(end)));
        let Some(now) = self.certificates.now.filter(|now| end - now < SOON) else { return };
        let which = match index {
            0 => "the certificate".to_owned(),
            later => format!("certificate {} of the chain", later + 1),
        };
        let day =
            chrono::DateTime::from_timestamp(end, 0).map(|end| end.format("%Y-%m-%d %H:%M UTC").to_string());
        let day = day.unwrap_or_default();
        let (code, message) = if end <= now {
            ("certificate-expired", format!("{which} expired at {day}"))
        } else {
            ("certificate-expires", format!("{which} expires at {day}, in {} days", (end - now) / DAY))
        };
        let span = self.findings.head(span);
        self.findings.add(Severity::Warning, code, span, message).hint = Some("renew it".to_owned());
    }

    fn check_key(
        &mut self,
        pem: &Pem<'_>,
        certificate: Option<&CertificateInner<Raw>>,
        chain: Option<Span>,
        node: &Node<'_>,
    ) {
        let span = self.findings.head(pem.span);
        if pem.mentions("ENCRYPTED") {
            if node.get(&["password"]).is_none() {
                let message = "this private key is encrypted, and there is no `password`";
                self.findings.error("bad-private-key", span, message);
            }
            return;
        }
        let key = PrivateKeyDer::from_pem_slice(&pem.bytes).ok();
        let Some(key) = key.filter(|key| AnyRef::from_der(key.secret_der()).is_ok()) else {
            let message = "there is no private key in this, or it is damaged";
            self.findings.error("bad-private-key", span, message).hint =
                Some("check it with `openssl pkey -in FILE -noout -check`".to_owned());
            return;
        };
        let (Ok(signer), Some(certificate)) = (any_supported_type(&key), certificate) else { return };
        let Some(public) = signer.public_key() else { return };
        let Ok(public) = SubjectPublicKeyInfoRef::from_der(&public) else { return };
        let certified = &certificate.tbs_certificate.subject_public_key_info.subject_public_key;
        if certified.raw_bytes() != public.subject_public_key.raw_bytes() {
            let message = "this private key does not belong to the certificate";
            let file = self.findings.file().clone();
            let finding = self.findings.error("key-mismatch", span, message);
            finding.hint = Some("the first certificate of the chain must be the one for this key".to_owned());
            let related = chain.map(|span| crate::diagnostic::Related {
                file,
                span,
                message: "the certificate is here".to_owned(),
            });
            finding.related.extend(related);
        }
    }
}

/// The text or bytes of a `DataSource` that is given inline.
fn pem<'n>(node: &'n Node<'_>, field: &[&str]) -> Option<Pem<'n>> {
    let source = node.get(field)?;
    let (value, is_bytes) = match source.get(&["inline_string", "inlineString"]) {
        Some(value) => (value, false),
        None => (source.get(&["inline_bytes", "inlineBytes"])?, true),
    };
    let bytes = match &value.value {
        Value::File(bytes) => Cow::Borrowed(&bytes[..]),
        _ if is_bytes => Cow::Owned(scalar::base64(value.text()?)?),
        _ => Cow::Borrowed(value.text()?.as_bytes()),
    };
    (!bytes.is_empty()).then_some(Pem { bytes, span: value.span })
}
