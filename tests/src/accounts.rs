//! Who may do what, on real brokers that check it.

use anyhow::Result;
use xtask::apache::{Reader, Version};

/// May do everything.
pub const SUPER: (&str, &str) = ("superUser", "superUserSecret");
/// May publish to [`GRANTED`] and nothing else.
pub const PUBLISHER: (&str, &str) = ("publisher", "publisherSecret");
/// Is known and may publish nowhere.
pub const STRANGER: (&str, &str) = ("stranger", "strangerSecret");
/// The topic of [`PUBLISHER`].
pub const GRANTED: &str = "acl-ok";

/// `AUTH_CREATE_USER` and `AUTH_CREATE_ACL`, sent to a broker.
const CREATE_USER: i32 = 3001;
const CREATE_ACL: i32 = 3006;

/// The file of ACL 1.0.
pub const FILE: &str = "\
accounts:
  - accessKey: superUser
    secretKey: superUserSecret
    whiteRemoteAddress:
    admin: true
  - accessKey: publisher
    secretKey: publisherSecret
    whiteRemoteAddress:
    admin: false
    defaultTopicPerm: DENY
    defaultGroupPerm: SUB
    topicPerms:
      - acl-ok=PUB
  - accessKey: stranger
    secretKey: strangerSecret
    whiteRemoteAddress:
    admin: false
    defaultTopicPerm: DENY
    defaultGroupPerm: SUB
";

/// Makes the accounts where there is no file of them.
///
/// # Errors
/// When a broker refuses one.
pub fn create(admin: &Reader, version: Version, brokers: &[&str]) -> Result<()> {
    if version == Version::V4_9_7 {
        return Ok(());
    }
    for broker in brokers {
        for (name, password) in [PUBLISHER, STRANGER] {
            let user =
                format!(r#"{{"username":"{name}","password":"{password}","userType":"Normal"}}"#);
            admin.ask(broker, CREATE_USER, &[("username", name)], &user)?;
        }
        let subject = format!("User:{}", PUBLISHER.0);
        let grant = format!(
            r#"{{"subject":"{subject}","policies":[{{"policyType":"Custom","entries":[{{"resource":"Topic:{GRANTED}","actions":["Pub"],"sourceIps":[],"decision":"Allow"}}]}}]}}"#
        );
        admin.ask(broker, CREATE_ACL, &[("subject", &subject)], &grant)?;
    }
    Ok(())
}
