//! What operators see of accounts.

use chat_core::{ids::UserId, user::UserStatus};
use chrono::{DateTime, Utc};
use garde::Validate;
use secrecy::SecretString;
use serde::Serialize;

use crate::{
    auth::{
        opaque::OpaqueToken,
        types::{NewAccount, SignUp},
    },
    config::AuthSettings,
};

/// An account that is not deleted.
#[derive(Debug, Serialize)]
pub struct AccountLine {
    /// Whose.
    pub id: UserId,
    /// The unique handle.
    pub username: String,
    /// The address.
    pub email: String,
    /// The full name.
    pub full_name: String,
    /// Whether it may sign in.
    pub status: UserStatus,
    /// Since when.
    pub created_at: DateTime<Utc>,
}

/// Characters of a password that is made up: 120 random bits.
const MADE_UP: usize = 20;

/// An account that an operator opens.
pub struct AccountDraft {
    /// The address.
    pub email: String,
    /// The full name.
    pub full_name: String,
    /// The unique handle; derived from the address when absent.
    pub username: Option<String>,
    /// The first password.
    pub password: SecretString,
}

impl AccountDraft {
    /// Judges it as a sign-up is judged.
    ///
    /// # Errors
    /// What is wrong, field by field.
    pub(super) fn parse(self, settings: &AuthSettings) -> anyhow::Result<NewAccount> {
        let Self { email, full_name, username, password } = self;
        let sign_up = SignUp { email, password, full_name, username, invite_token: None };
        sign_up.validate()?;
        Ok(sign_up.parse(settings)?)
    }
}

/// A password that nobody can guess, as long as the settings ask for.
#[must_use]
pub fn made_up_password(settings: &AuthSettings) -> SecretString {
    let length = MADE_UP.max(settings.password_min_length);
    let text = OpaqueToken::random().text() + &OpaqueToken::random().text();
    SecretString::from(&text[..length])
}

/// A password as an operator types it, without the end of its line.
#[must_use]
pub fn typed_password(line: &str) -> SecretString {
    SecretString::from(line.strip_suffix('\n').map_or(line, |line| line.strip_suffix('\r').unwrap_or(line)))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;
    use crate::config::{DEFAULTS, Settings};

    #[test]
    fn made_up_passwords_are_long_enough_and_never_the_same() -> anyhow::Result<()> {
        let mut settings: Settings = chat_core::settings::read(DEFAULTS, None, "FECHATTER_TEST_OF_ACCOUNTS")?;
        for length in [8, 64] {
            settings.auth.password_min_length = length;
            let (one, other) = (made_up_password(&settings.auth), made_up_password(&settings.auth));
            assert_eq!(one.expose_secret().len(), length.max(MADE_UP));
            assert_ne!(one.expose_secret(), other.expose_secret());
        }
        Ok(())
    }

    #[test]
    fn only_the_end_of_the_line_is_taken_off() {
        for (line, password) in [("a b \n", "a b "), ("a\r\n", "a"), ("a", "a"), ("a\n\n", "a\n"), ("", "")] {
            assert_eq!(typed_password(line).expose_secret(), password);
        }
    }
}
