//! Passwords: which ones will do, and their hashing in the background.

use std::{collections::HashSet, sync::LazyLock, time::Duration};

use anyhow::Context;
use argon2::{
    Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version,
    password_hash::{Error as HashError, phc::PasswordHash},
};
use chat_core::telemetry::metrics::{Refusal, refused};
use secrecy::{ExposeSecret, SecretString};
use tokio::{sync::Semaphore, time::timeout};

use crate::{background::Background, config::AuthSettings, error::Error, metrics::PASSWORDS_HASHED};

/// The fewest code points of a password, whatever the settings say.
pub(crate) const PASSWORD_MIN: usize = 8;
/// The most code points of a password.
pub(crate) const PASSWORD_MAX: usize = 128;

/// How much memory argon2id fills in a millisecond, at the very least, on a core that has nothing else to do, in KiB: a
/// tenth of what is usual.
const FILLED_IN_A_MS: u64 = 128;
/// The least that is thought to be long for a hash, in ms.
const LONG_MS: u64 = 250;

/// What many people choose: the entries of at least eight ASCII characters in the password list of zxcvbn
/// 4.4.2 (npm, MIT), in lower case.
static COMMON: LazyLock<HashSet<&str>> =
    LazyLock::new(|| include_str!("common_passwords.txt").lines().collect());

/// Why a password will not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordFlaw {
    /// Too few code points.
    #[error("must have at least {0} characters")]
    Short(usize),
    /// Too many code points.
    #[error("must have at most {PASSWORD_MAX} characters")]
    Long,
    /// Everybody's choice.
    #[error("is among the most common passwords")]
    Common,
    /// The own address or its name.
    #[error("must not be your own e-mail address or its name")]
    OwnName,
}

/// Judges a new password (NIST SP 800-63B-4, section 3.1.1.2). It is taken as it is, never trimmed.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn judge(password: &SecretString, least: usize, email: &str) -> Result<(), PasswordFlaw> {
    let password = password.expose_secret();
    let length = password.chars().count();
    if length > PASSWORD_MAX {
        return Err(PasswordFlaw::Long);
    }
    if length < least {
        return Err(PasswordFlaw::Short(least));
    }
    let lower = password.to_lowercase();
    let email = email.to_lowercase();
    let name = email.rsplit_once('@').map_or(email.as_str(), |(name, _)| name);
    if lower == name || lower == email {
        return Err(PasswordFlaw::OwnName);
    }
    if COMMON.contains(lower.as_str()) {
        return Err(PasswordFlaw::Common);
    }
    Ok(())
}

/// Whether a password was right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verified {
    /// It was.
    Yes,
    /// It was, and its hash was made with other parameters than those of today.
    YesRehash,
    /// It was not.
    No,
}

/// Hashes passwords with argon2id, in the background.
pub struct Passwords {
    argon2: Argon2<'static>,
    background: Background,
    queue: Semaphore,
    queue_size: usize,
    patience: Duration,
}

impl Passwords {
    /// A hasher with the parameters of the settings.
    ///
    /// # Errors
    /// Parameters that argon2 does not take.
    pub fn new(settings: &AuthSettings) -> anyhow::Result<Self> {
        let params =
            Params::new(settings.argon2_memory_kib, settings.argon2_passes, settings.argon2_lanes, None)
                .map_err(|error| anyhow::anyhow!("{error}"))
                .context("auth.argon2_memory_kib, auth.argon2_passes or auth.argon2_lanes is out of range")?;
        let queue_size = settings.hashing_queue.min(Semaphore::MAX_PERMITS);
        let filled = u64::from(params.m_cost()) * u64::from(params.t_cost());
        let long = Duration::from_millis((filled / FILLED_IN_A_MS).max(LONG_MS));
        Ok(Self {
            argon2: Argon2::new(Algorithm::Argon2id, Version::V0x13, params),
            background: Background::new("password", long),
            queue: Semaphore::new(queue_size),
            queue_size,
            patience: Duration::from_millis(settings.hashing_wait_ms),
        })
    }

    /// The hash of a password, in PHC string format, with a salt of its own.
    ///
    /// # Errors
    /// Busy when too many are hashed already.
    pub async fn hash(&self, password: SecretString) -> Result<String, Error> {
        let argon2 = self.argon2.clone();
        let hash = self.on_a_core(move || argon2.hash_password(password.expose_secret().as_bytes())).await?;
        hash.map(|hash| hash.to_string()).map_err(|error| unusable(&error))
    }

    /// Whether this password has this hash.
    ///
    /// # Errors
    /// Busy when too many are hashed already; internal for a hash that cannot be read.
    pub async fn verify(&self, password: SecretString, phc: String) -> Result<Verified, Error> {
        let argon2 = self.argon2.clone();
        let hash = PasswordHash::new(&phc).map_err(|error| unusable(&error.into()))?;
        let yes = if self.is_of_today(&hash) { Verified::Yes } else { Verified::YesRehash };
        let verify = move || argon2.verify_password(password.expose_secret().as_bytes(), &hash);
        match self.on_a_core(verify).await? {
            Ok(()) => Ok(yes),
            Err(HashError::PasswordInvalid) => Ok(Verified::No),
            Err(error) => Err(unusable(&error)),
        }
    }

