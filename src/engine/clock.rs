//! The clock of the API server. It wrote the times in the cluster's objects, so only it tells how long ago they are:
//! the clock of this machine may be minutes ahead or behind.

use std::time::Instant;

use hyper::{Request, header::DATE};
use jiff::{Timestamp, fmt::rfc2822};
use kube::{Client, client::Body};

/// A time of the API server, and when this process learnt it.
#[derive(Clone, Copy, Debug)]
pub(super) struct ApiClock {
    time: Timestamp,
    learnt: Instant,
}

impl ApiClock {
    /// Asks the API server for its time, which every answer carries (`Date`, RFC 9110 section 6.6.1).
    pub(super) async fn read(client: &Client) -> Result<Self, kube::Error> {
        let request = Request::get("/version").body(Body::empty()).map_err(kube::Error::HttpError)?;
        let learnt = Instant::now();
        let answer = client.send(request).await?;
        let date = answer.headers().get(DATE).and_then(|date| parse(date.to_str().ok()?));
        // Something between both took it out.
        Ok(Self { time: date.unwrap_or_else(Timestamp::now), learnt })
    }

    /// The API server's present time, in whole seconds as it stores times.
    pub(super) fn now(self) -> Timestamp {
        let time = self.time.checked_add(self.learnt.elapsed()).unwrap_or(self.time);
        Timestamp::from_second(time.as_second()).unwrap_or_default()
    }
}

fn parse(date: &str) -> Option<Timestamp> {
    rfc2822::parse(date).ok().map(|date| date.timestamp())
}

#[cfg(test)]
mod tests {
    use kube::Config;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// What is told by a clock of which the API server says this.
    async fn told(date: &str) -> Timestamp {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answer = format!("HTTP/1.1 403 Forbidden\r\n{date}Content-Length: 0\r\n\r\n");
        let server = async {
            let (mut connection, _) = listener.accept().await.unwrap();
            let _ = connection.read(&mut [0; 1024]).await.unwrap();
            connection.write_all(answer.as_bytes()).await.unwrap();
            connection
        };
        let client = Client::try_from(Config::new(format!("http://{address}").parse().unwrap())).unwrap();
        let (clock, _) = tokio::join!(ApiClock::read(&client), server);
        clock.unwrap().now()
    }

    #[tokio::test]
    async fn tells_the_time_of_the_api_server_however_far_away_it_is() {
        for date in ["Sun, 06 Nov 1994 08:49:37 GMT", "Tue, 06 Nov 2057 08:49:37 GMT"] {
            let expected = parse(date).unwrap();
            let told = told(&format!("Date: {date}\r\n")).await;
            assert!(told >= expected && told.duration_since(expected).as_secs() < 60, "{told}");
        }
        assert!(told("").await.duration_since(Timestamp::now()).abs().as_secs() < 60);
    }
}
