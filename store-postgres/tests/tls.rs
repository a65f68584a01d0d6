//! Tests encrypted connections and the trust in certificates.

#![allow(clippy::unwrap_used)]

use fieldvitals_store::StoreError;
use fieldvitals_store_postgres::PostgresStore;
use fieldvitals_store_postgres::testing::Cluster;

/// Opens a store. Returns `None` on success, else the message and whether the error is transient.
async fn open(url: &str) -> Option<(String, bool)> {
    match PostgresStore::open(url).await {
        Ok(store) => {
            store.close().await;
            None
        }
        Err(error @ StoreError::Database { transient, .. }) => Some((error.to_string(), transient)),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn the_server_is_who_the_certificate_says() {
    let cluster = Cluster::start_with_tls();
    let url = |host: &str, mode: &str, authority: Option<&str>| {
        let root = authority.map(|name| format!("&sslrootcert={}/{name}.crt", cluster.dir().display()));
        format!("{}?sslmode={mode}{}", cluster.url_at(host), root.unwrap_or_default())
    };
    // The certificate is for `localhost`. 127.0.0.1 is the same server, but not a name of the certificate.
    for (host, mode, authority) in [
        ("localhost", "require", None),
        ("127.0.0.1", "require", None),
        ("localhost", "verify-ca", Some("authority")),
        ("127.0.0.1", "verify-ca", Some("authority")),
        ("localhost", "verify-full", Some("authority")),
    ] {
        assert_eq!(open(&url(host, mode, authority)).await, None, "{mode} at {host}");
    }
    assert!(cluster.sql("select count(*) from pg_tables where tablename = 'page_view'") == "1");
    for (host, mode, authority, words) in [
        ("127.0.0.1", "verify-full", Some("authority"), "sslrootcert"),
        ("localhost", "verify-ca", Some("stranger"), "sslrootcert"),
        ("localhost", "verify-full", Some("stranger"), "sslrootcert"),
        ("localhost", "verify-full", None, "sslrootcert"),
        ("localhost", "verify-full", Some("missing"), "missing.crt"),
        // This server accepts only encrypted connections.
        ("localhost", "disable", None, "pg_hba.conf"),
    ] {
        let (message, transient) = open(&url(host, mode, authority)).await.expect("refused");
        assert!(message.contains(words) && !transient, "{mode} at {host}: {message}, {transient}");
    }
}

#[tokio::test]
async fn a_literal_of_ipv6_is_an_address_too() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return;
    }
    let cluster = Cluster::start_with_tls();
    assert_eq!(open(&format!("{}?sslmode=require", cluster.url_at("[::1]"))).await, None);
    let (message, _) = open("postgres://me:hush@[::1]:1/vitals?sslmode=require").await.expect("refused");
    assert!(message.contains("Postgres at [::1]:1, database `vitals`"), "{message}");
}

#[tokio::test]
async fn a_misspelt_parameter_does_not_leave_a_connection_unverified() {
    let cluster = Cluster::start();
    for parameter in ["SSLMODE=verify-full", "sslmod=verify-full"] {
        let (message, transient) = open(&format!("{}&{parameter}", cluster.url())).await.expect("refused");
        assert!(message.contains("write `sslmode`, if that is meant") && !transient, "{message}");
    }
}

#[tokio::test]
async fn a_server_without_encryption_is_refused_where_it_is_asked_for() {
    let cluster = Cluster::start();
    let (message, transient) = open(&format!("{}&sslmode=require", cluster.url())).await.expect("refused");
    assert!(
        message.contains("does not support TLS") && message.contains("sslmode") && !transient,
        "{message}"
    );
}
