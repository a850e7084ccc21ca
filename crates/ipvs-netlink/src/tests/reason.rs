//! What error numbers mean, which depends on the command.

use netlink_batch::{Errno, Refusal};

use crate::{
    Destination, DestinationId, Family, Protocol, Reason, Requests, Scheduler, Server, ServerId,
};

#[test]
fn what_is_missing_depends_on_the_request() {
    let mut requests = Requests::<()>::new(0x1c);
    let server = ServerId::Address {
        address: [10, 0, 0, 1].into(),
        port: 80,
        protocol: Protocol::Tcp,
    };
    let id = DestinationId {
        address: [10, 1, 0, 1].into(),
        port: 8080,
    };
    let content = Server::new(Scheduler::RR, Family::Ipv4);
    requests.new_server(&server, &content).unwrap();
    requests
        .set_destination(&server, &id, &Destination::masqueraded(0))
        .unwrap();
    requests.delete_destination(&server, &id);
    requests.flush();
    let reason = |index, errno| requests.reason(&Refusal::new(None, index, errno));
    assert_eq!(reason(Some(0), Errno::NOENT), Reason::NoModule);
    assert_eq!(reason(Some(1), Errno::NOENT), Reason::NoDestination);
    assert_eq!(reason(Some(2), Errno::NOENT), Reason::NoDestination);
    assert_eq!(reason(Some(3), Errno::NOENT), Reason::Other(Errno::NOENT));
    assert_eq!(reason(None, Errno::NOENT), Reason::Other(Errno::NOENT));
    assert_eq!(reason(Some(0), Errno::EXIST), Reason::Exists);
    assert_eq!(reason(Some(1), Errno(3)), Reason::NoServer);
    assert_eq!(reason(Some(1), Errno(34)), Reason::Invalid);
    assert_eq!(reason(Some(1), Errno::PERM), Reason::Permission);
}
