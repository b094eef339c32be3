//! Calls of the API as events that triggers may refuse and are told of, under the names that the language has for them.

use super::{Api, problem::Problem};
use axum::{
    extract::MatchedPath,
    http::{Method, Uri},
};
use std::collections::HashMap;
use sutler_actors::{ApiCall, CallUnderWay, Caller};
use utoipa::openapi::OpenApi;

/// The language's names of what we call otherwise; the rest is our name in its spelling: `create_server`, `createServer`.
const NAMES: [(&str, &str); 35] = [
    ("update_image", "modifyImage"),
    ("set_server_metadata", "updateMetadata"),
    ("set_image_metadata", "updateMetadata"),
    ("set_customer_metadata", "updateMetadata"),
    ("set_billing_entity_metadata", "updateMetadata"),
    ("act_on_server", "changeServerStatus"),
    ("create_api_key", "createAPIKeyUser"),
    ("delete_session", "deleteAuthenticationToken"),
    ("list_trigger_runs", "listResources"),
    ("open_console", "openVNCConnection"),
    ("preview_invoice", "getInvoicePreview"),
    ("read_console_log", "getConsoleLog"),
    ("download_backup", "getBackup"),
    ("follow_events", "getEvents"),
    ("show_me", "getUserDetails"),
    ("show_server_statistics", "getMeasuredValues"),
    ("show_statistics", "getStatistics"),
    ("update_server", "modifyServer"),
    ("compare_revision", "getRevisionDifference"),
    ("create_trigger", "createFDLCodeBlock"),
    ("update_trigger", "modifyFDLCodeBlock"),
    ("sign_revision", "signFDLCodeBlock"),
    ("put_blob", "modifyBlob"),
    ("update_blob", "modifyBlob"),
    ("download_blob", "getBlobContent"),
    ("create_plan", "createProductOffer"),
    ("update_plan", "modifyProductOffer"),
    ("update_billing_entity", "modifyBillingEntity"),
    ("create_payment_instance", "createPaymentMethodInstance"),
    ("update_payment_instance", "modifyPaymentMethodInstance"),
    ("update_payment_method", "modifyPaymentMethod"),
    ("update_pluggable_resource", "modifyPluggableResource"),
    ("invoke_pluggable_action", "invokeAction"),
    ("set_provider_values", "updateConfigurationProviderValues"),
    ("make_report", "invokeReportMethod"),
];

/// The language's name of an operation.
fn name_of(operation: &str) -> String {
    if let Some((_, name)) = NAMES.iter().find(|(ours, _)| *ours == operation) {
        return (*name).to_owned();
    }
    // One operation for all kinds of resource.
    match operation.split_once('_') {
        Some(("list", _)) => "listResources".to_owned(),
        Some(("show", _)) => "getResource".to_owned(),
        Some(("delete", _)) => "deleteResource".to_owned(),
        _ => camel(operation),
    }
}

fn camel(operation: &str) -> String {
    let mut words = operation.split('_');
    let mut name = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        name.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        name.push_str(letters.as_str());
    }
    name
}

/// The names of all calls that need a caller, by route.
pub struct Names(HashMap<String, Vec<(Method, String)>>);

impl Names {
    /// From the API's description.
    pub fn of(document: &OpenApi) -> Self {
        let mut names: HashMap<String, Vec<(Method, String)>> = HashMap::new();
        for (path, item) in &document.paths.paths {
            let operations = [
                (Method::GET, &item.get),
                (Method::POST, &item.post),
                (Method::PUT, &item.put),
                (Method::PATCH, &item.patch),
                (Method::DELETE, &item.delete),
            ];
            for (method, operation) in operations {
                let Some(id) = operation.as_ref().and_then(|operation| operation.operation_id.as_deref()) else {
                    continue;
                };
                names.entry(path.clone()).or_default().push((method, name_of(id)));
            }
        }
        Self(names)
    }

    fn get(&self, method: &Method, route: &str) -> Option<&str> {
        // What serves GET serves HEAD.
        let method = if method == Method::HEAD { &Method::GET } else { method };
        let (_, name) = self.0.get(route)?.iter().find(|(known, _)| known == method)?;
        Some(name)
    }
}

/// Whether a trigger may refuse it. Who manages triggers is never refused by one: it could not be mended any more.
fn refusable(route: &str) -> bool {
    const KEPT_OPEN: [&str; 3] = ["/api/v1/triggers", "/api/v1/runs", "/api/v1/sessions"];
    !KEPT_OPEN.iter().any(|kept| route.starts_with(kept))
}

/// Lets triggers refuse a call that is about to be carried out. None: no trigger waits to be told of it.
///
/// # Errors
/// The refusal.
pub async fn begin(
    api: &Api,
    caller: &Caller,
    method: &Method,
    uri: &Uri,
    route: Option<&MatchedPath>,
) -> Result<Option<CallUnderWay>, Problem> {
    let Some(route) = route.map(MatchedPath::as_str) else { return Ok(None) };
    let Some(operation) = api.calls.get(method, route) else { return Ok(None) };
    let call = ApiCall {
        operation,
        method: method.as_str(),
        path: uri.path(),
        changes: !method.is_safe(),
        refusable: refusable(route),
    };
    Ok(api.system.begin_call(caller, call).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_has_a_name_of_the_language() {
        let names = Names::of(&super::super::guarded_document());
        for (method, route, name) in [
            (Method::POST, "/api/v1/servers", "createServer"),
            (Method::GET, "/api/v1/servers", "listResources"),
            (Method::HEAD, "/api/v1/servers/{id}", "getResource"),
            (Method::PATCH, "/api/v1/servers/{id}", "modifyServer"),
            (Method::DELETE, "/api/v1/servers/{id}", "deleteResource"),
            (Method::POST, "/api/v1/servers/{id}/actions", "changeServerStatus"),
            (Method::PATCH, "/api/v1/customers/{id}", "updateCustomer"),
            (Method::POST, "/api/v1/users", "createUser"),
            (Method::PATCH, "/api/v1/users/{id}", "updateUser"),
            (Method::POST, "/api/v1/jobs/{id}/cancel", "cancelJob"),
            (Method::POST, "/api/v1/billing-entities", "createBillingEntity"),
            (Method::POST, "/api/v1/triggers", "createFDLCodeBlock"),
            (Method::POST, "/api/v1/payment-instances", "createPaymentMethodInstance"),
            (Method::POST, "/api/v1/reports/{script}/{function}", "invokeReportMethod"),
        ] {
            assert_eq!(names.get(&method, route), Some(name), "{method} {route}");
        }
        assert_eq!(names.get(&Method::PUT, "/api/v1/servers"), None);
        let all: Vec<&str> = names.0.values().flatten().map(|(_, name)| name.as_str()).collect();
        assert!(all.len() > 60 && all.iter().all(|name| !name.contains('_')), "{all:?}");
    }

    #[test]
    fn who_manages_triggers_is_refused_by_none() {
        assert!(
            refusable("/api/v1/servers") && !refusable("/api/v1/triggers/{id}") && !refusable("/api/v1/runs/{id}/skip")
        );
    }
}
