//! What the end of a provider's function means for its transaction. Pure.
//!
//! A function that ended by itself said what became of the money. One that raised or was stopped did not: if it had sent
//! anything by then, the provider may have done what it was asked, so it is asked again under the same key, and never taken
//! for a refusal.

use serde_json::{Map, Value};
use std::{borrow::Cow, collections::BTreeMap};
use sutler_lua::{Bean, Exit, Outcome};
use sutler_model::{PaymentFunction, RedirectMethod, Transaction, TransactionState as State, payment::TEXT_BYTES};

/// Most values that a function may set at once.
const VALUES_MAX: usize = 200;

/// What is to become of a transaction.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    /// It goes on as this, with values that the provider set.
    Told(Box<Transaction>, BTreeMap<String, String>),
    /// Nobody knows yet, and why.
    Unknown(String),
}

/// Reads how a run ended.
pub(super) fn verdict(asked: &Transaction, outcome: &Outcome) -> Verdict {
    let mut told = Transaction { confirmed_later: false, ..asked.clone() };
    let raised = match &outcome.exit {
        Exit::Failed(error) => Some(error.to_string()),
        Exit::Stopped(limit) => Some(limit.to_string()),
        Exit::Success | Exit::Continue | Exit::Refused(_) => None,
    };
    if let Some(reason) = raised {
        let sent = !outcome.calls.is_empty() || asked.attempts > 1 || asked.step > 0;
        let harmless = !sent || asked.function == PaymentFunction::SelfTest;
        if !harmless {
            return Verdict::Unknown(reason);
        }
        told.state = State::Failure;
        told.told.error_reason = Some(cut(reason));
        return Verdict::Told(Box::new(told), BTreeMap::new());
    }
    let empty = Map::new();
    let fields = outcome.returned.as_object().unwrap_or(&empty);
    let said = Said { fields, bean: outcome.resource.as_ref(), set: &outcome.resource_set };
    take(&mut told, &said);
    let word = said.state();
    told.state = match (&outcome.exit, word.as_deref()) {
        (Exit::Refused(reason), _) => {
            told.told.error_reason.get_or_insert_with(|| cut(reason.clone()));
            State::Failure
        }
        (_, None | Some("SUCCESS")) => State::Success,
        (_, Some("FAILURE")) => State::Failure,
        (_, Some("CANCELLED")) => State::Cancelled,
        (_, Some("INPROGRESS")) => {
            told.confirmed_later = true;
            State::AwaitingInput
        }
        (_, Some("AWAITINGINTERACTIVEINPUT")) if asked.allow_interactive => State::AwaitingInput,
        (_, Some("AWAITINGINTERACTIVEINPUT")) => {
            told.told.error_reason =
                Some("the customer would have to be asked, which this request did not allow".into());
            State::Failure
        }
        (_, Some(other)) => {
            told.told.error_reason =
                Some(format!("the provider's function set the state {other}, which means nothing"));
            State::Failure
        }
    };
    if told.state == State::Failure {
        told.told.error_reason.get_or_insert_with(|| "the provider gave no reason".to_owned());
    }
    let values = ["values", "instanceValues", "methodValues", "configuredValues"].into_iter().find_map(|name| {
        let values = fields.get(name)?.as_object()?;
        Some(values.iter().filter_map(|(key, value)| Some((key.clone(), text(value)?))).take(VALUES_MAX).collect())
    });
    Verdict::Told(Box::new(told), values.unwrap_or_default())
}

/// What a function said: on the transaction's bean, or in the table it returned.
struct Said<'a> {
    fields: &'a Map<String, Value>,
    bean: Option<&'a Bean>,
    /// Which properties of the bean its setters set.
    set: &'a [String],
}

