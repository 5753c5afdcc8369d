//! What brokers hold as Apache's own Java client reads it, and messages that Apache's own producer sends.

mod program;
mod session;
mod types;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Version, jars};
use crate::process::tail;
use session::Session;

pub use types::{FindBy, JavaSend, ProducerConnection, ReadMessage, ReadOptions, SentMessage};

#[derive(Deserialize)]
struct AskedAnswer {
    code: i32,
    remark: Option<String>,
    body: Option<String>,
    #[serde(default)]
    fields: BTreeMap<String, String>,
}

/// Runs `java/Reader.java` on the jars of one version; each call is one Java process of about a second, unless
/// [`in_one_process`](Self::in_one_process) is asked for.
#[derive(Debug, Clone)]
pub struct Reader {
    lib: PathBuf,
    classes: PathBuf,
    /// Access key and secret key of every request.
    credentials: Option<(String, String)>,
    /// Further options of the Java machine.
    java: Vec<String>,
    session: Option<Arc<Session>>,
}

impl Reader {
    /// Fetches the jars and compiles the program, unless an earlier call has.
    ///
    /// # Errors
    /// When Java or Maven is missing, or the program does not compile.
    pub fn new(version: Version) -> Result<Self> {
        let lib = jars(version)?;
        let classes = program::compiled(version, &lib)?;
        Ok(Self {
            lib,
            classes,
            credentials: None,
            java: Vec::new(),
            session: None,
        })
    }

    /// A reader that signs its requests.
    #[must_use]
    pub fn with_credentials(mut self, access_key: &str, secret_key: &str) -> Self {
        self.credentials = Some((access_key.to_owned(), secret_key.to_owned()));
        self
    }

    /// A reader whose Java machine has these options too, such as those of TLS.
    #[must_use]
    pub fn with_java(mut self, options: impl IntoIterator<Item = String>) -> Self {
        self.java.extend(options);
        self
    }

    /// A reader all of whose calls go to one Java process, one after the other; to be asked for last. It ends with the
    /// reader's last clone.
    ///
    /// # Errors
    /// When Java does not start.
    pub fn in_one_process(mut self) -> Result<Self> {
        let session = Session::start(&self.lib, &self.classes, &self.java)?;
        self.session = Some(Arc::new(session));
        Ok(self)
    }

    /// What Apache's admin client finds: none is no error.
    ///
    /// # Errors
    /// When it fails, or finds nothing within `wait` and says so by an error.
    pub fn find(
        &self,
        name_servers: &str,
        topic: &str,
        by: &FindBy<'_>,
        wait: Duration,
    ) -> Result<Vec<ReadMessage>> {
        let (name, value) = match by {
            FindBy::Key(key) => ("--key", key),
            FindBy::OffsetId(id) => ("--offset-id", id),
            FindBy::UniqueKey(key) => ("--unique-key", key),
        };
        let wait = wait.as_millis().to_string();
        let namesrv = "--namesrv";
        self.run(&[
            "find",
            namesrv,
            name_servers,
            "--topic",
            topic,
            name,
            value,
            "--wait-ms",
            &wait,
        ])
    }

    /// From now on Apache's consumer answers every request in the topic with `re: ` and the request's body. For readers
    /// [in one process](Self::in_one_process).
    ///
    /// # Errors
    /// When the consumer does not start.
    pub fn answer_requests(&self, name_servers: &str, topic: &str, group: &str) -> Result<()> {
        let namesrv = "--namesrv";
        let none: Vec<serde_json::Value> = self.run(&[
            "reply",
            namesrv,
            name_servers,
            "--topic",
            topic,
            "--group",
            group,
        ])?;
        drop(none);
        Ok(())
    }

    /// Runs a command of Apache's own tool (`mqadmin`), its parts separated by spaces. What it prints is not looked at,
    /// and neither is its success: look at what it was to do.
    ///
    /// # Errors
    /// When the program fails.
    pub fn admin_tool(&self, line: &str) -> Result<()> {
        let _: Vec<serde_json::Value> = self.run(&["admin", "--line", line])?;
        Ok(())
    }

    /// Sends one request to a server by Apache's own client, in ways that [`ask`](super::ask) does not know: signed or
    /// in TLS. The answer's body must be text.
    ///
    /// # Errors
    /// When the server does not answer, or with another code than 0.
    pub fn ask(
        &self,
        address: &str,
        code: i32,
        fields: &[(&str, &str)],
        body: &str,
    ) -> Result<String> {
        let answer = self.answer(address, code, fields, body)?;
        Ok(answer.body.unwrap_or_default())
    }

    /// Likewise, for what the field `name` of the answer says.
    ///
    /// # Errors
    /// As [`ask`](Self::ask), and when the answer has no such field.
    pub fn ask_field(
        &self,
        address: &str,
        code: i32,
        fields: &[(&str, &str)],
        name: &str,
    ) -> Result<String> {
        let mut answer = self.answer(address, code, fields, "")?;
        let value = answer.fields.remove(name);
        value.with_context(|| format!("{address} answers without {name}"))
    }

