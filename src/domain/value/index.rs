//! The core's collections: ordered, and cloned in no time, because a command of many parts is decided on a copy of the
//! state that shares with it all that it does not change.

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use imbl::ordmap;
use imbl::shared_ptr::DefaultSharedPtr;

/// An ordered map whose clone shares its content. A value is copied when it is changed itself, not when a neighbour is:
/// the nodes of the tree hold 64 of them.
#[derive(Clone, PartialEq, Eq)]
pub struct Map<K: Ord, V>(imbl::OrdMap<K, Arc<V>>);
/// An ordered set whose clone shares its content.
pub type Set<V> = imbl::OrdSet<V>;

/// Over a [`Map`], in the order of the keys.
pub type Iter<'a, K, V> = std::iter::Map<ordmap::Iter<'a, K, Arc<V>, DefaultSharedPtr>, Parts<'a, K, V>>;
type Parts<'a, K, V> = fn((&'a K, &'a Arc<V>)) -> (&'a K, &'a V);

impl<K: Ord, V> Default for Map<K, V> {
    fn default() -> Self {
        Self(imbl::OrdMap::new())
    }
}

impl<K: Ord + fmt::Debug, V: fmt::Debug> fmt::Debug for Map<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<K: Ord, V> Map<K, V> {
    /// The same, in nodes of its own: to change one node that is shared costs as much as all its neighbours.
    #[must_use]
    pub fn unshared(&self) -> Self
    where
        K: Clone,
    {
        Self(self.0.iter().map(|(key, value)| (key.clone(), Arc::clone(value))).collect())
    }

    /// The value under a key.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.0.get(key).map(AsRef::as_ref)
    }

    /// The value under a key, for as long as somebody holds it.
    pub fn shared<Q: Ord + ?Sized>(&self, key: &Q) -> Option<Arc<V>>
    where
        K: Borrow<Q>,
    {
        self.0.get(key).map(Arc::clone)
    }

    /// The key itself with it, which lives as long as the map.
    pub fn get_key_value<Q: Ord + ?Sized>(&self, key: &Q) -> Option<(&K, &V)>
    where
        K: Borrow<Q>,
    {
        self.0.get_key_value(key).map(parts)
    }

    /// Whether anything is under a key.
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.0.contains_key(key)
    }

    /// In the order of the keys.
    pub fn iter(&self) -> Iter<'_, K, V> {
        let parts: Parts<'_, K, V> = parts;
        self.0.iter().map(parts)
    }

    /// In the order of the keys, those after one, or all.
    pub fn after(&self, key: Option<&K>) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        self.0.range::<_, K>((key.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded)).map(parts)
    }

    /// In the order of the keys, one and those after it.
    pub fn starting_at(&self, key: &K) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        self.0.range::<_, K>((Bound::Included(key), Bound::Unbounded)).map(parts)
    }

    /// In the order of the keys, those before one, or all.
    pub fn before(&self, key: Option<&K>) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        self.0.range::<_, K>((Bound::Unbounded, key.map_or(Bound::Unbounded, Bound::Excluded))).map(parts)
    }

    /// In order.
    #[must_use]
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &K> {
        self.0.keys()
    }

    /// In the order of the keys.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &V> {
        self.0.values().map(AsRef::as_ref)
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<K: Ord + Clone, V: Clone> Map<K, V> {
    /// Puts a value under a key, and gives back what was there.
    pub fn insert(&mut self, key: K, value: V) -> Option<Arc<V>> {
        self.0.insert(key, Arc::new(value))
    }

    /// The value under a key, to change it.
    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.0.get_mut(key).map(Arc::make_mut)
    }

    /// The value under a key, to change it: made if it is not there.
    pub fn or_default(&mut self, key: K) -> &mut V
    where
        V: Default,
    {
        Arc::make_mut(self.0.entry(key).or_default())
    }

    /// Takes away what is under a key, and gives it back.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<Arc<V>>
    where
        K: Borrow<Q>,
    {
        self.0.remove(key)
    }
}

fn parts<'a, K, V>((key, value): (&'a K, &'a Arc<V>)) -> (&'a K, &'a V) {
    (key, value)
}

impl<'a, K: Ord, V> IntoIterator for &'a Map<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Iter<'a, K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<K: Ord + Clone, V> FromIterator<(K, V)> for Map<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(all: I) -> Self {
        Self(all.into_iter().map(|(key, value)| (key, Arc::new(value))).collect())
    }
}

/// From a key to the values under it; a key without values is absent, so that equal contents are equal values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index<K: Ord + Clone, V: Ord + Clone>(Map<K, BTreeSet<V>>);

impl<K: Ord + Clone, V: Ord + Clone> Default for Index<K, V> {
    fn default() -> Self {
        Self(Map::default())
    }
}

impl<K: Ord + Clone, V: Ord + Clone> Index<K, V> {
    /// As [`Map::unshared`].
    #[must_use]
    pub fn unshared(&self) -> Self {
        Self(self.0.unshared())
    }

    /// Adds a value.
    pub fn insert(&mut self, key: K, value: V) {
        self.0.or_default(key).insert(value);
    }

    /// Takes a value away, if it is there.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q, value: &V)
    where
        K: Borrow<Q>,
    {
        // Looked at first: to change it may be to copy it.
        let Some(values) = self.0.get(key).filter(|values| values.contains(value)) else { return };
        if values.len() == 1 {
            self.0.remove(key);
        } else if let Some(values) = self.0.get_mut(key) {
            values.remove(value);
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
        self.0.get(key).map_or(0, BTreeSet::len)
    }
}
