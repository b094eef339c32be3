//! TAX_CALCULATION triggers: what comes on top of an invoice.
//!
//! They run in priority order, each on the invoice as the ones before left it, outside any actor's turn; one that fails
//! keeps the invoice from being closed, unless its block is set to let it pass. A preview's runs have no effects.

use super::{
    Scripts, Subject,
    beans::{Beans, FEW},
    failure::Failure,
    invoke::Invocation,
    pre::Asking,
};
use crate::{Error, scripts::derived};
use serde_json::Value;
use sutler_lua::{Bean, Exit, Member, Outcome};
use sutler_model::{Invoice, Nanos, Tax, TriggerType, money};

/// The one kind of document that is taxed.
pub(super) const OPTION: &str = "INVOICE";
/// Highest rate, per cent: far above any real one, and it keeps an amount from being taken for a rate.
const RATE_MAX: i128 = 1_000 * money::ONE;

impl Scripts {
    /// Whether anybody computes taxes.
    pub(crate) fn taxes(&self) -> bool {
        self.env.awaits(TriggerType::TaxCalculation, OPTION)
    }

    /// The tax of an invoice that was drawn up; none: nobody computes one for its seller.
    ///
    /// # Errors
    /// [`Error::Refused`]; those of the store.
    pub(crate) async fn tax(&self, asking: &Asking, invoice: &Invoice, rehearsal: bool) -> Result<Option<Tax>, Error> {
        let (seller, customer) = (invoice.billing_entity_id, Some(invoice.customer_id));
        let mut taxed = invoice.clone();
        for hook in self.env.listeners(TriggerType::TaxCalculation, OPTION, seller, customer).await? {
            let (script, function) = (hook.script.clone(), hook.entry().function.clone());
            let (drawn, owner) = (taxed.clone(), script.owner);
            let bean = self.env.core.store.read(move |snapshot| Beans::new(snapshot, owner, FEW).bean(drawn)).await?;
            let text = format!("tax:{}:{}:{}:{function}", invoice.customer_id, invoice.from, invoice.total);
            let run_id = derived(script.id, invoice.to, &text);
            let outcome = self
                .invoke(Invocation {
                    script: script.clone(),
                    function,
                    id: run_id,
                    option: OPTION,
                    subject: Some(Subject {
                        id: invoice.customer_id.into(),
                        customer,
                        seller,
                        bean: Some(bean.clone()),
                    }),
                    more: vec![("input", Member::Resource)],
                    user: asking.user_id,
                    cause: asking.cause.clone(),
                    depth: asking.depth,
                    deadline_ms: self.env.core.settings.pre_deadline_ms,
                    rehearsal,
                })
                .await?;
            let refused = |reason: String| Error::Refused { script: script.name.clone(), reason };
            let answer = match &outcome.exit {
                Exit::Refused(reason) => return Err(refused(reason.clone())),
                // What it raised is for its owner, who may not be the one who asks.
                Exit::Failed(error) if !script.fail_open => {
                    let run = (!rehearsal).then_some(run_id);
                    let failure = Failure { script: &script, seller, run, reason: &error.to_string() };
                    Err(failure.told(&self.env, asking.sees_runs_of).await?)
                }
                Exit::Failed(error) => Err(error.to_string()),
                Exit::Stopped(limit) => Err(limit.to_string()),
                Exit::Success | Exit::Continue => answer(&taxed, &bean, &outcome),
            };
            match answer {
                Ok(Some(tax)) => taxed.tax = Some(tax),
                Ok(None) => {}
                Err(reason) if script.fail_open => {
                    tracing::warn!(script = %script.name, reason, "a tax was not computed")
                }
                Err(reason) => {
                    tracing::warn!(script = %script.name, reason, "a tax was not computed");
                    return Err(refused(format!("the tax could not be computed: {reason}")));
                }
            }
        }
        Ok(taxed.tax)
    }
}

