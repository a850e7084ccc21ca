//! What sets there are and what is in them.

use netlink_batch::{
    Attr, AttrError, AttrWriter, Attrs, Error as Netlink, Message, Socket, retry_stale,
};

use super::command::{HASH_SIZE, MAX_ELEMENTS, PORT_FROM, PORT_TO};
use super::{
    DATA, ELEMENTS, Entry, Error, FAMILY, FLAGS, Kind, NAME, PROTOCOL, REVISION, SUBSYSTEM, Spec,
    TYPE, VERSION, check_name,
};
use crate::{Family, nfgenmsg};

const LIST: u16 = SUBSYSTEM | 7;
/// `IPSET_FLAG_LIST_HEADER`: without the elements.
const HEADERS_ONLY: u32 = 1 << 2;

/// Attributes of a header, besides those of [`Spec`].
const TIMEOUT: u16 = 6;
const EXTENSIONS: u16 = 8;
const NET_MASK: u16 = 20;
const COUNT: u16 = 24;
const REFERENCES: u16 = 25;
const MEMORY: u16 = 26;
const BIT_MASK: u16 = 27;

/// How often a listing that changes while it is read is read again.
const ATTEMPTS: u32 = 10;

/// A set as the kernel lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Set<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its type, such as `hash:ip,port`.
    pub kind: &'a str,
    /// Its size and use.
    pub header: Header,
}

/// A set's size and use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header {
    /// What it was made with; `None` for types that this crate does not know.
    pub spec: Option<Spec>,
    /// False for a set that was made with more than a [`Spec`] says, such as a timeout, a netmask
    /// or counters: [`create`](super::create) takes it for another one.
    pub plain: bool,
    /// The revision of its type.
    pub revision: u8,
    /// Buckets now; 0 for sets that are no hashes.
    pub hash_size: u32,
    /// Elements now; `None` where the kernel does not tell (before Linux 4.10).
    pub elements: Option<u32>,
    /// Rules and other sets that use it.
    pub references: u32,
    /// Memory that it takes, bytes.
    pub memory: u32,
}

/// A set with its elements.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listing {
    /// Its type, such as `hash:ip,port`.
    pub kind: String,
    /// Its size and use.
    pub header: Header,
    /// Its elements, in the kernel's order. Empty for types that this crate does not know.
    pub entries: Vec<Entry>,
    /// Elements of a known type that are no [`Entry`]: exceptions (`nomatch`) and what can't be
    /// read.
    pub unreadable: u32,
}

impl<'a> Set<'a> {
    /// Reads an answer to a listing. A set's elements may come in several: only the first one has
    /// the header, so the others are `None`.
    pub fn read(message: &Message<'a>) -> Result<Option<Self>, Netlink> {
        let (_, attrs) = message.split::<4>()?;
        let (mut name, mut kind, mut family, mut data) = (None, None, 0, Attrs::new(&[]));
        let mut header = Header::default();
        for attr in attrs {
            let attr = attr?;
            match attr.kind {
                NAME => name = Some(attr.str()?),
                TYPE => kind = Some(attr.str()?),
                REVISION => header.revision = attr.u8()?,
                FAMILY => family = attr.u8()?,
                DATA => data = attr.nested(),
                _ => {}
            }
        }
        let Some((name, kind)) = name.zip(kind) else {
            return Ok(None);
        };
        header.read(Kind::parse(kind), Family::from_number(family), data)?;
        Ok(Some(Self { name, kind, header }))
    }
}

impl Header {
    fn read(
        &mut self,
        kind: Option<Kind>,
        family: Option<Family>,
        data: Attrs<'_>,
    ) -> Result<(), AttrError> {
        let (mut max_elements, mut first, mut last) = (None, None, None);
        self.plain = true;
        for attr in data {
            let attr = attr?;
            match attr.kind {
                HASH_SIZE => self.hash_size = attr.u32_be()?,
                MAX_ELEMENTS => max_elements = Some(attr.u32_be()?),
                PORT_FROM => first = Some(attr.u16_be()?),
                PORT_TO => last = Some(attr.u16_be()?),
                COUNT => self.elements = Some(attr.u32_be()?),
                REFERENCES => self.references = attr.u32_be()?,
                MEMORY => self.memory = attr.u32_be()?,
                TIMEOUT | EXTENSIONS | NET_MASK | BIT_MASK => self.plain = false,
                _ => {}
            }
        }
        self.spec = match kind {
            Some(Kind::BitmapPort) => first
                .zip(last)
                .map(|(first, last)| Spec::Ports { first, last }),
            Some(kind) => family
                .zip(max_elements)
                .map(|(family, max_elements)| Spec::Hash {
                    kind,
                    family,
                    max_elements,
                }),
            None => None,
        };
        Ok(())
    }
}

/// Hands each set to `each`, without its elements.
pub fn sets(socket: &mut Socket, mut each: impl FnMut(Set<'_>)) -> Result<(), Error> {
    let fill = |attrs: &mut AttrWriter<'_>| {
        attrs.u8(PROTOCOL, VERSION);
        attrs.u32_be(FLAGS, HEADERS_ONLY);
    };
    let result = socket.dump(LIST, &nfgenmsg(2), fill, |message| {
        if message.kind == LIST
            && let Some(set) = Set::read(&message)?
        {
            each(set);
        }
        Ok(())
    });
    result.map_err(Error::unsupported)
}

/// Reads a set with its elements; `None` if it does not exist.
pub fn list(socket: &mut Socket, name: &str) -> Result<Option<Listing>, Error> {
    check_name(name)?;
    let result = retry_stale(ATTEMPTS, || {
        let mut listing = None;
        let fill = |attrs: &mut AttrWriter<'_>| {
            attrs.u8(PROTOCOL, VERSION);
            attrs.str(NAME, name);
        };
        socket.dump(LIST, &nfgenmsg(2), fill, |message| {
            if message.kind == LIST {
                Listing::take(&mut listing, &message)?;
            }
            Ok(())
        })?;
        Ok(listing)
    });
    match result {
        Err(error) if error.errno() == Some(netlink_batch::Errno::NOENT) => Ok(None),
        result => result.map_err(|error| Error::of(name, error)),
    }
}

impl Listing {
    /// Takes in one message of a listing of one set; the first one makes it.
    pub fn take(listing: &mut Option<Self>, message: &Message<'_>) -> Result<(), Netlink> {
        if let Some(Set { kind, header, .. }) = Set::read(message)? {
            listing.get_or_insert_with(|| Self {
                kind: kind.to_owned(),
                header,
                entries: Vec::with_capacity(header.elements.unwrap_or(0).min(1 << 20) as usize),
                unreadable: 0,
            });
        }
        let Some(listing) = listing else {
            return Ok(());
        };
        let Some(kind) = Kind::parse(&listing.kind) else {
            return Ok(());
        };
        for attr in message.split::<4>()?.1 {
            let attr = attr?;
            if attr.kind == ELEMENTS {
                for element in attr.nested() {
                    listing.element(kind, &element?);
                }
            }
        }
        Ok(())
    }

    fn element(&mut self, kind: Kind, element: &Attr<'_>) {
        match Entry::read(kind, element.nested()) {
            Ok(Some(entry)) => self.entries.push(entry),
            Ok(None) | Err(_) => self.unreadable += 1,
        }
    }
}
