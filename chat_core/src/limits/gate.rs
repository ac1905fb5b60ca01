//! What both servers put before their calls.

use axum::http::request::Parts;

use super::{Limit, LimitExceeded};
use crate::http::client_address::{ClientAddress, Locator};

/// Counts calls by person, and those without a good token by address.
pub struct Gate {
    locator: Locator,
    calls: Limit,
    calls_without_token: Limit,
}

impl Gate {
    /// A gate with these limits, for people with a token and for those without.
    #[must_use]
    pub fn new(locator: Locator, calls: Limit, calls_without_token: Limit) -> Self {
        Self { locator, calls, calls_without_token }
    }

    /// Where the client of a request is.
    #[must_use]
    pub fn locate(&self, parts: &Parts) -> ClientAddress {
        self.locator.locate(parts)
    }

    /// The limit of a person's calls.
    #[must_use]
    pub fn calls(&self) -> &Limit {
        &self.calls
    }

    /// The limit of an address's calls without a good token.
    #[must_use]
    pub fn calls_without_token(&self) -> &Limit {
        &self.calls_without_token
    }

    /// Counts a call without a good token.
    ///
    /// # Errors
    /// Too many came from the address.
    pub fn admit_stranger(&self, parts: &Parts) -> Result<(), LimitExceeded> {
        self.calls_without_token.admit(&self.locate(parts).network())
    }

    /// Counts it no more: it was somebody after all.
    pub fn recognise(&self, parts: &Parts) {
        self.calls_without_token.give_back(&self.locate(parts).network());
    }
}
