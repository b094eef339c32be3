//! Who is asking, and what they may do.
//!
//! A token is `ss_<id>_<secret>` for a session and `sk_<id>_<secret>` for an API key. The record is found by its id and
//! the secret compared by hash. What was found is remembered with the versions of the records it came from, and holds
//! as long as the store's index shows the same versions: a lock, a change of role or a revocation counts at once.

use super::{Api, RequestId, calls, problem::Problem};
use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, header},
    middleware::Next,
    response::Response,
};
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};
use sutler_actors::Caller;
use sutler_model::{ApiKey, Cause, Noun, Permission, Role, Scope, Session, Timestamp, User};
use sutler_store::Store;
use uuid::Uuid;

/// Most credentials remembered; a full cache is emptied, which costs one read for each that comes back.
const REMEMBERED_MAX: usize = 20_000;

/// A credential that was presented and is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Credential {
    /// Session or API key.
    pub noun: Noun,
    /// Which.
    pub id: Uuid,
}

/// What was found for a credential.
#[derive(Clone)]
struct Known {
    credential: Credential,
    credential_version: u64,
    user_version: u64,
    secret_hash: String,
    expires_at: Option<Timestamp>,
    caller: Caller,
}

/// Checks credentials.
#[derive(Default)]
pub struct Auth {
    known: Mutex<HashMap<Uuid, Arc<Known>>>,
}

impl Auth {
    /// The caller behind the `Authorization` header, its changes not yet put down to a request.
    ///
    /// # Errors
    /// 401, in the same words whatever is wrong with the credential.
    pub async fn check(&self, store: &Store, headers: &HeaderMap) -> Result<(Caller, Credential), Problem> {
        let Some(value) = headers.get(header::AUTHORIZATION) else {
            return Err(Problem::unauthenticated(
                "Send `Authorization: Bearer <token>`; POST /api/v1/sessions makes one.",
            ));
        };
        let refused = || Problem::unauthenticated("The token is not valid, or not valid any more; sign in again.");
        let (credential, secret) = value.to_str().ok().and_then(parse).ok_or_else(refused)?;
        let known = match self.remembered(store, credential.id) {
            Some(known) => known,
            None => self.load(store, credential).await?.ok_or_else(refused)?,
        };
        let right = same(&hash_of(secret), &known.secret_hash) && known.credential == credential;
        let expired = known.expires_at.is_some_and(|at| at <= store.now());
        if !right || expired {
            return Err(refused());
        }
        Ok((known.caller.clone(), credential))
    }

    /// Whether a credential that was valid still is: for streams that outlive their request.
    pub fn still_valid(&self, store: &Store, id: Uuid) -> bool {
        self.remembered(store, id).is_some_and(|known| known.expires_at.is_none_or(|at| at > store.now()))
    }

    fn remembered(&self, store: &Store, id: Uuid) -> Option<Arc<Known>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()?;
        let user = known.caller.user_id?;
        let current = store.index().version(known.credential.noun, id) == Some(known.credential_version)
            && store.index().version(Noun::User, user.0) == Some(known.user_version);
        current.then_some(known)
    }

    async fn load(&self, store: &Store, credential: Credential) -> Result<Option<Arc<Known>>, Problem> {
        let found = store
            .read(move |s| {
                let found = match credential.noun {
                    Noun::Session => s
                        .get::<Session>(credential.id)?
                        .map(|c| (c.version, c.user_id, c.secret_hash, Some(c.expires_at), Vec::new())),
                    _ => s
                        .get::<ApiKey>(credential.id)?
                        .map(|c| (c.version, c.user_id, c.secret_hash, c.expires_at, c.scopes)),
                };
                let Some(found) = found else { return Ok(None) };
                Ok(s.get::<User>(found.1)?.map(|user| (found, user)))
            })
            .await?;
        let Some(((credential_version, _, secret_hash, expires_at, scopes), user)) = found else { return Ok(None) };
        if user.locked {
            return Ok(None);
        }
        let caller = caller_of(&user, &scopes);
        let known = Arc::new(Known {
            credential,
            credential_version,
            user_version: user.version,
            secret_hash,
            expires_at,
            caller,
        });
        let mut cache = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= REMEMBERED_MAX {
            cache.clear();
        }
        cache.insert(credential.id, known.clone());
        Ok(Some(known))
    }
}

/// A user as a caller; `scopes` of a key narrow what the role allows.
fn caller_of(user: &User, scopes: &[Permission]) -> Caller {
    let scope = match (user.customer_id, user.role) {
        (Some(customer), _) => Scope::Customer(customer),
        (None, Role::ProviderAdmin) => Scope::Provider,
        (None, _) => Scope::Entity(user.billing_entity_id),
    };
    let allowed = |p: &Permission| user.role.allows(*p) && (scopes.is_empty() || scopes.contains(p));
    Caller {
        user_id: Some(user.id),
        scope,
        role: user.role,
        permissions: Permission::ALL.into_iter().filter(allowed).collect(),
        billing_entity_id: user.billing_entity_id,
        customer_id: user.customer_id,
        cause: Cause::system("api"),
        request: None,
    }
}

/// The middleware in front of everything that needs a caller.
pub async fn require(State(api): State<Arc<Api>>, mut request: Request, next: Next) -> Result<Response, Problem> {
    let (mut caller, credential) = api.auth.check(api.store(), request.headers()).await?;
    api.limits.by_credential.take(credential).map_err(Problem::rate_limited)?;
    let request_id = request.extensions().get::<RequestId>().map(|id| id.0.to_string()).unwrap_or_default();
    caller.cause = Cause::Request { request_id, user_id: caller.user_id };
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let call = calls::begin(&api, &caller, &method, &uri, route.as_ref()).await?;
    request.extensions_mut().insert(caller);
    request.extensions_mut().insert(credential);
    let response = next.run(request).await;
    if let Some(call) = call {
        call.ended(response.status().as_u16());
    }
    Ok(response)
}

