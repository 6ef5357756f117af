//! The core's collections: ordered, and cloned in no time, because a command of many parts is decided on a copy of the
//! state that shares with it all that it does not change.

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::sync::Arc;

/// An ordered map whose clone shares its content.
pub type Map<K, V> = imbl::OrdMap<K, V>;
/// An ordered set whose clone shares its content.
pub type Set<V> = imbl::OrdSet<V>;

/// From a key to the values under it; a key without values is absent, so that equal contents are equal values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index<K: Ord + Clone, V: Ord + Clone>(Map<K, Arc<BTreeSet<V>>>);

impl<K: Ord + Clone, V: Ord + Clone> Default for Index<K, V> {
    fn default() -> Self {
        Self(Map::new())
    }
}

impl<K: Ord + Clone, V: Ord + Clone> Index<K, V> {
    /// Adds a value.
    pub fn insert(&mut self, key: K, value: V) {
        Arc::make_mut(self.0.entry(key).or_default()).insert(value);
    }

    /// Takes a value away, if it is there.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q, value: &V)
    where
        K: Borrow<Q>,
    {
        let Some(values) = self.0.get_mut(key) else { return };
        if values.contains(value) {
            let values = Arc::make_mut(values);
            values.remove(value);
            if values.is_empty() {
                self.0.remove(key);
            }
        }
    }

    /// The values under a key, in order.
    pub fn of<Q: Ord + ?Sized>(&self, key: &Q) -> impl DoubleEndedIterator<Item = &V> + use<'_, K, V, Q>
    where
        K: Borrow<Q>,
    {
        self.0.get(key).into_iter().flat_map(|values| values.iter())
    }

    /// How many values are under a key.
    pub fn count<Q: Ord + ?Sized>(&self, key: &Q) -> usize
    where
        K: Borrow<Q>,
    {
        self.0.get(key).map_or(0, |values| values.len())
    }
}
