//! The options of a line, collected before they are understood: some depend on others.

use super::error::{ParseError, Problem};

/// What an option is about. Options of one kind exclude each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Service,
    Ipv6,
    Scheduler,
    Persistent,
    Netmask,
    Engine,
    OnePacket,
    Flags,
    Real,
    Forwarding,
    Weight,
    Upper,
    Lower,
    Tunnel,
    TunnelPort,
    TunnelChecksum,
}

/// Whether an option has a value.
#[derive(Debug, Clone, Copy)]
enum Takes {
    Nothing,
    A(&'static str),
    /// The next word, if it is no option.
    Maybe,
}

const ADDRESS: Takes = Takes::A("ADDRESS:PORT");
const NUMBER: Takes = Takes::A("a number");

/// Every option: short name, or the long one again where there is none, long name, value, meaning,
/// and whether it is of `-A`, `-a`.
type Row = (&'static str, &'static str, Takes, Kind, [bool; 2]);

#[rustfmt::skip]
const OPTIONS: [Row; 23] = [
    ("-t", "--tcp-service", ADDRESS, Kind::Service, [true, true]),
    ("-u", "--udp-service", ADDRESS, Kind::Service, [true, true]),
    ("--sctp-service", "--sctp-service", ADDRESS, Kind::Service, [true, true]),
    ("-f", "--fwmark-service", NUMBER, Kind::Service, [true, true]),
    ("-6", "--ipv6", Takes::Nothing, Kind::Ipv6, [true, true]),
    ("-s", "--scheduler", Takes::A("a scheduler"), Kind::Scheduler, [true, false]),
    ("-p", "--persistent", Takes::Maybe, Kind::Persistent, [true, false]),
    ("-M", "--netmask", Takes::A("a netmask"), Kind::Netmask, [true, false]),
    ("--pe", "--pe", Takes::A("an engine"), Kind::Engine, [true, false]),
    ("-o", "--ops", Takes::Nothing, Kind::OnePacket, [true, false]),
    ("-b", "--sched-flags", Takes::A("flags"), Kind::Flags, [true, false]),
    ("-r", "--real-server", ADDRESS, Kind::Real, [false, true]),
    ("-g", "--gatewaying", Takes::Nothing, Kind::Forwarding, [false, true]),
    ("-i", "--ipip", Takes::Nothing, Kind::Forwarding, [false, true]),
    ("-m", "--masquerading", Takes::Nothing, Kind::Forwarding, [false, true]),
    ("-w", "--weight", NUMBER, Kind::Weight, [false, true]),
    ("-x", "--u-threshold", NUMBER, Kind::Upper, [false, true]),
    ("-y", "--l-threshold", NUMBER, Kind::Lower, [false, true]),
    ("--tun-type", "--tun-type", Takes::A("ipip, gue or gre"), Kind::Tunnel, [false, true]),
    ("--tun-port", "--tun-port", NUMBER, Kind::TunnelPort, [false, true]),
    ("--tun-nocsum", "--tun-nocsum", Takes::Nothing, Kind::TunnelChecksum, [false, true]),
    ("--tun-csum", "--tun-csum", Takes::Nothing, Kind::TunnelChecksum, [false, true]),
    ("--tun-remcsum", "--tun-remcsum", Takes::Nothing, Kind::TunnelChecksum, [false, true]),
];

/// `-A` or `-a`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    Server,
    Destination,
}

/// An option of a line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Given<'a> {
    kind: Kind,
    /// The option's short name.
    pub(super) name: &'static str,
    /// Its value, or its name where it has none.
    pub(super) value: &'a str,
}

/// A line's command and options.
#[derive(Debug)]
pub(super) struct Options<'a> {
    line: usize,
    /// The first word.
    pub(super) command: Command,
    word: &'a str,
    given: Vec<Given<'a>>,
}

impl<'a> Options<'a> {
    pub(super) fn read(line: usize, text: &'a str) -> Result<Self, ParseError> {
        let mut words = text.split_ascii_whitespace().peekable();
        let word = words.next().unwrap_or_default();
        let command = match word {
            "-A" | "--add-service" => Command::Server,
            "-a" | "--add-server" => Command::Destination,
            _ => return Err(error(line, word, Problem::Command)),
        };
        let mut options = Self {
            line,
            command,
            word,
            given: Vec::with_capacity(8),
        };
        let (of, column) = match command {
            Command::Server => ("-A", 0),
            Command::Destination => ("-a", 1),
        };
        while let Some(word) = words.next() {
            let row = OPTIONS
                .iter()
                .find(|row| (row.0 == word || row.1 == word) && row.4[column]);
            let Some((name, _, takes, kind, _)) = row else {
                return Err(error(line, word, Problem::Option(of)));
            };
            if options.get(*kind).is_some() {
                return Err(error(line, word, Problem::Again));
            }
            let value = match takes {
                Takes::Nothing => word,
                Takes::A(what) => words
                    .next()
                    .ok_or_else(|| error(line, word, Problem::NoValue(what)))?,
                Takes::Maybe => words.next_if(|next| !next.starts_with('-')).unwrap_or(word),
            };
            options.given.push(Given {
                kind: *kind,
                name,
                value,
            });
        }
        Ok(options)
    }

    /// The option of this kind.
    pub(super) fn get(&self, kind: Kind) -> Option<Given<'a>> {
        self.given.iter().find(|given| given.kind == kind).copied()
    }

    /// The option's value, which must have been given.
    pub(super) fn need(&self, kind: Kind, what: &'static str) -> Result<Given<'a>, ParseError> {
        self.get(kind)
            .ok_or_else(|| error(self.line, self.word, Problem::Needs(what)))
    }

    /// The option's value as `read` understands it; `None` without the option.
    pub(super) fn value<T>(
        &self,
        kind: Kind,
        what: &'static str,
        read: impl FnOnce(&'a str) -> Option<T>,
    ) -> Result<Option<T>, ParseError> {
        self.get(kind)
            .map(|given| read(given.value).ok_or_else(|| self.wrong(given.value, what)))
            .transpose()
    }

    /// The error of a value that is not what it should be.
    pub(super) fn wrong(&self, value: &str, what: &'static str) -> ParseError {
        error(self.line, value, Problem::Value(what))
    }

    /// The error of an option that needs another.
    pub(super) fn lacks(&self, given: Given<'_>, what: &'static str) -> ParseError {
        error(self.line, given.name, Problem::Needs(what))
    }
}

fn error(line: usize, word: &str, problem: Problem) -> ParseError {
    ParseError {
        line,
        word: word.to_owned(),
        problem,
    }
}
