//! How often wrong passwords may be tried (decision 0011).

use chat_core::http::client_address::ClientAddress;
use ipnet::IpNet;

use super::store;
use crate::{error::Error, limits::Limits, state::AppState};

/// Does what depends on a password of the account `email`, in lower case, unless too many wrong ones were tried.
///
/// Every try counts as wrong until it is found to be right, so that many at the same time gain nothing. One that is
/// given up stays counted. An account that does not exist is counted in the same way.
///
/// # Errors
/// Too many; or what `trying` answers.
pub(crate) async fn count<T>(
    state: &AppState,
    email: &str,
    address: ClientAddress,
    trying: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let attempt = Attempt::begin(state, email, address.network()).await?;
    let tried = trying.await;
    if !matches!(tried, Err(Error::SignInRefused | Error::WrongPassword)) {
        attempt.take_back();
    }
    tried
}

/// A try that has been counted.
struct Attempt<'a> {
    limits: &'a Limits,
    email: &'a str,
    network: IpNet,
    /// Whether it was counted as one from anywhere as well.
    anywhere: bool,
}

impl<'a> Attempt<'a> {
    async fn begin(state: &'a AppState, email: &'a str, network: IpNet) -> Result<Self, Error> {
        let limits = &state.limits;
        limits.wrong_passwords.admit(&(email, network))?;
        let mut attempt = Self { limits, email, network, anywhere: true };
        if let Err(refusal) = limits.wrong_passwords_anywhere.admit(&email) {
            attempt.anywhere = false;
            // Whoever tries from elsewhere cannot lock people out where they have been before.
            let known = store::knows(&state.pool, email, network).await;
            if !matches!(known, Ok(true)) {
                attempt.take_back();
                return Err(known.err().map_or_else(|| refusal.into(), Error::from));
            }
        }
        Ok(attempt)
    }

    fn take_back(self) {
        self.limits.wrong_passwords.give_back(&(self.email, self.network));
        if self.anywhere {
            self.limits.wrong_passwords_anywhere.give_back(&self.email);
        }
    }
}
