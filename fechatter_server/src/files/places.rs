//! How many do something at a time, in all and of one person.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use chat_core::ids::UserId;

/// Places for people, up to a number in all and for each.
#[derive(Clone, Debug)]
pub(crate) struct Places(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    most: usize,
    per_person: usize,
    taken: Mutex<HashMap<UserId, usize>>,
}

/// A place that somebody has, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Places,
    person: UserId,
}

impl Places {
    /// So many places.
    pub(crate) fn new(most: usize, per_person: usize) -> Self {
        Self(Arc::new(Shared { most, per_person, taken: Mutex::default() }))
    }

    /// A place, if there is one.
    pub(crate) fn take(&self, person: UserId) -> Option<Place> {
        let mut taken = self.lock();
        // People are few: no more than places.
        let all: usize = taken.values().sum();
        let own = taken.get(&person).copied().unwrap_or_default();
        if all >= self.0.most || own >= self.0.per_person {
            return None;
        }
        taken.insert(person, own + 1);
        Some(Place { places: self.clone(), person })
    }

    #[cfg(test)]
    fn taken(&self) -> usize {
        self.lock().values().sum()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<UserId, usize>> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        if let Some(own) = taken.get_mut(&self.person) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.person);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_few_for_each_and_in_all_and_come_back() {
        let places = Places::new(3, 2);
        let (ann, bob) = (UserId::new(), UserId::new());
        let first = places.take(ann);
        let second = places.take(ann);
        assert!(first.is_some() && second.is_some() && places.take(ann).is_none());
        let third = places.take(bob);
        assert!(third.is_some() && places.take(bob).is_none());
        drop(first);
        assert!(places.take(bob).is_some());
        drop((second, third));
        assert_eq!(places.taken(), 0);
    }
}
