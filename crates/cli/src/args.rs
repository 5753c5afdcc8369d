//! The command line: every command and flag.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use rocketmq_producer::config::{ByteSize, parse_duration};

use crate::doctor::DoctorArgs;
use crate::message::MessageArgs;
use crate::send::TuningArgs;
use crate::settings::{SettingsArgs, with_unit};
use crate::topic::TopicArgs;

const EXAMPLES: &str = "\
Examples:
  rocketmq-producer serve --port 9876 --topic orders:4
  echo paid | rocketmq-producer send --namesrv 127.0.0.1:9876 --topic orders
  rocketmq-producer send --topic orders --format jsonl --file orders.jsonl --ledger sent.jsonl
  rocketmq-producer doctor --namesrv 127.0.0.1:9876 --topic orders
  rocketmq-producer topic create orders --queues 4 --namesrv 127.0.0.1:9876
  rocketmq-producer message find --topic orders --key 17
  rocketmq-producer route orders --namesrv 127.0.0.1:9876
  rocketmq-producer bench --namesrv 127.0.0.1:9876 --concurrency 256 --plot latency.svg
  rocketmq-producer demo

Exit status:
  0  everything was acknowledged
  1  something was not, or could not be done
  2  usage, configuration or input was wrong (valid messages are sent all the same)
  3  and above: what `doctor` has found, see its help";

const SEND_NOTES: &str = "\
Fields of a JSON line, of which the body must be there:
  {\"id\", \"body\" or \"body_base64\", \"tags\", \"keys\": [], \"sharding_key\", \"properties\": {},
   and one of \"delay_level\", \"delay_ms\", \"deliver_at\" (ms since 1970),
   \"transaction\" (commit, rollback or unknown), \"request\" (how long its reply is waited for)}

Examples:
  rocketmq-producer send --topic orders --format jsonl --file orders.jsonl --ordered --ledger sent.jsonl
  echo EUR/USD | rocketmq-producer send --topic prices --request=5s
  rocketmq-producer send --topic logs --file app.log --auto-batch --linger 5ms

Interrupted once, it finishes what is under way; interrupted twice, it gives that up.";

/// Sends messages to Apache RocketMQ, measures it, and shows what the producer sees.
#[derive(Debug, Parser)]
#[command(name = "rocketmq-producer", version, after_help = EXAMPLES)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// Log more on standard error (-v, -vv, -vvv); RUST_LOG decides if it is set.
    #[arg(short, long, global = true, display_order = 100, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Send messages from standard input or a file, and say what became of each.
    #[command(after_help = SEND_NOTES)]
    Send(SendArgs),
    /// Measure throughput, latency and CPU cost of sending.
    Bench(BenchArgs),
    /// Find out why a message cannot be sent, and what to do.
    Doctor(DoctorArgs),
    /// Look up messages that brokers have stored.
    Message(MessageArgs),
    /// Create topics, list them, show the offsets of their queues.
    Topic(TopicArgs),
    /// Show a topic's brokers and queues, and which can be sent to.
    Route(RouteArgs),
    /// Run a name server and brokers in this process, for trying out and for tests.
    Serve(ServeArgs),
    /// Send many messages through an embedded cluster and check every one of them.
    Demo(DemoArgs),
    /// Print the effective configuration, with the source of each value.
    Config(ConfigArgs),
}

/// How input is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    #[value(alias = "lines")]
    Text,
    Jsonl,
}

#[derive(Debug, Args)]
pub(crate) struct SendArgs {
    /// Topic to send to.
    #[arg(long)]
    pub(crate) topic: String,
    /// File to read instead of standard input; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// How input is read: each line is a body, or a JSON object (see below).
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
    /// Append one JSON line about each message to this file as its outcome becomes known.
    #[arg(long, value_name = "FILE")]
    pub(crate) ledger: Option<PathBuf>,
    /// The most sends under way at once; input is read as it can be sent.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) concurrency: u32,
    /// The most messages per second to begin sending; unlimited unless given.
    #[arg(long, value_name = "PER_SECOND", value_parser = rate)]
    pub(crate) rate: Option<f64>,
    /// Stop after this many messages.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// Keep the order of each sharding key: one send under way per key.
    #[arg(long)]
    pub(crate) ordered: bool,
    /// Make each message a request and print its reply, waiting 3s for it, or the time that is given.
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = "3s", value_parser = patience)]
    pub(crate) request: Option<Duration>,
    #[command(flatten)]
    pub(crate) tuning: TuningArgs,
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
}

/// How a benchmark calls the producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    Sync,
    Async,
    Batch,
    Oneway,
}

impl Mode {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Async => "async",
            Self::Batch => "batch",
            Self::Oneway => "oneway",
        }
    }
}

/// How request headers are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Header {
    Json,
    Binary,
}

