//! The API's description, OpenAPI 3.1, from the code: the routes register themselves with the router and the document
//! at once, so that neither can have what the other lacks.

use super::{events::EventView, problem};
use utoipa::{
    OpenApi,
    openapi::{
        Components, Content, HttpMethod, PathItem, Ref, RefOr, ResponseBuilder,
        header::HeaderBuilder,
        path::{Operation, Parameter, ParameterBuilder, ParameterIn},
        schema::{ObjectBuilder, SchemaType, Type},
        security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
    },
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Sutler",
        description = "Everything Sutler can do. The console, the command line and scripts use nothing else.\n\n\
            Ids are UUIDs, times RFC 3339 in UTC, amounts of money decimal text. Lists answer pages with a cursor. Work \
            that takes time is accepted with 202 and a job to follow. Every error is `application/problem+json`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    servers((url = "/", description = "This controller")),
    components(schemas(problem::Body, EventView)),
    tags(
        (name = "sessions", description = "Signing in and out"),
        (name = "billing entities", description = "Who sells: the provider and its resellers"),
        (name = "customers", description = "Who buys"),
        (name = "users", description = "People who sign in"),
        (name = "API keys", description = "Credentials for programs"),
        (name = "plans", description = "Prices"),
        (name = "images", description = "What servers are made from"),
        (name = "nodes", description = "Hypervisors"),
        (name = "servers", description = "Virtual servers"),
        (name = "disks", description = "Disks of servers"),
        (name = "jobs", description = "Durable units of work"),
        (name = "triggers", description = "Lua code run at events"),
        (name = "blobs", description = "Small files that scripts bring along"),
        (name = "billing", description = "Usage and invoices"),
        (name = "payments", description = "How invoices are paid"),
        (name = "events", description = "What changes, as it changes"),
        (name = "operation", description = "Health, metrics and repair")
    )
)]
struct Base;

/// The document the routes are added to.
pub fn base() -> utoipa::openapi::OpenApi {
    let mut document = Base::openapi();
    env!("CARGO_PKG_VERSION").clone_into(&mut document.info.version);
    let components = document.components.get_or_insert_with(Components::new);
    let mut http = Http::new(HttpAuthScheme::Bearer);
    http.description = Some("A session's token (`ss_…`) or an API key (`sk_…`).".to_owned());
    components.add_security_scheme("token", SecurityScheme::Http(http));
    document.security = Some(vec![SecurityRequirement::new("token", Vec::<String>::new())]);
    document
}

/// The errors an operation can answer, by what it takes. Said once here rather than beside each operation.
const PROBLEMS: [(&str, &str); 14] = [
    ("400", "The request cannot be understood."),
    ("401", "No valid credential."),
    ("403", "Not allowed, suspended, or refused by a trigger."),
    ("404", "No such record within the caller's reach."),
    ("408", "The body did not arrive in time."),
    ("409", "Not possible in the present state."),
    ("410", "Events asked for are no longer kept."),
    ("412", "The record is not at the version in If-Match."),
    ("413", "The body is too large."),
    ("415", "The body is not declared as JSON."),
    ("422", "Fields are not valid, or the idempotency key was used with another request."),
    ("429", "Too many requests; see Retry-After."),
    ("500", "An error on our side."),
    ("503", "Too busy, or the store cannot commit; see Retry-After."),
];

/// Adds what is the same for many operations: problem responses and the headers with meaning.
pub fn complete(document: &mut utoipa::openapi::OpenApi) {
    for (name, description) in PROBLEMS {
        let content = Content::new(Some(Ref::from_schema_name("Problem")));
        let mut response = ResponseBuilder::new().description(description);
        response = response.content("application/problem+json", content);
        if matches!(name, "429" | "503") {
            let header = HeaderBuilder::new().schema(ObjectBuilder::new().schema_type(SchemaType::new(Type::Integer)));
            response = response.header("Retry-After", header.description(Some("Seconds to wait.")).build());
        }
        let components = document.components.get_or_insert_with(Components::new);
        components.responses.insert(format!("Problem{name}"), response.build().into());
    }
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            describe(path, &method, operation);
        }
    }
}

