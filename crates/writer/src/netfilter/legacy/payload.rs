//! Text for the restore programs, of which every line is known by whom it belongs to.

use std::fmt;
use std::io::{self, Write};

use viprule_dataplane::netfilter::Table;

use crate::Tag;

/// Lines with their owners.
#[derive(Debug, Default)]
pub(super) struct Text {
    text: String,
    /// Of each line: its owner and where it ends.
    lines: Vec<(Tag, usize)>,
}

impl Text {
    /// Adds a line.
    pub(super) fn push(&mut self, tag: Tag, line: fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = fmt::Write::write_fmt(&mut self.text, line);
        self.text.truncate(self.text.trim_end().len());
        self.text.push('\n');
        self.lines.push((tag, self.text.len()));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// A line by its number from 0.
    fn line(&self, at: usize) -> Option<(Tag, &str)> {
        let (tag, end) = *self.lines.get(at)?;
        let before = at.checked_sub(1).and_then(|at| self.lines.get(at));
        let start = before.map_or(0, |(_, end)| *end);
        Some((tag, self.text[start..end].trim_end()))
    }
}

/// From `*TABLE` to `COMMIT`: what the kernel takes as a whole.
#[derive(Debug)]
pub(super) struct Block<'a> {
    pub(super) table: Table,
    pub(super) texts: Vec<&'a Text>,
}

/// A line of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// `*TABLE`
    Table,
    /// One that somebody's diff asked for.
    Of(Tag, &'a str),
    /// `COMMIT`; with the owner of all lines before it, where there is only one.
    Commit(Option<Tag>),
}

impl<'a> Block<'a> {
    /// A block of these texts, or nothing where they say nothing.
    pub(super) fn new(
        table: Table,
        texts: impl IntoIterator<Item = Option<&'a Text>>,
    ) -> Option<Self> {
        let texts = texts.into_iter().flatten().filter(|text| !text.is_empty());
        let texts: Vec<_> = texts.collect();
        (!texts.is_empty()).then_some(Self { table, texts })
    }

    pub(super) fn write(&self, to: &mut impl Write) -> io::Result<()> {
        writeln!(to, "*{}", self.table.kind.name())?;
        for text in &self.texts {
            to.write_all(text.text.as_bytes())?;
        }
        to.write_all(b"COMMIT\n")
    }

    /// Bytes of payload.
    pub(super) fn size(&self) -> usize {
        let frame = "*\nCOMMIT\n".len() + self.table.kind.name().len();
        frame + self.texts.iter().map(|text| text.text.len()).sum::<usize>()
    }

    fn count(&self) -> usize {
        2 + self
            .texts
            .iter()
            .map(|text| text.lines.len())
            .sum::<usize>()
    }

    fn line(&self, at: usize) -> Line<'a> {
        let Some(mut at) = at.checked_sub(1) else {
            return Line::Table;
        };
        for text in &self.texts {
            if let Some((tag, line)) = text.line(at) {
                return Line::Of(tag, line);
            }
            at -= text.lines.len();
        }
        Line::Commit(self.owner())
    }

    /// To whom all lines belong.
    fn owner(&self) -> Option<Tag> {
        let mut tags = self
            .texts
            .iter()
            .flat_map(|text| &text.lines)
            .map(|line| line.0);
        let first = tags.next()?;
        tags.all(|tag| tag == first).then_some(first)
    }
}

/// Finds a line of a payload by its number from 1: which block, and what it says there.
pub(super) fn find<'a>(blocks: &[Block<'a>], number: usize) -> Option<(usize, Line<'a>)> {
    let mut at = number.checked_sub(1)?;
    for (index, block) in blocks.iter().enumerate() {
        if at < block.count() {
            return Some((index, block.line(at)));
        }
        at -= block.count();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use nfnetlink::Family;
    use viprule_dataplane::netfilter::Kind;

    #[test]
    fn every_line_of_the_payload_is_found_by_its_number() {
        let table = |kind| Table {
            family: Family::Ipv4,
            kind,
        };
        let [mut chains, nothing, mut rules, mut more] = <[Text; 4]>::default();
        chains.push(Tag(1), format_args!(":A - [0:0]"));
        rules.push(Tag(1), format_args!("-A A "));
        rules.push(Tag(2), format_args!("-A A -j RETURN"));
        more.push(Tag(3), format_args!("-X B"));
        let texts = [Some(&chains), None, Some(&nothing), Some(&rules)];
        let blocks = [
            Block::new(table(Kind::Filter), texts).unwrap(),
            Block::new(table(Kind::Nat), [Some(&more)]).unwrap(),
        ];
        assert!(Block::new(table(Kind::Nat), [Some(&nothing)]).is_none());

        let mut payload = Vec::new();
        for block in &blocks {
            block.write(&mut payload).unwrap();
        }
        assert_eq!(payload.len(), blocks.iter().map(Block::size).sum::<usize>());
        let payload = String::from_utf8(payload).unwrap();
        for (index, line) in payload.lines().enumerate() {
            let (block, found) = find(&blocks, index + 1).unwrap();
            assert_eq!(block, usize::from(index > 4), "{line}");
            let expected = match (line, block) {
                ("COMMIT", 0) => Line::Commit(None),
                ("COMMIT", _) => Line::Commit(Some(Tag(3))),
                ("*filter" | "*nat", _) => Line::Table,
                ("-A A -j RETURN", _) => Line::Of(Tag(2), line),
                ("-X B", _) => Line::Of(Tag(3), line),
                _ => Line::Of(Tag(1), line),
            };
            assert_eq!(found, expected);
        }
        assert_eq!(find(&blocks, payload.lines().count() + 1), None);
        assert_eq!(find(&blocks, 0), None);
    }
}
