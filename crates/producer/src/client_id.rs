//! The name of a producer instance at the brokers.

use rand::RngExt;

use crate::config::routing::remoting::host_address;

/// A name that no other producer instance has: `address@process#instance`, where instance is
/// random (Java: `ClientConfig.buildMQClientId`, there `address@instanceName`).
///
/// Containers share process numbers and often addresses, so only the last part is surely unique.
/// The unit, if there is one, is at the end, as there.
pub(crate) fn generate(unit: Option<&str>) -> String {
    let instance = rand::rng().random::<u64>();
    let (host, process) = (host_address(), std::process::id());
    match unit {
        None => format!("{host}@{process}#{instance:016x}"),
        Some(unit) => format!("{host}@{process}#{instance:016x}@{unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_instances_of_one_process_have_different_names() {
        assert_ne!(generate(None), generate(None));
    }

    #[test]
    fn the_unit_is_the_end_of_the_name() {
        assert!(generate(Some("unitA")).ends_with("@unitA"));
        assert_eq!(generate(None).matches('@').count(), 1);
    }
}
