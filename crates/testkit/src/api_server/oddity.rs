//! What goes wrong, and how often.

use std::ops::Range;

use super::Kind;
use crate::chance::Chance;

/// Something that goes wrong with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Oddity {
    /// An error with this code: 401, 403, 404, 429, 500, 503.
    Refused(u16),
    /// 200, and a page for people.
    Html,
    /// 200, and a `Status`.
    Status,
    /// 200, and a list of another kind without items.
    OtherKind,
    /// 200, and a list of another version of the API.
    OtherVersion,
    /// The connection breaks instead of an answer.
    Reset,
    /// No answer at all.
    Stall,
    /// The connection ends within the answer.
    CutBody,
    /// A list with `items: null`.
    NullItems,
    /// A list without items, as if there was nothing.
    Empty,
    /// A list without `items`.
    NoItems,
    /// A list, or the bookmark behind a streamed one, with an empty `resourceVersion`.
    NoVersion,
    /// The last page has fewer items than were promised.
    FewerItems,
    /// A page asks for itself again.
    RepeatedToken,
    /// The page after this one can't be had any more: 410.
    LostToken,
    /// A page is of another version than the one before.
    OtherPage,
    /// A list that lacks most of what there is, as from a cache that begins to fill.
    Partial,
    /// A watch ends in the middle of a line.
    CutLine,
    /// A watch tells that the version is too old.
    Expired,
    /// A watch tells of an internal error.
    ErrorLine,
    /// A watch tells something twice.
    Twice,
    /// A watch tells nothing any more, and does not end either.
    Silence,
}

impl Oddity {
    /// All of them.
    pub const ALL: [Self; 27] = [
        Self::Refused(401),
        Self::Refused(403),
        Self::Refused(404),
        Self::Refused(429),
        Self::Refused(500),
        Self::Refused(503),
        Self::Html,
        Self::Status,
        Self::OtherKind,
        Self::OtherVersion,
        Self::Reset,
        Self::Stall,
        Self::CutBody,
        Self::NullItems,
        Self::Empty,
        Self::NoItems,
        Self::NoVersion,
        Self::FewerItems,
        Self::RepeatedToken,
        Self::LostToken,
        Self::OtherPage,
        Self::Partial,
        Self::CutLine,
        Self::Expired,
        Self::ErrorLine,
        Self::Twice,
        Self::Silence,
    ];

    /// True for an answer that looks whole and lacks something.
    pub(super) const fn is_lie(self) -> bool {
        matches!(self, Self::NullItems | Self::Empty | Self::Partial)
    }

    /// True for what can happen to a list of pages or its like.
    pub(super) const fn is_of_lists(self) -> bool {
        !self.is_of_watches()
    }

    /// True for what can happen to a list that is streamed.
    pub(super) const fn is_of_streams(self) -> bool {
        self.is_of_any()
            || matches!(
                self,
                Self::Empty
                    | Self::Partial
                    | Self::NoVersion
                    | Self::OtherKind
                    | Self::OtherVersion
                    | Self::CutLine
                    | Self::ErrorLine
                    | Self::Silence
            )
    }

    /// True for what can happen to a watch that begins.
    pub(super) const fn is_of_any(self) -> bool {
        matches!(
            self,
            Self::Refused(_) | Self::Html | Self::Status | Self::Reset | Self::Stall
        )
    }

    /// True for what can happen to a watch that goes on.
    pub(super) const fn is_of_watches(self) -> bool {
        matches!(
            self,
            Self::CutLine | Self::Expired | Self::ErrorLine | Self::Twice | Self::Silence
        )
    }
}

/// How a server answers.
#[derive(Debug, Clone)]
pub struct Weather {
    /// Answers and told events with which something goes wrong, of 1,000.
    pub odd: u32,
    /// What then may go wrong.
    pub oddities: Vec<Oddity>,
    /// How long an answer, or what a watch tells, takes; milliseconds.
    pub latency: Range<u64>,
    /// Items in a page at most.
    pub page: usize,
    /// No page but the first can be had: 410.
    pub forgets: bool,
    /// What becomes of lists that are to be streamed.
    pub streams: Streams,
}

/// What becomes of lists that are to be streamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Streams {
    /// They are streamed.
    Streamed,
    /// The parameters are refused.
    Refused,
    /// The parameters are not known: what exists is told, and no end of it.
    Unknown,
}

impl Default for Weather {
    /// Nothing goes wrong.
    fn default() -> Self {
        Self {
            odd: 0,
            oddities: Vec::new(),
            latency: 1..5,
            page: 500,
            forgets: false,
            streams: Streams::Streamed,
        }
    }
}

impl Weather {
    /// What goes wrong now, of what can.
    pub(super) fn odd(&self, chance: &mut Chance, can: fn(Oddity) -> bool) -> Option<Oddity> {
        if !chance.per_mille(self.odd) {
            return None;
        }
        let oddities = self.oddities.iter().copied();
        let possible: Vec<Oddity> = oddities.filter(|oddity| can(*oddity)).collect();
        chance.pick(&possible).copied()
    }
}

/// No two answers after each other may lack the same: whoever asks twice is told the truth. Nobody
/// can tell that most is missing who does not know it yet.
#[derive(Debug, Default)]
pub(super) struct Lies {
    lied: [bool; Kind::ALL.len()],
    known: [bool; Kind::ALL.len()],
}

impl Lies {
    /// Whether a lie about this kind may be told now; takes note of it.
    pub(super) fn may(&mut self, kind: Kind, oddity: Oddity) -> bool {
        if !oddity.is_lie() {
            return true;
        }
        if oddity == Oddity::Partial && !self.known[kind as usize] {
            return false;
        }
        !std::mem::replace(&mut self.lied[kind as usize], true)
    }

    /// The whole list was told.
    pub(super) fn told(&mut self, kind: Kind) {
        self.lied[kind as usize] = false;
        self.known[kind as usize] = true;
    }

    /// Somebody asks who knows nothing.
    pub(super) fn anew(&mut self) {
        self.known = Default::default();
    }
}
