//! What is sent and shown of a workspace's people.

use chat_core::{chat::Role, http::page::default_limit, ids::UserId};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{auth::types::EMAIL_MAX, error::Error, members::types::Member};

/// Which part of the list.
#[derive(Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct ListPeople {
    /// Those with a name, a later word of it or a handle that begins like this; case does not matter.
    #[serde(default)]
    #[garde(length(chars, max = 100))]
    #[param(max_length = 100)]
    pub q: Option<String>,
    /// People in the answer.
    #[serde(default = "default_limit")]
    #[garde(range(min = 1, max = 100))]
    #[param(minimum = 1, maximum = 100, default = 50)]
    pub limit: i64,
    /// Those after this person.
    #[serde(default)]
    #[garde(skip)]
    #[param(value_type = Option<uuid::Uuid>)]
    pub after: Option<UserId>,
}

impl ListPeople {
    /// `q` as the beginning of a LIKE pattern: itself, character by character.
    pub(super) fn prefix(&self) -> Option<String> {
        let q = self.q.as_deref().filter(|q| !q.is_empty())?;
        Some(q.replace('\\', r"\\").replace('%', r"\%").replace('_', r"\_"))
    }
}

/// A page of a workspace's people.
#[derive(Serialize, ToSchema)]
pub struct PeoplePage {
    /// By full name.
    pub members: Vec<Member>,
    /// Whether there are more.
    pub has_more: bool,
}

/// Somebody with an account, to be added: exactly one of `user_id`, `email` and `username`.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddPerson {
    /// By id.
    #[serde(default)]
    #[garde(skip)]
    pub user_id: Option<UserId>,
    /// By address.
    #[serde(default)]
    #[garde(length(chars, max = EMAIL_MAX))]
    #[schema(format = "email", max_length = 254)]
    pub email: Option<String>,
    /// By handle.
    #[serde(default)]
    #[garde(length(chars, max = 32))]
    #[schema(max_length = 32)]
    pub username: Option<String>,
    /// In which role; at most one's own.
    #[serde(default = "member")]
    #[garde(skip)]
    #[schema(default = "Member")]
    pub role: Role,
}

pub(in crate::workspaces) fn member() -> Role {
    Role::Member
}

/// Somebody, by one of the three names that an account has.
pub(super) enum Whom {
    Id(UserId),
    Email(String),
    Username(String),
}

impl AddPerson {
    /// Who, and in which role.
    pub(super) fn parse(self) -> Result<(Whom, Role), Error> {
        let whom = match (self.user_id, self.email, self.username) {
            (Some(id), None, None) => Whom::Id(id),
            (None, Some(email), None) => Whom::Email(email),
            (None, None, Some(username)) => Whom::Username(username),
            _ => {
                let message = "exactly one of user_id, email and username is needed";
                return Err(Error::Invalid { field: "user_id", message });
            }
        };
        Ok((whom, self.role))
    }
}

impl Whom {
    /// The field that named nobody.
    pub(super) fn unknown(&self) -> Error {
        let field = match self {
            Self::Id(_) => "user_id",
            Self::Email(_) => "email",
            Self::Username(_) => "username",
        };
        Error::Invalid { field, message: "nobody has an account by this" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_means_itself() {
        let query = |q: &str| ListPeople { q: Some(q.to_owned()), limit: 50, after: None };
        assert_eq!(query("").prefix(), None);
        assert_eq!(query("anna").prefix().as_deref(), Some("anna"));
        assert_eq!(query(r"5%_\").prefix().as_deref(), Some(r"5\%\_\\"));
    }
}
