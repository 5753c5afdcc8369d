//! With credentials, TLS and a proxy, in success and in failure, nothing secret is printed at any level.

use anyhow::{Context, Result};
use rocketmq_producer::config::ProducerConfigBuilder;
use rocketmq_producer::remoting::Credentials;
use rocketmq_producer::{Message, Producer};
use rocketmq_producer_embedded::ServerTls;
use rocketmq_producer_tests::authority::{Authority, Validity, text};
use rocketmq_producer_tests::printed::{Printed, listen};
use rocketmq_producer_tests::socks::{Manner, SocksProxy};

use crate::support::{PATIENT, cluster};

const TOPIC: &str = "secrets";
const ACCESS_KEY: &str = "accesssecret";
const SECRET_KEY: &str = "signsecret";
const TOKEN: &str = "tokensecret";
const SOCKS_PASSWORD: &str = "sockssecret";

#[tokio::test]
async fn nothing_secret_is_printed_at_any_level() -> Result<()> {
    let printed = Printed::default();
    let _listening = listen(&printed);
    let authority = Authority::new("authority")?;
    let server = authority.sign("server", &["127.0.0.1"], Validity::Now)?;
    let client = authority.sign("client", &["client"], Validity::Now)?;
    let ca = authority.ca();
    let account = Credentials::new(ACCESS_KEY, SECRET_KEY)?.with_security_token(TOKEN)?;
    let cluster = cluster()
        .topic(TOPIC, 2)
        .account(account)
        .tls(ServerTls::new(&server.cert, &server.key).client_ca(&ca))
        .start()
        .await?;
    let proxy = SocksProxy::start(Manner::Login("orders", SOCKS_PASSWORD)).await?;
    let right = |settings: ProducerConfigBuilder| {
        settings
            .debug_enabled(true)
            .send_msg_timeout(PATIENT)
            .access_key(ACCESS_KEY)
            .secret_key(SECRET_KEY)
            .security_token(TOKEN)
            .tls(true)
            .tls_ca(text(&ca))
            .tls_cert(text(&client.cert))
            .tls_key(text(&client.key))
            .socks_proxy(&proxy.address())
            .socks_user("orders")
            .socks_password(SOCKS_PASSWORD)
    };
    let wrong_secret = format!("{SECRET_KEY}-wrong");
    let wrong_password = format!("{SOCKS_PASSWORD}-wrong");
    type Change<'a> = &'a dyn Fn(ProducerConfigBuilder) -> ProducerConfigBuilder;
    let changes: [(bool, Change<'_>); 4] = [
        (true, &|settings| settings),
        (false, &|settings| settings.secret_key(&wrong_secret)),
        (false, &|settings| settings.socks_password(&wrong_password)),
        (false, &|settings| settings.tls_server_name("mq.internal")),
    ];
    for (succeeds, change) in changes {
        let builder = Producer::builder("g").name_servers(&cluster.name_servers());
        let builder = builder.configure(|settings| change(right(settings)));
        printed.debug(&builder);
        let producer = builder.start().await?;
        match producer.send(Message::new(TOPIC, "x")?).await {
            Ok(receipt) => printed.debug(&receipt),
            Err(error) => {
                assert!(!succeeds, "{error:?}");
                printed.error(&error);
            }
        }
        printed.debug(&producer);
        printed.debug(producer.config());
        printed.debug(&producer.config().connection_options());
        printed.debug(&producer.config().socks5_options());
        printed.debug(&producer.config().tls_options());
        for entry in producer.config().entries() {
            printed.debug(&entry);
            printed.debug(&entry.to_string());
        }
        printed.debug(&producer.stats());
        printed.debug(&producer.shutdown(PATIENT).await);
    }
    assert_eq!(cluster.message_count(TOPIC), 1, "the first was taken");

    let key = std::fs::read_to_string(&client.key)?;
    let lines = key.lines().filter(|line| !line.starts_with('-'));
    let printed = printed.text();
    assert!(
        printed.contains("check signature failed"),
        "the broker's words"
    );
    assert!(printed.contains("refuses the user or the password"));
    assert!(printed.contains("is not for mq.internal"));
    let secrets = [ACCESS_KEY, SECRET_KEY, TOKEN, SOCKS_PASSWORD];
    let secrets: Vec<&str> = secrets.into_iter().chain(lines).collect();
    assert!(secrets.len() > 5, "lines of the key are among them");
    for secret in secrets {
        let line = printed.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret}");
        let bytes = secret.as_bytes().get(..8).context("long enough")?;
        let bytes = format!("{bytes:?}");
        assert!(
            !printed.contains(bytes.trim_matches(['[', ']'])),
            "{secret} as numbers"
        );
    }
    Ok(())
}
