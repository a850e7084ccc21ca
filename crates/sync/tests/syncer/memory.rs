//! A kernel that does objects one by one.

use std::collections::{BTreeMap, BTreeSet};

use viprule_dataplane::{Content, Diff, Feature, ObjectKey, Scope, State};
use viprule_writer::{ApplyError, ForeignChanges, Refusal, Tag, WriteError, Writer, Written};

/// Objects. What is refused keeps no other write from being done; then nothing is removed.
#[derive(Debug)]
pub(crate) struct Memory<K, O> {
    pub(crate) objects: BTreeMap<K, O>,
    writes: Vec<(Tag, K, O, bool)>,
    deletes: Vec<(Tag, K)>,
    /// The keys of each commit.
    pub(crate) commits: Vec<Vec<K>>,
    /// The answer to the next commit gets lost; true where it is done all the same.
    pub(crate) lost: Option<bool>,
    pub(crate) refused: Option<K>,
    /// What this kernel does not have, and what of it an object needs.
    pub(crate) lacks: BTreeSet<Feature>,
    pub(crate) needs: fn(&O) -> Option<Feature>,
    learnt: BTreeSet<Feature>,
}

impl<K, O> Default for Memory<K, O> {
    fn default() -> Self {
        Self {
            objects: BTreeMap::new(),
            writes: Vec::new(),
            deletes: Vec::new(),
            commits: Vec::new(),
            lost: None,
            refused: None,
            lacks: BTreeSet::new(),
            needs: |_| None,
            learnt: BTreeSet::new(),
        }
    }
}

impl<K, O> Writer for Memory<K, O>
where
    K: ObjectKey,
    O: Content + From<(K, O)>,
{
    type Key = K;
    type Object = O;

    fn observe<V: From<(K, O)>>(
        &mut self,
        scope: &Scope<K::Piece>,
    ) -> Result<State<K, V>, WriteError> {
        let objects = self.objects.iter();
        let seen = objects.filter(|(key, _)| scope.contains(&key.piece()));
        Ok(seen
            .map(|(key, it)| (key.clone(), V::from((key.clone(), it.clone()))))
            .collect())
    }

    fn stage<A>(&mut self, tag: Tag, diff: &Diff<'_, K, A, O>) -> Result<(), ApplyError<K::Piece>> {
        for write in &diff.writes {
            let replaces = write.old.is_some();
            let (key, new) = (write.key.clone(), write.new.clone());
            self.writes.push((tag, key, new, replaces));
        }
        let deletes = diff.deletes.iter().map(|(key, _)| (tag, (*key).clone()));
        self.deletes.extend(deletes);
        Ok(())
    }

    fn commit(&mut self) -> Result<Written, ApplyError<K::Piece>> {
        let (writes, deletes) = (
            std::mem::take(&mut self.writes),
            std::mem::take(&mut self.deletes),
        );
        if writes.is_empty() && deletes.is_empty() {
            return Ok(Written::default());
        }
        let lost = self.lost.take();
        let unknown = || Err(ApplyError::Unknown("the answer was lost".to_owned()));
        if lost == Some(false) {
            return unknown();
        }
        let mut refusals = Vec::new();
        let mut commit = Vec::new();
        for (tag, key, object, replaces) in writes {
            if self.refused.as_ref() == Some(&key) {
                let (tag, reason) = (Some(tag), "EINVAL".to_owned());
                refusals.push(Refusal { tag, reason });
                continue;
            }
            if let Some(feature) = (self.needs)(&object).filter(|it| self.lacks.contains(it)) {
                self.learnt.insert(feature);
                let (tag, reason) = (Some(tag), "ENOENT".to_owned());
                refusals.push(Refusal { tag, reason });
                continue;
            }
            let old = self.objects.insert(key.clone(), object.clone());
            assert_eq!(old.is_some(), replaces, "{key}: {old:?}");
            assert_ne!(old, Some(object), "{key} had it");
            commit.push(key);
        }
        let deletes = deletes.into_iter().filter(|_| refusals.is_empty());
        for (_, key) in deletes {
            assert!(self.objects.remove(&key).is_some(), "{key} was not there");
            assert!(!commit.contains(&key), "{key} in one commit");
            commit.push(key);
        }
        self.commits.push(commit);
        if lost.is_some() {
            return unknown();
        }
        if refusals.is_empty() {
            Ok(Written::default())
        } else {
            let partly = true;
            Err(ApplyError::Refused { refusals, partly })
        }
    }

    fn take_lacking(&mut self) -> BTreeSet<Feature> {
        std::mem::take(&mut self.learnt)
    }

    fn has(&mut self, feature: &Feature) -> Result<bool, WriteError> {
        Ok(!self.lacks.contains(feature))
    }

    fn foreign_changes(&mut self) -> Result<ForeignChanges<K::Piece>, WriteError> {
        Ok(ForeignChanges {
            scope: Scope::nothing(),
            by: Vec::new(),
        })
    }
}