/// The tax that a run says: in the table it returned, or by setters on the invoice. None: it leaves it as it is.
fn answer(invoice: &Invoice, before: &Bean, outcome: &Outcome) -> Result<Option<Tax>, String> {
    let set = |name: &str| {
        let now = outcome.resource.as_ref()?.properties.get(name)?.into_owned();
        (number(&now) != before.properties.get(name).as_deref().and_then(number)).then_some(now)
    };
    let said =
        |names: &[&str]| names.iter().find_map(|name| outcome.returned.get(*name).filter(|v| !v.is_null())).cloned();
    let amount = said(&["taxAmount", "taxAmt", "invoiceTaxAmt"]).or_else(|| set("invoiceTaxAmt"));
    let rate = said(&["taxRate", "rate"]).or_else(|| set("taxRate"));
    let wrong = |what: &str, value: &Value| format!("it set {what} to {value}, which is no amount");
    let rate = match rate {
        Some(value) => {
            let rate = number(&value).ok_or_else(|| wrong("the rate", &value))?;
            if rate < Nanos::ZERO || rate.0 > RATE_MAX {
                return Err(format!("it set the rate to {rate}; it is per cent, from 0 to 1000"));
            }
            Some(rate)
        }
        None => None,
    };
    let rounded = |amount: Nanos| amount.mul_div_round(1, 1, invoice.currency.places()).map_err(|e| e.to_string());
    if let Some(value) = amount {
        let amount = rounded(number(&value).ok_or_else(|| wrong("the tax", &value))?)?;
        return Ok(Some(Tax { rate, amount }));
    }
    if let Some(rate) = rate {
        return Tax::of(invoice.total, rate, invoice.currency).map(Some).map_err(|e| e.to_string());
    }
    if let Some(value) = set("invoiceTotalInc") {
        let all = number(&value).ok_or_else(|| wrong("the total", &value))?;
        let amount = rounded(all.sub(invoice.total).map_err(|e| e.to_string())?)?;
        return Ok(Some(Tax { rate: None, amount }));
    }
    Ok(None)
}

/// A number or decimal text as an exact amount: what a script writes as 0.1 is exactly that.
fn number(value: &Value) -> Option<Nanos> {
    let text = match value {
        Value::Number(number) => number.as_f64().filter(|n| n.abs() < 1e15).map(|n| format!("{n:.9}"))?,
        Value::String(text) => text.trim().to_owned(),
        _ => return None,
    };
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::drawn_up;
    use serde_json::json;

    fn said(returned: Value, left: Value) -> Result<Option<(Option<String>, String)>, String> {
        let before = Bean::new("Invoice").with("invoiceTaxAmt", 0).with("taxRate", 0).with("invoiceTotalInc", 10.05);
        let mut after = before.clone();
        if let Value::Object(set) = left {
            set.into_iter().for_each(|(name, value)| after.properties.insert(name, value));
        }
        let outcome = Outcome { exit: Exit::Success, returned, resource: Some(after), ..Outcome::refused("") };
        let tax = answer(&drawn_up("10.05"), &before, &outcome)?;
        Ok(tax.map(|tax| (tax.rate.map(|rate| rate.to_string()), tax.amount.to_string())))
    }

    #[test]
    fn a_tax_is_told_by_rate_by_amount_or_by_setters() {
        let tax = |rate: Option<&str>, amount: &str| Ok(Some((rate.map(str::to_owned), amount.to_owned())));
        assert_eq!(said(json!({"taxRate": 20}), json!({})), tax(Some("20"), "2.01"));
        assert_eq!(said(json!({"taxRate": "7.7"}), json!({})), tax(Some("7.7"), "0.77"));
        assert_eq!(said(json!({"taxAmount": 1.005}), json!({})), tax(None, "1"));
        assert_eq!(said(json!({"taxAmount": 2, "taxRate": 19}), json!({})), tax(Some("19"), "2"));
        assert_eq!(said(json!(null), json!({"taxRate": 20.0})), tax(Some("20"), "2.01"));
        assert_eq!(said(json!(null), json!({"invoiceTaxAmt": 0.1})), tax(None, "0.1"));
        assert_eq!(said(json!(null), json!({"invoiceTotalInc": 12.06})), tax(None, "2.01"));
        assert_eq!(said(json!({"exitState": "SUCCESS"}), json!({})), Ok(None));
        for wrong in [json!({"taxRate": -1}), json!({"taxRate": 2000}), json!({"taxAmount": "much"})] {
            assert!(said(wrong.clone(), json!({})).is_err(), "{wrong}");
        }
    }
}
