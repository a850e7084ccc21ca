//! How a packet ends.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

/// One way in which a packet can end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// It goes to an endpoint.
    Delivered {
        /// The endpoint.
        endpoint: SocketAddr,
        /// True where the endpoint sees the node's address as the source.
        masqueraded: bool,
    },
    /// It is answered with an error.
    Rejected,
    /// It is dropped without an answer.
    Dropped,
    /// It goes on as it came: no Service concerns it.
    Untouched,
    /// It keeps its destination but loses its source; no Service asks for this.
    OnlyMasqueraded,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delivered {
                endpoint,
                masqueraded: false,
            } => write!(f, "{endpoint}"),
            Self::Delivered {
                endpoint,
                masqueraded: true,
            } => write!(f, "{endpoint} masqueraded"),
            Self::Rejected => f.write_str("rejected"),
            Self::Dropped => f.write_str("dropped"),
            Self::Untouched => f.write_str("untouched"),
            Self::OnlyMasqueraded => f.write_str("only masqueraded"),
        }
    }
}

/// Every outcome that is possible, with its probability.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Distribution {
    outcomes: BTreeMap<Outcome, f64>,
}

impl Distribution {
    /// One outcome for sure.
    pub fn certain(outcome: Outcome) -> Self {
        let mut certain = Self::default();
        certain.add(outcome, 1.0);
        certain
    }

    /// Each outcome as often as every other; one that is named twice twice as often.
    pub fn uniform(outcomes: &[Outcome]) -> Self {
        let mut uniform = Self::default();
        let number = u32::try_from(outcomes.len()).unwrap_or(u32::MAX);
        for outcome in outcomes {
            uniform.add(*outcome, f64::from(number).recip());
        }
        uniform
    }

    /// Makes an outcome more probable.
    pub fn add(&mut self, outcome: Outcome, probability: f64) {
        *self.outcomes.entry(outcome).or_insert(0.0) += probability;
    }

    /// The probability of an outcome, 0 to 1.
    pub fn probability(&self, outcome: &Outcome) -> f64 {
        self.outcomes.get(outcome).copied().unwrap_or(0.0)
    }

    /// The possible outcomes in order, with their probabilities.
    pub fn iter(&self) -> impl Iterator<Item = (&Outcome, f64)> {
        self.outcomes
            .iter()
            .map(|(outcome, probability)| (outcome, *probability))
    }

    /// True where no outcome's probability differs by more than `tolerance`.
    pub fn is_close_to(&self, other: &Self, tolerance: f64) -> bool {
        self.outcomes
            .keys()
            .chain(other.outcomes.keys())
            .all(|outcome| {
                (self.probability(outcome) - other.probability(outcome)).abs() <= tolerance
            })
    }
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (outcome, probability)) in self.outcomes.iter().enumerate() {
            let comma = if position == 0 { "" } else { ", " };
            write!(f, "{comma}{outcome} {:.4}%", probability * 100.0)?;
        }
        Ok(())
    }
}
