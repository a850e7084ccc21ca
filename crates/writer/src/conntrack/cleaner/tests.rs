use std::sync::mpsc::{self, Receiver};

use netlink_batch::{Errno, Error};
use viprule_service::plan::{AllowedFlows, FlowPlace};

use super::*;

const AT_ONCE: Duration = Duration::ZERO;
const SOON: Duration = Duration::from_millis(20);
const NEVER: Duration = Duration::MAX;
/// For what has to come; tests that pass never wait so long.
const LONG: Duration = Duration::from_secs(60);

fn vip(last: u8) -> FlowDestination {
    FlowPlace::at(([10, 1, 0, last], 53).into()).over(Protocol::Udp)
}

const fn waits(more: Duration, retry: Duration) -> Waits {
    let tcp = Rests {
        answer: more,
        gather: more,
    };
    Waits { more, retry, tcp }
}

/// A cleaner whose first looks fail with these errors, and what it looks at.
fn failing(
    errors: Vec<Errno>,
    waits: Waits,
) -> (
    Cleaner,
    Receiver<BTreeSet<FlowDestination>>,
    Receiver<Cleaned>,
) {
    let (looked, looks) = mpsc::channel();
    let (reported, reports) = mpsc::channel();
    let mut errors = errors.into_iter();
    let sweep = move |_, _, among: &BTreeSet<FlowDestination>, _: &_, _: &mut _| {
        looked.send(among.clone()).unwrap();
        errors.next().map_or(Ok(()), |errno| {
            Err(Error::Refused {
                errno,
                text: None,
                offset: None,
            })
        })
    };
    let report = move |cleaned| reported.send(cleaned).unwrap();
    let cleaner = Cleaner::start(sweep, waits, report).unwrap();
    (cleaner, looks, reports)
}

#[test]
fn what_failed_is_looked_at_again_without_any_change() {
    let (cleaner, looks, reports) = failing(vec![Errno::NOMEM; 2], waits(AT_ONCE, SOON));
    cleaner.removed([vip(1)]);
    for failed in [true, true, false] {
        assert_eq!(looks.recv_timeout(LONG).unwrap(), [vip(1)].into());
        let report = reports.recv_timeout(LONG).unwrap();
        assert_eq!(report.failure.is_some(), failed);
    }
    cleaner.removed([vip(2)]);
    assert_eq!(
        looks.recv_timeout(LONG).unwrap(),
        [vip(2)].into(),
        "what succeeded is done"
    );
}

#[test]
fn a_change_brings_what_failed_along() {
    // The kernel lacks the part: only a change asks again.
    for (errno, retry) in [(Errno::NOMEM, NEVER), (Errno::INVAL, Duration::ZERO)] {
        let (cleaner, looks, reports) = failing(vec![errno], waits(AT_ONCE, retry));
        cleaner.removed([vip(1)]);
        cleaner.wait();
        reports.recv_timeout(LONG).unwrap().failure.unwrap();
        cleaner.removed([vip(2)]);
        assert_eq!(looks.recv_timeout(LONG).unwrap(), [vip(1)].into());
        assert_eq!(looks.recv_timeout(LONG).unwrap(), [vip(1), vip(2)].into());
        cleaner.wait();
        assert!(reports.recv_timeout(LONG).unwrap().failure.is_none());
    }
}

#[test]
fn what_changes_soon_after_a_look_is_looked_at_together() {
    // The second look comes when the cleaner ends: a pause without end holds it back.
    let (cleaner, looks, reports) = failing(vec![], waits(NEVER, NEVER));
    cleaner.removed([vip(1)]);
    assert_eq!(
        looks.recv_timeout(LONG).unwrap(),
        [vip(1)].into(),
        "at once"
    );
    reports.recv_timeout(LONG).unwrap();
    for last in [2, 3, 2, 4] {
        cleaner.removed([vip(last)]);
    }
    drop(cleaner);
    let looks: Vec<_> = looks.iter().collect();
    assert_eq!(looks, [[vip(2), vip(3), vip(4)].into()]);
}

#[test]
fn what_waits_is_looked_at_without_any_further_change() {
    let (cleaner, looks, _reports) = failing(vec![], waits(SOON, NEVER));
    for last in [1, 2, 3] {
        cleaner.removed([vip(last)]);
        assert_eq!(looks.recv_timeout(LONG).unwrap(), [vip(last)].into());
    }
}

/// A Service with a TCP frontend at this address.
fn serve(cleaner: &Cleaner, last: u8) {
    let frontend = FlowFrontend {
        destination: tcp(last),
        flows: AllowedFlows {
            serving: true,
            endpoints: std::iter::once(([10, 244, 0, last], 80).into()).collect(),
        },
    };
    let service = ServiceId::new("shop", &format!("web-{last}")).unwrap();
    cleaner.update(&service, Box::new([frontend]));
}

fn tcp(last: u8) -> FlowDestination {
    vip(last).place.over(Protocol::Tcp)
}

#[test]
fn tcp_frontends_are_looked_at_for_themselves_and_again_where_that_failed() {
    let (cleaner, looks, reports) = failing(vec![Errno::NOMEM], waits(SOON, SOON));
    serve(&cleaner, 1);
    for failed in [true, false] {
        assert_eq!(looks.recv_timeout(LONG).unwrap(), [tcp(1)].into());
        let report = reports.recv_timeout(LONG).unwrap();
        assert_eq!(report.protocol, Protocol::Tcp);
        assert_eq!(report.failure.is_some(), failed);
    }
    cleaner.removed([vip(2)]);
    cleaner.wait();
    assert_eq!(looks.recv_timeout(LONG).unwrap(), [vip(2)].into());
}

#[test]
fn who_ends_looks_at_udp_frontends_only() {
    let (cleaner, looks, _reports) = failing(vec![], waits(NEVER, NEVER));
    cleaner.removed([vip(1)]);
    looks.recv_timeout(LONG).unwrap();
    cleaner.removed([vip(2)]);
    serve(&cleaner, 3);
    drop(cleaner);
    let looks: Vec<_> = looks.iter().collect();
    assert_eq!(looks, [[vip(2)].into()]);
}
