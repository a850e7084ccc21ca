//! As much of SCTP (RFC 9260) as shows which backend a new association reaches: INIT and INIT-ACK.
//!
//! Test kernels often lack an SCTP stack, while conntrack and NAT for it are there. Raw sockets of
//! IP protocol 132 carry these packets on any kernel.

use crate::error::{Error, Result};

/// The IP protocol number of SCTP.
pub const IP_PROTOCOL: i32 = 132;

const COMMON_HEADER: usize = 12;
const CHUNK_HEADER: usize = 4;
const INIT_FIXED: usize = 16;
const CHUNK_INIT: u8 = 1;
const CHUNK_INIT_ACK: u8 = 2;
const PARAMETER_STATE_COOKIE: u16 = 7;

/// A packet with one chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// The sender's port.
    pub source_port: u16,
    /// The receiver's port.
    pub destination_port: u16,
    /// The receiver's tag; 0 in a packet that carries INIT.
    pub verification_tag: u32,
    /// What it carries.
    pub chunk: Chunk,
}

/// The chunks that are told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chunk {
    /// Opens an association.
    Init {
        /// The sender's tag, never 0.
        initiate_tag: u32,
    },
    /// Answers INIT.
    InitAck {
        /// The sender's tag, never 0.
        initiate_tag: u32,
        /// Opaque to the receiver by the RFC; here it carries the backend's answer.
        cookie: Vec<u8>,
    },
    /// Any other type.
    Other(u8),
}

impl Packet {
    /// The packet's bytes from the common header on, checksum included. `Other` is sent as a chunk
    /// without content.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        out.extend(self.source_port.to_be_bytes());
        out.extend(self.destination_port.to_be_bytes());
        out.extend(self.verification_tag.to_be_bytes());
        out.extend([0; 4]);
        let (kind, body) = match &self.chunk {
            Chunk::Init { initiate_tag } => (CHUNK_INIT, init_body(*initiate_tag, None)),
            Chunk::InitAck {
                initiate_tag,
                cookie,
            } => (CHUNK_INIT_ACK, init_body(*initiate_tag, Some(cookie))),
            Chunk::Other(kind) => (*kind, Vec::new()),
        };
        out.extend([kind, 0]);
        out.extend(length_field(CHUNK_HEADER + body.len()));
        out.extend(&body);
        pad(&mut out);
        // RFC 9260 appendix A: the CRC's bytes go out in the reflected order, which is little endian.
        let checksum = crc32c(&out).to_le_bytes();
        out[8..COMMON_HEADER].copy_from_slice(&checksum);
        out
    }

    /// Reads a packet from the common header on. Refuses a wrong checksum, so that a NAT that
    /// rewrites a port and forgets the checksum is noticed.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let malformed = |why: &str| Error::Malformed {
            what: format!("SCTP packet of {} bytes", bytes.len()),
            why: why.to_owned(),
        };
        if bytes.len() < COMMON_HEADER + CHUNK_HEADER {
            return Err(malformed("it ends before its first chunk"));
        }
        let mut zeroed = bytes.to_vec();
        zeroed[8..COMMON_HEADER].fill(0);
        if crc32c(&zeroed).to_le_bytes() != bytes[8..COMMON_HEADER] {
            return Err(malformed("its checksum is wrong"));
        }
        let short = || malformed("its chunk is longer than the packet");
        let length = usize::from(be16(bytes, COMMON_HEADER + 2).ok_or_else(short)?);
        let body = bytes
            .get(COMMON_HEADER + CHUNK_HEADER..COMMON_HEADER + length)
            .ok_or_else(short)?;
        let chunk = match bytes[COMMON_HEADER] {
            CHUNK_INIT => Chunk::Init {
                initiate_tag: be32(body, 0).ok_or_else(|| malformed("short INIT"))?,
            },
            CHUNK_INIT_ACK => Chunk::InitAck {
                initiate_tag: be32(body, 0).ok_or_else(|| malformed("short INIT-ACK"))?,
                cookie: find_cookie(body)
                    .ok_or_else(|| malformed("its INIT-ACK has no state cookie"))?,
            },
            kind => Chunk::Other(kind),
        };
        Ok(Self {
            source_port: be16(bytes, 0).ok_or_else(short)?,
            destination_port: be16(bytes, 2).ok_or_else(short)?,
            verification_tag: be32(bytes, 4).ok_or_else(short)?,
            chunk,
        })
    }
}

fn init_body(initiate_tag: u32, cookie: Option<&Vec<u8>>) -> Vec<u8> {
    let mut body = Vec::with_capacity(INIT_FIXED);
    body.extend(initiate_tag.to_be_bytes());
    body.extend(65_536_u32.to_be_bytes()); // receiver window
    body.extend([0, 1, 0, 1]); // one stream each way
    body.extend(initiate_tag.to_be_bytes()); // first TSN
    if let Some(cookie) = cookie {
        body.extend(PARAMETER_STATE_COOKIE.to_be_bytes());
        body.extend(length_field(CHUNK_HEADER + cookie.len()));
        body.extend(cookie);
    }
    body
}

fn find_cookie(body: &[u8]) -> Option<Vec<u8>> {
    let mut at = INIT_FIXED;
    loop {
        let length = usize::from(be16(body, at + 2)?).max(CHUNK_HEADER);
        if be16(body, at)? == PARAMETER_STATE_COOKIE {
            return body.get(at + CHUNK_HEADER..at + length).map(<[u8]>::to_vec);
        }
        at += length.next_multiple_of(4);
    }
}

/// Lengths exclude the padding (RFC 9260 3.2). Test packets are far below 64 KiB.
fn length_field(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes()
}

fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(4), 0);
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes
        .get(at..at + 2)?
        .try_into()
        .ok()
        .map(u16::from_be_bytes)
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..at + 4)?
        .try_into()
        .ok()
        .map(u32::from_be_bytes)
}

/// CRC-32C (Castagnoli), the checksum of SCTP since RFC 3309.
pub fn crc32c(bytes: &[u8]) -> u32 {
    const REFLECTED_POLYNOMIAL: u32 = 0x82f6_3b78;
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (REFLECTED_POLYNOMIAL & 0_u32.wrapping_sub(crc & 1))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc32c_matches_the_catalogue() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa); // RFC 3720 B.4
    }

    #[test]
    fn packets_survive_the_wire() {
        for cookie_length in 0..9 {
            let packet = Packet {
                source_port: 40000,
                destination_port: 132,
                verification_tag: 7,
                chunk: Chunk::InitAck {
                    initiate_tag: 9,
                    cookie: vec![b'x'; cookie_length],
                },
            };
            assert_eq!(packet.encode().len() % 4, 0);
            assert_eq!(Packet::decode(&packet.encode()).unwrap(), packet);
        }
    }

    #[test]
    fn a_changed_bit_is_noticed() {
        let packet = Packet {
            source_port: 1,
            destination_port: 2,
            verification_tag: 0,
            chunk: Chunk::Init { initiate_tag: 3 },
        };
        let good = packet.encode();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Packet::decode(&bad).is_err(), "bit {bit}");
        }
        for cut in 0..good.len() {
            assert!(Packet::decode(&good[..cut]).is_err(), "cut at {cut}");
        }
    }
}
