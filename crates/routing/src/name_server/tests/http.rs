//! Pages that tell addresses, and those that do not, on loopback.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinSet,
};

use crate::name_server::{HttpDiscovery, HttpFailure, NameServerAddresses, NameServerDiscovery};

/// Answers each connection with the next of these, whatever is asked, and gives back what was asked.
async fn server(answers: Vec<String>) -> (String, JoinSet<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut task = JoinSet::new();
    task.spawn(async move {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            asked.push(String::from_utf8(request).unwrap());
            let _ = stream.write_all(answer.as_bytes()).await;
        }
        asked
    });
    (address, task)
}

fn page(text: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}",
        text.len()
    )
}

async fn ask(address: &str, path: &str) -> Result<NameServerAddresses, HttpFailure> {
    let url = format!("http://{address}{path}").parse().unwrap();
    let discovery = HttpDiscovery::new(url).with_timeout(Duration::from_secs(10));
    discovery.addresses().await.map_err(|error| {
        assert!(
            error.to_string().contains(address),
            "names the page: {error}"
        );
        HttpFailure::of(&error).unwrap().clone()
    })
}

#[tokio::test]
async fn a_page_is_read_in_each_way_that_http_has() {
    let chunked =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\na:1;\r\n4\r\nb:2\n\r\n0\r\n\r\n";
    let until_the_end = "HTTP/1.0 200 OK\r\n\r\na:1;b:2";
    let answers = vec![
        page(" a:1;b:2\r\nmore\n"),
        chunked.to_owned(),
        until_the_end.to_owned(),
    ];
    let count = answers.len();
    let (address, mut served) = server(answers).await;
    for _ in 0..count {
        let list = ask(&address, "/rocketmq/nsaddr-unit?nofix=1")
            .await
            .unwrap();
        assert_eq!(list.to_string(), "a:1;b:2");
    }
    for request in served.join_next().await.unwrap().unwrap() {
        assert!(request.starts_with("GET /rocketmq/nsaddr-unit?nofix=1 HTTP/1.1\r\n"));
        assert!(
            request.contains(&format!("host: {address}\r\n")),
            "{request}"
        );
    }
}

#[tokio::test]
async fn a_few_redirections_are_followed_and_no_more() {
    let to = |location: &str| {
        format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")
    };
    let (elsewhere, _served) = server(vec![to("/again"), page("a:1")]).await;
    let (address, _first) = server(vec![to(&format!("http://{elsewhere}/there"))]).await;
    assert_eq!(ask(&address, "/").await.unwrap().to_string(), "a:1");

    let (address, _served) = server(vec![to("/round"); 9]).await;
    let failure = ask(&address, "/").await.unwrap_err();
    assert!(matches!(failure, HttpFailure::Redirect(_)), "{failure}");
    let (address, _served) = server(vec![to("https://elsewhere/")]).await;
    let failure = ask(&address, "/").await.unwrap_err();
    assert!(matches!(failure, HttpFailure::Redirect(_)), "{failure}");
}

#[tokio::test]
async fn each_way_to_tell_no_addresses_has_its_name() {
    let large = "x".repeat(70_000);
    let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(200_000));
    type Is = fn(&HttpFailure) -> bool;
    let cases: Vec<(String, Is)> = vec![
        ("HTTP/1.1 404 Not Found\r\n\r\n".to_owned(), |f| {
            matches!(f, HttpFailure::Status(404))
        }),
        ("HTTP/1.1 302 Found\r\n\r\n".to_owned(), |f| {
            matches!(f, HttpFailure::Status(302))
        }),
        (page("<html>"), |f| matches!(f, HttpFailure::Page(_))),
        (page(""), |f| matches!(f, HttpFailure::Page(_))),
        (page(&large), |f| matches!(f, HttpFailure::TooLarge)),
        ("\0\0\0\u{1}garbage".to_owned(), |f| {
            matches!(f, HttpFailure::Protocol(_))
        }),
        (String::new(), |f| matches!(f, HttpFailure::Protocol(_))),
        (endless, |f| matches!(f, HttpFailure::Protocol(_))),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\na:1".to_owned(),
            |f| matches!(f, HttpFailure::Protocol(_)),
        ),
    ];
    for (answer, is) in cases {
        let (address, _served) = server(vec![answer.clone()]).await;
        let failure = ask(&address, "/").await.unwrap_err();
        assert!(is(&failure), "{:.40?}: {failure}", answer);
    }
    let closed = super::closed_address().await;
    let failure = ask(&closed, "/").await.unwrap_err();
    assert!(matches!(failure, HttpFailure::Connect(_)), "{failure}");
}

#[tokio::test]
async fn a_page_that_does_not_come_is_not_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let url = format!("http://{address}/").parse().unwrap();
    let discovery = HttpDiscovery::new(url).with_timeout(Duration::from_millis(50));
    let error = discovery.addresses().await.unwrap_err();
    let failure = HttpFailure::of(&error).unwrap();
    assert!(matches!(failure, HttpFailure::TimedOut(_)), "{failure}");
}
