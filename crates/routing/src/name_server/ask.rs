//! Questions to name servers that are not for a route.

use std::sync::Arc;

use bytes::Bytes;
use rocketmq_producer_remoting::{RequestHeader, Response, ResponseCode};
use tokio::time::Instant;

use super::{
    AttemptCause, NameServerAttempt, NameServerClient, NameServerError, fair_share, is_not_ready,
    servers::Server,
};

impl NameServerClient {
    /// Asks one name server after the other until one answers with success, all within `deadline`. Returns its address
    /// and the answer.
    ///
    /// # Errors
    /// A [`NameServerError`] that says what each address did.
    ///
    /// # Cancel safety
    /// As safe as the request.
    pub async fn ask<H: RequestHeader + Sync>(
        &self,
        header: &H,
        deadline: Instant,
    ) -> Result<(Arc<str>, Response), NameServerError> {
        let servers = self.servers(deadline).await?;
        let mut attempts = Vec::with_capacity(servers.len());
        let mut turn = servers.in_turn();
        let mut left = turn.len();
        while let Some((place, server)) = turn.next() {
            let now = Instant::now();
            let share = fair_share(deadline.saturating_duration_since(now), left);
            left = turn.len();
            match answer_of(server, header, now + share).await {
                Ok(response) => {
                    servers.stay_at(place);
                    return Ok((Arc::clone(&server.address), response));
                }
                Err(cause) => {
                    attempts.push(NameServerAttempt::new(Arc::clone(&server.address), cause));
                }
            }
        }
        servers.go_on();
        Err(NameServerError::of(attempts.into()))
    }

    /// Asks the name server at `address`, which need not be one of those in use.
    ///
    /// # Errors
    /// What came of it, if it is no answer with success.
    ///
    /// # Cancel safety
    /// As safe as the request.
    pub async fn ask_at<H: RequestHeader + Sync>(
        &self,
        address: &str,
        header: &H,
        deadline: Instant,
    ) -> Result<Response, AttemptCause> {
        let server = Server::new(&Arc::from(address), &self.shared.pool);
        answer_of(&server, header, deadline).await
    }
}

async fn answer_of<H: RequestHeader + Sync>(
    server: &Server,
    header: &H,
    deadline: Instant,
) -> Result<Response, AttemptCause> {
    let connection = server
        .endpoint()
        .connection(deadline)
        .await
        .map_err(AttemptCause::Connect)?;
    let response = connection
        .request(header, &Bytes::new(), deadline)
        .await
        .map_err(AttemptCause::Request)?;
    let remark = || Arc::from(response.remark().unwrap_or_default());
    match response.code() {
        ResponseCode::SUCCESS => Ok(response),
        ResponseCode::TOPIC_NOT_EXIST => Err(AttemptCause::TopicNotFound),
        code if is_not_ready(code) => Err(AttemptCause::NotReady {
            code,
            remark: remark(),
        }),
        code => Err(AttemptCause::Refused {
            code,
            remark: remark(),
        }),
    }
}
