//! The target that `VIPRULE_FUZZ_TARGET` names, for libFuzzer.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use viprule_fuzz::Target;

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("VIPRULE_FUZZ_TARGET").unwrap_or_default();
    Target::named(&name).expect("VIPRULE_FUZZ_TARGET names a target")
});

fuzz_target!(|input: &[u8]| (TARGET.run)(input));
