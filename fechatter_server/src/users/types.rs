//! What is sent and shown of people.

use axum::http::Uri;
use chat_core::{
    http::{json::present, path::PathPart},
    ids::UserId,
};
use chrono::{DateTime, Utc};
use garde::Validate;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    auth::{
        passwords::judge,
        types::{handle, not_over_long},
    },
    config::AuthSettings,
    error::Error,
    text::not_blank,
};

/// `{id}` in a path: a person.
pub struct PersonInPath;

impl PathPart for PersonInPath {
    type Id = UserId;
    const NAME: &'static str = "id";
}

/// One's own profile.
#[derive(Serialize, ToSchema)]
pub struct Me {
    /// Who.
    pub id: UserId,
    /// The address; shown to nobody else.
    pub email: String,
    /// The full name.
    pub full_name: String,
    /// The unique handle.
    pub username: String,
    /// Where the picture is.
    pub avatar_url: Option<String>,
    /// Since when.
    pub created_at: DateTime<Utc>,
    /// When the profile last changed.
    pub updated_at: DateTime<Utc>,
}

/// A profile, as other people see it.
#[derive(Serialize, ToSchema)]
pub struct Profile {
    /// Who.
    pub id: UserId,
    /// The full name.
    pub full_name: String,
    /// The unique handle.
    pub username: String,
    /// Where the picture is.
    pub avatar_url: Option<String>,
    /// Since when.
    pub created_at: DateTime<Utc>,
}

/// What changes of one's profile; a field that is absent stays.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateMe {
    /// 1 to 100 code points, not only white space.
    #[serde(default)]
    #[garde(length(chars, min = 1, max = 100), inner(custom(not_blank)))]
    #[schema(min_length = 1, max_length = 100)]
    pub full_name: Option<String>,
    /// The unique handle.
    #[serde(default)]
    #[garde(inner(custom(handle)))]
    #[schema(min_length = 3, max_length = 32, pattern = "^[a-z0-9._-]+$")]
    pub username: Option<String>,
    /// An http or https URL of up to 2,048 characters; null removes it.
    #[serde(default, deserialize_with = "present")]
    #[garde(inner(inner(length(chars, max = 2048), custom(web_address))))]
    #[schema(value_type = Option<String>, format = "uri", max_length = 2048)]
    pub avatar_url: Option<Option<String>>,
}

fn web_address<C>(text: &str, _: &C) -> garde::Result {
    let uri: Option<Uri> = text.parse().ok();
    let fits = uri.is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
    });
    if fits { Ok(()) } else { Err(garde::Error::new("must be an http or https URL")) }
}

/// A password to take the place of another.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangePassword {
    /// The one in use.
    #[garde(custom(not_over_long))]
    #[schema(value_type = String, format = "password", max_length = 128)]
    pub current_password: SecretString,
    /// Neither a common password nor the e-mail address; never trimmed.
    #[garde(custom(not_over_long))]
    #[schema(value_type = String, format = "password", min_length = 8, max_length = 128)]
    pub new_password: SecretString,
}

/// The proof that it is the owner who deletes an account.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeleteMe {
    /// The password in use.
    #[garde(custom(not_over_long))]
    #[schema(value_type = String, format = "password", max_length = 128)]
    pub password: SecretString,
}

impl ChangePassword {
    /// Judges what needs the settings and the address.
    pub(super) fn judge(&self, settings: &AuthSettings, email: &str) -> Result<(), Error> {
        judge(&self.new_password, settings.password_min_length, email)
            .map_err(|flaw| Error::Password { field: "new_password", flaw })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_on_the_web() {
        for url in ["https://example.com/a.png?x=1", "http://localhost:8080/", "HTTPS://example.com"] {
            assert!(web_address(url, &()).is_ok(), "{url}");
        }
        for url in [
            "",
            "a.png",
            "/a.png",
            "example.com",
            "javascript:alert(1)",
            "ftp://a/b",
            "https://",
            "https://a b",
        ] {
            assert!(web_address(url, &()).is_err(), "{url}");
        }
    }
}
