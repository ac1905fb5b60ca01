//! Which connected people are in which chat and workspace.
//!
//! Kept by the ordered events alone, which makes the order the authorisation: a removal is delivered to the
//! removed person and then applied, and nothing that was committed after it can reach them.

mod membership;
mod route;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
};

use chat_core::ids::{ChatId, UserId, WorkspaceId};

pub use self::{
    membership::Memberships,
    route::{Audience, Change, Ending, Route, Scope},
};

/// The people who have a live stream, by where they are.
#[derive(Debug, Default)]
pub struct Directory {
    people: HashMap<UserId, Memberships>,
    chats: Index<ChatId>,
    workspaces: Index<WorkspaceId>,
}

impl Directory {
    /// Takes in a person who is connected now, at the position of the last event applied.
    pub fn connect(&mut self, user: UserId, memberships: Memberships) {
        if let Some(known) = self.people.get(&user) {
            if *known == memberships {
                return;
            }
            // A table was changed behind the triggers' back. The tables are right.
            tracing::error!(%user, "the directory differed from the tables");
            self.disconnect(user);
        }
        for chat in &memberships.chats {
            self.chats.add(*chat, user);
        }
        for workspace in &memberships.workspaces {
            self.workspaces.add(*workspace, user);
        }
        self.people.insert(user, memberships);
    }

    /// Forgets a person whose last live stream is gone.
    pub fn disconnect(&mut self, user: UserId) {
        let Some(memberships) = self.people.remove(&user) else {
            return;
        };
        for chat in memberships.chats {
            self.chats.remove(chat, user);
        }
        for workspace in memberships.workspaces {
            self.workspaces.remove(workspace, user);
        }
    }

    /// Forgets everybody.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Calls `deliver` for each connected person among the audience, once.
    pub fn for_each(&self, audience: &Audience, mut deliver: impl FnMut(UserId)) {
        let members = match audience.scope {
            Scope::Nobody => None,
            Scope::Chat(chat) => self.chats.0.get(&chat),
            Scope::Workspace(workspace) => self.workspaces.0.get(&workspace),
        };
        for user in members.into_iter().flatten() {
            deliver(*user);
        }
        if let Some(person) = audience.person
            && self.people.contains_key(&person)
            && members.is_none_or(|members| !members.contains(&person))
        {
            deliver(person);
        }
    }

    /// Takes in a change, after the event that tells it was delivered.
    pub fn apply(&mut self, change: &Change) {
        match *change {
            Change::JoinedChat(chat, user) => {
                if self.apply_to(user, change) {
                    self.chats.add(chat, user);
                }
            }
            Change::LeftChat(chat, user) => {
                if self.apply_to(user, change) {
                    self.chats.remove(chat, user);
                }
            }
            Change::JoinedWorkspace(workspace, user) => {
                if self.apply_to(user, change) {
                    self.workspaces.add(workspace, user);
                }
            }
            Change::LeftWorkspace(workspace, user) => {
                if self.apply_to(user, change) {
                    self.workspaces.remove(workspace, user);
                }
            }
            Change::DeletedChat(chat) => {
                for user in self.chats.0.remove(&chat).into_iter().flatten() {
                    self.apply_to(user, change);
                }
            }
            Change::DeletedWorkspace(workspace) => {
                for user in self.workspaces.0.remove(&workspace).into_iter().flatten() {
                    self.apply_to(user, change);
                }
            }
        }
    }

    /// Whether the person is connected at all.
    fn apply_to(&mut self, user: UserId, change: &Change) -> bool {
        let person = self.people.get_mut(&user);
        person.map(|memberships| memberships.apply(change, user)).is_some()
    }
}

/// The connected people of each place; places without any are not kept.
#[derive(Debug)]
struct Index<K>(HashMap<K, HashSet<UserId>>);

impl<K> Default for Index<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash> Index<K> {
    fn add(&mut self, place: K, user: UserId) {
        self.0.entry(place).or_default().insert(user);
    }

    fn remove(&mut self, place: K, user: UserId) {
        if let Some(people) = self.0.get_mut(&place) {
            people.remove(&user);
            if people.is_empty() {
                self.0.remove(&place);
            }
        }
    }
}
