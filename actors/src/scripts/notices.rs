//! Events that change no record: sign-ins that fail, calls of the API, and what goes wrong inside.
//!
//! A call that may change something is recorded before it begins and told once it has ended, so that it is told also when
//! the program dies meanwhile; a call that only reads is told after it. Neither costs anything while no trigger listens.
//! A failed sign-in is recorded behind its answer, which must not take longer because the user exists.

use super::{
    Env, Scripts,
    drafts::Deed,
    occasion::{api_call, login},
    pre::Asking,
    schedule::root,
};
use crate::{Caller, Error};
use std::sync::{Mutex, PoisonError};
use sutler_lua::Input;
use sutler_model::{Cause, Happening, Notice, Noun, Timestamp, TriggerType, User};
use sutler_store::{ChangeSet, Error as StoreError};
use uuid::Uuid;

/// A call of the API that is about to be carried out.
#[derive(Clone, Copy, Debug)]
pub struct ApiCall<'a> {
    /// The language's word for it: `createServer`.
    pub operation: &'a str,
    /// `GET`, `POST` and so on.
    pub method: &'a str,
    /// The address, without its query.
    pub path: &'a str,
    /// Whether it may change something.
    pub changes: bool,
    /// Whether PRE triggers are asked.
    pub refusable: bool,
}

/// A call that triggers wait to be told of. Dropped before its end, it is told as cut off.
pub struct CallUnderWay {
    env: Env,
    cause: Cause,
    notice: Option<Notice>,
}

impl CallUnderWay {
    /// The call was answered.
    pub fn ended(mut self, status: u16) {
        self.tell(Some(status));
    }

    fn tell(&mut self, ended: Option<u16>) {
        let Some(notice) = self.notice.take() else { return };
        let mut done = notice.clone();
        if let Happening::ApiCall { status, .. } = &mut done.what {
            *status = ended;
        }
        let mut set = ChangeSet::new(self.cause.clone());
        if notice.version == 0 {
            set.mention(&mut done);
        } else {
            set.update(&notice, &mut done).delete(&done);
        }
        commit(&self.env, set);
    }
}

impl Drop for CallUnderWay {
    fn drop(&mut self) {
        self.tell(None);
    }
}

/// Commits behind the answer. The program does not end before it is done.
fn commit(env: &Env, set: ChangeSet) {
    let (store, recording) = (env.core.store.clone(), env.recording.clone().try_read_owned());
    env.core.runtime.spawn(async move {
        let _recording = recording;
        if let Err(error) = store.commit(set).await {
            tracing::warn!(%error, "triggers are not told of a call or a sign-in");
        }
    });
}

/// Something that went wrong inside the platform, outside any job.
#[derive(Clone, Debug)]
pub(crate) struct Exception {
    /// Where: `API`, `ACTOR`.
    pub source: &'static str,
    /// Stable word.
    pub code: &'static str,
    /// What, for the provider.
    pub message: String,
    /// The request that suffered from it.
    pub request_id: Option<String>,
    /// The entity that it stopped: its kind and id.
    pub item: Option<(&'static str, Uuid)>,
}

/// Exceptions told in a minute at most: a fault that hits every request must not fill the feed.
const EXCEPTIONS_PER_MINUTE: u32 = 60;

/// Counts what was told this minute, and what was not since one was told.
#[derive(Default)]
pub(super) struct Throttle(Mutex<Told>);

#[derive(Default)]
struct Told {
    minute: i64,
    told: u32,
    untold: u64,
}

impl Throttle {
    /// How many before this one were not told; none: nor is this.
    fn take(&self, now: Timestamp) -> Option<u64> {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let minute = now.0.div_euclid(60_000);
        if told.minute != minute {
            (told.minute, told.told) = (minute, 0);
        }
        if told.told >= EXCEPTIONS_PER_MINUTE {
            told.untold += 1;
            return None;
        }
        told.told += 1;
        Some(std::mem::take(&mut told.untold))
    }
}

impl Scripts {
    /// Tells the provider's triggers of something that went wrong; does not wait for it.
    pub(crate) fn raise(&self, exception: Exception) {
        if !self.env.awaits(TriggerType::PostException, exception.source) {
            return;
        }
        let env = self.env.clone();
        self.env.core.runtime.spawn(async move {
            if let Err(error) = told(&env, exception).await {
                tracing::warn!(%error, "triggers are not told of an exception");
            }
        });
    }