fn describe(path: &str, method: &HttpMethod, operation: &mut Operation) {
    let changes = !matches!(method, HttpMethod::Get);
    let body = operation.request_body.is_some();
    // `GET` of a list or stream has no record whose version could matter.
    let conditional = matches!(method, HttpMethod::Patch | HttpMethod::Delete) || path.ends_with("/actions");
    let conditional = conditional && path.contains("{id}") && !path.contains("/api-keys/");
    let by_job = path.ends_with("/servers/{id}") || path.ends_with("/customers/{id}");
    let keyed = *method == HttpMethod::Post || (*method == HttpMethod::Delete && by_job);
    let mut parameters = Vec::new();
    if conditional {
        parameters.push(header("If-Match", "Only at this version: an entity tag such as `\"3\"`, a list, or `*`."));
    }
    if keyed {
        let text = "1–255 visible characters. Repeating a request with the same key repeats its answer, for a day.";
        parameters.push(header("Idempotency-Key", text));
    }
    operation.parameters.get_or_insert_default().extend(parameters);
    let all = PROBLEMS.iter().map(|(name, _)| *name).filter(|name| match *name {
        "403" | "404" | "401" => path.starts_with("/api/v1/") && !path.ends_with("openapi.json"),
        "408" | "413" | "415" | "422" => body || (keyed && *name == "422"),
        "409" => changes,
        "410" => path.ends_with("/events"),
        "412" => conditional,
        _ => true,
    });
    for name in all {
        let problem = Ref::new(format!("#/components/responses/Problem{name}"));
        operation.responses.responses.entry(name.to_owned()).or_insert(RefOr::Ref(problem));
    }
}

fn header(name: &str, description: &str) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .description(Some(description))
        .schema(Some(ObjectBuilder::new().schema_type(SchemaType::new(Type::String))))
        .build()
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (HttpMethod, &mut Operation)> {
    [
        (HttpMethod::Get, &mut item.get),
        (HttpMethod::Post, &mut item.post),
        (HttpMethod::Put, &mut item.put),
        (HttpMethod::Patch, &mut item.patch),
        (HttpMethod::Delete, &mut item.delete),
    ]
    .into_iter()
    .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

#[cfg(test)]
mod tests {
    use super::super::openapi_text;
    use serde_json::Value;
    use std::collections::BTreeSet;

    fn document() -> Value {
        serde_json::from_str(&openapi_text()).unwrap()
    }

    #[test]
    fn every_reference_in_the_document_leads_somewhere() {
        fn walk(value: &Value, root: &Value) {
            match value {
                Value::Object(map) => {
                    if let Some(Value::String(target)) = map.get("$ref") {
                        let pointer = target.strip_prefix('#').unwrap();
                        assert!(root.pointer(pointer).is_some(), "{target} leads nowhere");
                    }
                    map.values().for_each(|v| walk(v, root));
                }
                Value::Array(items) => items.iter().for_each(|v| walk(v, root)),
                _ => {}
            }
        }
        let document = document();
        assert_eq!(document["openapi"], "3.1.0");
        walk(&document, &document);
    }

    #[test]
    fn every_operation_has_its_own_id_a_summary_a_tag_and_problem_responses() {
        let document = document();
        let mut ids = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let id = operation["operationId"].as_str().unwrap();
                assert!(ids.insert(id.to_owned()), "{id} is used twice");
                assert!(operation["summary"].is_string(), "{method} {path} has no summary");
                assert!(operation["tags"][0].is_string(), "{method} {path} has no tag");
                assert!(operation["responses"]["500"].is_object(), "{method} {path} has no problem responses");
            }
        }
        assert!(ids.len() > 50, "{}", ids.len());
    }

    #[test]
    fn no_secret_is_part_of_any_schema() {
        let text = openapi_text();
        for secret in ["password_hash", "secret_hash"] {
            assert!(!text.contains(secret), "{secret} is in the document");
        }
    }
}
