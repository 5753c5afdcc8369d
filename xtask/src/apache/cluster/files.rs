//! The configuration files and command lines of a cluster's servers.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::apache::{ClusterSpec, Version};

/// Of every broker, before its own lines.
const BROKER_CONF: &str = "\
brokerClusterName=DefaultCluster
brokerIP1=127.0.0.1
defaultTopicQueueNums=4
flushDiskType=ASYNC_FLUSH
deleteWhen=04
fileReservedTime=48
mappedFileSizeCommitLog=67108864
diskMaxUsedSpaceRatio=98
enableControllerMode=false
maxTransferCountOnMessageInMemory=1024
maxTransferBytesOnMessageInMemory=4194304
";

/// What a broker does to its direct buffers needs these on a current Java.
const BROKER_JAVA: [&str; 7] = [
    "-XX:MaxDirectMemorySize=1g",
    "--add-exports",
    "java.base/jdk.internal.ref=ALL-UNNAMED",
    "--add-opens",
    "java.base/java.nio=ALL-UNNAMED",
    "--add-opens",
    "java.base/sun.nio.ch=ALL-UNNAMED",
];

const NAME_SERVER_HEAP_MIB: u32 = 256;

/// What a broker is to the others of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Alone.
    Master,
    /// Acknowledges what its slave has.
    SyncMaster,
    Slave,
}

impl Role {
    const fn conf(self) -> &'static str {
        match self {
            Self::Master => "brokerId=0\nbrokerRole=ASYNC_MASTER\n",
            Self::SyncMaster => {
                "brokerId=0\nbrokerRole=SYNC_MASTER\ntotalReplicas=2\ninSyncReplicas=2\n"
            }
            Self::Slave => "brokerId=1\nbrokerRole=SLAVE\n",
        }
    }
}

/// Writes one cluster's files.
pub(super) struct Files<'a> {
    pub(super) spec: &'a ClusterSpec,
    pub(super) lib: PathBuf,
    pub(super) dir: &'a Path,
}

impl Files<'_> {
    /// A name server's home and the arguments of its `java`.
    pub(super) fn name_server(&self, name: &str, port: u16) -> Result<(PathBuf, Vec<String>)> {
        let home = self.home(name)?;
        let at = home.display();
        let conf = format!(
            "listenPort={port}\nkvConfigPath={at}/kvConfig.json\nconfigStorePath={at}/namesrv.properties\n"
        );
        let class = "org.apache.rocketmq.namesrv.NamesrvStartup";
        let options: Vec<&str> = self
            .spec
            .name_server_java
            .iter()
            .map(String::as_str)
            .collect();
        let java = self.java(&home, NAME_SERVER_HEAP_MIB, &options, class, &conf)?;
        Ok((home, java))
    }

    /// A proxy's home and the arguments of its `java`.
    pub(super) fn proxy(
        &self,
        lib: &Path,
        name: &str,
        port: u16,
        name_servers: &str,
    ) -> Result<(PathBuf, Vec<String>)> {
        let home = self.home(name)?;
        let conf = serde_json::json!({
            "rocketMQClusterName": "DefaultCluster",
            "proxyMode": "CLUSTER",
            "namesrvAddr": name_servers,
            "remotingListenPort": port,
            "grpcServerPort": port + 1,
            "localServeAddr": "127.0.0.1",
        });
        let file = home.join("conf/proxy.json");
        fs::write(&file, conf.to_string())?;
        let mut java = machine(&home, self.spec.broker_heap_mib, &BROKER_JAVA);
        java.extend(["-cp".to_owned(), format!("{}/*", lib.display())]);
        java.extend([
            "org.apache.rocketmq.proxy.ProxyStartup".to_owned(),
            "-pc".to_owned(),
            file.display().to_string(),
        ]);
        Ok((home, java))
    }

    /// A broker's home and the arguments of its `java`. The home is named after broker and role.
    pub(super) fn broker(
        &self,
        name: &str,
        role: Role,
        port: u16,
        name_servers: &str,
    ) -> Result<(PathBuf, Vec<String>)> {
        let home = self.home(&match role {
            Role::Master | Role::SyncMaster => name.to_owned(),
            Role::Slave => format!("{name}-slave"),
        })?;
        let at = home.display();
        for (file, text) in &self.spec.broker_files {
            fs::write(home.join(file), text)?;
        }
        let conf = format!(
            "{BROKER_CONF}{}brokerName={name}\nlistenPort={port}\nhaListenPort={}\nnamesrvAddr={name_servers}\n\
             storePathRootDir={at}/store\nstorePathCommitLog={at}/store/commitlog\nautoCreateTopicEnable={}\n{}\n",
            role.conf(),
            port + 1,
            self.spec.auto_create_topics,
            self.spec.broker_conf.join("\n"),
        );
        let mut options: Vec<&str> = BROKER_JAVA.to_vec();
        options.extend(self.spec.broker_java.iter().map(String::as_str));
        let class = "org.apache.rocketmq.broker.BrokerStartup";
        let java = self.java(&home, self.spec.broker_heap_mib, &options, class, &conf)?;
        Ok((home, java))
    }

    fn home(&self, name: &str) -> Result<PathBuf> {
        let home = self.dir.join(name);
        for folder in ["conf", "tmp"] {
            fs::create_dir_all(home.join(folder))
                .with_context(|| format!("cannot create {}", home.display()))?;
        }
        // These the jars of 5.x have inside, while 4.9.7 dies without them.
        if self.spec.version == Version::V4_9_7 {
            for file in ["logback_namesrv.xml", "logback_broker.xml"] {
                fs::write(home.join("conf").join(file), logback(&home))?;
            }
        }
        Ok(home)
    }

    fn java(
        &self,
        home: &Path,
        heap_mib: u32,
        options: &[&str],
        class: &str,
        conf: &str,
    ) -> Result<Vec<String>> {
        let file = home.join("conf/server.conf");
        fs::write(&file, conf)?;
        let mut java = machine(home, heap_mib, options);
        java.extend(["-cp".to_owned(), format!("{}/*", self.lib.display())]);
        java.extend([
            class.to_owned(),
            "-c".to_owned(),
            file.display().to_string(),
        ]);
        Ok(java)
    }
}

/// Options of a server's Java machine.
fn machine(home: &Path, heap_mib: u32, options: &[&str]) -> Vec<String> {
    let mut java = vec![
        format!("-Xms{heap_mib}m"),
        format!("-Xmx{heap_mib}m"),
        // Servers on one machine would share their log files and native libraries otherwise.
        format!("-Duser.home={}", home.display()),
        format!("-Djava.io.tmpdir={}", home.join("tmp").display()),
    ];
    java.extend(options.iter().map(|&option| option.to_owned()));
    java
}

fn logback(home: &Path) -> String {
    format!(
        r#"<configuration>
  <appender name="file" class="ch.qos.logback.core.FileAppender">
    <file>{}/rocketmq.log</file>
    <encoder><pattern>%d %level %logger - %msg%n</pattern></encoder>
  </appender>
  <root level="WARN"><appender-ref ref="file"/></root>
</configuration>
"#,
        home.display()
    )
}

/// Removes the folders of clusters whose process is gone: it crashed, or kept the cluster in a static.
pub(super) fn remove_abandoned(run: &Path) {
    // Without `/proc` nothing tells whether a process lives; then the folders stay.
    if !Path::new("/proc/self").exists() {
        return;
    }
    let Ok(entries) = fs::read_dir(run) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let pid = name
            .to_str()
            .and_then(|name| name.strip_prefix("cluster-"))
            .and_then(|rest| rest.split('-').next())
            .and_then(|pid| pid.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
