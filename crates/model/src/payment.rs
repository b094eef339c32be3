//! How invoices are paid: methods that sellers set up, what customers pay with, and what moved.

use crate::{
    BillingEntityId, Cause, Currency, CustomerId, InvoiceId, Nanos, PaymentInstanceId, PaymentMethodId, RunId,
    ScriptId, Timestamp, TransactionId, UserId,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Longest text that a provider's function may leave on a transaction, bytes: an address with its query.
pub const TEXT_BYTES: usize = 8 * 1024;

/// A way to be paid, which a seller set up with a payment provider of a script.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PaymentMethod {
    /// Its id.
    pub id: PaymentMethodId,
    /// Counts changes, from 1.
    pub version: u64,
    /// Display name, unique within the seller.
    pub name: String,
    /// Who is paid.
    pub billing_entity_id: BillingEntityId,
    /// The block that its provider is in.
    pub script_id: ScriptId,
    /// The provider's reference within the block.
    pub provider: String,
    /// What the seller filled in, secrets among them.
    pub values: BTreeMap<String, String>,
    /// Those of the values that may be shown.
    pub shown: BTreeMap<String, String>,
    /// Whether it can be used.
    pub state: PaymentSetup,
    /// Why it cannot.
    pub reason: Option<String>,
    /// When it came to be.
    pub created_at: Timestamp,
}

/// What a customer pays with, by one of its seller's methods: a card, an account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PaymentInstance {
    /// Its id.
    pub id: PaymentInstanceId,
    /// Counts changes, from 1.
    pub version: u64,
    /// Display name, unique within the customer.
    pub name: String,
    /// Whose.
    pub customer_id: CustomerId,
    /// Who is paid.
    pub billing_entity_id: BillingEntityId,
    /// How.
    pub payment_method_id: PaymentMethodId,
    /// What the customer and the provider filled in, secrets among them.
    pub values: BTreeMap<String, String>,
    /// Those of the values that may be shown.
    pub shown: BTreeMap<String, String>,
    /// Whether it is the one that is used when none is named.
    pub is_default: bool,
    /// Whether it can be used.
    pub state: PaymentSetup,
    /// Why it cannot.
    pub reason: Option<String>,
    /// When it came to be.
    pub created_at: Timestamp,
}

/// Whether something to pay by can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PaymentSetup {
    /// Its provider has not answered yet.
    Registering,
    /// It can.
    Ready,
    /// Its provider refused it.
    Failed,
    /// It is on its way out.
    Removing,
}

/// What a payment provider is asked to do. Named as scripts name it, in capitals on the wire of the language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PaymentFunction {
    /// Take a new method in.
    RegisterPaymentMethod,
    /// Take changed values of a method in.
    UpdatePaymentMethod,
    /// Take in what a customer wants to pay with.
    RegisterPaymentInstance,
    /// Forget what a customer paid with.
    RemovePaymentInstance,
    /// Take an invoice's amount.
    MakePayment,
    /// Give part of a payment back.
    RefundPayment,
    /// Give back all that is left of a payment.
    RefundTransaction,
    /// Give up a payment that waits for its customer.
    CancelTransaction,
    /// Say whether the method works.
    SelfTest,
}

impl PaymentFunction {
    /// The language's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::RegisterPaymentMethod => "REGISTER_PAYMENT_METHOD",
            Self::UpdatePaymentMethod => "UPDATE_PAYMENT_METHOD",
            Self::RegisterPaymentInstance => "REGISTER_PAYMENT_INSTANCE",
            Self::RemovePaymentInstance => "REMOVE_PAYMENT_INSTANCE",
            Self::MakePayment => "MAKE_PAYMENT",
            Self::RefundPayment => "REFUND_PAYMENT",
            Self::RefundTransaction => "REFUND_TRANSACTION",
            Self::CancelTransaction => "CANCEL_TRANSACTION",
            Self::SelfTest => "SELF_TEST",
        }
    }

    /// Whether money moves back.
    pub const fn is_refund(self) -> bool {
        matches!(self, Self::RefundPayment | Self::RefundTransaction)
    }

    /// Whether money moves.
    pub const fn moves_money(self) -> bool {
        matches!(self, Self::MakePayment) || self.is_refund()
    }
}

/// How a transaction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum TransactionState {
    /// Accepted.
    NotStarted,
    /// Its provider is being asked, or did not answer and is asked again.
    InProgress,
    /// Its customer must do something at the provider's, or the provider has yet to confirm.
    AwaitingInput,
    /// Done.
    Success,
    /// Refused.
    Failure,
    /// Given up before it was done.
    Cancelled,
}

impl TransactionState {
    /// The language's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::NotStarted => "NOT_STARTED",
            Self::InProgress => "INPROGRESS",
            Self::AwaitingInput => "AWAITINGINTERACTIVEINPUT",
            Self::Success => "SUCCESS",
            Self::Failure => "FAILURE",
            Self::Cancelled => "CANCELLED",
        }
    }

    /// Whether nothing more comes of it.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Success | Self::Failure | Self::Cancelled)
    }
}

/// How the customer's browser is sent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "UPPERCASE")]
pub enum RedirectMethod {
    /// With the data in the query.
    Get,
    /// With the data as a form.
    Post,
    /// By an HTTP redirect.
    Redirect,
}

