//! Where cluster IPs are from (KEP-1880).

use ipnet::IpNet;
use viprule_service::model::ServiceCidr;

use super::object;
use super::{Converted, FieldError, ObjectError, Outcome, field};

/// Converts a `ServiceCIDR`. One with a range that can't be read is refused: nobody knows what is in it.
/// So is a range of everything, which packets to anywhere would be in.
pub fn service_cidr(
    object: &object::ServiceCidr<'_>,
) -> Result<Converted<ServiceCidr>, ObjectError> {
    let metadata = &object.metadata;
    let refuse = |error: FieldError| error.of("ServiceCIDR", metadata);
    let Some(name) = metadata.name.filled() else {
        return Err(refuse(FieldError::new(
            "metadata.name",
            "must not be empty",
        )));
    };
    let listed = object.spec.cidrs.iter().enumerate();
    let networks = listed.map(|(index, text)| range(text, format!("spec.cidrs[{index}]")));
    let networks: Result<Vec<IpNet>, FieldError> = networks.collect();
    Ok(Converted {
        outcome: Outcome::Programmed(ServiceCidr {
            name: name.into(),
            networks: networks.map_err(refuse)?,
        }),
        warnings: Vec::new(),
    })
}

fn range(text: &str, path: String) -> Result<IpNet, FieldError> {
    let range = field::range(text, path.clone())?;
    if range.prefix_len() == 0 {
        return Err(FieldError::new(
            path,
            "is every address, and must be a range of some",
        ));
    }
    Ok(range)
}