    /// Lets PRE triggers refuse a call of the API, and records it for POST triggers. None: nobody waits to be told.
    ///
    /// # Errors
    /// [`Error::Refused`]; [`Error::Store`].
    pub(crate) async fn begin_call(&self, caller: &Caller, call: ApiCall<'_>) -> Result<Option<CallUnderWay>, Error> {
        let staff = !caller.role.is_customer();
        let (pre, post) = if staff {
            (TriggerType::PreAdminApiCall, TriggerType::PostAdminApiCall)
        } else {
            (TriggerType::PreUserApiCall, TriggerType::PostUserApiCall)
        };
        let (seller, customer) = (caller.billing_entity_id, caller.customer_id);
        if call.refusable && self.env.awaits(pre, call.operation) {
            let mut deed = Deed {
                id: caller.user_id.map_or(seller.0, |user| user.0),
                customer,
                seller,
                input: Input::Bean(api_call(call.operation, call.method, call.path)),
            };
            self.before_as(&caller.into(), pre, call.operation, &mut deed).await?;
        }
        if self.env.listeners(post, call.operation, seller, customer).await?.is_empty() {
            return Ok(None);
        }
        let mut notice = Notice {
            id: self.env.core.new_id(),
            version: 0,
            customer_id: customer,
            billing_entity_id: seller,
            user_id: caller.user_id,
            what: Happening::ApiCall {
                staff,
                operation: call.operation.to_owned(),
                method: call.method.to_owned(),
                path: call.path.to_owned(),
                status: None,
            },
            created_at: self.env.core.now(),
        };
        if call.changes {
            let mut set = ChangeSet::new(caller.cause.clone());
            set.create(&mut notice);
            self.env.core.store.commit(set).await?;
        }
        Ok(Some(CallUnderWay { env: self.env.clone(), cause: caller.cause.clone(), notice: Some(notice) }))
    }

    /// Lets PRE triggers refuse the sign-in of a user whose password was right.
    ///
    /// # Errors
    /// [`Error::Refused`]; [`Error::Store`].
    pub(crate) async fn before_sign_in(&self, user: &User, cause: Cause) -> Result<(), Error> {
        let mut deed = Deed {
            id: user.id.0,
            customer: user.customer_id,
            seller: user.billing_entity_id,
            input: Input::Text(login(user)),
        };
        let asking = Asking { user_id: Some(user.id), cause, depth: 0, sees_runs_of: None };
        self.before_as(&asking, TriggerType::PreAuth, "ANY", &mut deed).await?;
        Ok(())
    }

    /// Tells of a sign-in that failed.
    pub(crate) fn sign_in_failed(&self, user: &User, cause: Cause) {
        let mut notice = Notice {
            id: self.env.core.new_id(),
            version: 0,
            customer_id: user.customer_id,
            billing_entity_id: user.billing_entity_id,
            user_id: Some(user.id),
            what: Happening::SignInFailed { login: login(user) },
            created_at: self.env.core.now(),
        };
        let mut set = ChangeSet::new(cause);
        set.mention(&mut notice);
        commit(&self.env, set);
    }
}

async fn told(env: &Env, exception: Exception) -> Result<(), StoreError> {
    let Some(provider) = env.core.store.read(root).await? else { return Ok(()) };
    let Some(untold) = env.exceptions.take(env.core.now()) else { return Ok(()) };
    let (item_kind, item_id) = exception.item.map(|(kind, id)| (kind.to_uppercase(), id)).unzip();
    let mut notice = Notice {
        id: env.core.new_id(),
        version: 0,
        customer_id: None,
        billing_entity_id: provider,
        user_id: None,
        what: Happening::Exception {
            source: exception.source.to_owned(),
            code: exception.code.to_owned(),
            message: exception.message,
            request_id: exception.request_id,
            item_kind,
            item_id,
            untold,
        },
        created_at: env.core.now(),
    };
    let mut set = ChangeSet::new(Cause::system("exceptions"));
    set.mention(&mut notice);
    env.core.store.commit(set).await.map(drop)
}

/// Tells of the calls that the end of the program cut off.
///
/// # Errors
/// Those of the store.
pub(super) async fn close_cut_off(env: &Env) -> Result<(), StoreError> {
    for id in env.core.store.index().all(Noun::Notice) {
        if let Some(notice) = env.core.store.get::<Notice>(id).await? {
            let mut set = ChangeSet::new(Cause::system("start-up"));
            set.delete(&notice);
            env.core.store.commit(set).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_exceptions_is_cut_and_its_size_told_afterwards() {
        let throttle = Throttle::default();
        let told = (0..100).filter(|_| throttle.take(Timestamp(120_000)).is_some()).count();
        assert_eq!(told, EXCEPTIONS_PER_MINUTE as usize);
        assert_eq!(throttle.take(Timestamp(180_000)), Some(40));
        assert_eq!(throttle.take(Timestamp(180_000)), Some(0));
    }
}
