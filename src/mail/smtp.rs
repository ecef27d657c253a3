//! The built-in mail adapter: SMTP through lettre.
//!
//! ```json
//! "emailAdapter": { "module": "smtp", "options": {
//!   "host": "mail.example.com", "port": 587, "tls": "starttls",
//!   "username": "apikey", "password": "…", "from": "My App <noreply@example.com>",
//!   "templates": { "passwordReset": { "subject": "…", "text": "… {{link}}", "html": "…" },
//!                  "verification":  { "subject": "…", "text": "… {{link}}" } } } }
//! ```

use async_trait::async_trait;
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use serde_json::{Map, Value};

use super::template::fill;
use super::{AccountMail, Mail, MailAdapter};
use crate::error::{Error, Result};
use crate::tls::TrustStore;

pub struct SmtpMailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    reset: Option<Template>,
    verification: Option<Template>,
}

struct Template {
    subject: String,
    text: String,
    html: Option<String>,
}

impl Template {
    fn read(templates: Option<&Value>, name: &str) -> Option<Self> {
        let template = templates?.get(name)?;
        let text = |key: &str| template.get(key).and_then(Value::as_str).map(str::to_owned);
        Some(Self { subject: text("subject")?, text: text("text")?, html: text("html") })
    }

    fn mail(&self, mail: &AccountMail) -> Mail {
        let mut values = Map::new();
        for (key, value) in &mail.user {
            values.insert(key.clone(), value.clone());
        }
        values.insert("link".to_owned(), mail.link.as_str().into());
        values.insert("appName".to_owned(), mail.app_name.as_str().into());
        Mail {
            to: super::address_of(&mail.user),
            subject: fill(&self.subject, &values, false),
            text: fill(&self.text, &values, false),
            html: self.html.as_ref().map(|html| fill(html, &values, true)),
            extra: Map::new(),
        }
    }
}

/// TLS to a host that shows a certificate which this machine trusts.
fn trusting(host: &str) -> Result<TlsParameters, lettre::transport::smtp::Error> {
    let builder = TlsParameters::builder(host.to_owned());
    let Some(certificates) = TrustStore::system().certificates() else {
        return builder.certificate_store(CertificateStore::WebpkiRoots).build();
    };
    let mut builder = builder.certificate_store(CertificateStore::None);
    for certificate in certificates {
        builder = builder.add_root_certificate(Certificate::from_der(certificate.to_vec())?);
    }
    builder.build()
}

impl SmtpMailer {
    /// Connections are opened when there is a mail to send.
    ///
    /// # Errors
    /// One line that says which option is wrong.
    pub fn new(options: &Value) -> Result<Self, String> {
        let text = |key: &str| options.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        let host = text("host").ok_or("emailAdapter smtp needs the option host")?;
        let from = text("from").ok_or("emailAdapter smtp needs the option from")?;
        let from = from.parse().map_err(|_| format!("emailAdapter smtp: from is no mail address: {from}"))?;
        let wrong_tls = |error: lettre::transport::smtp::Error| format!("emailAdapter smtp: {error}");
        let builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host);
        let (builder, default_port) = match text("tls").unwrap_or("starttls") {
            "starttls" => (builder.tls(Tls::Required(trusting(host).map_err(wrong_tls)?)), 587),
            "tls" => (builder.tls(Tls::Wrapper(trusting(host).map_err(wrong_tls)?)), 465),
            "none" => (builder, 25),
            other => {
                return Err(format!("emailAdapter smtp: tls must be starttls, tls or none, not {other}"));
            }
        };
        let port = match options.get("port") {
            None | Some(Value::Null) => default_port,
            Some(port) => port
                .as_u64()
                .and_then(|port| u16::try_from(port).ok())
                .ok_or_else(|| format!("emailAdapter smtp: port must be a number, not {port}"))?,
        };
        let mut builder = builder.port(port).timeout(Some(std::time::Duration::from_secs(30)));
        if let (Some(user), Some(password)) = (text("username"), text("password")) {
            builder = builder.credentials(Credentials::new(user.to_owned(), password.to_owned()));
        }
        let templates = options.get("templates");
        Ok(Self {
            transport: builder.build(),
            from,
            reset: Template::read(templates, "passwordReset"),
            verification: Template::read(templates, "verification"),
        })
    }

    fn message(&self, mail: &Mail) -> Result<Message> {
        let to: Mailbox =
            mail.to.parse().map_err(|error| Error::internal(format!("no mail address: {error}")))?;
        let builder = Message::builder().from(self.from.clone()).to(to).subject(mail.subject.clone());
        let built = match &mail.html {
            Some(html) => {
                builder.multipart(MultiPart::alternative_plain_html(mail.text.clone(), html.clone()))
            }
            None => builder.body(mail.text.clone()),
        };
        built.map_err(Error::internal)
    }
}

