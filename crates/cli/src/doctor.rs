//! `rocketmq-producer doctor`: walks the way of a message step by step, and says where it ends and what to do.

mod brokers;
mod name_servers;
mod report;
mod topic;

use clap::Args;
use rocketmq_producer::config::ProducerConfig;
use rocketmq_producer::{Admin, Producer};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::send::{GOODBYE, check_topic, start};
use crate::settings::SettingsArgs;
use report::{Report, Step};

#[derive(Debug, Args)]
#[command(after_help = NOTES)]
pub(crate) struct DoctorArgs {
    /// Topic to look at.
    #[arg(long)]
    topic: String,
    /// Also send a test message to each broker of the topic; consumers of the topic will see it. Without it, nothing is
    /// stored.
    #[arg(long)]
    send: bool,
    /// Print one JSON object at the end.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingsArgs,
}

const NOTES: &str = "\
Exit status: 0 if nothing is wrong, else that of the first step that is:
   3  name resolution       7  credentials           11  send
   4  TCP                   8  route                 12  queue balance
   5  TLS                   9  permissions           13  clock
   6  protocol             10  broker reachability   14  version
(1 if it could not be run, 2 if usage or configuration was wrong)

Example:
  rocketmq-producer doctor --namesrv 127.0.0.1:9876 --topic orders";

/// What is looked at, and by what means.
struct Patient {
    producer: Producer,
    admin: Admin,
    topic: String,
    /// Whether a test message may be stored.
    may_store: bool,
    /// Whether a send would have a broker create the topic.
    creates_topics: bool,
}

impl Patient {
    fn config(&self) -> &ProducerConfig {
        self.producer.config()
    }
}

pub(crate) async fn run(args: DoctorArgs) -> Result<Exit, Failure> {
    let mut config = args.settings.resolve(&[])?;
    check_topic(&args.topic)?;
    // Looking must not change anything.
    let creates_topics = std::mem::replace(&mut config.create_topic, false);
    let timeout = config.send_msg_timeout;
    let producer = start(config, 1).await?;
    let admin = producer.admin().with_timeout(timeout);
    let patient = Patient {
        // As brokers know it.
        topic: admin.full_name(&args.topic).as_ref().to_owned(),
        admin,
        producer,
        may_store: args.send,
        creates_topics,
    };
    let mut report = Report::new(args.json);
    examine(&patient, &mut report).await;
    patient.producer.shutdown(GOODBYE).await;
    report.end(&patient.topic);
    Ok(report.exit())
}

async fn examine(patient: &Patient, report: &mut Report) {
    let servers = name_servers::examine(patient, report).await;
    let Some(first) = servers.first() else {
        for step in Step::AFTER_NAME_SERVERS {
            report.skipped(step, "no name server can be asked");
        }
        return;
    };
    let known = topic::look_up(patient, &servers).await;
    let brokers = brokers::call(patient, first.cluster.as_ref(), known.route()).await;
    brokers::credentials(patient, &brokers, report);
    topic::route(patient, &servers, &known, report).await;
    topic::permissions(&known, report);
    brokers::reachability(patient, &brokers, report).await;
    brokers::send(patient, &brokers, known.route(), report).await;
    topic::balance(first.cluster.as_ref(), &known, report);
    brokers::clock(patient, &brokers, report).await;
    brokers::version(&servers, &brokers, report);
}
