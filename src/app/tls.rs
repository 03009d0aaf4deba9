//! Certificates: the server's own, and the CA bundle that clients' ones are judged by.
//!
//! Comes in: paths of PEM files, read again and again. Goes out: the configuration for the next handshake.
//! Keeps the invariant that what was once good stays in use until something better is whole: a renewal that
//! is half written, does not fit or cannot be read changes nothing and is told once.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use crate::resource::Digest;
use crate::serve::Proof;

/// Larger files are no certificates; a bundle of all public CAs has a quarter of it.
const MAX_FILE: u64 = 1024 * 1024;

/// How often the files are looked at: a renewal is days before it matters, and three small reads cost nothing.
pub const LOOK: Duration = Duration::from_secs(5);

/// A certificate that ends sooner is worth a warning: renewals are due weeks before.
const SOON: Duration = Duration::from_secs(7 * 24 * 3600);

/// Where the certificates are, as far as somebody said; without a certificate there is no TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// The server's certificate and those between it and its CA, PEM.
    pub certificate: Option<PathBuf>,
    /// Its private key, PEM.
    pub key: Option<PathBuf>,
    /// CA certificates of the clients; without, clients show no certificate.
    pub client_ca: Option<PathBuf>,
}

#[derive(Clone, Debug)]
struct TlsFiles {
    certificate: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
}

/// Why certificates cannot be used.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum TlsError {
    /// One without the other.
    #[error("TLS takes a certificate and its key: give --tls-cert and --tls-key")]
    Incomplete,
    /// A file that cannot be read.
    #[error("cannot read {path}: {1}", path = .0.display())]
    Unreadable(PathBuf, String),
    /// A file without what it is for.
    #[error("{path}: {problem}", path = .0.display(), problem = .1)]
    Content(PathBuf, String),
    /// Certificate and key.
    #[error(
        "the key {1} does not belong to the certificate {0}: write both of one renewal, and let each appear by a rename"
    )]
    Mismatch(PathBuf, PathBuf),
}

/// The certificates in use.
#[derive(Debug)]
pub struct Tls {
    files: TlsFiles,
    current: ArcSwap<Current>,
    looked: Mutex<Looked>,
    taken: AtomicU64,
    refused: AtomicU64,
}

#[derive(Debug)]
struct Current {
    config: Arc<ServerConfig>,
    not_after: SystemTime,
}

/// What was found on the disk.
#[derive(Debug)]
struct Looked {
    /// Of what is in use.
    used: Digest,
    /// What was of no use, and whether that was told.
    bad: Option<(Digest, bool)>,
}

impl Tls {
    /// Reads the files for the first time; none if TLS was not asked for.
    pub fn load(settings: &TlsSettings) -> Result<Option<Tls>, TlsError> {
        let TlsSettings { certificate, key, client_ca } = settings.clone();
        let files = match (certificate, key) {
            (Some(certificate), Some(key)) => TlsFiles { certificate, key, client_ca },
            (None, None) if client_ca.is_none() => return Ok(None),
            _ => return Err(TlsError::Incomplete),
        };
        let read = read_all(&files)?;
        let current = build(&files, &read)?;
        let ends = humantime::format_rfc3339_seconds(current.not_after);
        let left = current.not_after.duration_since(SystemTime::now()).unwrap_or_default();
        if left < SOON {
            tracing::warn!(file = %files.certificate.display(), %ends, "the certificate ends soon, or has ended: renew it");
        } else {
            tracing::info!(file = %files.certificate.display(), %ends, "serving with this certificate");
        }
        let looked = Mutex::new(Looked { used: digest(&read), bad: None });
        let current = ArcSwap::from_pointee(current);
        Ok(Some(Tls { files, current, looked, taken: AtomicU64::new(0), refused: AtomicU64::new(0) }))
    }

