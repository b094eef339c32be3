//! What the settings say about where scripts may go.

use super::Egress;
use reqwest::Url;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use std::{collections::BTreeMap, net::IpAddr};
use sutler_lua::Rule;

/// A setting and what to do about it.
type Wrong = (String, String);

impl Egress {
    /// The policy. Reads the files of certificates.
    ///
    /// # Errors
    /// The setting that cannot be used, and the fix.
    pub fn policy(&self) -> Result<sutler_lua::Egress, Wrong> {
        Ok(sutler_lua::Egress {
            allow_private: false,
            exceptions: rules("egress.exceptions", &self.exceptions)?,
            allow: rules("egress.allow", &self.allow)?,
            deny: rules("egress.deny", &self.deny)?,
            proxy: self.proxy()?,
            hosts: self.hosts()?,
            roots: self.roots()?,
            relay: self.relay()?,
            mail_from: self.mail_from()?,
            timeout_ms: self.timeout_ms,
            response_bytes: (self.response_kib as usize) << 10,
            requests: self.requests,
        })
    }

    fn proxy(&self) -> Result<Option<Url>, Wrong> {
        if self.proxy.is_empty() {
            return Ok(None);
        }
        let url = Url::parse(&self.proxy).ok();
        let usable = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.host_str().is_some());
        // It may hold a password, so it is not repeated.
        let fix = "is no address of a proxy; must be one such as http://proxy.example:3128";
        usable.map(Some).ok_or_else(|| ("egress.proxy".to_owned(), fix.to_owned()))
    }

    fn relay(&self) -> Result<Option<Url>, Wrong> {
        if self.mail_relay.is_empty() {
            return Ok(None);
        }
        let url = Url::parse(&self.mail_relay).ok();
        let usable = url.filter(|url| matches!(url.scheme(), "smtp" | "smtps") && url.has_host());
        let fix = "is no address of a mail server; must be one such as smtp://mail.example:25";
        usable.map(Some).ok_or_else(|| ("egress.mail_relay".to_owned(), fix.to_owned()))
    }

    fn mail_from(&self) -> Result<String, Wrong> {
        let address = self.mail_from.split_once('@').is_some_and(|(user, host)| !user.is_empty() && !host.is_empty());
        let fix = || ("egress.mail_from".to_owned(), format!("is `{}`; must be a mail address", self.mail_from));
        if address { Ok(self.mail_from.clone()) } else { Err(fix()) }
    }

    fn hosts(&self) -> Result<BTreeMap<String, IpAddr>, Wrong> {
        let read = |text: &String| {
            let (name, address) = text.split_once('=')?;
            let name = name.trim().trim_end_matches('.').to_ascii_lowercase();
            (!name.is_empty()).then_some((name, address.trim().parse().ok()?))
        };
        let wrong = |text: &String| ("egress.hosts".to_owned(), format!("is `{text}`; must be `name=address`"));
        self.hosts.iter().map(|text| read(text).ok_or_else(|| wrong(text))).collect()
    }

    fn roots(&self) -> Result<Vec<CertificateDer<'static>>, Wrong> {
        let mut roots = Vec::new();
        for file in &self.ca_files {
            let wrong = |fix: String| ("egress.ca_files".to_owned(), format!("names {}: {fix}", file.display()));
            let text = std::fs::read(file).map_err(|e| wrong(format!("cannot be read: {e}")))?;
            let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
            let found = found.map_err(|e| wrong(format!("is no PEM file: {e}")))?;
            if found.is_empty() {
                return Err(wrong("holds no certificate".to_owned()));
            }
            roots.extend(found);
        }
        Ok(roots)
    }
}

fn rules(setting: &str, texts: &[String]) -> Result<Vec<Rule>, Wrong> {
    texts.iter().map(|text| text.parse().map_err(|fix| (setting.to_owned(), fix))).collect()
}
