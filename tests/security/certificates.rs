//! Certificates for the tests: a CA, and whom it signs.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, SanType, date_time_ymd};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

/// A certificate authority.
pub struct Ca {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

/// A certificate and its key, in PEM.
#[derive(Clone)]
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

impl Ca {
    pub fn new(name: &str) -> Ca {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("keys can be made");
        let certificate = params.self_signed(&key).expect("it can sign itself");
        Ca { certificate, key }
    }

    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// A certificate for the bridge.
    pub fn server(&self) -> Pair {
        self.sign(&server_names(), false)
    }

    /// A certificate with these names, good now or no more.
    pub fn sign(&self, names: &[SanType], expired: bool) -> Pair {
        let mut params = CertificateParams::default();
        if expired {
            (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2020, 2, 1));
        }
        self.issue(params, names)
    }

    /// A certificate for the bridge that ends with the year before this one.
    pub fn server_until(&self, year: i32) -> Pair {
        let mut params = CertificateParams::default();
        params.not_after = date_time_ymd(year, 1, 1);
        self.issue(params, &server_names())
    }

    fn issue(&self, mut params: CertificateParams, names: &[SanType]) -> Pair {
        params.subject_alt_names = names.to_vec();
        let key = KeyPair::generate().expect("keys can be made");
        let certificate = params.signed_by(&key, &self.certificate, &self.key).expect("a CA can sign");
        Pair { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// How a client connects that believes this CA and shows this certificate, if any.
    pub fn client(&self, pair: Option<&Pair>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.der().clone()).expect("a CA certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has them")
            .with_root_certificates(roots);
        let mut config = match pair {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                let chain = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).expect("PEM");
                let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("PEM");
                builder.with_client_auth_cert(vec![chain], key).expect("they belong together")
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Arc::new(config)
    }
}

fn server_names() -> [SanType; 2] {
    [dns("localhost"), SanType::IpAddress([127, 0, 0, 1].into())]
}

pub fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().expect("a name is ASCII"))
}

pub fn uri(uri: &str) -> SanType {
    SanType::URI(uri.try_into().expect("a URI is ASCII"))
}
