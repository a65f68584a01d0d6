//! The server's certificate and key, from files, and read again when they change.
//!
//! A connection takes the certificate of the moment of its handshake. A pair that cannot be used leaves the one before
//! in use: the tools that renew certificates replace two files one after the other.

use crate::limits;
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::pem::{Error as PemError, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{Error as RustlsError, InconsistentKeys, ServerConfig};

/// The files of a certificate and its key, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate, then its intermediates.
    pub certificate: PathBuf,
    /// The private key of the certificate.
    pub key: PathBuf,
}

/// Why a certificate and its key cannot be used. Each message names the option and the file, and says what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct TlsError(String);

/// The certificate in use.
pub struct Tls {
    files: TlsFiles,
    acceptor: TlsAcceptor,
    current: Arc<Current>,
    /// Hash of the files' content.
    hash: Mutex<[u8; 32]>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Tls").field(&self.files).finish()
    }
}

/// Gives each handshake the certificate of the moment.
#[derive(Debug)]
struct Current(arc_swap::ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl Tls {
    /// Reads both files.
    ///
    /// # Errors
    /// If a file cannot be read, has no certificate or no key, or if the key is not the certificate's.
    pub fn open(files: TlsFiles) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let (key, hash) = read(&files, &provider)?;
        let current = Arc::new(Current(arc_swap::ArcSwap::from_pointee(key)));
        let failed = |error: RustlsError| TlsError(format!("TLS cannot be set up: {error}"));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(failed)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // Visitors come back: a resumed handshake needs no signature.
        config.ticketer = aws_lc_rs::Ticketer::new().map_err(failed)?;
        Ok(Self { files, acceptor: TlsAcceptor::from(Arc::new(config)), current, hash: Mutex::new(hash) })
    }

    /// Begins handshakes.
    #[must_use]
    pub const fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }

    /// Reads the files again. Returns whether they have changed.
    ///
    /// # Errors
    /// As [`Tls::open`]. The certificate before stays in use.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let (key, hash) = read(&self.files, self.provider())?;
        let mut last = self.hash.lock().unwrap_or_else(PoisonError::into_inner);
        if *last == hash {
            return Ok(false);
        }
        self.current.0.store(Arc::new(key));
        *last = hash;
        Ok(true)
    }

    /// Reads the files again, and logs the result.
    pub fn reload_now(&self) {
        match self.reload() {
            Ok(true) => {
                tracing::info!(certificate = %self.files.certificate.display(), "the certificate is renewed");
            }
            Ok(false) => tracing::info!("the certificate has not changed"),
            Err(error) => tracing::error!(%error, "the certificate before stays in use"),
        }
    }

    /// Reads the files again, from time to time. Logs a pair that cannot be used once it has stayed for two looks, because
    /// the files are replaced one after the other.
    pub async fn keep_fresh(self: Arc<Self>) {
        let mut failed = (String::new(), 0);
        loop {
            tokio::time::sleep(Duration::from_millis(limits::TLS_LOOK_MS)).await;
            let tls = Arc::clone(&self);
            // A disk may block.
            match tokio::task::spawn_blocking(move || tls.reload()).await {
                Ok(Ok(is_changed)) => {
                    failed = (String::new(), 0);
                    if is_changed {
                        tracing::info!(
                            certificate = %self.files.certificate.display(), "the certificate is renewed"
                        );
                    }
                }
                Ok(Err(error)) => {
                    let error = error.to_string();
                    let looks = if failed.0 == error { failed.1 + 1 } else { 1 };
                    if looks == 2 {
                        tracing::error!(error, "the certificate before stays in use");
                    }
                    failed = (error, looks);
                }
                Err(_) => {}
            }
        }
    }

    fn provider(&self) -> &CryptoProvider {
        self.acceptor.config().crypto_provider()
    }
}

/// Reads the files. Returns the pair, and a hash of both contents.
fn read(files: &TlsFiles, provider: &CryptoProvider) -> Result<(CertifiedKey, [u8; 32]), TlsError> {
    let certificate = content("--tls-certificate", &files.certificate)?;
    let key = content("--tls-key", &files.key)?;
    let hash = Sha256::new()
        .chain_update((certificate.len() as u64).to_le_bytes())
        .chain_update(&certificate)
        .chain_update(&key)
        .finalize();
    Ok((pair(files, &certificate, &key, provider)?, hash.into()))
}

fn content(option: &str, path: &Path) -> Result<Vec<u8>, TlsError> {
    let wrong = |reason: String| TlsError(format!("{option} {}: {reason}", path.display()));
    let content = std::fs::read(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::PermissionDenied => wrong(format!(
            "it cannot be read: {error}; the user that runs the server needs the right to read it"
        )),
        _ => wrong(format!("it cannot be read: {error}")),
    })?;
    if content.iter().all(u8::is_ascii_whitespace) {
        return Err(wrong("it is empty; expected PEM".to_owned()));
    }
    Ok(content)
}

fn pair(
    files: &TlsFiles,
    certificate: &[u8],
    key: &[u8],
    provider: &CryptoProvider,
) -> Result<CertifiedKey, TlsError> {
    let of_certificate =
        |reason: String| TlsError(format!("--tls-certificate {}: {reason}", files.certificate.display()));
    let of_key = |reason: String| TlsError(format!("--tls-key {}: {reason}", files.key.display()));
    let has = |content: &[u8], label: &str| content.windows(label.len()).any(|part| part == label.as_bytes());

    let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(certificate)
        .collect::<Result<_, PemError>>()
        .map_err(|error| of_certificate(format!("it is no proper PEM: {error}")))?;
    if certificates.is_empty() {
        let reason = "it has no certificate; expected PEM with `-----BEGIN CERTIFICATE-----`, the server's own first, \
                      then its intermediates";
        return Err(of_certificate(if has(certificate, "PRIVATE KEY") {
            format!("{reason}; it has a key: are the two files confused?")
        } else {
            reason.to_owned()
        }));
    }
    let der = PrivateKeyDer::from_pem_slice(key).map_err(|error| {
        of_key(if has(key, "ENCRYPTED") {
            "it is encrypted; `openssl pkey -in FILE -out OTHER` writes it without a passphrase".to_owned()
        } else if has(key, "BEGIN CERTIFICATE") {
            "it has a certificate and no key: are the two files confused?".to_owned()
        } else if matches!(error, PemError::NoItemsFound) {
            "it has no key; expected PEM with `-----BEGIN PRIVATE KEY-----`".to_owned()
        } else {
            format!("it is no proper PEM: {error}")
        })
    })?;
    let key = provider.key_provider.load_private_key(der).map_err(|error| {
        of_key(format!("its kind is not supported ({error}); expected an RSA, ECDSA or Ed25519 key"))
    })?;
    let pair = CertifiedKey::new(certificates, key);
    match pair.keys_match() {
        Ok(()) | Err(RustlsError::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(pair),
        Err(RustlsError::InconsistentKeys(_)) => Err(of_key(format!(
            "it is not the key of the certificate in {}; take both files from the same order",
            files.certificate.display()
        ))),
        Err(error) => Err(of_certificate(format!("its first certificate cannot be read: {error}"))),
    }
}
