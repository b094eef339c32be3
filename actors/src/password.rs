//! Passwords of users that scripts create or change: argon2id, one at a time, where blocking is allowed.

use crate::{Error, System};
use argon2::{
    Argon2, PasswordHash, PasswordHasher,
    password_hash::{SaltString, rand_core::OsRng},
};
use tokio::sync::Semaphore;

/// What stands in place of a hash where there is no password: no password has it.
pub(crate) const NOBODYS: &str = "none";

/// Each hash takes 19 MiB and a core for tens of milliseconds; scripts must not starve sign-ins.
static TURN: Semaphore = Semaphore::const_new(1);

/// The PHC text of `password`, on this thread.
///
/// # Errors
/// Those of argon2.
pub fn hash(password: &str) -> Result<String, argon2::password_hash::Error> {
    // The defaults are OWASP's recommendation: argon2id, 19 MiB, two passes, one lane.
    Argon2::default().hash_password(password.as_bytes(), &SaltString::generate(&mut OsRng)).map(|h| h.to_string())
}

/// Whether a text is a hash that can be checked against here, and costs no more than ours.
pub(crate) fn is_hash(phc: &str) -> bool {
    let Ok(hash) = PasswordHash::new(phc) else { return false };
    let cost = |name: &str| hash.params.get_decimal(name).unwrap_or(u32::MAX);
    hash.algorithm.as_str() == "argon2id"
        && hash.hash.is_some()
        && cost("m") <= 65_536
        && cost("t") <= 8
        && cost("p") <= 4
}

impl System {
    /// The hash of a password, in its turn.
    pub(crate) async fn hash_password(&self, password: String) -> Result<String, Error> {
        let busy =
            || Error::Busy { detail: "the password could not be hashed; try again".to_owned(), retry_after_s: 1 };
        let _turn = TURN.acquire().await.map_err(|_| busy())?;
        let work = tokio::task::spawn_blocking(move || hash(&password));
        work.await.map_err(|_| busy())?.map_err(|_| busy())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hashes_of_our_kind_and_cost_are_taken() {
        assert!(is_hash(&hash("correct horse").expect("hashed")));
        assert!(!is_hash("5f4dcc3b5aa765d61d8327deb882cf99"));
        let dear = "$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHQ$RdescudvJCsgt3ub+b+dWRWJTmaaJObG";
        assert!(!is_hash(dear));
    }
}
