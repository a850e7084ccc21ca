//! Settings: flags that only validate, and what they resolve to.

mod flags;
mod resolved;

pub use flags::{DataplaneArgs, DetectLocalMode, InputArgs, IpFamily, Mode, Output};
pub use resolved::{Resolved, SettingError};