/// A new secret: 32 random bytes, hex.
pub fn secret() -> String {
    hex(&rand::random::<[u8; 32]>())
}

/// What the store keeps of a secret. It has 256 random bits, so a slow hash would add nothing.
pub fn hash_of(secret: &str) -> String {
    hex(&Sha256::digest(secret.as_bytes()))
}

/// The token of a session.
pub fn session_token(id: Uuid, secret: &str) -> String {
    format!("ss_{}_{secret}", id.simple())
}

/// The text of an API key.
pub fn key_text(id: Uuid, secret: &str) -> String {
    format!("sk_{}_{secret}", id.simple())
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn parse(header: &str) -> Option<(Credential, &str)> {
    let (scheme, token) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let mut parts = token.trim().splitn(3, '_');
    let noun = match parts.next()? {
        "ss" => Noun::Session,
        "sk" => Noun::ApiKey,
        _ => return None,
    };
    let id = parts.next().filter(|id| id.len() == 32).and_then(|id| Uuid::try_parse(id).ok())?;
    let secret = parts.next().filter(|s| s.len() == 64)?;
    Some((Credential { noun, id }, secret))
}

/// Compares in a time that depends on the lengths alone.
fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |differs, (x, y)| differs | (x ^ y)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicI64, Ordering};
    use sutler_store::{ChangeSet, Options};

    fn user() -> User {
        User {
            id: Uuid::nil().into(),
            version: 0,
            email: "a@b".into(),
            first_name: String::new(),
            last_name: String::new(),
            billing_entity_id: Uuid::nil().into(),
            customer_id: Some(Uuid::from_u128(1).into()),
            role: Role::CustomerViewer,
            password_hash: String::new(),
            locked: false,
            contact: Default::default(),
            keys: Vec::new(),
            created_at: Timestamp(0),
        }
    }

    #[test]
    fn only_whole_tokens_are_read() {
        let id = Uuid::from_u128(7);
        let secret = secret();
        let token = format!("Bearer {}", session_token(id, &secret));
        assert_eq!(parse(&token), Some((Credential { noun: Noun::Session, id }, secret.as_str())));
        let key = format!("bearer {}", key_text(id, &secret));
        assert_eq!(parse(&key).map(|(c, _)| c.noun), Some(Noun::ApiKey));
        for bad in ["", "Bearer", "Bearer x", "Basic ss_1_2", &token[..token.len() - 1], &format!("{token}0")] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    static CLOCK: AtomicI64 = AtomicI64::new(1_000);

    /// A session and a key of one user, good until the clock shows 5,000.
    async fn credentials(store: &Store) -> [HeaderMap; 2] {
        let user = User { id: store.new_uuid().into(), ..user() };
        let secret = secret();
        let mut session = Session {
            id: store.new_uuid().into(),
            version: 0,
            user_id: user.id,
            secret_hash: hash_of(&secret),
            created_at: Timestamp(1_000),
            expires_at: Timestamp(5_000),
        };
        let mut key = ApiKey {
            id: store.new_uuid().into(),
            version: 0,
            name: "robot".into(),
            user_id: user.id,
            billing_entity_id: user.billing_entity_id,
            customer_id: user.customer_id,
            secret_hash: hash_of(&secret),
            scopes: Vec::new(),
            expires_at: Some(Timestamp(5_000)),
            created_at: Timestamp(1_000),
        };
        let mut set = ChangeSet::new(Cause::system("test"));
        set.create(&mut user.clone()).create(&mut session).create(&mut key);
        store.commit(set).await.unwrap();
        [session_token(session.id.0, &secret), key_text(key.id.0, &secret)].map(|token| {
            let value = format!("Bearer {token}").parse().unwrap();
            HeaderMap::from_iter([(header::AUTHORIZATION, value)])
        })
    }

    #[tokio::test]
    async fn a_session_and_a_key_end_at_their_time_remembered_or_not() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options { clock: || Timestamp(CLOCK.load(Ordering::SeqCst)), ..Options::default() };
        let store = Store::open(&folder.path().join("store.redb"), options).unwrap();
        let auth = Auth::default();
        for headers in credentials(&store).await {
            CLOCK.store(4_999, Ordering::SeqCst);
            let (_, credential) = auth.check(&store, &headers).await.unwrap();
            assert!(auth.still_valid(&store, credential.id));
            CLOCK.store(5_000, Ordering::SeqCst);
            assert_eq!(auth.check(&store, &headers).await.unwrap_err().status, 401);
            assert!(!auth.still_valid(&store, credential.id), "a stream that it opened ends");
            assert_eq!(Auth::default().check(&store, &headers).await.unwrap_err().status, 401);
        }
        store.close().await;
    }

    #[test]
    fn comparison_is_of_every_byte() {
        assert!(same("abc", "abc"));
        assert!(!same("abc", "abd"));
        assert!(!same("abc", "ab"));
    }

    #[test]
    fn a_key_never_adds_to_the_role_of_its_user() {
        let caller = caller_of(&user(), &[Permission::ServersRead, Permission::ServersWrite]);
        assert_eq!(caller.permissions, [Permission::ServersRead]);
        assert_eq!(caller.scope, Scope::Customer(Uuid::from_u128(1).into()));
    }
}