impl Header {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Binary => "binary",
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// Topic to send to.
    #[arg(long, default_value = "bench")]
    pub(crate) topic: String,
    /// How the producer is called: C tasks that await one send each, one task with C sends under way, C tasks that await
    /// one batch each, or without answers.
    #[arg(long, value_enum, default_value_t = Mode::Sync)]
    pub(crate) mode: Mode,
    /// Size of the body, such as 256 or 4KiB.
    #[arg(long, value_name = "BYTES", default_value = "256")]
    pub(crate) body: ByteSize,
    /// Messages of each batch with --mode batch.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) batch: u32,
    /// Let the producer put single sends that wait at the same time into batches.
    #[arg(long)]
    pub(crate) auto_batch: bool,
    /// Messages to measure.
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: u64,
    /// Sends under way at once; batches with --mode batch.
    #[arg(long, value_name = "C", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) concurrency: u32,
    /// Messages to send before measuring; a tenth of --count unless given.
    #[arg(long, value_name = "N")]
    pub(crate) warmup: Option<u64>,
    /// How request headers are encoded; as configured unless given.
    #[arg(long, value_enum)]
    pub(crate) header: Option<Header>,
    /// Send so many messages per second whatever the answers do; latency counts from when a send was due.
    #[arg(long, value_name = "PER_SECOND", value_parser = rate)]
    pub(crate) rate: Option<f64>,
    /// Print one line of JSON instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
    /// Draw the latency percentiles into this SVG file.
    #[arg(long, value_name = "FILE.svg")]
    pub(crate) plot: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
}

impl BenchArgs {
    /// Messages of one call.
    pub(crate) fn per_call(&self) -> u32 {
        match self.mode {
            Mode::Batch => self.batch,
            Mode::Async | Mode::Oneway | Mode::Sync => 1,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct RouteArgs {
    /// Topic to look up.
    pub(crate) topic: String,
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    On,
    Off,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Port of the name server; a free one unless given.
    #[arg(long, value_name = "P")]
    pub(crate) port: Option<u16>,
    /// Number of brokers.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) brokers: u16,
    /// Acknowledge at once and keep nothing: for measuring clients.
    #[arg(long)]
    pub(crate) null: bool,
    /// Whether sending to an unknown topic creates it.
    #[arg(long, value_enum, default_value_t = Switch::On)]
    pub(crate) auto_create: Switch,
    /// Topic to create, with its queues on each broker; may be repeated.
    #[arg(long = "topic", value_name = "NAME:QUEUES", value_parser = topic_spec)]
    pub(crate) topics: Vec<TopicSpec>,
    /// Speak TLS only, with the certificate in this PEM file.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// PEM file with the private key of --tls-cert.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
}

/// A topic to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TopicSpec {
    pub(crate) name: String,
    pub(crate) queues: u16,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Messages to send.
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) messages: u64,
    /// Sends under way at once.
    #[arg(long, value_name = "C", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) concurrency: u32,
    /// Name servers of a real cluster to send to instead; nothing is read back from it.
    #[arg(long, value_name = "ADDR")]
    pub(crate) namesrv: Option<String>,
    /// Topic to send to.
    #[arg(long, default_value = "demo")]
    pub(crate) topic: String,
    /// Append one JSON line about each message to this file, as `send` does.
    #[arg(long, value_name = "FILE")]
    pub(crate) ledger: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// Print one JSON array instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(rate),
        _ => Err("allowed: a number above 0".to_owned()),
    }
}

/// How long a reply is waited for.
pub(crate) fn patience(text: &str) -> Result<Duration, String> {
    match parse_duration(&with_unit(text)) {
        Ok(Duration::ZERO) => Err("allowed: a time above 0".to_owned()),
        Ok(time) => Ok(time),
        Err(error) => Err(error.to_string()),
    }
}

fn topic_spec(text: &str) -> Result<TopicSpec, String> {
    let (name, queues) = text
        .rsplit_once(':')
        .ok_or_else(|| "allowed: NAME:QUEUES, such as orders:4".to_owned())?;
    rocketmq_producer::remoting::message::validate_topic_for_send(name)
        .map_err(|error| error.to_string())?;
    match queues.parse() {
        Ok(queues @ 1..) => Ok(TopicSpec {
            name: name.to_owned(),
            queues,
        }),
        _ => Err(format!("queues must be 1 to {}", u16::MAX)),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_and_flag_says_what_it_is_for() {
        for command in Cli::command().get_subcommands() {
            let name = command.get_name();
            assert!(command.get_about().is_some(), "{name}");
            for argument in command.get_arguments() {
                let help = argument.get_help().map(ToString::to_string);
                assert!(help.is_some(), "{name} {}", argument.get_id());
            }
        }
    }

    #[test]
    fn a_topic_has_a_legal_name_and_a_number_of_queues() {
        let spec = topic_spec("orders:4").unwrap();
        assert_eq!((spec.name.as_str(), spec.queues), ("orders", 4));
        for wrong in [
            "orders",
            "orders:",
            "orders:0",
            "or ders:4",
            ":4",
            "orders:70000",
        ] {
            assert!(topic_spec(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_reply_is_waited_for_some_time() {
        assert_eq!(patience("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(patience("1500"), Ok(Duration::from_millis(1500)));
        for wrong in ["0", "0s", "soon", ""] {
            assert!(patience(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_rate_is_above_zero() {
        assert_eq!(rate("0.5"), Ok(0.5));
        for wrong in ["0", "-1", "NaN", "inf", "fast"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }
}
