//! What is sent and shown of accounts and sessions.

use chat_core::{
    http::{client_address::ClientAddress, path::PathPart},
    ids::{SessionId, UserId},
};
use chrono::{DateTime, TimeDelta, Utc};
use garde::Validate;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    device::Device,
    opaque::OpaqueToken,
    passwords::{PASSWORD_MAX, PASSWORD_MIN, judge},
    rotation::RefreshToken,
};
use crate::{config::AuthSettings, error::Error, text::not_blank};

/// The longest e-mail address, in characters (RFC 5321, section 4.5.3.1.3, less the angle brackets).
pub(crate) const EMAIL_MAX: usize = 254;
/// The longest text that can be a token of ours.
pub(crate) const TOKEN_TEXT_MAX: usize = 128;
/// The lengths of a username.
const USERNAME_MIN: usize = 3;
const USERNAME_MAX: usize = 32;
/// Nobody's username: `@all` mentions everybody.
const EVERYBODY: &str = "all";
/// How many usernames are tried where one is derived.
const USERNAME_TRIES: u32 = 8;

/// An account to be opened.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignUp {
    /// Kept as typed; compared without regard to case.
    #[garde(email, length(chars, max = EMAIL_MAX))]
    #[schema(format = "email", max_length = 254)]
    pub email: String,
    /// Neither a common password nor the e-mail address; never trimmed.
    #[garde(custom(good(&self.email)))]
    #[schema(value_type = String, format = "password", min_length = 8, max_length = 128)]
    pub password: SecretString,
    /// 1 to 100 code points, not only white space.
    #[garde(length(chars, min = 1, max = 100), custom(not_blank))]
    #[schema(min_length = 1, max_length = 100)]
    pub full_name: String,
    /// The unique handle; derived from the e-mail address when absent.
    #[serde(default)]
    #[garde(inner(custom(handle)))]
    #[schema(min_length = 3, max_length = 32, pattern = "^[a-z0-9._-]+$")]
    pub username: Option<String>,
    /// Joins the invite's workspace as well; without a valid invite no account is opened.
    #[serde(default)]
    #[garde(length(chars, max = TOKEN_TEXT_MAX))]
    #[schema(max_length = 128)]
    pub invite_token: Option<String>,
}

/// Who signs in.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    /// The address of the account.
    #[garde(length(chars, min = 1, max = EMAIL_MAX))]
    #[schema(format = "email", max_length = 254)]
    pub email: String,
    /// The password.
    #[garde(custom(not_over_long))]
    #[schema(value_type = String, format = "password", max_length = 128)]
    pub password: SecretString,
}

/// A refresh token to be traded.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Refresh {
    /// The last one received.
    #[garde(length(chars, max = TOKEN_TEXT_MAX))]
    #[schema(max_length = 128)]
    pub refresh_token: String,
}

/// For garde: a new password; the settings may ask for a longer one.
fn good<C>(email: &str) -> impl FnOnce(&SecretString, &C) -> garde::Result {
    move |password, _| judge(password, PASSWORD_MIN, email).map_err(garde::Error::new)
}

/// For garde: a password that may be hashed.
pub(crate) fn not_over_long<C>(password: &SecretString, _: &C) -> garde::Result {
    if password.expose_secret().chars().count() > PASSWORD_MAX {
        return Err(garde::Error::new(format!("must have at most {PASSWORD_MAX} characters")));
    }
    Ok(())
}

/// For garde: a username.
pub(crate) fn handle<C>(text: &str, _: &C) -> garde::Result {
    if !(USERNAME_MIN..=USERNAME_MAX).contains(&text.len()) || !text.chars().all(in_handle) {
        return Err(garde::Error::new("must be 3 to 32 of a-z, 0-9, dot, underscore and hyphen"));
    }
    if text == EVERYBODY {
        return Err(garde::Error::new("stands for everybody"));
    }
    Ok(())
}

fn in_handle(character: char) -> bool {
    matches!(character, 'a'..='z' | '0'..='9' | '.' | '_' | '-')
}

/// An account to be opened, judged.
pub(crate) struct NewAccount {
    pub(super) email: String,
    pub(crate) password: SecretString,
    pub(super) full_name: String,
    pub(super) username: Username,
    pub(super) invite: Option<OpaqueToken>,
}

impl SignUp {
    /// Judges what needs the settings.
    pub(crate) fn parse(self, settings: &AuthSettings) -> Result<NewAccount, Error> {
        judge(&self.password, settings.password_min_length, &self.email)
            .map_err(|flaw| Error::Password { field: "password", flaw })?;
        let invite = self.invite_token.map(|text| OpaqueToken::parse(&text).ok_or(Error::NotFound));
        Ok(NewAccount {
            username: self.username.map_or_else(|| Username::derived_from(&self.email), Username::Given),
            invite: invite.transpose()?,
            email: self.email,
            password: self.password,
            full_name: self.full_name,
        })
    }
}

/// The handle of a new account.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Username {
    /// As asked for: this one or none.
    Given(String),
    /// This one, or one like it.
    Derived(String),
}