impl Said<'_> {
    fn get(&self, name: &str) -> Option<Cow<'_, Value>> {
        let said = self.fields.get(name).filter(|value| !value.is_null()).map(Cow::Borrowed);
        said.or_else(|| self.bean?.properties.get(name))
    }

    fn text(&self, name: &str) -> Option<String> {
        self.get(name).and_then(|value| text(&value)).filter(|text| !text.is_empty()).map(cut)
    }

    /// The state it named; none where it set none.
    fn state(&self) -> Option<String> {
        let named = ["state", "transactionState"].into_iter().find_map(|name| self.fields.get(name)?.as_str());
        // Also to the one it was shown: that it is under way is not that it is done.
        let set = self.bean.filter(|_| self.set.iter().any(|name| name == "state")).and_then(|bean| bean.text("state"));
        named.map(str::to_owned).or(set).map(|word| match word.trim().to_uppercase().replace(['_', ' '], "").as_str() {
            "SUCCESSFUL" | "SUCCEEDED" => "SUCCESS".to_owned(),
            "FAILED" => "FAILURE".to_owned(),
            "CANCELED" => "CANCELLED".to_owned(),
            "AWAITINGINPUT" => "AWAITINGINTERACTIVEINPUT".to_owned(),
            other => other.to_owned(),
        })
    }
}

