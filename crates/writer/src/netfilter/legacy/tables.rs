//! Which legacy tables this network namespace has.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;

use nfnetlink::Family;
use viprule_dataplane::netfilter::Table;

use crate::WriteError;

/// The tables that exist. Asking for any other would make the kernel load its module and create
/// it, empty, to be passed by every packet.
pub(crate) fn present(family: Family) -> Result<BTreeSet<String>, WriteError> {
    // The file is the namespace's own only below the reading thread.
    let path = match family {
        Family::Ipv4 => "/proc/thread-self/net/ip_tables_names",
        Family::Ipv6 => "/proc/thread-self/net/ip6_tables_names",
    };
    let operation = || format!("reading {path}");
    match fs::read_to_string(path) {
        Ok(names) => Ok(names.lines().map(str::to_owned).collect()),
        // The module is not loaded.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(BTreeSet::new()),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Err(WriteError::Permission {
            operation: operation(),
            // The file is root's own.
            capability: "CAP_DAC_READ_SEARCH",
        }),
        Err(error) => Err(WriteError::failed(operation(), error)),
    }
}

/// True where this table exists.
pub(super) fn exists(table: Table) -> Result<bool, WriteError> {
    Ok(present(table.family)?.contains(table.kind.name()))
}

/// The kernel's names for what a table needs.
pub(super) fn needs(table: Table) -> String {
    let (module, option) = match table.family {
        Family::Ipv4 => ("iptable", "CONFIG_IP_NF"),
        Family::Ipv6 => ("ip6table", "CONFIG_IP6_NF"),
    };
    let name = table.kind.name();
    format!(
        "the legacy table {table}; load the module {module}_{name} ({option}_{})",
        name.to_uppercase()
    )
}
