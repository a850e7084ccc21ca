//! Netlink attributes: an append-only writer and a borrowing reader (`linux/netlink.h`).

/// Flag of an attribute whose payload is a list of attributes (`NLA_F_NESTED`).
pub const NESTED: u16 = 0x8000;
const TYPE_MASK: u16 = 0x3fff;
const HEADER: usize = 4;

/// Appends attributes to a buffer. Lengths of nests are patched in when the nest closes, so one
/// pass and one buffer serve a whole batch.
#[derive(Debug)]
pub struct AttrWriter<'a> {
    buf: &'a mut Vec<u8>,
}

impl<'a> AttrWriter<'a> {
    /// Writes behind what `buf` already holds; `buf.len()` must be a multiple of 4.
    pub fn new(buf: &'a mut Vec<u8>) -> Self {
        debug_assert_eq!(buf.len() % 4, 0, "attributes start on 4-byte boundaries");
        Self { buf }
    }

    /// Appends an attribute with this payload.
    pub fn bytes(&mut self, kind: u16, payload: &[u8]) {
        self.header(kind, payload.len());
        self.buf.extend_from_slice(payload);
        self.pad();
    }

    /// Appends an attribute of `len` zero bytes and lets `fill` write into them.
    pub fn blob(&mut self, kind: u16, len: usize, fill: impl FnOnce(&mut [u8])) {
        self.header(kind, len);
        let at = self.buf.len();
        self.buf.resize(at + len, 0);
        fill(&mut self.buf[at..]);
        self.pad();
    }

    /// Appends a string with its terminating NUL.
    pub fn str(&mut self, kind: u16, text: &str) {
        self.header(kind, text.len() + 1);
        self.buf.extend_from_slice(text.as_bytes());
        self.buf.push(0);
        self.pad();
    }

    /// Appends one byte.
    pub fn u8(&mut self, kind: u16, value: u8) {
        self.bytes(kind, &[value]);
    }

    /// Appends a 16-bit number in network byte order.
    pub fn u16_be(&mut self, kind: u16, value: u16) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// Appends a 32-bit number in network byte order, as `nf_tables` wants its integers.
    pub fn u32_be(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// Appends a 64-bit number in network byte order.
    pub fn u64_be(&mut self, kind: u16, value: u64) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// Appends a 32-bit number in host byte order.
    pub fn u32_ne(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_ne_bytes());
    }

    /// Appends a nest that holds whatever `fill` appends.
    ///
    /// The length field has 16 bits. A longer attribute gets the length 0, which no reader takes;
    /// [`crate::Batch`] notices and does not let itself be sent.
    pub fn nest<R>(&mut self, kind: u16, fill: impl FnOnce(&mut AttrWriter<'_>) -> R) -> R {
        let start = self.buf.len();
        self.header(kind | NESTED, 0);
        let result = fill(&mut AttrWriter { buf: self.buf });
        let len = self.buf.len() - start;
        self.buf[start..start + 2].copy_from_slice(&length_field(len).to_ne_bytes());
        result
    }

    fn header(&mut self, kind: u16, payload: usize) {
        let len = HEADER + payload;
        self.buf.extend_from_slice(&length_field(len).to_ne_bytes());
        self.buf.extend_from_slice(&kind.to_ne_bytes());
    }

    fn pad(&mut self) {
        let aligned = self.buf.len().next_multiple_of(4);
        self.buf.resize(aligned, 0);
    }
}

fn length_field(len: usize) -> u16 {
    u16::try_from(len).unwrap_or(0)
}

/// What is wrong with received attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AttrError {
    /// A length field points outside the buffer.
    #[error("attribute {kind} at offset {offset} is cut off")]
    Truncated {
        /// The attribute's type, 0 where even the header is cut off.
        kind: u16,
        /// Offset in the list, bytes.
        offset: usize,
    },
    /// The payload is not of the size that its reader expects.
    #[error("attribute {kind} has {found} bytes in place of {expected}")]
    Size {
        /// The attribute's type.
        kind: u16,
        /// Bytes found.
        found: usize,
        /// Bytes expected.
        expected: usize,
    },
    /// A string is not UTF-8.
    #[error("attribute {kind} is not text")]
    Text {
        /// The attribute's type.
        kind: u16,
    },
}

/// One received attribute.
#[derive(Debug, Clone, Copy)]
pub struct Attr<'a> {
    /// The attribute's type, flags removed.
    pub kind: u16,
    /// The payload without padding.
    pub payload: &'a [u8],
}

impl<'a> Attr<'a> {
    fn sized<const N: usize>(&self) -> Result<[u8; N], AttrError> {
        self.payload.try_into().map_err(|_| AttrError::Size {
            kind: self.kind,
            found: self.payload.len(),
            expected: N,
        })
    }

    /// The payload as one byte.
    pub fn u8(&self) -> Result<u8, AttrError> {
        self.sized::<1>().map(|[byte]| byte)
    }

    /// The payload as a 16-bit number in network byte order.
    pub fn u16_be(&self) -> Result<u16, AttrError> {
        self.sized().map(u16::from_be_bytes)
    }

    /// The payload as a 32-bit number in network byte order.
    pub fn u32_be(&self) -> Result<u32, AttrError> {
        self.sized().map(u32::from_be_bytes)
    }

    /// The payload as a 64-bit number in network byte order.
    pub fn u64_be(&self) -> Result<u64, AttrError> {
        self.sized().map(u64::from_be_bytes)
    }

    /// The payload as text, up to its first NUL.
    pub fn str(&self) -> Result<&'a str, AttrError> {
        let end = self
            .payload
            .iter()
            .position(|b| *b == 0)
            .unwrap_or(self.payload.len());
        std::str::from_utf8(&self.payload[..end]).map_err(|_| AttrError::Text { kind: self.kind })
    }

    /// The payload as a list of attributes.
    pub fn nested(&self) -> Attrs<'a> {
        Attrs::new(self.payload)
    }
}

/// Iterates over a list of attributes. Stops after the first error.
#[derive(Debug, Clone)]
pub struct Attrs<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Attrs<'a> {
    /// Reads the list that fills `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }
}

impl<'a> Iterator for Attrs<'a> {
    type Item = Result<Attr<'a>, AttrError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self
            .bytes
            .get(self.offset..)
            .filter(|rest| !rest.is_empty())?;
        let offset = self.offset;
        let Some((head, _)) = rest.split_first_chunk::<HEADER>() else {
            self.offset = self.bytes.len();
            return Some(Err(AttrError::Truncated { kind: 0, offset }));
        };
        let len = usize::from(u16::from_ne_bytes([head[0], head[1]]));
        let kind = u16::from_ne_bytes([head[2], head[3]]) & TYPE_MASK;
        let Some(payload) = rest.get(HEADER..len) else {
            self.offset = self.bytes.len();
            return Some(Err(AttrError::Truncated { kind, offset }));
        };
        self.offset += len.next_multiple_of(4);
        Some(Ok(Attr { kind, payload }))
    }
}
