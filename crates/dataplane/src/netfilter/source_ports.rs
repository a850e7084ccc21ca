//! Which source ports masqueraded connections get.

use std::ops::RangeInclusive;

/// Ports from here on are chosen for connections from such ports; the kernel keeps those from
/// lower ones below it (`nf_nat_l4proto_unique_tuple`), which is what some servers ask for.
const UNPRIVILEGED: u16 = 1024;

/// The source ports that masqueraded connections may have: those of 1024 and above that are not
/// node ports. Otherwise the kernel draws from all of them, and what is then sent to that node
/// port from the endpoint's address and port is taken for an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourcePorts {
    below: Option<RangeInclusive<u16>>,
    above: Option<RangeInclusive<u16>>,
    keeps_privileged: bool,
}

/// One of the ranges to draw a port from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Draw {
    pub(crate) ports: RangeInclusive<u16>,
    /// How many of how many connections get a port of this range, as far as they are not in one
    /// before it; `None` for all.
    pub(crate) share: Option<(u32, u32)>,
}

impl SourcePorts {
    /// Those outside of the API server's `--service-node-port-range`; `None` where that leaves
    /// none of 1024 or above.
    pub fn outside(node_ports: &RangeInclusive<u16>) -> Option<Self> {
        let (first, last) = (*node_ports.start(), *node_ports.end());
        let range = |from: u16, to: u16| (from <= to).then_some(from..=to);
        let below = first.checked_sub(1);
        let below = below.and_then(|to| range(UNPRIVILEGED, to));
        let above = last.checked_add(1);
        let above = above.and_then(|from| range(from.max(UNPRIVILEGED), u16::MAX));
        (below.is_some() || above.is_some()).then_some(Self {
            below,
            above,
            keeps_privileged: first >= UNPRIVILEGED,
        })
    }

    /// The lowest source port of the connections that are given one of these; those from lower
    /// ones get no node port anyway. 0 where node ports begin lower.
    pub(crate) const fn from(&self) -> u16 {
        if self.keeps_privileged {
            UNPRIVILEGED
        } else {
            0
        }
    }

    /// The ranges, each as often as it has ports: a range that is drawn from more often than
    /// another runs out of ports first, and then connections fail.
    pub(crate) fn draws(&self) -> Vec<Draw> {
        let last = |ports| Draw { ports, share: None };
        match (self.below.clone(), self.above.clone()) {
            (Some(below), Some(above)) => {
                let of = [&below, &above].map(number);
                let share = Some((of[0], of[0] + of[1]));
                let first = Draw {
                    ports: below,
                    share,
                };
                vec![first, last(above)]
            }
            (only, None) | (None, only) => only.into_iter().map(last).collect(),
        }
    }
}

fn number(ports: &RangeInclusive<u16>) -> u32 {
    u32::from(*ports.end()) - u32::from(*ports.start()) + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outside(node_ports: RangeInclusive<u16>) -> Option<(u16, Vec<Draw>)> {
        SourcePorts::outside(&node_ports).map(|ports| (ports.from(), ports.draws()))
    }

    fn all(ports: RangeInclusive<u16>) -> Vec<Draw> {
        vec![Draw { ports, share: None }]
    }

    #[test]
    fn ranges_are_drawn_from_as_often_as_they_have_ports() {
        let below = Draw {
            ports: 1024..=29999,
            share: Some((28976, 28976 + 32768)),
        };
        let above = Draw {
            ports: 32768..=65535,
            share: None,
        };
        assert_eq!(outside(30000..=32767), Some((1024, vec![below, above])));
    }

    #[test]
    fn one_side_may_be_all_there_is() {
        assert_eq!(outside(1024..=2000), Some((1024, all(2001..=65535))));
        assert_eq!(outside(2000..=65535), Some((1024, all(1024..=1999))));
    }

    #[test]
    fn low_ports_are_kept_only_where_they_are_no_node_ports() {
        assert_eq!(outside(80..=32767), Some((0, all(32768..=65535))));
        assert_eq!(outside(80..=90), Some((0, all(1024..=65535))));
    }

    #[test]
    fn no_ports_may_be_left() {
        assert_eq!(outside(1024..=65535), None);
        assert_eq!(outside(1..=65535), None);
        assert!(outside(1..=65534).is_some());
        assert!(outside(1025..=65535).is_some());
    }
}
