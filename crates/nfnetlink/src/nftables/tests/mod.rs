//! Bytes against what iptables, nft and the kernel sent; `captures/` names the commands.

mod hint;
mod read;
mod write;

/// The bytes of a capture: hexadecimal, with comments.
fn capture(text: &str) -> Vec<u8> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(str::split_whitespace)
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect()
}