    fn answer(
        &self,
        address: &str,
        code: i32,
        fields: &[(&str, &str)],
        body: &str,
    ) -> Result<AskedAnswer> {
        let fields = serde_json::to_string(&fields.iter().copied().collect::<BTreeMap<_, _>>())?;
        let code = code.to_string();
        let mut answers: Vec<AskedAnswer> = self.run(&[
            "ask",
            "--address",
            address,
            "--code",
            &code,
            "--fields",
            &fields,
            "--body",
            body,
        ])?;
        let answer = answers.pop().context("no answer")?;
        if answer.code != 0 {
            bail!(
                "{address} refused with {}: {}",
                answer.code,
                answer.remark.unwrap_or_default()
            );
        }
        Ok(answer)
    }

    /// Every message of the topic on every broker, in the order of broker, queue and offset.
    ///
    /// # Errors
    /// When the topic has no route, or a queue cannot be read to its end.
    pub fn read_topic(&self, name_servers: &str, topic: &str) -> Result<Vec<ReadMessage>> {
        self.read_topic_with(name_servers, topic, &ReadOptions::new())
    }

    /// Like [`read_topic`](Self::read_topic), with options.
    ///
    /// # Errors
    /// As [`read_topic`](Self::read_topic).
    pub fn read_topic_with(
        &self,
        name_servers: &str,
        topic: &str,
        options: &ReadOptions,
    ) -> Result<Vec<ReadMessage>> {
        let at_least = options.at_least.to_string();
        let wait = options.wait.as_millis().to_string();
        let mut arguments = vec![
            "read",
            "--namesrv",
            name_servers,
            "--topic",
            topic,
            "--at-least",
            &at_least,
            "--wait-ms",
            &wait,
        ];
        if options.digest_only {
            arguments.extend(["--digest", "yes"]);
        }
        let mut messages: Vec<ReadMessage> = self.run(&arguments)?;
        messages.sort_unstable_by(|a, b| a.position().cmp(&b.position()));
        Ok(messages)
    }

    /// The producers of `group` that each broker of `topic` knows by their heartbeats; none is no error.
    ///
    /// # Errors
    /// When the topic has no route or a broker does not answer.
    pub fn producer_connections(
        &self,
        name_servers: &str,
        group: &str,
        topic: &str,
    ) -> Result<Vec<ProducerConnection>> {
        self.run(&[
            "producers",
            "--namesrv",
            name_servers,
            "--group",
            group,
            "--topic",
            topic,
        ])
    }

    /// Sends messages by Apache's own producer: bodies `java-0`, `java-1` and so on, filled up with dots; tag `java`,
    /// key `key-N`, property `index`.
    ///
    /// # Errors
    /// When the program fails; a failed send is in the result.
    pub fn java_send(
        &self,
        name_servers: &str,
        topic: &str,
        send: &JavaSend,
    ) -> Result<Vec<SentMessage>> {
        let count = send.count.to_string();
        let body = send.body_len.to_string();
        let threads = send.threads.to_string();
        let linger = send.linger.as_millis().to_string();
        let traced = send.traced.to_string();
        let mut sent: Vec<SentMessage> = self.run(&[
            "send",
            "--namesrv",
            name_servers,
            "--topic",
            topic,
            "--group",
            &send.group,
            "--count",
            &count,
            "--body",
            &body,
            "--threads",
            &threads,
            "--linger-ms",
            &linger,
            "--traced",
            &traced,
        ])?;
        sent.sort_unstable_by_key(|message| message.index);
        Ok(sent)
    }

    fn run<T: DeserializeOwned>(&self, arguments: &[&str]) -> Result<Vec<T>> {
        let mut signed = arguments.to_vec();
        if let Some((access_key, secret_key)) = &self.credentials {
            signed.extend(["--access-key", access_key, "--secret-key", secret_key]);
        }
        let lines = match &self.session {
            Some(session) => session
                .run(&signed)
                .with_context(|| format!("Apache's client: {}", arguments.join(" ")))?,
            None => self.run_alone(arguments, &signed)?,
        };
        lines
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| {
                serde_json::from_slice(line).with_context(|| {
                    format!("not a line of JSON: {}", String::from_utf8_lossy(line))
                })
            })
            .collect()
    }

    fn run_alone(&self, shown: &[&str], arguments: &[&str]) -> Result<Vec<u8>> {
        let run = program::run(&self.lib, &self.classes, &self.java, arguments)?;
        if !run.status.success() {
            bail!(
                "the Java program failed ({}): {}\n{}",
                run.status,
                shown.join(" "),
                tail(&run.log, 30)
            );
        }
        let _ = std::fs::remove_file(&run.log);
        Ok(run.stdout)
    }
}
