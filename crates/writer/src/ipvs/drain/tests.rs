use ipvs_netlink::Protocol;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn server(last: u8) -> ServerId {
    ServerId::Address {
        address: [10, 1, 0, last].into(),
        port: 80,
        protocol: Protocol::Tcp,
    }
}

fn destination(last: u8) -> DestinationId {
    DestinationId {
        address: [10, 244, 0, last].into(),
        port: 8080,
    }
}

fn busy(connections: u32) -> impl Fn(&DestinationId) -> Option<Seen> {
    move |_| {
        Some(Seen {
            weight: 0,
            connections,
            threshold: None,
        })
    }
}

fn removable(
    drain: &mut Drain,
    of: u8,
    now: Instant,
    seen: impl Fn(&DestinationId) -> Option<Seen>,
) -> Vec<DestinationId> {
    drain.judge(&server(of), (now, None), seen).removable
}

/// When each look happens, milliseconds after the start, and the removal.
fn looks(limit: Option<Duration>, ends: Duration) -> (Vec<u128>, u128) {
    let start = Instant::now();
    let mut drain = Drain::new(limit);
    drain.begin(server(1), destination(1), start);
    let (mut now, mut looks) = (start, Vec::new());
    loop {
        now += drain.rest(now).unwrap();
        let at = (now - start).as_millis();
        looks.push(at);
        assert_eq!(drain.due(now), [server(1)]);
        let connections = u32::from(now - start < ends);
        let removable = removable(&mut drain, 1, now, busy(connections));
        if removable == [destination(1)] {
            drain.end(&server(1), &destination(1));
            assert_eq!((drain.len(), drain.rest(now)), (0, None));
            return (looks, at);
        }
        assert_eq!(removable, []);
    }
}

#[test]
fn pauses_grow_up_to_a_limit() {
    let (looks, removed) = looks(None, 20 * SECOND);
    assert_eq!(looks, [500, 1000, 2000, 4000, 8000, 16_000, 24_000]);
    assert!(removed >= 20_000);
}

#[test]
fn a_busy_destination_goes_when_its_time_is_up_and_not_earlier() {
    assert_eq!(looks(Some(5 * SECOND), 1000 * SECOND).1, 5000);
    assert_eq!(looks(Some(SECOND / 5), 1000 * SECOND).0, [200]);
    let (_, removed) = looks(Some(1000 * SECOND), SECOND);
    assert!(removed < 3000, "an idle one does not wait for its time");
}

#[test]
fn a_later_one_keeps_its_own_time() {
    let start = Instant::now();
    let mut drain = Drain::new(Some(10 * SECOND));
    drain.begin(server(1), destination(1), start);
    drain.begin(server(1), destination(2), start + 4 * SECOND);
    drain.begin(server(1), destination(1), start + 9 * SECOND);
    let at = |drain: &mut Drain, at| removable(drain, 1, start + at, busy(3));
    assert_eq!(at(&mut drain, 10 * SECOND), [destination(1)]);
    drain.end(&server(1), &destination(1));
    assert_eq!(at(&mut drain, 13 * SECOND), []);
    assert_eq!(at(&mut drain, 14 * SECOND), [destination(2)]);
}

#[test]
fn what_is_gone_or_weighs_again_is_forgotten() {
    let now = Instant::now();
    let mut drain = Drain::new(None);
    for last in 1..=3 {
        drain.begin(server(1), destination(last), now);
    }
    let seen = |id: &DestinationId| match *id {
        id if id == destination(1) => None,
        id => Some(Seen {
            weight: u32::from(id == destination(2)),
            connections: 1,
            threshold: None,
        }),
    };
    assert_eq!(removable(&mut drain, 1, now, seen), []);
    let left = [1, 2, 3].map(|last| drain.contains(&server(1), &destination(last)));
    assert_eq!(left, [false, false, true]);
}

#[test]
fn a_look_at_the_kernel_corrects_the_list() {
    let start = Instant::now();
    let mut drain = Drain::new(Some(10 * SECOND));
    drain.begin(server(1), destination(1), start);
    drain.begin(server(2), destination(1), start);
    let later = start + 6 * SECOND;
    let at_zero = [
        (server(2), destination(1)),
        (server(3), destination(1)),
        (server(3), destination(2)),
    ];
    drain.found(&at_zero, later);
    assert_eq!(drain.len(), 3);
    assert!(!drain.contains(&server(1), &destination(1)));
    let end = start + 10 * SECOND;
    assert_eq!(removable(&mut drain, 2, end, busy(1)), [destination(1)]);
    assert_eq!(removable(&mut drain, 3, end, busy(1)), []);
    drain.end_server(&server(3));
    assert_eq!(drain.len(), 1);
}

#[test]
fn only_servers_whose_time_has_come_are_due() {
    let start = Instant::now();
    let mut drain = Drain::new(None);
    drain.begin(server(1), destination(1), start);
    drain.begin(server(2), destination(1), start + SECOND);
    assert_eq!(drain.due(start), []);
    assert_eq!(drain.due(start + SECOND / 2), [server(1)]);
    assert_eq!(drain.due(start + SECOND * 3 / 2), [server(1), server(2)]);
    drain.set_limit(Some(SECOND), start);
    assert_eq!(drain.due(start), [server(1), server(2)]);
}

/// Found by a process that starts when the machine has run for 100 s.
#[test]
fn time_goes_on_over_a_restart() {
    let (start, stamp) = (Instant::now() + 200 * SECOND, Some(Stamp(100)));
    let stamped = |threshold| {
        move |_: &DestinationId| {
            Some(Seen {
                weight: 0,
                connections: 1,
                threshold,
            })
        }
    };
    let found = |limit: Duration, threshold| {
        let mut drain = Drain::new(Some(limit));
        drain.found(&[(server(1), destination(1))], start);
        assert!(drain.is_unsure(&server(1)));
        let judged = drain.judge(&server(1), (start, stamp), stamped(threshold));
        (judged, drain)
    };
    let (judged, drain) = found(29 * SECOND, Some(70));
    assert_eq!(judged.removable, [destination(1)], "its time is up");
    assert!(!drain.is_unsure(&server(1)));
    let (judged, drain) = found(40 * SECOND, Some(70));
    assert_eq!(judged, Judged::default());
    assert_eq!(drain.rest(start), Some(FIRST_PAUSE));
    let (_, mut drain) = found(30 * SECOND, Some(70));
    let late = start + SECOND;
    assert_eq!(removable(&mut drain, 1, late, busy(1)), [destination(1)]);
    // Nobody has told the kernel, or what is there is a limit of somebody else.
    for threshold in [0, 101, u32::MAX] {
        let (judged, drain) = found(SECOND, Some(threshold));
        assert_eq!(judged.removable, []);
        assert_eq!(judged.unstamped, [destination(1)]);
        assert!(drain.is_unsure(&server(1)));
    }
    // The table has no thresholds.
    assert_eq!(found(SECOND, None).0, Judged::default());
}

#[test]
fn this_machine_tells_how_long_it_runs() {
    let first = Stamp::now().unwrap();
    let then = Stamp::now().unwrap();
    assert!(first.threshold() >= 1 && then.threshold() >= first.threshold());
    assert_eq!(first.before(first), Duration::ZERO);
}
