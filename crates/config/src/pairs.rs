//! Settings that mean nothing without another one.

use crate::error::ConfigProblem;
use crate::settings::{ProducerConfig, find};
use crate::source::ConfigSource;

impl ProducerConfig {
    /// What is given without what it needs.
    pub(crate) fn incomplete(&self) -> Vec<ConfigProblem> {
        let (access, secret) = (self.access_key.is_some(), self.secret_key.is_some());
        let (cert, key) = (self.tls_cert.is_some(), self.tls_key.is_some());
        // Whoever names an authority and forgets the switch would send in the clear. An explicit `false` may stand beside
        // settings of a shared file.
        let plain = !self.tls && self.source_of("tls") == Some(ConfigSource::Default);
        let (user, password) = (self.socks_user.is_some(), self.socks_password.is_some());
        let pairs = [
            ("socks_user", user, "socks_password", password),
            ("socks_password", password, "socks_user", user),
            (
                "socks_user",
                user,
                "socks_proxy",
                self.socks_proxy.is_some(),
            ),
            ("access_key", access, "secret_key", secret),
            ("secret_key", secret, "access_key", access),
            (
                "security_token",
                self.security_token.is_some() && !secret,
                "access_key",
                access,
            ),
            ("tls_cert", cert, "tls_key", key),
            ("tls_key", key, "tls_cert", cert),
            ("tls_ca", self.tls_ca.is_some(), "tls", !plain),
            ("tls_cert", cert, "tls", !plain),
            (
                "tls_server_name",
                self.tls_server_name.is_some(),
                "tls",
                !plain,
            ),
        ];
        let lacking = pairs
            .into_iter()
            .filter(|(_, given, _, other)| *given && !other);
        lacking
            .filter_map(|(given, _, key, _)| {
                Some(ConfigProblem::Incomplete {
                    key,
                    variable: find(key)?.env_name(),
                    given,
                    origin: self.source_of(given)?,
                })
            })
            .collect()
    }

    /// Where the present value of a setting comes from.
    fn source_of(&self, key: &str) -> Option<ConfigSource> {
        let mut entries = self.entries().into_iter();
        entries
            .find(|entry| entry.key == key)
            .map(|entry| entry.source)
    }
}
