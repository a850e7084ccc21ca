//! Objects that mean something else than their author wrote, told without flooding anybody.

use std::collections::HashSet;
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use tokio::time::Instant;

use viprule_service::model::ServiceId;

use super::present::Id;
use crate::convert::{ObjectError, Warning};

/// What is wrong with an object, to be told to its author.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Problem {
    /// True where the object is refused: the model keeps the last version that was good. False
    /// where something of it was skipped or guessed.
    pub refused: bool,
    /// The Service that the object is or belongs to, where that can be told.
    pub service: Option<ServiceId>,
    /// The object's kind.
    pub kind: &'static str,
    /// `namespace/name`, or the name alone where the kind has no namespaces.
    pub object: String,
    /// The field's path within the object; empty where it is about the object as a whole.
    pub field: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl Problem {
    pub(super) fn refused(error: ObjectError, id: Option<&Id>) -> Self {
        Self {
            refused: true,
            service: id.and_then(Id::service).cloned(),
            kind: error.kind,
            object: error.object,
            field: error.field,
            message: error.message,
        }
    }

    pub(super) fn warning(
        kind: &'static str,
        object: String,
        id: Option<&Id>,
        warning: Warning,
    ) -> Self {
        Self {
            refused: false,
            service: id.and_then(Id::service).cloned(),
            kind,
            object,
            field: warning.field,
            message: warning.message,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: ", self.kind, self.object)?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)
    }
}

/// Problems told in one go, before the rate applies.
const BURST: u32 = 100;
/// Time in which another problem may be told.
const EACH: Duration = Duration::from_millis(500);
/// Problems that are remembered as told, as eight bytes each.
const REMEMBERED: usize = 4096;

/// Tells each problem of an object's version once, and not too many at once.
#[derive(Debug)]
pub(super) struct Teller {
    told: HashSet<u64>,
    /// What may be told now.
    left: u32,
    counted_from: Instant,
    suppressed: u64,
}

impl Teller {
    pub(super) fn new() -> Self {
        Self {
            told: HashSet::new(),
            left: BURST,
            counted_from: Instant::now(),
            suppressed: 0,
        }
    }

    /// True where the problem is to be told.
    pub(super) fn tell(&mut self, problem: &Problem, version: Option<&str>) -> bool {
        let mut hasher = DefaultHasher::new();
        (problem, version).hash(&mut hasher);
        let hash = hasher.finish();
        if self.told.contains(&hash) {
            return false;
        }
        self.refill();
        if self.left == 0 {
            self.suppressed += 1;
            return false;
        }
        self.left -= 1;
        if self.told.len() == REMEMBERED {
            // A relist tells some again then; that many problems are no steady state.
            self.told.clear();
        }
        self.told.insert(hash);
        true
    }

    /// How many were not told since the last call.
    pub(super) fn take_suppressed(&mut self) -> u64 {
        std::mem::take(&mut self.suppressed)
    }

    fn refill(&mut self) {
        let passed = self.counted_from.elapsed().as_millis() / EACH.as_millis();
        if passed > 0 {
            let more = u32::try_from(passed).unwrap_or(BURST);
            self.left = BURST.min(self.left.saturating_add(more));
            self.counted_from = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(name: u64) -> Problem {
        Problem {
            refused: true,
            service: None,
            kind: "Service",
            object: format!("n/{name}"),
            field: "spec.type".to_owned(),
            message: "is odd".to_owned(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_version_is_told_once_and_the_next_one_again() {
        let mut teller = Teller::new();
        assert!(teller.tell(&problem(1), Some("7")));
        assert!(!teller.tell(&problem(1), Some("7")));
        assert!(teller.tell(&problem(1), Some("8")));
        assert!(teller.tell(&problem(2), Some("7")));
        assert_eq!(teller.take_suppressed(), 0, "a repetition is nothing lost");
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_counted() {
        let mut teller = Teller::new();
        let told = (0..1000)
            .filter(|n| teller.tell(&problem(*n), None))
            .count();
        assert_eq!(told, BURST as usize);
        assert_eq!(teller.take_suppressed(), 1000 - u64::from(BURST));
        assert_eq!(teller.take_suppressed(), 0);
        tokio::time::advance(2 * EACH).await;
        let told = (1000..2000)
            .filter(|n| teller.tell(&problem(*n), None))
            .count();
        assert_eq!(told, 2);
    }

    #[test]
    fn it_prints_with_object_and_field() {
        assert_eq!(problem(1).to_string(), "Service n/1: spec.type: is odd");
    }
}
