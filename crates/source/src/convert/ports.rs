//! The ports of a Service, of which there may be tens of thousands.

use std::collections::HashMap;

use viprule_service::model::{Protocol, ServicePort};

use super::object::ServiceSpec;
use super::service::protocol_name;
use super::{FieldError, field};

/// Its ports, none of which may have what another one has.
pub(super) fn ports(spec: &ServiceSpec<'_>) -> Result<Box<[ServicePort]>, FieldError> {
    let mut ports = Vec::with_capacity(spec.ports.len());
    let mut taken = Taken::default();
    for (index, port) in spec.ports.iter().enumerate() {
        let new = ServicePort {
            name: field::port_name(&port.name, format_args!("spec.ports[{index}].name"))?,
            protocol: field::protocol(
                &port.protocol,
                format_args!("spec.ports[{index}].protocol"),
            )?,
            port: field::port(port.port, format_args!("spec.ports[{index}].port"))?,
            node_port: field::optional_port(
                port.node_port,
                format_args!("spec.ports[{index}].nodePort"),
            )?,
        };
        taken.take(index, &port.name, &new)?;
        ports.push(new);
    }
    Ok(ports.into())
}

/// What two ports of one Service must not share, and which one has it.
#[derive(Default)]
struct Taken<'o> {
    names: HashMap<(Protocol, &'o str), usize>,
    ports: HashMap<(Protocol, u16), usize>,
    node_ports: HashMap<(Protocol, u16), usize>,
}

impl<'o> Taken<'o> {
    /// Takes what a port has. The error names the first other port that has any of it.
    fn take(&mut self, index: usize, name: &'o str, port: &ServicePort) -> Result<(), FieldError> {
        let protocol = port.protocol;
        let by_name = self.names.insert((protocol, name), index);
        let by_port = self.ports.insert((protocol, port.port), index);
        let by_node_port = (port.node_port != 0)
            .then(|| self.node_ports.insert((protocol, port.node_port), index))
            .flatten();
        let others = [
            ("name", by_name),
            ("port", by_port),
            ("nodePort", by_node_port),
        ];
        let found = others
            .into_iter()
            .filter_map(|(field, other)| Some((field, other?)))
            .min_by_key(|(_, other)| *other);
        let Some((field, other)) = found else {
            return Ok(());
        };
        let protocol = protocol_name(protocol);
        let what = match field {
            "name" => format!("{name:?} with {protocol}"),
            "port" => format!("{}/{protocol}", port.port),
            _ => format!("{}/{protocol}", port.node_port),
        };
        Err(FieldError::new(
            format_args!("spec.ports[{index}].{field}"),
            format!("{what} is taken by spec.ports[{other}]"),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::super::object::{self, Text};
    use super::*;

    /// What is wrong with these ports, by a look at every pair.
    fn expected(ports: &[ServicePort]) -> Option<String> {
        for (index, new) in ports.iter().enumerate() {
            for (other, known) in ports[..index].iter().enumerate() {
                if known.protocol != new.protocol {
                    continue;
                }
                let protocol = protocol_name(new.protocol);
                let (field, what) = if known.name == new.name {
                    ("name", format!("{:?} with {protocol}", new.name))
                } else if known.port == new.port {
                    ("port", format!("{}/{protocol}", new.port))
                } else if known.node_port == new.node_port && new.node_port != 0 {
                    ("nodePort", format!("{}/{protocol}", new.node_port))
                } else {
                    continue;
                };
                let path = format!("spec.ports[{index}].{field}");
                return Some(format!("{path}: {what} is taken by spec.ports[{other}]"));
            }
        }
        None
    }

    #[test]
    fn every_pair_of_ports_is_told_apart() {
        let mut all = Vec::new();
        for protocol in ["TCP", "UDP"] {
            for name in ["a", "b", "c"] {
                for (port, node_port) in [(1, 0), (2, 0), (2, 5), (3, 5), (3, 6)] {
                    all.push((protocol, name, port, node_port));
                }
            }
        }
        let listed = |(protocol, name, port, node_port): (&'static str, &'static str, i32, i32)| {
            object::ServicePort {
                name: Text::from(name),
                protocol: Text::from(protocol),
                port,
                node_port,
            }
        };
        for one in &all {
            for two in &all {
                for three in &all {
                    let spec = ServiceSpec {
                        ports: [*one, *two, *three].map(listed).into(),
                        ..ServiceSpec::default()
                    };
                    let naive = [one, two, three].map(|(protocol, name, port, node_port)| {
                        let number = |number: i32| u16::try_from(number).unwrap();
                        ServicePort {
                            name: (*name).into(),
                            protocol: field::protocol(protocol, "").unwrap(),
                            port: number(*port),
                            node_port: number(*node_port),
                        }
                    });
                    match (ports(&spec), expected(&naive)) {
                        (Ok(ports), None) => assert_eq!(*ports, naive),
                        (Err(error), Some(expected)) => {
                            assert_eq!(format!("{}: {}", error.field, error.message), expected);
                        }
                        (found, expected) => panic!("{found:?} and not {expected:?}"),
                    }
                }
            }
        }
    }
}
