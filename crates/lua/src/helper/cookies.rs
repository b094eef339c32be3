//! The cookies that a connection keeps between its requests, each sent back where it came from only (RFC 6265).

use crate::date;
use reqwest::Url;

/// Most that one connection keeps, and longest of them; what is beyond is not kept, or drives out the oldest.
const COUNT: usize = 100;
const BYTES: usize = 4 << 10;
/// How servers write times, and how the oldest of them did.
const TIMES: [&str; 2] = ["EEE, dd MMM yyyy HH:mm:ss z", "EEE, dd-MMM-yyyy HH:mm:ss z"];

struct Cookie {
    name: String,
    value: String,
    host: String,
    /// Whether names below the host get it as well.
    below: bool,
    path: String,
    secure: bool,
}

/// Those of one connection, oldest first.
#[derive(Default)]
pub(super) struct Jar(Vec<Cookie>);

impl Jar {
    /// Takes in what an answer set: a pair, and where and for how long it counts.
    pub fn set(&mut self, url: &Url, line: &str) {
        let mut parts = line.split(';').map(str::trim);
        let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else { return };
        let (Some(host), true) = (url.host_str(), line.len() <= BYTES) else { return };
        let folder = url.path().rsplit_once('/').map(|(folder, _)| folder).filter(|folder| !folder.is_empty());
        let mut cookie = Cookie {
            name: name.trim().to_owned(),
            value: value.trim().to_owned(),
            host: host.to_owned(),
            below: false,
            path: folder.unwrap_or("/").to_owned(),
            secure: false,
        };
        let (mut age, mut expires) = (None, None);
        for part in parts {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            match (name.trim().to_ascii_lowercase().as_str(), value.trim()) {
                ("secure", _) => cookie.secure = true,
                ("path", path) if path.starts_with('/') => path.clone_into(&mut cookie.path),
                ("domain", domain) if !domain.is_empty() => {
                    let domain = domain.trim_start_matches('.').to_ascii_lowercase();
                    // Not for another's names, nor for all that end alike.
                    if host != domain && !(is_below(host, &domain) && domain.contains('.')) {
                        return;
                    }
                    (cookie.host, cookie.below) = (domain, true);
                }
                ("max-age", seconds) => age = seconds.parse::<i64>().ok(),
                ("expires", time) => {
                    let now = date::now();
                    expires = TIMES.iter().find_map(|form| date::parse(time, form, now)).map(|time| time <= now);
                }
                _ => {}
            }
        }
        self.0.retain(|known| (&known.name, &known.host, &known.path) != (&cookie.name, &cookie.host, &cookie.path));
        let over = age.map(|seconds| seconds <= 0).or(expires).unwrap_or(false);
        if !over {
            if self.0.len() == COUNT {
                self.0.remove(0);
            }
            self.0.push(cookie);
        }
    }

    /// What a request to this address carries, if anything: longest paths first.
    pub fn header(&self, url: &Url) -> Option<String> {
        let host = url.host_str()?;
        let counts = |cookie: &&Cookie| {
            (host == cookie.host || cookie.below && is_below(host, &cookie.host))
                && (!cookie.secure || url.scheme() == "https")
                && url
                    .path()
                    .strip_prefix(cookie.path.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || cookie.path.ends_with('/'))
        };
        let mut found: Vec<&Cookie> = self.0.iter().filter(counts).collect();
        found.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        let pairs: Vec<String> = found.iter().map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect();
        if pairs.is_empty() { None } else { Some(pairs.join("; ")) }
    }

    /// Roughly the memory it takes.
    pub fn weight(&self) -> usize {
        let of = |cookie: &Cookie| cookie.name.len() + cookie.value.len() + cookie.host.len() + cookie.path.len();
        self.0.iter().map(|cookie| 2 * size_of::<Cookie>() + of(cookie)).sum()
    }
}

fn is_below(host: &str, domain: &str) -> bool {
    let is_name = host.parse::<std::net::IpAddr>().is_err() && !host.starts_with('[');
    is_name && host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    /// What is sent to an address after one answer from another.
    fn sent(from: &str, line: &str, to: &str) -> Option<String> {
        let mut jar = Jar::default();
        jar.set(&url(from), line);
        jar.header(&url(to))
    }

    #[test]
    fn a_cookie_goes_back_to_where_it_came_from_and_nowhere_else() {
        let from = "https://a.example.org/api/login";
        for (line, to, goes) in [
            ("sid=1", "https://a.example.org/api/next", true),
            ("sid=1", "http://a.example.org/api", true),
            ("sid=1", "https://a.example.org/apiary", false),
            ("sid=1", "https://a.example.org/", false),
            ("sid=1; Path=/", "https://a.example.org/", true),
            ("sid=1; path=/api/", "https://a.example.org/api/x", true),
            ("sid=1; Path=/; Secure", "http://a.example.org/", false),
            ("sid=1; Path=/; Secure", "https://a.example.org:8443/", true),
            ("sid=1; Path=/", "https://b.example.org/", false),
            ("sid=1; Path=/", "https://x.a.example.org/", false),
            ("sid=1; Path=/; Domain=.example.org", "https://b.example.org/", true),
            ("sid=1; Path=/; Domain=example.org", "https://badexample.org/", false),
            ("sid=1; Path=/; Domain=org", "https://a.example.org/", false),
            ("sid=1; Path=/; Domain=b.example.org", "https://b.example.org/", false),
            ("sid=1; Path=/; Max-Age=0", "https://a.example.org/", false),
            ("sid=1; Path=/; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "https://a.example.org/", true),
            ("sid=1; Path=/; Expires=Thu, 01-Jan-1970 00:00:00 GMT", "https://a.example.org/", false),
            ("sid", "https://a.example.org/api/next", false),
        ] {
            assert_eq!(sent(from, line, to), goes.then(|| "sid=1".to_owned()), "{line} to {to}");
        }
        assert_eq!(sent("http://127.0.0.1/", "a=b; Domain=0.0.1", "http://127.0.0.1/"), None);
    }

    #[test]
    fn a_later_cookie_takes_the_place_of_an_earlier_one_and_the_oldest_gives_way() {
        let (mut jar, here) = (Jar::default(), url("http://a.test/"));
        for line in ["a=1", "b=2; Path=/deep", "a=3", "c=\"x=y\""] {
            jar.set(&here, line);
        }
        assert_eq!(jar.header(&url("http://a.test/deep/x")).as_deref(), Some("b=2; a=3; c=\"x=y\""));
        jar.set(&here, "a=; Max-Age=-1");
        assert_eq!(jar.header(&here).as_deref(), Some("c=\"x=y\""));
        jar.set(&here, &format!("long={}", "x".repeat(BYTES)));
        (0..COUNT).for_each(|number| jar.set(&here, &format!("n{number}=1")));
        let kept = jar.header(&here).unwrap();
        assert_eq!((kept.split("; ").count(), kept.contains("x=y"), kept.contains("long")), (COUNT, false, false));
    }
}
