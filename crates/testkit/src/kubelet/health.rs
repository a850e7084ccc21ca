//! The two messages of gRPC's health checking protocol (grpc/grpc-proto health.proto), each with
//! its five bytes of framing: `HealthCheckRequest { string service = 1 }` and
//! `HealthCheckResponse { ServingStatus status = 1 }`.

/// The path of the call.
pub(super) const CHECK: &str = "/grpc.health.v1.Health/Check";
/// The header or trailer that ends every call.
pub(super) const STATUS: &str = "grpc-status";
/// `ServingStatus.SERVING`
pub(super) const SERVING: u8 = 1;
/// `ServingStatus.NOT_SERVING`
pub(super) const NOT_SERVING: u8 = 2;

/// Field 1 as length-delimited, field 1 as varint.
const TAG_TEXT: u8 = 0x0a;
const TAG_NUMBER: u8 = 0x08;

/// A framed request. Names are cut to 127 bytes, for a length of one byte.
pub(super) fn request(service: &str) -> Vec<u8> {
    let name = &service.as_bytes()[..service.len().min(127)];
    match u8::try_from(name.len()) {
        Ok(0) | Err(_) => framed(&[]),
        Ok(length) => framed(&[&[TAG_TEXT, length], name].concat()),
    }
}

/// The service that a framed request asks for; `None` if it is nothing of that kind.
pub(super) fn service(framed: &[u8]) -> Option<String> {
    match unframed(framed)? {
        [] => Some(String::new()),
        [TAG_TEXT, length, name @ ..] if usize::from(*length) == name.len() => {
            String::from_utf8(name.to_vec()).ok()
        }
        _ => None,
    }
}

/// A framed response.
pub(super) fn response(status: u8) -> Vec<u8> {
    framed(&[TAG_NUMBER, status])
}

/// The status in a framed response; `None` if it is nothing of that kind.
pub(super) fn serving(framed: &[u8]) -> Option<u8> {
    match unframed(framed)? {
        // Zero is the default and not sent.
        [] => Some(0),
        [TAG_NUMBER, status] if *status < 0x80 => Some(*status),
        _ => None,
    }
}

/// Not compressed, length, message.
fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap_or_default();
    [&[0], &length.to_be_bytes()[..], message].concat()
}

fn unframed(framed: &[u8]) -> Option<&[u8]> {
    let ([0, length @ ..], message) = framed.split_first_chunk::<5>()? else {
        return None;
    };
    (usize::try_from(u32::from_be_bytes(*length)).ok()? == message.len()).then_some(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_those_of_the_protocol() {
        // As `protoc --encode` writes them.
        assert_eq!(request("live"), b"\0\0\0\0\x06\x0a\x04live");
        assert_eq!(request(""), [0; 5]);
        assert_eq!(response(SERVING), [0, 0, 0, 0, 2, 8, 1]);
    }

    #[test]
    fn messages_read_back_and_nonsense_does_not() {
        for name in ["", "ready", "a.much.longer/name"] {
            assert_eq!(service(&request(name)).as_deref(), Some(name));
        }
        for status in [0, SERVING, NOT_SERVING] {
            assert_eq!(serving(&response(status)), Some(status));
        }
        assert_eq!(serving(&[0; 5]), Some(0));
        let cut = &response(SERVING)[..6];
        assert_eq!(serving(cut), None);
        assert_eq!(serving(b"\x01\0\0\0\x02\x08\x01"), None, "compressed");
        assert_eq!(service(b"\0\0\0\0\x03\x0a\x04l"), None);
    }
}
