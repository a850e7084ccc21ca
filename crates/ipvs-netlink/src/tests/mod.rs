//! Bytes against what the kernel and `ipvsadm` sent; the files in `tests/data` name the commands.

mod read;
mod reason;
mod write;

/// The bytes of a capture.
fn capture(text: &str) -> Vec<u8> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(str::split_whitespace)
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect()
}
