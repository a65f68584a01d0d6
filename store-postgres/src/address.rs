//! Parses the database address in `--database-url`.

use fieldvitals_store::StoreError;
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;
use url::{Host, Url};

const READING: &str = "reading --database-url";
const EXPECTED: &str = "expected postgres://USER:PASSWORD@HOST:PORT/NAME, where special characters of user, password and name \
     are written as %XX";

/// The driver's parameters that have the names of libpq. The driver ignores other parameters.
const PARAMETERS: [&str; 12] = [
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "options",
    "application_name",
];
/// The driver's own aliases.
const ALIASES: [&str; 6] =
    ["ssl-mode", "ssl-root-cert", "ssl-ca", "ssl-cert", "ssl-key", "statement-cache-capacity"];
/// Parameters of other clients that do not affect reads, writes or checks. The driver logs that it ignores them.
const WITHOUT_EFFECT: [&str; 12] = [
    "client_encoding",
    "connect_timeout",
    "connection_limit",
    "fallback_application_name",
    "gssencmode",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "pgbouncer",
    "target_session_attrs",
    "tcp_user_timeout",
];
/// Maximum edit distance, in letters, for a suggestion of the correct name.
const SLIPS_MAX: usize = 3;

fn refused(reason: String) -> StoreError {
    StoreError::Database { what: READING, reason, transient: false }
}

/// Parses an address. Error messages omit the address, because any part of it may belong to a password.
pub(crate) fn options(text: &str) -> Result<PgConnectOptions, StoreError> {
    let is_none = |wrong: &str| refused(format!("this is no address of a database ({wrong}); {EXPECTED}"));
    let mut url = Url::parse(text.trim()).map_err(|error| is_none(&error.to_string()))?;
    if !url.has_authority() {
        return Err(is_none("`//` is missing after `postgres:`"));
    }
    // The parser would cut the address here, and could take a part of the password for a name.
    if url.fragment().is_some() {
        return Err(is_none("`#` has a meaning of its own, and is written as %23"));
    }
    if url.path().contains('@') {
        return Err(is_none("`@` is behind the first `/`, which is written as %2F in a password"));
    }
    known(&url)?;
    certificates(&url)?;
    unbracketed(&mut url);
    let options = PgConnectOptions::from_url(&url)
        .map_err(|error| is_none(error.to_string().trim_start_matches("error with configuration: ")))?;
    let host = options.get_host().strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let options = match host.map(str::to_owned) {
        Some(host) => options.host(&host),
        None => options,
    };
    // No statement cache: see the module `sql`. PgBouncer refuses unknown settings at the start of a session.
    Ok(options.application_name("fieldvitals").statement_cache_capacity(0).extra_float_digits(None))
}

/// Refuses parameters that the driver would ignore: `sslmod=verify-full` verifies nothing.
fn known(url: &Url) -> Result<(), StoreError> {
    for (name, _) in url.query_pairs() {
        let is_setting = name.starts_with("options[") && name.ends_with(']');
        let is_known =
            [&PARAMETERS[..], &ALIASES, &WITHOUT_EFFECT].iter().any(|names| names.contains(&&*name));
        if is_setting || is_known {
            continue;
        }
        if url.query().is_some_and(|query| query.contains('@')) {
            return Err(refused(format!(
                "a parameter behind `?` is none that is known; is it a `?` of the password? {EXPECTED}, `?` as %3F"
            )));
        }
        let small = name.to_ascii_lowercase();
        let nearest = PARAMETERS.iter().map(|known| (strsim::levenshtein(&small, known), known)).min();
        let meant = nearest.filter(|&(slips, _)| slips <= SLIPS_MAX);
        let meant =
            meant.map(|(_, known)| format!("write `{known}`, if that is meant, or ")).unwrap_or_default();
        return Err(refused(format!(
            "the parameter `{name}` is none that is known, and would have no effect; {meant}leave it out (known are {})",
            PARAMETERS.join(", ")
        )));
    }
    Ok(())
}

/// Checks that the named certificate files are readable. The driver's error would not name the missing file.
fn certificates(url: &Url) -> Result<(), StoreError> {
    for (name, path) in url.query_pairs() {
        // The value may be the certificate itself.
        if !matches!(&*name, "sslrootcert" | "ssl-root-cert" | "ssl-ca")
            || path.trim().starts_with("-----BEGIN")
        {
            continue;
        }
        std::fs::File::open(&*path).map_err(|error| {
            refused(format!("the certificates of {name} in --database-url, {path}, cannot be read: {error}"))
        })?;
    }
    Ok(())
}

