//! A certificate authority of a test, made by OpenSSL.

use reqwest::{Certificate, ClientBuilder};
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;

/// Options of a new key.
const NEW_KEY: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

/// An authority that clients of the test trust.
pub struct Authority(TempDir);

impl Authority {
    /// Makes an authority.
    ///
    /// # Panics
    /// If `openssl` is missing.
    #[must_use]
    pub fn new() -> Self {
        let authority = Self(TempDir::new().expect("a temporary folder"));
        authority.request("authority", &["-subj", "/CN=authority"]);
        authority
    }

    /// Issues a certificate of 127.0.0.1 with a new key, over an earlier one of this name.
    ///
    /// # Panics
    /// If `openssl` fails.
    pub fn issue(&self, name: &str) {
        let issuer = self.files("authority").map(|file| file.display().to_string());
        self.request(
            name,
            &[
                "-CA",
                &issuer[0],
                "-CAkey",
                &issuer[1],
                "-subj",
                "/CN=localhost",
                "-addext",
                "basicConstraints=critical,CA:FALSE",
                "-addext",
                "subjectAltName=IP:127.0.0.1,DNS:localhost",
            ],
        );
    }

    fn request(&self, name: &str, args: &[&str]) {
        let [certificate, key] = self.files(name);
        let made = Command::new("openssl")
            .args(["req", "-x509", "-days", "2"])
            .args(NEW_KEY)
            .args(args)
            .arg("-out")
            .arg(certificate)
            .arg("-keyout")
            .arg(key)
            .output()
            .expect("openssl runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }

    /// The files of a certificate and its key.
    #[must_use]
    pub fn files(&self, name: &str) -> [PathBuf; 2] {
        ["crt", "key"].map(|ending| self.0.path().join(format!("{name}.{ending}")))
    }

    /// A client that trusts this authority alone.
    ///
    /// # Panics
    /// If the authority's certificate cannot be read.
    pub fn client(&self) -> ClientBuilder {
        let pem = std::fs::read(&self.files("authority")[0]).expect("its certificate");
        let certificate = Certificate::from_pem(&pem).expect("a certificate");
        reqwest::Client::builder().tls_certs_only([certificate])
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}
