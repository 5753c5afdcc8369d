//! What a cluster should look like.

use std::path::PathBuf;

use super::Version;

/// How a server may be asked whether it is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Access {
    /// By anyone.
    Open,
    /// Anyone gets an answer, if only a refusal.
    Signed,
    /// In TLS only: what the server prints is looked at instead.
    Encrypted,
}

/// Files, all in PEM, of servers that speak TLS.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ServerTls {
    /// The servers' certificate.
    pub cert: PathBuf,
    /// Its private key, in PKCS#8.
    pub key: PathBuf,
    /// Who signed it, and whoever signs the clients' certificates.
    pub ca: PathBuf,
    /// Whether a client must show a certificate.
    pub client_auth: bool,
    /// Whether clients without TLS are served as well.
    pub permissive: bool,
}

impl ServerTls {
    /// Servers with these files, which ask clients for nothing.
    #[must_use]
    pub fn new(cert: impl Into<PathBuf>, key: impl Into<PathBuf>, ca: impl Into<PathBuf>) -> Self {
        Self {
            cert: cert.into(),
            key: key.into(),
            ca: ca.into(),
            client_auth: false,
            permissive: false,
        }
    }

    /// Sets [`client_auth`](Self::client_auth).
    #[must_use]
    pub const fn client_auth(mut self, required: bool) -> Self {
        self.client_auth = required;
        self
    }

    /// Sets [`permissive`](Self::permissive).
    #[must_use]
    pub const fn permissive(mut self, enabled: bool) -> Self {
        self.permissive = enabled;
        self
    }

    /// Options of a server's Java machine; a broker is a client of its name servers too.
    fn java(&self) -> Vec<String> {
        let [cert, key, ca] = [&self.cert, &self.key, &self.ca].map(|path| path.display());
        let mode = if self.permissive {
            "permissive"
        } else {
            "enforcing"
        };
        let mut options = vec![
            "-Dtls.test.mode.enable=false".to_owned(),
            format!("-Dtls.server.mode={mode}"),
            format!("-Dtls.server.keyPath={key}"),
            format!("-Dtls.server.certPath={cert}"),
        ];
        options.extend(Self::client_java(&self.ca));
        if self.client_auth {
            options.extend([
                "-Dtls.server.need.client.auth=require".to_owned(),
                "-Dtls.server.authClient=true".to_owned(),
                format!("-Dtls.server.trustCertPath={ca}"),
                format!("-Dtls.client.keyPath={key}"),
                format!("-Dtls.client.certPath={cert}"),
            ]);
        }
        options
    }

    /// Options of the Java machine of a client that believes whom `ca` has signed.
    #[must_use]
    pub fn client_java(ca: &std::path::Path) -> Vec<String> {
        vec![
            "-Dtls.enable=true".to_owned(),
            // Else certificates are neither shown nor looked at.
            "-Dtls.test.mode.enable=false".to_owned(),
            "-Dtls.client.authServer=true".to_owned(),
            format!("-Dtls.client.trustCertPath={}", ca.display()),
            // No settings of the machine's own.
            "-Dtls.config.file=/nonexistent".to_owned(),
        ]
    }
}

/// How to start a [`Cluster`](super::Cluster): one name server, one broker, topics only by
/// [`create_topic`](super::Cluster::create_topic), unless said otherwise.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClusterSpec {
    /// The version of every server.
    pub version: Version,
    /// Name servers; every broker registers with each. Default 1.
    pub name_servers: usize,
    /// Master brokers, named `broker-a`, `broker-b` and so on. Default 1.
    pub brokers: usize,
    /// `autoCreateTopicEnable`: a send to an unknown topic creates it. Default off.
    pub auto_create_topics: bool,
    /// Further lines `key=value` of every broker's configuration; they win over those of the starter.
    pub broker_conf: Vec<String>,
    /// Further options of every broker's Java machine.
    pub broker_java: Vec<String>,
    /// Maximum heap of each broker in MiB. Default 512.
    pub broker_heap_mib: u32,
    /// Further options of every name server's Java machine.
    pub name_server_java: Vec<String>,
    /// Further files in every broker's home, by their paths in it.
    pub broker_files: Vec<(String, String)>,
    /// How the servers may be asked whether they are ready. Default [`Access::Open`].
    pub access: Access,
    /// Every master has a slave and tells a sender `SEND_OK` only when the slave has the message too. Default off.
    pub slaves: bool,
    /// A `rocketmq-proxy` stands before the brokers. Default off.
    pub proxy: bool,
    /// The first name server's port, the other servers in steps of 10 above it; free ports by default.
    pub port: Option<u16>,
}