fn take(transaction: &mut Transaction, said: &Said<'_>) {
    let told = &mut transaction.told;
    told.provider_reference = said.text("providerReference");
    told.merchant_description = said.text("merchantDescription");
    told.interactive_url = said.text("interactiveURL");
    told.redirect_url = said.text("redirectURL");
    told.redirect_method = said.text("redirectMethod").and_then(|word| match word.to_uppercase().as_str() {
        "GET" => Some(RedirectMethod::Get),
        "POST" => Some(RedirectMethod::Post),
        "REDIRECT" => Some(RedirectMethod::Redirect),
        _ => None,
    });
    told.redirect_data = match said.get("redirectData").as_deref() {
        Some(Value::Object(data)) => {
            let texts = data.iter().filter_map(|(name, value)| Some((name.clone(), cut(text(value)?))));
            texts.take(VALUES_MAX).collect()
        }
        _ => BTreeMap::new(),
    };
    told.public_data = said.text("publicData");
    told.error_code = said.text("errorCode");
    told.error_reason = said.text("errorReason").or_else(|| said.text("errorString"));
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(TEXT_BYTES));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use sutler_lua::{Limit, OutboundCall, ScriptError};
    use sutler_model::{Cause, Nanos, Timestamp, Told};
    use uuid::Uuid;

    fn asked() -> Transaction {
        let id = Uuid::from_u128(1);
        Transaction {
            id: id.into(),
            version: 2,
            billing_entity_id: id.into(),
            customer_id: Some(id.into()),
            function: PaymentFunction::MakePayment,
            state: State::InProgress,
            outcome: None,
            script_id: id.into(),
            payment_method_id: id.into(),
            payment_instance_id: Some(id.into()),
            invoice_ids: vec![id.into()],
            amount: Nanos(100),
            currency: "EUR".parse().unwrap(),
            refunded: Nanos::ZERO,
            linked_id: None,
            allow_interactive: false,
            return_url: None,
            parameters: BTreeMap::new(),
            values: BTreeMap::new(),
            told: Told::default(),
            step: 0,
            attempts: 1,
            unclear: false,
            confirmed_later: false,
            run_ids: Vec::new(),
            user_id: None,
            cause: Cause::system("test"),
            created_at: Timestamp(0),
            ended_at: None,
        }
    }

    fn ended(exit: Exit, returned: Value, left: Value) -> Outcome {
        let mut bean = Bean::new("Transaction").with("state", "INPROGRESS");
        let mut names = Vec::new();
        if let Value::Object(set) = left {
            names.extend(set.keys().cloned());
            set.into_iter().for_each(|(name, value)| bean.properties.insert(name, value));
        }
        Outcome { exit, returned, resource: Some(bean), resource_set: names, ..Outcome::refused("") }
    }

    fn state(asked: &Transaction, outcome: &Outcome) -> (State, Option<String>) {
        match verdict(asked, outcome) {
            Verdict::Told(told, _) => (told.state, told.told.error_reason),
            Verdict::Unknown(reason) => panic!("unknown: {reason}"),
        }
    }

    #[test]
    fn a_function_tells_by_its_table_or_by_setters() {
        let asked = asked();
        for (returned, left, expected) in [
            (json!(null), json!({}), State::Success),
            (json!({"returnCode": "SUCCESSFUL"}), json!({}), State::Success),
            (json!({"state": "FAILURE"}), json!({}), State::Failure),
            (json!({}), json!({"state": "FAILURE"}), State::Failure),
            (json!({}), json!({"state": "CANCELLED"}), State::Cancelled),
            (json!({"state": "INPROGRESS"}), json!({}), State::AwaitingInput),
            // A setter that sets what the function was shown says it all the same.
            (json!({"returnCode": "SUCCESSFUL"}), json!({"state": "INPROGRESS"}), State::AwaitingInput),
            (json!({}), json!({"state": "AWAITINGINTERACTIVEINPUT"}), State::Failure),
            (json!({"state": "LUNCH"}), json!({}), State::Failure),
        ] {
            assert_eq!(state(&asked, &ended(Exit::Continue, returned.clone(), left)).0, expected, "{returned}");
        }
        let asked = Transaction { allow_interactive: true, ..asked };
        let left = json!({"state": "AWAITINGINTERACTIVEINPUT", "redirectURL": "https://a", "redirectMethod": "POST",
            "redirectData": {"token": "t"}, "providerReference": "pi_1"});
        let Verdict::Told(told, _) = verdict(&asked, &ended(Exit::Success, json!(null), left)) else { panic!() };
        assert_eq!(told.state, State::AwaitingInput);
        assert_eq!(told.told.redirect_method, Some(RedirectMethod::Post));
        assert_eq!(
            (told.told.provider_reference.as_deref(), told.told.redirect_data["token"].as_str()),
            (Some("pi_1"), "t")
        );
        let refused = ended(Exit::Refused("no funds".into()), json!({"errorCode": 51}), json!({}));
        assert_eq!(state(&asked, &refused), (State::Failure, Some("no funds".into())));
    }

    #[test]
    fn a_function_that_raised_after_it_had_sent_something_has_not_refused() {
        let raised = ended(Exit::Failed(ScriptError::new("boom")), json!(null), json!({}));
        assert_eq!(state(&asked(), &raised).0, State::Failure, "nothing had left the house");
        let call = OutboundCall {
            method: "POST".into(),
            url: "https://a".into(),
            status: None,
            error: Some("timeout".into()),
            sent_bytes: 1,
            received_bytes: 0,
            duration_us: 1,
        };
        for exit in [Exit::Failed(ScriptError::new("boom")), Exit::Stopped(Limit::Deadline)] {
            let sent = Outcome { calls: vec![call.clone()], ..ended(exit, json!(null), json!({})) };
            assert!(matches!(verdict(&asked(), &sent), Verdict::Unknown(_)));
        }
        for earlier in [Transaction { attempts: 2, ..asked() }, Transaction { step: 1, ..asked() }] {
            assert!(matches!(verdict(&earlier, &raised), Verdict::Unknown(_)), "an earlier try may have sent it");
        }
    }

    #[test]
    fn what_a_provider_keeps_with_a_card_comes_back_as_texts() {
        let outcome =
            ended(Exit::Continue, json!({"values": {"customer": "cus_1", "last4": 4242, "x": []}}), json!({}));
        let Verdict::Told(_, values) = verdict(&asked(), &outcome) else { panic!() };
        let expected = [("customer", "cus_1"), ("last4", "4242")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(values, BTreeMap::from(expected));
    }
}
