//! Tests of what is said of every mode, made from one table.

/// Makes a module for each mode with a test for each property: a function of the calling crate,
/// named by its module and its name, that is generic over the mode.
///
/// ```text
/// suite! {
///     modes: { iptables: crate::iptables::Iptables, ipvs: crate::ipvs::Ipvs }
///     properties: { cases::every_case_prints_what_it_should }
/// }
/// ```
#[macro_export]
#[expect(
    clippy::crate_in_macro_def,
    reason = "modes and properties are the caller's"
)]
macro_rules! suite {
    (modes: { $($name:ident: $mode:ty),+ $(,)? } properties: $properties:tt) => {
        $(mod $name {
            $crate::suite!(@tests $mode, $properties);
        })+
    };
    (@tests $mode:ty, { $($file:ident::$property:ident),+ $(,)? }) => {
        $(#[test]
        fn $property() {
            crate::$file::$property::<$mode>();
        })+
    };
}
