//! Notifications that find no room.

use std::os::fd::AsFd;
use std::time::Duration;

use netlink_batch::Error;
use nfnetlink::Family::Ipv4;
use nfnetlink::nftables::{GROUP, Transaction};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use viprule_testkit::memory::MemoryKernel;

use crate::worlds::{both, open};

fn readable(socket: &netlink_batch::Socket) -> bool {
    let mut fds = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO).unwrap() > 0
}

#[test]
fn a_flooded_listener_is_told_once_and_hears_the_rest() {
    let [real, memory] = both(|| {
        let (mut listener, mut writer) = (open(), open());
        listener.allow_receive(16 << 10).unwrap();
        listener.join(GROUP).unwrap();
        let mut seen = vec![readable(&listener)];
        let mut transaction = Transaction::<()>::new();
        let mut commit = |name: &str| {
            transaction.begin(None);
            transaction.new_table(Ipv4, name);
            transaction.commit(&mut writer).unwrap();
        };
        for number in 0..500 {
            commit(&format!("table-{number}"));
        }
        seen.push(readable(&listener));
        let mut hear = || {
            let mut heard = 0;
            loop {
                match listener.receive(Some(Duration::ZERO), |_| heard += 1) {
                    Ok(0) => return (format!("{}", heard > 0), false),
                    Ok(_) => {}
                    Err(Error::Resync) => return (format!("{}", heard > 0), true),
                    Err(error) => panic!("{error}"),
                }
            }
        };
        let told = [hear(), hear(), hear()];
        commit("more");
        let after = hear();
        seen.push(readable(&listener));
        (seen, told, after)
    });
    assert_eq!(real, memory);
    assert_eq!(real.0, [false, true, false]);
}

#[test]
fn what_is_lost_is_told() {
    let kernel = MemoryKernel::new();
    let _entered = kernel.enter();
    let mut listener = open();
    listener.join(GROUP).unwrap();
    assert!(!readable(&listener));
    kernel.lose_notifications();
    assert!(readable(&listener));
    let told = listener.receive(Some(Duration::ZERO), |_| {});
    assert!(matches!(told, Err(Error::Resync)), "{told:?}");
    assert_eq!(listener.receive(None, |_| {}).unwrap(), 0);
    assert!(!readable(&listener));
}

#[test]
fn what_is_ignored_is_not_heard() {
    let [real, memory] = both(|| {
        let (mut listener, mut ours, mut others) = (open(), open(), open());
        listener.join(GROUP).unwrap();
        listener.ignore(ours.port()).unwrap();
        let mut transaction = Transaction::<()>::new();
        let mut heard = Vec::new();
        for number in 0..3 {
            transaction.begin(None);
            transaction.new_table(Ipv4, &format!("table-{number}"));
            let socket = if number == 1 { &mut others } else { &mut ours };
            transaction.commit(socket).unwrap();
            let count = listener.receive(Some(Duration::ZERO), |_| {}).unwrap();
            heard.push(count);
        }
        heard
    });
    assert_eq!(real, memory);
    assert_eq!(real, [0, 2, 0]);
}
