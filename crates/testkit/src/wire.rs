//! What test clients and servers say to each other: HTTP/1.1 over TCP, the bare answer over UDP,
//! the answer as state cookie over SCTP.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::SocketAddr;

/// Transport protocols of a Service port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP; the test server speaks HTTP/1.1 on it.
    Tcp,
    /// UDP; the test server answers each datagram with one.
    Udp,
    /// SCTP; the test server answers INIT with INIT-ACK and goes no further.
    Sctp,
}

impl fmt::Display for Protocol {
    /// As in a manifest: `TCP`, `UDP`, `SCTP`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        })
    }
}

/// Who answered, and whom it saw. On the wire JSON: `{"backend":"10.244.0.5:80","peer":"…"}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Answer {
    /// The server's own address and port, after any destination NAT.
    pub backend: SocketAddr,
    /// The client as the server sees it, after any source NAT.
    pub peer: SocketAddr,
}

impl Answer {
    pub(crate) fn to_json(self) -> String {
        format!(r#"{{"backend":"{}","peer":"{}"}}"#, self.backend, self.peer)
    }

    pub(crate) fn from_json(bytes: &[u8]) -> Result<Self> {
        serde_json::from_slice(bytes).map_err(|error| Error::Malformed {
            what: format!("answer {:?}", String::from_utf8_lossy(bytes)),
            why: error.to_string(),
        })
    }

    /// This answer as an HTTP/1.1 response with keep-alive.
    pub(crate) fn to_http(self) -> String {
        let body = self.to_json();
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }
}

/// The request that test clients send.
pub(crate) const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: backend\r\n\r\n";

/// Length of the first request in `received`, once its head is complete. Requests have no body.
pub(crate) fn request_length(received: &[u8]) -> Option<usize> {
    find_head(received)
}

/// The answer in a response and the response's length, once all of it is there.
pub(crate) fn parse_response(received: &[u8]) -> Result<Option<(Answer, usize)>> {
    let Some(head_length) = find_head(received) else {
        return Ok(None);
    };
    let (head, rest) = received.split_at(head_length);
    let head = String::from_utf8_lossy(head);
    let length = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse::<usize>().ok())
        .ok_or_else(|| Error::Malformed {
            what: format!("HTTP response {head:?}"),
            why: "it has no Content-Length".to_owned(),
        })?;
    match rest.get(..length) {
        Some(body) => Ok(Some((Answer::from_json(body)?, head_length + length))),
        None => Ok(None),
    }
}

fn find_head(bytes: &[u8]) -> Option<usize> {
    bytes
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .map(|start| start + 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer() -> Answer {
        Answer {
            backend: "[fd00:10:244::5]:80".parse().unwrap(),
            peer: "192.168.77.100:40000".parse().unwrap(),
        }
    }

    #[test]
    fn response_is_readable_only_once_complete() {
        let text = answer().to_http();
        for cut in 0..text.len() {
            assert_eq!(
                parse_response(&text.as_bytes()[..cut]).unwrap(),
                None,
                "at {cut}"
            );
        }
        let doubled = [text.as_bytes(), b"HTTP"].concat();
        assert_eq!(
            parse_response(&doubled).unwrap(),
            Some((answer(), text.len()))
        );
    }

    #[test]
    fn response_without_length_is_refused() {
        assert!(parse_response(b"HTTP/1.1 200 OK\r\n\r\n{}").is_err());
        assert!(parse_response(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").is_err());
    }

    #[test]
    fn requests_are_counted_by_their_heads() {
        assert_eq!(request_length(&REQUEST[..REQUEST.len() - 1]), None);
        assert_eq!(
            request_length(&[REQUEST, REQUEST].concat()),
            Some(REQUEST.len())
        );
    }
}
