//! The options that a type of trigger can have in the language.

use crate::schema::enumeration;
use sutler_model::{Entry, TriggerType};

/// Every option, as scripts write it.
const ANY: &str = "ANY";

/// The options of a type, beside `ANY`. None: they are names of API methods, which are not counted here.
pub fn options_of(kind: TriggerType) -> Option<Vec<&'static str>> {
    use TriggerType as T;
    let words = |name| enumeration(name).map(|found| found.values.clone()).unwrap_or_default();
    let mut options = match kind {
        T::PreCreate | T::PostCreate | T::PreModify | T::PostModify | T::PreDelete | T::PostDelete => {
            words("ResourceType")
        }
        T::PreJobStateChange | T::PostJobStateChange => words("JobStatus"),
        T::PreServerStateChange | T::PostServerStateChange => words("ServerStatus"),
        T::PrePayment => words("PaymentFunction"),
        T::PostPayment => words("TransactionState"),
        T::PostAuth => vec!["SUCCESS", "FAILURE"],
        T::PostException => vec!["API", "JOB", "ACTOR"],
        T::TaxCalculation => vec!["INVOICE"],
        T::PreUserApiCall | T::PostUserApiCall | T::PreAdminApiCall | T::PostAdminApiCall => return None,
        T::PreServerMetadataUpdate
        | T::PreAuth
        | T::PostBilling
        | T::PostCollection
        | T::PrePurchase
        | T::PostPurchase
        | T::PostUnitTransaction
        | T::Scheduled
        | T::Init => Vec::new(),
    };
    options.retain(|option| *option != ANY);
    Some(options)
}

/// Other words for the failure of a sign-in, whose own nobody knows for sure.
const FAILURES: [&str; 3] = ["FAILED", "FAIL", "UNSUCCESSFUL"];

/// The options of an entry that its type does not have: nothing will ever set it off by them.
pub fn strange_options(entry: &Entry) -> Vec<&str> {
    let Some(known) = options_of(entry.trigger_type) else { return Vec::new() };
    // Its times alone count.
    if entry.trigger_type == TriggerType::Scheduled {
        return Vec::new();
    }
    let given = entry.options.iter().map(String::as_str).filter(|option| *option != ANY);
    let spelled = |option: &str| entry.trigger_type == TriggerType::PostAuth && FAILURES.contains(&option);
    given.filter(|option| !known.contains(option) && !spelled(option)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strange(kind: TriggerType, options: &[&str]) -> Vec<String> {
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let entry = Entry { trigger_type: kind, options, ..crate::descriptor::init() };
        strange_options(&entry).into_iter().map(str::to_owned).collect()
    }

    #[test]
    fn an_option_that_a_type_does_not_have_is_strange() {
        use TriggerType as T;
        assert_eq!(strange(T::PostCreate, &["ANY", "SERVER", "SERVERS"]), ["SERVERS"]);
        assert_eq!(strange(T::PostJobStateChange, &["FAILED", "RUNNING"]), ["RUNNING"]);
        assert_eq!(strange(T::PostAuth, &["FAIL", "FAILED", "FAILURE", "SUCCESS"]), [""; 0]);
        assert_eq!(strange(T::PostUserApiCall, &["createServer"]), [""; 0]);
        assert_eq!(strange(T::PreAuth, &["SERVER"]), ["SERVER"]);
        assert_eq!(strange(T::Scheduled, &["SERVER"]), [""; 0]);
    }
}
