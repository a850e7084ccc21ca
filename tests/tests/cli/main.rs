//! The command line: what it prints, what it refuses, and with which exit code it ends.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

mod against;
mod broken;
mod empty;
mod escapes;
mod files;
mod flags;
mod help;
mod kube_proxy;
mod large;
mod output;
mod owner;
mod privileges;
mod served;
mod support;
