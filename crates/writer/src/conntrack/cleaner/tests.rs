use std::sync::mpsc::{self, Receiver};

use netlink_batch::{Errno, Error};

use super::*;

const SOON: Duration = Duration::from_millis(20);
const NEVER: Duration = Duration::MAX;
/// For what has to come; tests that pass never wait so long.
const LONG: Duration = Duration::from_secs(60);

fn vip(last: u8) -> UdpDestination {
    UdpDestination::Virtual(([10, 1, 0, last], 53).into())
}

/// A cleaner whose first looks fail with these errors, and what it looks at.
fn failing(
    errors: Vec<Errno>,
    retry: Duration,
) -> (
    Cleaner,
    Receiver<BTreeSet<UdpDestination>>,
    Receiver<Cleaned>,
) {
    let (looked, looks) = mpsc::channel();
    let (reported, reports) = mpsc::channel();
    let mut errors = errors.into_iter();
    let sweep = move |_, among: &BTreeSet<UdpDestination>, _: &_, _: &mut _| {
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
    let cleaner = Cleaner::start(sweep, retry, report).unwrap();
    (cleaner, looks, reports)
}

#[test]
fn what_failed_is_looked_at_again_without_any_change() {
    let (cleaner, looks, reports) = failing(vec![Errno::NOMEM; 2], SOON);
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
        let (cleaner, looks, reports) = failing(vec![errno], retry);
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
