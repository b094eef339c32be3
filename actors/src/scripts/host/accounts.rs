//! Users.

use super::{
    ask::Ask,
    done::Done,
    refusal,
    skeleton::{Skeleton, invalid},
    taken::taken,
};
use crate::{NewUser, UserPatch, password};
use serde_json::Value;
use sutler_lua::HostError;
use sutler_model::{Contact, CustomerId, Noun, Role, User, UserId, validate};

/// `createUser(User, password, when)` and `createAPIKeyUser`, whose arguments may stand in any order: a user of a customer. A
/// user for programs needs no address of their own.
pub(super) async fn create(ask: &Ask<'_>) -> Result<Value, HostError> {
    for index in 0..ask.args.values.len() {
        if ask.args.get(index).is_number() {
            ask.at_once(index)?;
        }
    }
    let skeleton = Skeleton(ask.args.any_bean("a User")?);
    let id = UserId(ask.new_id());
    let customer = skeleton.id("customerUUID")?.map(CustomerId).or(ask.caller.customer_id);
    let customer = customer.ok_or_else(|| HostError::refused("REQUIRED_FIELD_NOT_SET", "customerUUID: must be set"))?;
    let system = ask.platform.system()?;
    let seller = system.customer(ask.caller, customer).await.map_err(refusal)?.billing_entity_id;
    let program = ask.args.operation == "createAPIKeyUser" || skeleton.text("userType") == Some("API_KEY_USER");
    let email = match skeleton.text("email") {
        Some(email) => email.to_owned(),
        // RFC 2606: a name that can never receive mail.
        None if program => format!("{id}@api.invalid"),
        None => skeleton.required("email")?.to_owned(),
    };
    let name = |property: &str| skeleton.text(property).map(str::to_owned);
    let (first, last) = if program { ("API", "user") } else { ("", "") };
    let new = NewUser {
        email,
        first_name: name("firstName").unwrap_or_else(|| first.to_owned()),
        last_name: name("lastName").unwrap_or_else(|| last.to_owned()),
        billing_entity_id: seller,
        customer_id: Some(customer),
        role: if skeleton.0.get("admin").and_then(Value::as_bool) == Some(false) {
            Role::CustomerMember
        } else {
            Role::CustomerAdmin
        },
        password_hash: password_hash(ask, ask.args.any_text(), ask.args.any_flag()).await?,
        contact: skeleton.contact(&Contact::default())?,
    };
    let user = system.create_user_as(ask.caller, id, new).await.map_err(refusal)?;
    ask.done(&Done { noun: Noun::User, id: id.into(), name: &user.email, customer: user.customer_id })
}

/// The hash of a password, or the one that was given. Without a password nobody signs in until one is set.
async fn password_hash(ask: &Ask<'_>, text: Option<&str>, hashed: bool) -> Result<String, HostError> {
    match text {
        None => Ok(password::NOBODYS.to_owned()),
        Some(phc) if hashed => taken_hash(phc),
        Some(password) => {
            validate::password("password", password).map_err(|e| refusal(crate::Error::Invalid(vec![e])))?;
            let system = ask.platform.system()?;
            system.hash_password(password.to_owned()).await.map_err(refusal)
        }
    }
}

/// Others' hashes are of no use here: they were made another way.
fn taken_hash(phc: &str) -> Result<String, HostError> {
    if password::is_hash(phc) {
        return Ok(phc.to_owned());
    }
    Err(invalid("password", "must be an argon2id hash in PHC form where it is hashed; else give the password itself"))
}

/// `updateUser(User, password, password hash)`: the changed user.
pub(super) async fn update(ask: &Ask<'_>) -> Result<Value, HostError> {
    let hash = match (ask.args.get(1).as_str(), ask.args.get(2).as_str()) {
        (_, Some(phc)) => Some(taken_hash(phc)?),
        (Some(text), None) => Some(password_hash(ask, Some(text), false).await?),
        (None, None) => None,
    };
    let user = changed(ask, hash).await?;
    ask.answer(user).await
}

/// `modifyUser(User, when)`: the same as a job.
pub(super) async fn modify(ask: &Ask<'_>) -> Result<Value, HostError> {
    ask.at_once(1)?;
    let user = changed(ask, None).await?;
    ask.done(&Done { noun: Noun::User, id: user.id.into(), name: &user.email, customer: user.customer_id })
}

/// Names, keys, how they are reached, whether they administer their customer, and the password.
async fn changed(ask: &Ask<'_>, password_hash: Option<String>) -> Result<User, HostError> {
    let skeleton = Skeleton(ask.args.bean(0, "a User")?);
    let id = UserId(skeleton.own_id()?);
    let system = ask.platform.system()?;
    let old = system.user(ask.caller, id).await.map_err(refusal)?;
    if skeleton.text("email").is_some_and(|email| email.to_lowercase() != old.email) {
        return Err(invalid("email", "cannot be changed: it is what they sign in with"));
    }
    let admin = skeleton.0.get("admin").and_then(Value::as_bool);
    let role = match (old.role, admin) {
        (Role::CustomerMember | Role::CustomerViewer, Some(true)) => Some(Role::CustomerAdmin),
        (Role::CustomerAdmin, Some(false)) => Some(Role::CustomerMember),
        _ => None,
    };
    // Those two are dealt with.
    let mut rest = skeleton.0.clone();
    rest.retain(|name, _| !matches!(name.as_str(), "email" | "admin"));
    let new = taken(ask, &Skeleton(&rest), &old).await?;
    let patch = UserPatch {
        first_name: (new.first_name != old.first_name).then_some(new.first_name),
        last_name: (new.last_name != old.last_name).then_some(new.last_name),
        role,
        locked: None,
        password_hash,
        contact: (new.contact != old.contact).then(|| new.contact.into()),
        keys: (new.keys != old.keys).then_some(new.keys),
    };
    if patch == UserPatch::default() {
        return Ok(old);
    }
    system.update_user(ask.caller, id, None, patch).await.map_err(refusal)
}

/// `lockUser(UUID)`, `unlockUser(UUID)`: true.
pub(super) async fn lock(ask: &Ask<'_>, locked: bool) -> Result<Value, HostError> {
    let id = UserId(ask.args.id(0)?);
    let patch = UserPatch { locked: Some(locked), ..UserPatch::default() };
    ask.platform.system()?.update_user(ask.caller, id, None, patch).await.map_err(refusal)?;
    Ok(Value::Bool(true))
}
