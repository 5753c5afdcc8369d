//! Names in namespaces, against Java's.

use rocketmq_producer_remoting::message::Namespace;

use crate::support::{name, text, vectors};

#[test]
fn names_are_wrapped_and_unwrapped_as_java_does() {
    let mut checked = 0;
    for entry in vectors("misc.json") {
        let (Some(resource), Some(namespace)) =
            (text(&entry, "resource"), text(&entry, "namespace"))
        else {
            continue;
        };
        if namespace.is_empty() {
            continue;
        }
        let namespace = Namespace::new(namespace).unwrap();
        let wrapped = namespace.wrap(resource);
        assert_eq!(text(&entry, "wrapped"), Some(&*wrapped), "{}", name(&entry));
        let plain = namespace.unwrap(&wrapped);
        assert_eq!(
            text(&entry, "withoutNamespace"),
            Some(&*plain),
            "{}",
            name(&entry)
        );
        checked += 1;
    }
    assert!(checked >= 10, "{checked}");
}