impl ClusterSpec {
    /// One name server and one broker of `version`.
    #[must_use]
    pub const fn new(version: Version) -> Self {
        Self {
            version,
            name_servers: 1,
            brokers: 1,
            auto_create_topics: false,
            broker_conf: Vec::new(),
            broker_java: Vec::new(),
            broker_heap_mib: 512,
            port: None,
            name_server_java: Vec::new(),
            broker_files: Vec::new(),
            access: Access::Open,
            slaves: false,
            proxy: false,
        }
    }

    /// Sets [`name_servers`](Self::name_servers).
    #[must_use]
    pub const fn name_servers(mut self, count: usize) -> Self {
        self.name_servers = count;
        self
    }

    /// Sets [`brokers`](Self::brokers).
    #[must_use]
    pub const fn brokers(mut self, count: usize) -> Self {
        self.brokers = count;
        self
    }

    /// Sets [`auto_create_topics`](Self::auto_create_topics).
    #[must_use]
    pub const fn auto_create_topics(mut self, enabled: bool) -> Self {
        self.auto_create_topics = enabled;
        self
    }

    /// Adds to [`broker_conf`](Self::broker_conf).
    #[must_use]
    pub fn broker_conf(mut self, line: impl Into<String>) -> Self {
        self.broker_conf.push(line.into());
        self
    }

    /// Adds to [`broker_java`](Self::broker_java).
    #[must_use]
    pub fn broker_java(mut self, option: impl Into<String>) -> Self {
        self.broker_java.push(option.into());
        self
    }

    /// Sets [`broker_heap_mib`](Self::broker_heap_mib).
    #[must_use]
    pub const fn broker_heap_mib(mut self, mib: u32) -> Self {
        self.broker_heap_mib = mib;
        self
    }

    /// Has brokers check signatures and rights: ACL 2.0 with this account as its super user, or, before 5.0, ACL 1.0,
    /// where the file of accounts is `accounts`.
    #[must_use]
    pub fn acl(mut self, access_key: &str, secret_key: &str, accounts: &str) -> Self {
        self.access = Access::Signed;
        if self.version == Version::V4_9_7 {
            self.broker_files
                .push(("conf/plain_acl.yml".to_owned(), accounts.to_owned()));
            return self.broker_conf("aclEnable=true");
        }
        let package = "org.apache.rocketmq.auth";
        for part in ["authentication", "authorization"] {
            let name = if part == "authentication" {
                "Authentication"
            } else {
                "Authorization"
            };
            let provider = format!("{package}.{part}.provider");
            self = self
                .broker_conf(format!("{part}Enabled=true"))
                .broker_conf(format!("{part}Provider={provider}.Default{name}Provider"))
                .broker_conf(format!(
                    "{part}MetadataProvider={provider}.Local{name}MetadataProvider"
                ));
        }
        self.broker_conf(format!(
            r#"initAuthenticationUser={{"username":"{access_key}","password":"{secret_key}"}}"#
        ))
        .broker_conf(format!(
            r#"innerClientAuthenticationCredentials={{"accessKey":"{access_key}","secretKey":"{secret_key}"}}"#
        ))
    }

    /// Has every server speak TLS, only that unless it is permissive, with the files of `tls`.
    #[must_use]
    pub fn tls(mut self, tls: &ServerTls) -> Self {
        if !tls.permissive {
            self.access = Access::Encrypted;
        }
        let options = tls.java();
        self.name_server_java.extend(options.iter().cloned());
        self.broker_java.extend(options);
        self
    }

    /// Sets [`slaves`](Self::slaves).
    #[must_use]
    pub const fn slaves(mut self, enabled: bool) -> Self {
        self.slaves = enabled;
        self
    }

    /// Sets [`proxy`](Self::proxy).
    #[must_use]
    pub const fn proxy(mut self, enabled: bool) -> Self {
        self.proxy = enabled;
        self
    }

    /// Sets [`port`](Self::port).
    #[must_use]
    pub const fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }
}