/// Moves an IPv6 literal from the host to a parameter. The driver keeps the brackets of a literal in the host, and
/// looks up a name with brackets.
fn unbracketed(url: &mut Url) {
    let Some(Host::Ipv6(address)) = url.host() else { return };
    if !url.query_pairs().any(|(name, _)| matches!(&*name, "host" | "hostaddr"))
        && url.set_host(Some("localhost")).is_ok()
    {
        url.query_pairs_mut().append_pair("host", &address.to_string());
    }
}

/// The port of the database; `None` if it is reached by a Unix socket.
pub(crate) fn tcp_port(options: &PgConnectOptions) -> Option<u16> {
    let is_tcp = options.get_socket().is_none() && !options.get_host().starts_with('/');
    is_tcp.then(|| options.get_port())
}

/// Describes the address in messages, without the password.
pub(crate) fn place(options: &PgConnectOptions) -> String {
    let database = options.get_database().unwrap_or_else(|| options.get_username());
    let (host, port) = (options.get_host(), options.get_port());
    match options.get_socket() {
        Some(socket) => format!("{}, database `{database}`", socket.display()),
        None if host.contains(':') => format!("[{host}]:{port}, database `{database}`"),
        None => format!("{host}:{port}, database `{database}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(url: &str) -> String {
        place(&options(url).unwrap())
    }

    #[test]
    fn a_place_is_told_without_its_password() {
        assert_eq!(placed("postgres://me:hush@db.example:6432/vitals"), "db.example:6432, database `vitals`");
        assert_eq!(placed(" Postgres://me:hush@h/v\n"), "h:5432, database `v`");
        assert_eq!(placed("postgres:///v?host=/run/a&user=me"), "/run/a, database `v`");
    }

    #[test]
    fn a_literal_of_ipv6_loses_its_brackets() {
        for url in [
            "postgres://me:hush@[::1]:6432/v?sslmode=require",
            "postgres://me:hush@h:6432/v?host=::1",
            "postgres://me:hush@h:6432/v?host=[::1]",
        ] {
            let options = options(url).unwrap();
            assert_eq!((options.get_host(), options.get_port()), ("::1", 6432), "{url}");
            assert_eq!(place(&options), "[::1]:6432, database `v`");
        }
    }

    #[test]
    fn a_wrong_address_is_told_without_its_password() {
        for (url, expected) in [
            ("postgres://me:hush@[1/x", "postgres://USER"),
            ("postgres:/me:hush@127.0.0.1:1/v", "`//` is missing"),
            ("postgres:me:hush@h/v", "`//` is missing"),
            ("postgres://me:hu/hush@h/v", "%XX"),
            ("postgres://me:12/hush@h/v", "%2F"),
            ("postgres://me:12#hush@h/v", "%23"),
            ("postgres://me:12?hush@h/v", "%3F"),
            ("postgres://me:12?hush=hush@h/v", "%3F"),
            ("postgres://me:hush@h/v?sslmode=verify", "(unknown value \"verify\""),
        ] {
            let message = options(url).unwrap_err().to_string();
            assert!(message.contains(expected) && !message.contains("hush"), "{url}: {message}");
            assert!(message.contains("--database-url"), "{url}: {message}");
        }
    }

    #[test]
    fn a_parameter_without_effect_is_refused() {
        for (parameter, meant) in [
            ("SSLMODE=verify-full", "write `sslmode`"),
            ("sslmod=verify-full", "write `sslmode`"),
            ("ssl_mode=verify-full", "write `sslmode`"),
            ("sslrootcrt=/a", "write `sslrootcert`"),
            ("channel_binding=require", "known are sslmode, sslrootcert"),
            ("options[x=1", "known are"),
        ] {
            let url = format!("postgres://me:hush@h/v?port=1&{parameter}");
            let message = options(&url).unwrap_err().to_string();
            let name = parameter.split('=').next().unwrap();
            assert!(message.contains(&format!("`{name}` is none that is known")), "{message}");
            assert!(message.contains(meant) && !message.contains("hush"), "{message}");
        }
        for known in PARAMETERS.into_iter().chain(ALIASES).chain(WITHOUT_EFFECT) {
            let value = match known {
                "sslmode" | "ssl-mode" => "require",
                "sslrootcert" | "ssl-root-cert" | "ssl-ca" => "/dev/null",
                "hostaddr" => "::1",
                "port" | "statement-cache-capacity" => "7",
                _ => "a",
            };
            assert!(options(&format!("postgres://h/v?{known}={value}")).is_ok(), "{known}");
        }
        assert!(options("postgres://h/v?options[work_mem]=9MB").is_ok());
    }
}
