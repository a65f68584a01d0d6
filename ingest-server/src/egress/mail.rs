//! Mail by SMTP.

use super::{EgressError, Guard};
use crate::limits;
use lettre::message::header::ContentType;
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use std::error::Error as _;
use std::net::SocketAddr;
use std::time::Duration;
use url::Url;

/// The port of SMTP with TLS from the first byte (RFC 8314).
const TLS_PORT: u16 = 465;
/// The port of submission with STARTTLS.
const SUBMISSION_PORT: u16 = 587;

/// A server that takes mail, and whom letters are from and to.
#[derive(Clone)]
pub struct MailTo {
    host: String,
    port: u16,
    has_tls: bool,
    login: Option<(String, String)>,
    from: Mailbox,
    to: Vec<Mailbox>,
}

/// A letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Identifies the letter; a receiver that gets it twice can tell.
    pub id: String,
    /// The id of the letter that it continues.
    pub reply_to: Option<String>,
    /// One line.
    pub subject: String,
    /// Plain text.
    pub text: String,
    /// The same as HTML; `None` sends plain text only.
    pub html: Option<String>,
}

impl MailTo {
    /// Reads the server (`smtps://HOST`, or `smtp://HOST` for STARTTLS) and the addresses.
    ///
    /// # Errors
    /// The message says what is wrong.
    pub fn new(
        server: &str,
        login: Option<(String, String)>,
        from: &str,
        to: &[String],
    ) -> Result<Self, String> {
        let expected = "expected the address of a mail server, such as smtps://mail.example";
        let url = Url::parse(server).map_err(|error| format!("`url`: {error}; {expected}"))?;
        let has_tls = match url.scheme() {
            "smtps" => true,
            "smtp" => false,
            _ => return Err(format!("`url` is not smtps:// or smtp://; {expected}")),
        };
        let host =
            url.host_str().filter(|host| !host.is_empty()).ok_or(format!("`url` has no host; {expected}"))?;
        let mailbox = |text: &str| {
            text.parse::<Mailbox>()
                .map_err(|error| format!("`{}` is no mail address: {error}", text.escape_debug()))
        };
        let to = to.iter().map(|text| mailbox(text)).collect::<Result<Vec<_>, _>>()?;
        if to.is_empty() {
            return Err("`to` is missing: expected a list of mail addresses".to_owned());
        }
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_lowercase(),
            port: url.port().unwrap_or(if has_tls { TLS_PORT } else { SUBMISSION_PORT }),
            has_tls,
            login,
            from: mailbox(from)?,
            to,
        })
    }

    /// Returns the addresses of the server that may be connected to.
    pub(super) async fn addresses(&self, guard: &Guard) -> Result<Vec<SocketAddr>, EgressError> {
        guard.resolve(&self.host, self.port).await
    }

    /// Sends a letter to all addresses.
    pub(super) async fn send(&self, guard: &Guard, letter: &Letter) -> Result<(), EgressError> {
        let addresses = self.addresses(guard).await?;
        let address =
            addresses.first().ok_or_else(|| EgressError::Failed(format!("{} has no address", self.host)))?;
        let failed = |error: &lettre::transport::smtp::Error| {
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            EgressError::Failed(format!("{error}{cause}"))
        };
        // The certificate is that of the name, although the connection goes to the checked address.
        let name = TlsParameters::new(self.host.clone()).map_err(|error| failed(&error))?;
        let tls = match (self.has_tls, guard.allows(&self.host) && self.login.is_none()) {
            (true, _) => Tls::Wrapper(name),
            (false, false) => Tls::Required(name),
            // A relay within the owner's network may have no certificate. A password never goes there in the clear.
            (false, true) => Tls::Opportunistic(name),
        };
        let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(address.ip().to_string())
            .port(self.port)
            .tls(tls)
            .timeout(Some(Duration::from_millis(limits::NOTICE_TIME_MS_MAX)));
        if let Some((user, password)) = &self.login {
            transport = transport.credentials(Credentials::new(user.clone(), password.clone()));
        }
        let sent = transport.build().send(self.message(letter)?).await;
        sent.map(drop).map_err(|error| failed(&error))
    }

    fn message(&self, letter: &Letter) -> Result<Message, EgressError> {
        let id = |id: &str| format!("<{id}@{}>", self.from.email.domain());
        let mut message = Message::builder()
            .from(self.from.clone())
            .message_id(Some(id(&letter.id)))
            .subject(letter.subject.clone());
        for to in &self.to {
            message = message.to(to.clone());
        }
        if let Some(before) = &letter.reply_to {
            message = message.in_reply_to(id(before)).references(id(before));
        }
        let written = match &letter.html {
            Some(html) => {
                message.multipart(MultiPart::alternative_plain_html(letter.text.clone(), html.clone()))
            }
            None => message.header(ContentType::TEXT_PLAIN).body(letter.text.clone()),
        };
        written.map_err(|error| EgressError::Failed(format!("the letter cannot be written: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letter_says_whom_it_is_from_and_what_it_continues() {
        let to = ["Ada <ada@example.com>".to_owned(), "bob@example.com".to_owned()];
        let mail = MailTo::new("smtps://mail.example", None, "Vitals <vitals@example.com>", &to).unwrap();
        let letter = Letter {
            id: "1.2.resolved".to_owned(),
            reply_to: Some("1.2.opened".to_owned()),
            subject: "größer\r\nBcc: all@example.com".to_owned(),
            text: "x".to_owned(),
            html: None,
        };
        let text = String::from_utf8(mail.message(&letter).unwrap().formatted()).unwrap();
        for line in [
            "From: Vitals <vitals@example.com>",
            "To: Ada <ada@example.com>, bob@example.com",
            "Message-ID: <1.2.resolved@example.com>",
            "In-Reply-To: <1.2.opened@example.com>",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
        assert!(!text.lines().any(|line| line.starts_with("Bcc")), "{text}");
    }

    #[test]
    fn wrong_mail_servers_and_addresses_are_named() {
        let new = |server: &str, from: &str, to: &[&str]| {
            let to: Vec<String> = to.iter().map(|&to| to.to_owned()).collect();
            MailTo::new(server, None, from, &to).err().unwrap_or_default()
        };
        assert!(new("https://mail.example", "a@example.com", &["b@example.com"]).contains("smtps://"));
        assert!(new("smtp://", "a@example.com", &["b@example.com"]).contains("`url`"));
        assert!(new("smtp://mail.example", "a", &["b@example.com"]).contains("`a` is no mail address"));
        assert!(new("smtp://mail.example", "a@example.com", &[]).contains("`to` is missing"));
    }
}
