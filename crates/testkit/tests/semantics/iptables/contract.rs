//! What only this mode does of contract 1.7's tables.

use super::Iptables;
use crate::contract::assert_table;
use crate::world;

#[test]
fn node_ports_answer_on_loopback_addresses() {
    let cells = ["L,R SNAT", "L,R SNAT", "L,R SNAT"];
    let rows = [("127.0.0.1", "127.0.0.1:30001", cells)];
    assert_table::<Iptables>(&world::settings(), &rows);
}