    /// Takes as long as [`Self::verify`], where there is nobody to verify.
    ///
    /// # Errors
    /// Busy when too many are hashed already.
    pub async fn verify_nobody(&self, password: SecretString) -> Result<(), Error> {
        self.hash(password).await.map(drop)
    }

    /// How many passwords are being hashed, and how many wait.
    pub(crate) fn at_work(&self) -> (usize, usize) {
        let waiting = self.queue_size.saturating_sub(self.queue.available_permits());
        (self.background.taken(), waiting)
    }

    fn is_of_today(&self, hash: &PasswordHash) -> bool {
        let ours = self.argon2.params();
        let same_cost = Params::try_from(hash).is_ok_and(|theirs| {
            (theirs.m_cost(), theirs.t_cost(), theirs.p_cost())
                == (ours.m_cost(), ours.t_cost(), ours.p_cost())
        });
        same_cost
            && hash.algorithm == Algorithm::Argon2id.ident()
            && hash.version == Some(Version::V0x13.into())
    }

    /// Runs `work` in the background once a core is free. The core stays taken until the work is done,
    /// even when nobody waits for it any more.
    #[tracing::instrument(level = "debug", name = "hash_password", skip_all)]
    async fn on_a_core<T: Send + 'static>(
        &self,
        work: impl Fn() -> T + Send + Sync + 'static,
    ) -> Result<T, Error> {
        let busy = || {
            refused(Refusal::Passwords);
            Error::Busy("Too many people are signing in at the moment.")
        };
        let core = if let Some(core) = self.background.try_take() {
            core
        } else {
            let _place = self.queue.try_acquire().map_err(|_| busy())?;
            timeout(self.patience, self.background.take()).await.map_err(|_| busy())?.map_err(|_| busy())?
        };
        PASSWORDS_HASHED.increment(1);
        let worked = self.background.run(core, work);
        worked.await.map_err(|error| Error::Internal(format!("hashing a password: {error}")))
    }
}

fn unusable(error: &HashError) -> Error {
    Error::Internal(format!("a password could not be hashed or compared: {error}"))
}

#[cfg(test)]
mod tests {
    use std::iter;

    use super::*;
    use crate::config::{DEFAULTS, Settings};

    fn judged(password: &str) -> Result<(), PasswordFlaw> {
        judge(&password.into(), 8, "Marianne.Lenoir@example.com")
    }

    #[test]
    fn passwords_are_judged() {
        assert_eq!(judged("correct horse"), Ok(()));
        assert_eq!(judged("       8"), Ok(()));
        assert_eq!(judged("sieben7"), Err(PasswordFlaw::Short(8)));
        assert_eq!(judged("密码密码密码密"), Err(PasswordFlaw::Short(8)));
        assert_eq!(judged("密码密码密码密码"), Ok(()));
        assert_eq!(judged(&"é".repeat(128)), Ok(()));
        assert_eq!(judged(&"é".repeat(129)), Err(PasswordFlaw::Long));
        assert_eq!(judged("PassWord"), Err(PasswordFlaw::Common));
        assert_eq!(judged("marianne.LENOIR"), Err(PasswordFlaw::OwnName));
        assert_eq!(judged("marianne.lenoir@EXAMPLE.com"), Err(PasswordFlaw::OwnName));
    }

    #[test]
    fn the_list_of_common_ones_is_in_order() {
        let list = include_str!("common_passwords.txt");
        assert!(list.lines().is_sorted_by(|a, b| a < b));
        assert!(list.lines().all(|entry| entry.len() >= 8 && entry.to_lowercase() == entry));
    }

    fn passwords(change: impl FnOnce(&mut AuthSettings)) -> anyhow::Result<Passwords> {
        let mut settings: Settings =
            chat_core::settings::read(DEFAULTS, None, "FECHATTER_TEST_OF_PASSWORDS")?;
        settings.auth.argon2_memory_kib = 64;
        settings.auth.argon2_passes = 1;
        change(&mut settings.auth);
        Passwords::new(&settings.auth)
    }

    #[tokio::test]
    async fn hashes_are_verified_and_renewed() -> anyhow::Result<()> {
        let (weak, strong) = (passwords(|_| {})?, passwords(|auth| auth.argon2_passes = 2)?);
        let hash = weak.hash("correct horse".into()).await?;
        assert!(hash.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{hash}");
        assert_eq!(weak.verify("correct horse".into(), hash.clone()).await?, Verified::Yes);
        assert_eq!(weak.verify("Correct horse".into(), hash.clone()).await?, Verified::No);
        assert_eq!(strong.verify("correct horse".into(), hash.clone()).await?, Verified::YesRehash);
        assert_eq!(strong.verify("wrong".into(), hash).await?, Verified::No);
        Ok(())
    }

    #[tokio::test]
    async fn who_finds_no_place_is_told_so() -> anyhow::Result<()> {
        let passwords = passwords(|auth| (auth.hashing_queue, auth.hashing_wait_ms) = (1, 50))?;
        let _all: Vec<_> = iter::from_fn(|| passwords.background.try_take()).collect();
        let (first, second) = tokio::join!(passwords.hash("a".into()), passwords.hash("b".into()));
        assert!(matches!((first, second), (Err(Error::Busy(_)), Err(Error::Busy(_)))));
        Ok(())
    }
}