#[async_trait]
impl MailAdapter for SmtpMailer {
    async fn send(&self, mail: Mail) -> Result<Value> {
        let message = self.message(&mail)?;
        self.transport.send(message).await.map(|_| Value::Null).map_err(Error::internal)
    }

    async fn send_verification(&self, mail: &AccountMail) -> Result<bool> {
        match &self.verification {
            Some(template) => self.send(template.mail(mail)).await.map(|_| true),
            None => Ok(false),
        }
    }

    async fn send_password_reset(&self, mail: &AccountMail) -> Result<bool> {
        match &self.reset {
            Some(template) => self.send(template.mail(mail)).await.map(|_| true),
            None => Ok(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn options_are_checked() {
        let refused = |options: Value| SmtpMailer::new(&options).err().unwrap_or_default();
        assert!(refused(json!({"from": "a@b.c"})).contains("host"));
        assert!(refused(json!({"host": "h", "from": "nobody"})).contains("from"));
        assert!(refused(json!({"host": "h", "from": "a@b.c", "tls": "maybe"})).contains("tls"));
        assert!(refused(json!({"host": "h", "from": "a@b.c", "tls": "none", "port": "x"})).contains("port"));
    }

    /// The pool of connections belongs to a runtime.
    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    fn mailer() -> SmtpMailer {
        SmtpMailer::new(&json!({"host": "h", "from": "Böb <a@b.example>", "tls": "none"})).unwrap()
    }

    /// The names of the headers of a mail as it is sent.
    fn headers_of(message: &Message) -> Vec<String> {
        let sent = String::from_utf8_lossy(&message.formatted()).into_owned();
        let head = sent.split("\r\n\r\n").next().unwrap_or_default();
        // Folded lines belong to the header above.
        let lines =
            head.split(['\r', '\n']).filter(|line| !line.is_empty() && !line.starts_with([' ', '\t']));
        lines.map(|line| line.split(':').next().unwrap_or_default().to_ascii_lowercase()).collect()
    }

    proptest::proptest! {
        /// What users and templates say becomes no header of its own, and nothing panics.
        #[test]
        fn property_of_mails(
            subject in ".{0,80}(\r\n|\n|\r|\0)?.{0,80}",
            to in "(\"?[^@]{0,20}\"? ?<)?[a-z\r\n\t ,;:\"]{1,9}@[a-z.\r\n]{1,9}>?(\r\nBcc: x@y.z)?",
            text in proptest::prelude::any::<String>(),
            html in proptest::option::of(".{0,80}"),
        ) {
            let runtime = runtime();
            let _inside = runtime.enter();
            let mail = Mail { to, subject, text, html, extra: Map::new() };
            if let Ok(message) = mailer().message(&mail) {
                let known = ["from", "to", "subject", "date", "mime-version", "content-type", "content-transfer-encoding", "message-id"];
                for header in headers_of(&message) {
                    proptest::prop_assert!(known.contains(&header.as_str()), "{header}: {mail:?}");
                }
                let recipients = message.envelope().to().len();
                proptest::prop_assert_eq!(recipients, 1);
            }
        }
    }

    #[test]
    fn line_ends_in_subjects_are_no_headers() {
        let runtime = runtime();
        let _inside = runtime.enter();
        for subject in ["a\r\nBcc: x@y.z", "a\nBcc: x@y.z", "ä\r\n\r\nbody", "\0"] {
            let mail = Mail {
                to: "c@d.example".into(),
                subject: subject.into(),
                text: "t".into(),
                html: None,
                extra: Map::new(),
            };
            if let Ok(message) = mailer().message(&mail) {
                assert!(!headers_of(&message).contains(&"bcc".to_owned()), "{subject:?}");
            }
        }
    }
}
