//! Names of kernel modules' objects, kept in place.

use netlink_batch::{Attr, AttrError};

/// Bytes of a name at most (`IP_VS_SCHEDNAME_MAXLEN` and `IP_VS_PENAME_MAXLEN` without the NUL).
pub(crate) const NAME_MAX: usize = 15;

/// A name of 1 to [`NAME_MAX`] bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Name {
    bytes: [u8; NAME_MAX],
    len: u8,
}

impl Name {
    /// `text` must be of 1 to [`NAME_MAX`] bytes; what goes beyond is cut off.
    pub(crate) const fn known(text: &[u8]) -> Self {
        let len = if text.len() < NAME_MAX {
            text.len()
        } else {
            NAME_MAX
        };
        let mut bytes = [0; NAME_MAX];
        let mut at = 0;
        while at < len {
            bytes[at] = text[at];
            at += 1;
        }
        #[expect(clippy::cast_possible_truncation, reason = "at most 15")]
        Self {
            bytes,
            len: len as u8,
        }
    }

    /// A name from outside: letters, digits, '-' and '_'.
    pub(crate) fn checked(text: &str) -> Option<Self> {
        let fits = (1..=NAME_MAX).contains(&text.len());
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (fits && text.bytes().all(valid)).then(|| Self::known(text.as_bytes()))
    }

    /// A name as the kernel sends it.
    pub(crate) fn read(attr: &Attr<'_>) -> Result<Self, AttrError> {
        let text = attr.str()?;
        if (1..=NAME_MAX).contains(&text.len()) {
            Ok(Self::known(text.as_bytes()))
        } else {
            Err(AttrError::Size {
                kind: attr.kind,
                found: text.len(),
                expected: NAME_MAX,
            })
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default()
    }
}
