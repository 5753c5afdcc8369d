//! The name of a producer instance at the brokers.

use rand::RngExt;

use crate::config::routing::remoting::host_address;

/// A name that no other producer instance has: `address@process#instance`, where instance is
/// random (Java: `ClientConfig.buildMQClientId`, there `address@instanceName`).
///
/// Containers share process numbers and often addresses, so only the last part is surely unique.
pub(crate) fn generate() -> String {
    let instance = rand::rng().random::<u64>();
    format!("{}@{}#{instance:016x}", host_address(), std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_instances_of_one_process_have_different_names() {
        assert_ne!(generate(), generate());
    }
}
