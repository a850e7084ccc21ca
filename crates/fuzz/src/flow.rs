//! Tracked flows.

use netlink_batch::Messages;
use nfnetlink::Family;
use nfnetlink::conntrack::{Deletions, Filter, Flow};

/// A datagram of the table: what is told to be deleted can be read as a flow again.
pub(crate) fn read(bytes: &[u8]) {
    for message in Messages::new(bytes).map_while(Result::ok) {
        let Ok(Some(flow)) = Flow::read(&message) else {
            continue;
        };
        let _ = (flow.is_dnat(), flow.in_default_zone());
        for family in Family::ALL {
            let _ = Filter::udp(family).matches(&flow);
        }
        let mut deletions = Deletions::new();
        deletions.push(&flow);
        let request = Messages::new(deletions.bytes()).next();
        let request = request.and_then(Result::ok).expect("one request");
        // A request names the original direction; what else it has must not be misread.
        if let Ok(Some(again)) = Flow::read(&request) {
            assert_eq!(again.original, flow.original);
            assert_eq!(again.id, flow.id);
        }
    }
}