impl Username {
    /// What is left of the address's name, filled up where that is too little.
    fn derived_from(email: &str) -> Self {
        let (name, _) = email.rsplit_once('@').unwrap_or((email, ""));
        let kept = name.chars().map(|character| character.to_ascii_lowercase()).filter(|c| in_handle(*c));
        let mut username: String = kept.take(USERNAME_MAX).collect();
        if username.len() < USERNAME_MIN || username == EVERYBODY {
            username.push_str("user");
        }
        Self::Derived(username)
    }

    /// The names to try, in order.
    pub(super) fn candidates(&self) -> impl Iterator<Item = String> {
        let (name, tries) = match self {
            Self::Given(name) => (name, 1),
            Self::Derived(name) => (name, USERNAME_TRIES),
        };
        (0..tries).map(move |attempt| match attempt {
            0 => name.clone(),
            _ => with_suffix(name, rand::random_range(0..10_u32.pow(3 + attempt.min(6)))),
        })
    }
}

fn with_suffix(name: &str, number: u32) -> String {
    let suffix = number.to_string();
    let kept: String = name.chars().take(USERNAME_MAX - suffix.len()).collect();
    kept + &suffix
}

/// A session to be opened.
pub(crate) struct NewSession {
    pub(super) id: SessionId,
    pub(super) refresh_token: RefreshToken,
    pub(super) user_agent: Option<String>,
    pub(super) address: ClientAddress,
    pub(super) now: DateTime<Utc>,
    pub(super) expires_at: DateTime<Utc>,
    /// How many sessions its person may have, this one among them.
    pub(super) most: i64,
}

impl NewSession {
    pub(super) fn new(settings: &AuthSettings, device: Device, now: DateTime<Utc>) -> Self {
        Self {
            id: SessionId::new(),
            refresh_token: RefreshToken::random(),
            user_agent: device.user_agent,
            address: device.address,
            now,
            expires_at: now + TimeDelta::days(settings.session_days.into()),
            most: settings.sessions_per_person.into(),
        }
    }
}

/// What an account's owner sees first.
#[derive(Serialize, ToSchema)]
pub struct Account {
    /// Who.
    pub id: UserId,
    /// The address.
    pub email: String,
    /// The full name.
    pub full_name: String,
    /// The unique handle.
    pub username: String,
    /// Where the picture is.
    pub avatar_url: Option<String>,
}

/// An open session: who, and the tokens for it.
#[derive(Serialize, ToSchema)]
pub struct SignedIn {
    /// Who.
    #[serde(flatten)]
    pub account: Account,
    /// The access token, for `Authorization: Bearer`.
    pub token: String,
    /// Trade it for the next pair; good for one use.
    pub refresh_token: String,
    /// The end of the access token.
    pub expires_at: DateTime<Utc>,
}

/// `{id}` in a path: a session.
pub struct SessionInPath;

impl PathPart for SessionInPath {
    type Id = SessionId;
    const NAME: &'static str = "id";
}

/// A session in force.
#[derive(Serialize, ToSchema)]
pub struct Session {
    /// Which session.
    pub id: SessionId,
    /// The `User-Agent` of the device that opened it.
    pub user_agent: Option<String>,
    /// The address that it was opened from.
    pub ip: Option<String>,
    /// When it was opened.
    pub created_at: DateTime<Utc>,
    /// When its refresh token was last traded.
    pub last_used_at: DateTime<Utc>,
    /// When it ends at the latest.
    pub expires_at: DateTime<Utc>,
    /// Whether it is the one that asks.
    pub current: bool,
}

/// One's sessions.
#[derive(Serialize, ToSchema)]
pub struct SessionList {
    /// Last used first.
    pub sessions: Vec<Session>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn derived(email: &str) -> String {
        Username::derived_from(email).candidates().next().unwrap_or_default()
    }

    #[test]
    fn usernames_are_derived_from_addresses() {
        assert_eq!(derived("Anna.Smith@example.com"), "anna.smith");
        assert_eq!(derived("anna+chat@example.com"), "annachat");
        assert_eq!(derived("a@example.com"), "auser");
        assert_eq!(derived("ALL@example.com"), "alluser");
        assert_eq!(derived("+@example.com"), "user");
        assert_eq!(derived("été@example.com"), "tuser");
        assert_eq!(derived(&format!("{}@example.com", "x".repeat(64))), "x".repeat(32));
    }

    #[test]
    fn every_candidate_is_a_username() {
        for email in ["a@b.c", "anna.smith@b.c", &format!("{}@b.c", "x".repeat(64))] {
            let candidates: Vec<_> = Username::derived_from(email).candidates().collect();
            assert_eq!(candidates.len(), 8);
            assert!(candidates.iter().all(|name| handle(name, &()).is_ok()), "{candidates:?}");
        }
        let given = Username::Given("anna".into());
        assert_eq!(given.candidates().collect::<Vec<_>>(), ["anna"]);
    }

    #[test]
    fn usernames_are_checked() {
        for name in ["ab", "all", "Anna", "anna smith", "ann@", "äöü", &"x".repeat(33)] {
            assert!(handle(name, &()).is_err(), "{name}");
        }
        for name in ["abc", "a.b-c_9", &"x".repeat(32)] {
            assert!(handle(name, &()).is_ok(), "{name}");
        }
    }
}
