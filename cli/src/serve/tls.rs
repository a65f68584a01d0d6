//! The options of `serve` for TLS.

use anyhow::bail;
use fieldvitals_server::tls::{Tls, TlsFiles};
use std::path::PathBuf;
use std::sync::Arc;

/// The files of the server's certificate.
#[derive(Debug, clap::Args)]
pub(super) struct TlsArgs {
    /// Certificate of the server, then its intermediates (PEM). With it the server speaks https. Read again on SIGHUP,
    /// and when the file changes.
    #[arg(long, env = "FIELDVITALS_TLS_CERTIFICATE", value_name = "FILE")]
    tls_certificate: Option<PathBuf>,
    /// Private key of the certificate (PEM), which only the server's user should be able to read.
    #[arg(long, env = "FIELDVITALS_TLS_KEY", value_name = "FILE")]
    tls_key: Option<PathBuf>,
}

impl TlsArgs {
    /// The files of the certificate.
    ///
    /// # Errors
    /// If one of both is missing.
    pub(super) fn files(&self) -> anyhow::Result<Option<TlsFiles>> {
        match (self.tls_certificate.clone(), self.tls_key.clone()) {
            (None, None) => Ok(None),
            (Some(certificate), Some(key)) => Ok(Some(TlsFiles { certificate, key })),
            (Some(_), None) => bail!("--tls-certificate needs --tls-key, the file of its private key"),
            (None, Some(_)) => bail!("--tls-key needs --tls-certificate, the file of its certificate"),
        }
    }

    /// The certificate; `None` for http.
    ///
    /// # Errors
    /// If its files cannot be used.
    pub(super) fn open(&self) -> anyhow::Result<Option<Arc<Tls>>> {
        let Some(files) = self.files()? else { return Ok(None) };
        Ok(Some(Arc::new(Tls::open(files)?)))
    }

    /// Logs a private key that other users can read.
    pub(super) fn warn_of_loose_key(&self) {
        #[cfg(unix)]
        if let Some(file) = &self.tls_key
            && let Ok(key) = std::fs::metadata(file)
            && std::os::unix::fs::MetadataExt::mode(&key) & 0o007 != 0
        {
            tracing::warn!(
                key = %file.display(),
                "other users of this machine can read the private key; remove their rights with chmod o-rwx"
            );
        }
    }
}