/// One thing asked of a payment provider, from the request to its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transaction {
    /// Its id; providers are given it as their idempotency key.
    pub id: TransactionId,
    /// Counts changes, from 1.
    pub version: u64,
    /// Who is paid.
    pub billing_entity_id: BillingEntityId,
    /// Who pays; none for what concerns a method alone.
    pub customer_id: Option<CustomerId>,
    /// What is asked.
    pub function: PaymentFunction,
    /// How it stands.
    pub state: TransactionState,
    /// How a payment or refund ended; none while it has not, and for what moves no money.
    pub outcome: Option<TransactionState>,
    /// The script that provides it.
    pub script_id: ScriptId,
    /// By which method.
    pub payment_method_id: PaymentMethodId,
    /// With what.
    pub payment_instance_id: Option<PaymentInstanceId>,
    /// What is paid, or was.
    pub invoice_ids: Vec<InvoiceId>,
    /// How much moves; never negative: the function tells the direction.
    pub amount: Nanos,
    /// Of what.
    pub currency: Currency,
    /// Of a payment: what was given back of it, or is being given back.
    pub refunded: Nanos,
    /// The payment that is given back or cancelled.
    pub linked_id: Option<TransactionId>,
    /// Whether the customer is there to be asked something.
    pub allow_interactive: bool,
    /// Where the customer's browser comes back to.
    pub return_url: Option<String>,
    /// What it came back with; secret.
    pub parameters: BTreeMap<String, String>,
    /// What a method's values become; secret.
    pub values: BTreeMap<String, String>,
    /// What the provider's function left on it.
    pub told: Told,
    /// How often its provider was to begin anew: once, and once for each resumption.
    pub step: u32,
    /// Tries of this step.
    pub attempts: u32,
    /// Whether its provider never gave an answer: it may have done it or not. It is neither done nor given up until
    /// somebody resumes it.
    pub unclear: bool,
    /// Whether its provider has taken it and confirms it later, where it waits and not for its customer.
    #[serde(default)]
    pub confirmed_later: bool,
    /// The runs of its provider's function, in order.
    pub run_ids: Vec<RunId>,
    /// Who asked.
    pub user_id: Option<UserId>,
    /// What set it off.
    pub cause: Cause,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When its end was recorded.
    pub ended_at: Option<Timestamp>,
}

/// What a provider's function says of a transaction.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Told {
    /// The provider's own name for it.
    pub provider_reference: Option<String>,
    /// What a statement calls it.
    pub merchant_description: Option<String>,
    /// Where the customer goes on.
    pub interactive_url: Option<String>,
    /// Where the customer's browser is sent.
    pub redirect_url: Option<String>,
    /// How.
    pub redirect_method: Option<RedirectMethod>,
    /// With what.
    pub redirect_data: BTreeMap<String, String>,
    /// For whoever pays, in the provider's own form.
    pub public_data: Option<String>,
    /// A refusal's code.
    pub error_code: Option<String>,
    /// A refusal's reason, or what is known of an unclear one.
    pub error_reason: Option<String>,
}

impl Transaction {
    /// What of a payment can still be given back.
    pub fn refundable(&self) -> Nanos {
        let paid = self.function == PaymentFunction::MakePayment && self.state == TransactionState::Success;
        if paid { Nanos((self.amount.0 - self.refunded.0).max(0)) } else { Nanos::ZERO }
    }

    /// Whether it stands for the payment of its invoices: an invoice has one at most.
    pub fn settles(&self) -> bool {
        self.function == PaymentFunction::MakePayment
            && match self.state {
                TransactionState::Failure | TransactionState::Cancelled => false,
                TransactionState::Success => self.refundable() > Nanos::ZERO,
                TransactionState::NotStarted | TransactionState::InProgress | TransactionState::AwaitingInput => true,
            }
    }

    /// The language's word for how it stands.
    pub const fn word(&self) -> &'static str {
        match self.state {
            TransactionState::AwaitingInput if self.confirmed_later => TransactionState::InProgress.word(),
            state => state.word(),
        }
    }

    /// Whether its provider is to be asked without anybody's doing.
    pub fn is_due(&self) -> bool {
        matches!(self.state, TransactionState::NotStarted | TransactionState::InProgress)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn payment(state: TransactionState, refunded: i128) -> Transaction {
        let id = Uuid::from_u128(1);
        Transaction {
            id: id.into(),
            version: 1,
            billing_entity_id: id.into(),
            customer_id: Some(id.into()),
            function: PaymentFunction::MakePayment,
            state,
            outcome: None,
            script_id: id.into(),
            payment_method_id: id.into(),
            payment_instance_id: None,
            invoice_ids: vec![id.into()],
            amount: Nanos(100),
            currency: "EUR".parse().unwrap(),
            refunded: Nanos(refunded),
            linked_id: None,
            allow_interactive: false,
            return_url: None,
            parameters: BTreeMap::new(),
            values: BTreeMap::new(),
            told: Told::default(),
            step: 0,
            attempts: 0,
            unclear: false,
            confirmed_later: false,
            run_ids: Vec::new(),
            user_id: None,
            cause: Cause::system("test"),
            created_at: Timestamp(0),
            ended_at: None,
        }
    }

    #[test]
    fn an_invoice_is_settled_by_a_payment_that_may_still_come_or_was_not_all_given_back() {
        use TransactionState as S;
        for state in [S::NotStarted, S::InProgress, S::AwaitingInput, S::Success] {
            assert!(payment(state, 0).settles(), "{state:?}");
        }
        assert!(payment(S::Success, 99).settles());
        for gone in [payment(S::Success, 100), payment(S::Failure, 0), payment(S::Cancelled, 0)] {
            assert!(!gone.settles(), "{gone:?}");
        }
        let refund = Transaction { function: PaymentFunction::RefundPayment, ..payment(S::Success, 0) };
        assert!(!refund.settles() && refund.refundable() == Nanos::ZERO);
        assert_eq!(payment(S::Success, 40).refundable(), Nanos(60));
    }
}
