//! Passwords: argon2id on threads where blocking is allowed, a few at a time.

use super::problem::Problem;
use argon2::{Argon2, PasswordHash, PasswordVerifier};
use std::sync::{Arc, OnceLock};
pub use sutler_actors::password::hash;
use tokio::sync::Semaphore;

/// Hashes at the same time. Each takes 19 MiB and a core for tens of milliseconds; sign-ins must not starve the rest.
const AT_ONCE: usize = 2;
/// Sign-ins waiting for their turn beyond which callers are asked to come back.
const WAITING_MAX: usize = 64;

/// Hashes and checks passwords.
pub struct Passwords {
    turns: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl Default for Passwords {
    fn default() -> Self {
        Self { turns: Arc::new(Semaphore::new(AT_ONCE)), waiting: Arc::new(Semaphore::new(WAITING_MAX)) }
    }
}

impl Passwords {
    /// The PHC text of `password`.
    ///
    /// # Errors
    /// Busy when too many wait already.
    pub async fn hash(&self, password: String) -> Result<String, Problem> {
        self.turn(move || hash(&password)).await?.map_err(|e| Problem::internal(&e))
    }

    /// Whether `password` is the one behind `known`. Without `known` it takes as long and is wrong, so that the time
    /// does not tell which e-mail addresses exist.
    ///
    /// # Errors
    /// Busy when too many wait already.
    pub async fn check(&self, password: String, known: Option<String>) -> Result<bool, Problem> {
        self.turn(move || {
            let decoy = decoy();
            let phc = known.as_deref().unwrap_or(decoy);
            let right = PasswordHash::new(phc)
                .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok());
            right && known.is_some()
        })
        .await
    }

    async fn turn<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
        let Ok(_waiting) = self.waiting.try_acquire() else {
            return Err(Problem::busy("Too many sign-ins at the moment.", 2));
        };
        let turn = self.turns.clone().acquire_owned().await.map_err(|e| Problem::internal(&e))?;
        tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        })
        .await
        .map_err(|e| Problem::internal(&e))
    }
}

/// A hash nobody's password has, with the parameters of the real ones.
fn decoy() -> &'static str {
    static DECOY: OnceLock<String> = OnceLock::new();
    DECOY.get_or_init(|| hash(&super::auth::secret()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_of_a_known_user_passes() {
        let passwords = Passwords::default();
        let phc = passwords.hash("correct horse".into()).await.unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(passwords.check("correct horse".into(), Some(phc.clone())).await.unwrap());
        assert!(!passwords.check("wrong horse".into(), Some(phc)).await.unwrap());
        assert!(!passwords.check("correct horse".into(), None).await.unwrap());
    }
}