    /// For the next handshake.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.current.load().config.clone()
    }

    /// When the certificate in use ends.
    pub fn not_after(&self) -> SystemTime {
        self.current.load().not_after
    }

    /// The file of the certificate.
    pub fn certificate(&self) -> &Path {
        &self.files.certificate
    }

    /// How often new certificates were taken over, and how often they were of no use.
    pub fn renewals(&self) -> (u64, u64) {
        (self.taken.load(Ordering::Relaxed), self.refused.load(Ordering::Relaxed))
    }

    /// Whether clients must show certificates.
    pub fn asks_clients(&self) -> bool {
        self.files.client_ca.is_some()
    }

    /// Looks at the files again. What is wrong is told when it was so twice, or at once when `asked`: certificate
    /// and key may be on their way one after the other.
    pub fn look(&self, asked: bool) {
        let read = read_all(&self.files);
        let now = match &read {
            Ok(read) => digest(read),
            Err(error) => Digest::of([error.to_string().as_bytes()]),
        };
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        if now == looked.used {
            looked.bad = None;
            return;
        }
        if looked.bad == Some((now, true)) {
            return;
        }
        let built = read.and_then(|read| build(&self.files, &read)).and_then(|new| self.is_no_worse(new));
        match built {
            Ok(new) => {
                let ends = humantime::format_rfc3339_seconds(new.not_after);
                self.current.store(Arc::new(new));
                tracing::info!(file = %self.files.certificate.display(), %ends, "took over new certificates; connections stay");
                self.taken.fetch_add(1, Ordering::Relaxed);
                *looked = Looked { used: now, bad: None };
            }
            Err(error) if asked || looked.bad == Some((now, false)) => {
                let ends = humantime::format_rfc3339_seconds(self.not_after());
                tracing::error!(%error, %ends, "new certificates are not taken over; the ones before stay in use until they are mended");
                looked.bad = Some((now, true));
                self.refused.fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => looked.bad = Some((now, false)),
        }
    }

    /// One that has ended does not follow one that has not.
    fn is_no_worse(&self, new: Current) -> Result<Current, TlsError> {
        let now = SystemTime::now();
        if new.not_after < now && self.not_after() >= now {
            let ended = humantime::format_rfc3339_seconds(new.not_after);
            return Err(TlsError::Content(
                self.files.certificate.clone(),
                format!("it ended at {ended}: renew it"),
            ));
        }
        Ok(new)
    }
}

/// The content of the files: certificate, key, CA bundle.
type Contents = [Vec<u8>; 3];

fn digest(contents: &Contents) -> Digest {
    Digest::of(contents.iter().map(Vec::as_slice))
}

fn read_all(files: &TlsFiles) -> Result<Contents, TlsError> {
    let ca = files.client_ca.as_deref().map(read).transpose()?.unwrap_or_default();
    Ok([read(&files.certificate)?, read(&files.key)?, ca])
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |error: io::Error| TlsError::Unreadable(path.to_owned(), error.to_string());
    // A named pipe would be waited for without end.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(TlsError::Content(path.to_owned(), "it is no regular file".into()));
    }
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(TlsError::Content(path.to_owned(), "it is larger than a megabyte".into()));
    }
    Ok(bytes)
}

fn build(files: &TlsFiles, [certificate, key, ca]: &Contents) -> Result<Current, TlsError> {
    let wrong = |path: &Path, problem: String| TlsError::Content(path.to_owned(), problem);
    let chain = certificates(&files.certificate, certificate)?;
    let first = chain.first().and_then(|first| Certificate::from_der(first).ok());
    let first =
        first.ok_or_else(|| wrong(&files.certificate, "its first certificate cannot be read".into()))?;
    // What a key file holds is not said, not even in part.
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|_| wrong(&files.key, "it holds no private key in PEM that can be used".into()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(&files.certificate, error.to_string()))?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for root in certificates(path, ca)? {
                roots.add(root).map_err(|error| wrong(path, format!("a certificate is no CA's: {error}")))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|error| wrong(path, error.to_string()))?)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            TlsError::Mismatch(files.certificate.clone(), files.key.clone())
        }
        other => wrong(&files.certificate, other.to_string()),
    })?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    // No resumption: every connection shows its certificate anew, to the CA bundle of now.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    let not_after = first.tbs_certificate.validity.not_after.to_system_time();
    Ok(Current { config: Arc::new(config), not_after })
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) => Err(TlsError::Content(path.to_owned(), "it holds no certificate in PEM".into())),
        Err(error) => Err(TlsError::Content(path.to_owned(), format!("it is no PEM: {error}"))),
    }
}

/// The names in a client's certificate, which has been found good.
pub fn proof(certificates: Option<&[CertificateDer<'_>]>) -> Proof {
    let (mut uris, mut dns) = (Vec::new(), Vec::new());
    let first = certificates.and_then(|all| all.first()).and_then(|first| Certificate::from_der(first).ok());
    let names = first.and_then(|first| first.tbs_certificate.get::<SubjectAltName>().ok().flatten());
    for name in names.map(|(_, names)| names.0).unwrap_or_default() {
        match name {
            GeneralName::UniformResourceIdentifier(uri) => uris.push(uri.as_str().to_owned()),
            GeneralName::DnsName(name) => dns.push(name.as_str().to_owned()),
            _ => {}
        }
    }
    Proof::Tls { uris, dns }
}
