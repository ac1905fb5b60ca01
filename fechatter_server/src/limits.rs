//! How often people, addresses and accounts may do what.

use std::{marker::PhantomData, sync::Arc};

use axum::{extract::FromRequestParts, http::request::Parts};
use chat_core::{
    api::{Input, Operation},
    caller::Caller,
    clock::Clock,
    http::client_address::{ClientAddress, Locator},
    limits::{Allowance, Gate, Limit},
    problem::Problem,
};

use crate::{config::Settings, state::AppState};

/// The limits of this server.
pub struct Limits {
    /// Calls in general, by person or by address.
    pub gate: Arc<Gate>,
    /// Messages, by person.
    pub sends: Limit,
    /// Searches, by person.
    pub searches: Limit,
    /// Passwords that are offered, by address.
    pub passwords: Limit,
    /// Accounts that are opened, by address.
    pub sign_ups: Limit,
    /// Wrong passwords, by account and address.
    pub wrong_passwords: Limit,
    /// Wrong passwords, by account, from all addresses that the account does not know.
    pub wrong_passwords_anywhere: Limit,
}

impl Limits {
    /// The limits of the settings.
    #[must_use]
    pub fn new(settings: &Settings, clock: &Clock) -> Self {
        let server = &settings.server;
        let locator = Locator::new(server.trusted_proxies.clone(), server.forwarded_header);
        let rates = &settings.limits;
        let limit = |name, allowance: Allowance| {
            if rates.enabled { Limit::new(name, allowance, clock) } else { Limit::off(name, allowance) }
        };
        Self {
            gate: Arc::new(Gate::new(
                locator,
                limit("calls", rates.calls),
                limit("calls_without_token", rates.calls_without_token),
            )),
            sends: limit("sends", rates.sends),
            searches: limit("searches", rates.searches),
            passwords: limit("passwords", rates.passwords),
            sign_ups: limit("sign_ups", rates.sign_ups),
            wrong_passwords: limit("wrong_passwords", rates.wrong_passwords),
            wrong_passwords_anywhere: limit("wrong_passwords_anywhere", rates.wrong_passwords_anywhere),
        }
    }
}

/// A message may be sent now: it counts among the sends, and not among the calls.
pub struct SendAllowance;

impl FromRequestParts<AppState> for SendAllowance {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let limits = &state.limits;
        Caller::admitted(parts, &state.authenticator, &limits.gate, &limits.sends).await?;
        Ok(Self)
    }
}

impl Input for SendAllowance {
    fn describe(operation: &mut Operation) {
        Caller::describe(operation);
    }
}

/// A search may be made now: it counts among the searches, and not among the calls.
pub struct SearchAllowance;

impl FromRequestParts<AppState> for SearchAllowance {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let limits = &state.limits;
        Caller::admitted(parts, &state.authenticator, &limits.gate, &limits.searches).await?;
        Ok(Self)
    }
}

impl Input for SearchAllowance {
    fn describe(operation: &mut Operation) {
        Caller::describe(operation);
    }
}

/// A limit that counts by address.
pub trait ByAddress: Send + Sync {
    /// Which one.
    fn limit(limits: &Limits) -> &Limit;
}

macro_rules! by_address {
    ($(#[doc = $doc:literal] $name:ident = $limit:expr),+ $(,)?) => { $(
        #[doc = $doc]
        #[derive(Debug)]
        pub enum $name {}

        impl ByAddress for $name {
            fn limit(limits: &Limits) -> &Limit {
                let limit: fn(&Limits) -> &Limit = $limit;
                limit(limits)
            }
        }
    )+ };
}

by_address! {
    /// A password is offered.
    OffersPassword = |limits| &limits.passwords,
    /// An account is to be opened.
    SignsUp = |limits| &limits.sign_ups,
    /// Something is asked without an access token.
    AsksWithoutToken = |limits| limits.gate.calls_without_token(),
}

/// A request from an address that may still do what `L` counts. It is counted before the body is read.
pub struct Visitor<L> {
    /// Where it comes from.
    pub address: ClientAddress,
    what: PhantomData<L>,
}

impl<L: ByAddress> FromRequestParts<AppState> for Visitor<L> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let address = state.limits.gate.locate(parts);
        L::limit(&state.limits).admit(&address.network())?;
        Ok(Self { address, what: PhantomData })
    }
}

impl<L> Input for Visitor<L> {
    fn describe(operation: &mut Operation) {
        operation.refuses(&[429]);
    }
}
