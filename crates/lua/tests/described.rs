//! What other services publish of the requests they take, cut to those that the library's scripts make.

use serde_json::Value;

/// Twilio's description of its requests.
const TWILIO: &str = include_str!("library/twilio.json");

/// Stripe's.
const STRIPE: &str = include_str!("library/stripe.json");

/// The fields of a form, from a request's body.
pub fn form(body: &str) -> Vec<(String, String)> {
    let form = reqwest::Url::parse(&format!("form:?{body}")).unwrap();
    form.query_pairs().into_owned().collect()
}

/// Holds a form against Twilio's description of the request at a path.
pub fn assert_twilio(path: &str, form: &[(String, String)]) {
    let described: Value = serde_json::from_str(TWILIO).unwrap();
    let (template, post) = (described["paths"].as_object().unwrap().iter())
        .find(|(template, _)| {
            let (start, end) = template.split_once("{AccountSid}").unwrap();
            path.starts_with(start) && path.ends_with(end)
        })
        .unwrap_or_else(|| panic!("{path} is not described"));
    let (start, end) = template.split_once("{AccountSid}").unwrap();
    let account = path.strip_prefix(start).unwrap().strip_suffix(end).unwrap();
    let hex = account.strip_prefix("AC").unwrap_or_default();
    assert_eq!(post["post"]["parameters"][0]["schema"]["pattern"], "^AC[0-9a-fA-F]{32}$");
    assert!(hex.len() == 32 && hex.bytes().all(|b| b.is_ascii_hexdigit()), "{account}");
    let schema = &post["post"]["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"];
    for required in schema["required"].as_array().unwrap() {
        assert!(form.iter().any(|(name, _)| name == required.as_str().unwrap()), "{required} is missing");
    }
    for (name, value) in form {
        let property = &schema["properties"][name];
        assert_eq!(property["type"], "string", "{name} is not described as a text");
        match property["format"].as_str() {
            Some("phone-number" | "endpoint") => {
                let digits = value.strip_prefix('+').unwrap_or_default();
                assert!((8..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()), "{value}");
            }
            Some("twiml") => assert!(value.starts_with("<Response>") && value.ends_with("</Response>"), "{value}"),
            None => {}
            Some(other) => panic!("{name} has the format {other}, which this test does not know"),
        }
    }
}

/// Holds a form against Stripe's description of the request at a path.
pub fn assert_stripe(path: &str, form: &[(String, String)]) {
    let described: Value = serde_json::from_str(STRIPE).unwrap();
    let fits = |template: &str| {
        let (template, path) = (template.split('/'), path.split('/'));
        template.clone().count() == path.clone().count()
            && template.zip(path).all(|(a, b)| a == b || (a.starts_with('{') && b.starts_with("p")))
    };
    let (_, post) = (described["paths"].as_object().unwrap().iter())
        .find(|(template, _)| fits(template))
        .unwrap_or_else(|| panic!("{path} is not described"));
    let schema = &post["post"]["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"];
    for required in schema["required"].as_array().unwrap() {
        assert!(form.iter().any(|(name, _)| name == required.as_str().unwrap()), "{required} is missing");
    }
    for (name, value) in form {
        let (outer, inner) = name.split_once('[').unwrap_or((name, ""));
        let property = &schema["properties"][outer];
        let kinds: Vec<&Value> = match property["anyOf"].as_array() {
            Some(any) => any.iter().collect(),
            None => vec![property],
        };
        let one_fits = kinds.into_iter().any(|kind| match kind["type"].as_str() {
            Some("integer") => value.parse::<u64>().is_ok(),
            Some("boolean") => matches!(value.as_str(), "true" | "false"),
            Some("object") => !inner.is_empty(),
            Some("string") => {
                let long = kind["maxLength"].as_u64().is_some_and(|max| value.len() as u64 > max);
                let listed = kind["enum"].as_array().is_none_or(|words| words.iter().any(|word| word == value));
                !long && listed
            }
            _ => false,
        });
        assert!(one_fits, "{path}: {name}={value} is not as described: {property}");
    }
}
