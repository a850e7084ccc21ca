//! Objects that look odd: with fields that nobody needs and that are what they should not be, or
//! with ones that make them be refused.

use serde_json::{Value, json};
use viprule_testkit::chance::Chance;

/// How an object looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Looks {
    /// As it should.
    #[default]
    Well,
    /// With a condition whose time is null, as real servers store it.
    NullTime,
    /// With metadata that has other types than it should.
    OddMetadata,
    /// With fields of a later version.
    Later,
    /// With a field that has to be refused: another type than it must have.
    WrongType,
    /// With a number that no port has.
    WrongPort,
}

impl Looks {
    /// Any of them.
    pub(crate) fn any(chance: &mut Chance) -> Self {
        let all = [
            Self::Well,
            Self::NullTime,
            Self::OddMetadata,
            Self::Later,
            Self::WrongType,
            Self::WrongPort,
        ];
        chance.pick(&all).copied().unwrap_or_default()
    }

    /// Looks well from now on where it would be refused. True where that is another look.
    pub(crate) fn get_well(&mut self) -> bool {
        let refused = matches!(self, Self::WrongType | Self::WrongPort);
        if refused {
            *self = Self::Well;
        }
        refused
    }

    /// Makes a Service look so.
    pub(crate) fn service(self, object: &mut Value) {
        match self {
            Self::Well => {}
            Self::NullTime => {
                let condition =
                    json!({"type": "Ready", "status": "True", "lastTransitionTime": null});
                object["status"]["conditions"] = json!([condition]);
            }
            Self::OddMetadata => odd_metadata(object),
            Self::Later => {
                object["spec"]["trafficGeneration"] = json!({"of": ["a", 7]});
                object["spec"]["ports"][0]["appProtocol"] = json!(5);
            }
            Self::WrongType => object["spec"]["ports"][0]["protocol"] = json!(5),
            Self::WrongPort => object["spec"]["ports"][0]["port"] = json!(70_000),
        }
    }

    /// Makes a slice look so.
    pub(crate) fn slice(self, object: &mut Value) {
        match self {
            Self::Well => {}
            Self::NullTime => object["metadata"]["deletionTimestamp"] = Value::Null,
            Self::OddMetadata => odd_metadata(object),
            Self::Later => {
                if let Some(endpoint) = object["endpoints"].get_mut(0) {
                    endpoint["targetRef"] = json!({"uid": 5});
                }
                object["ports"][0]["appProtocol"] = json!(5);
            }
            Self::WrongType | Self::WrongPort => object["endpoints"] = json!("none"),
        }
    }
}

fn odd_metadata(object: &mut Value) {
    let metadata = &mut object["metadata"];
    metadata["generateName"] = Value::Null;
    metadata["generation"] = json!("seven");
    metadata["ownerReferences"] = json!({"not": "a list"});
    metadata["managedFields"] = json!([{"time": "yesterday", "fieldsV1": 7}]);
}
