//! `ServerRefusal`: why W&B Server did not do what was asked, and how long it wants to receive no requests.

use std::time::Duration;

use hyper::header::{DATE, HeaderMap, RETRY_AFTER};
use jiff::Timestamp;

use crate::{
    api::{CheckName, Reason},
    engine::{Checked, Report},
    problem::Problem,
};

/// Why W&B Server did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerRefusal {
    /// The problem to report.
    pub problem: Problem,
    /// For how long the server asked to receive no further requests.
    pub retry_after: Option<Duration>,
}

impl ServerRefusal {
    pub(super) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Problem::new(reason, message).into()
    }
}

impl From<Problem> for ServerRefusal {
    fn from(problem: Problem) -> Self {
        Self { problem, retry_after: None }
    }
}

/// Runs a check that sends requests to W&B Server, and takes over the pause for which the server asks. `None` means
/// that the check failed, so that the following checks cannot run.
pub async fn check<T>(
    report: &mut Report,
    name: CheckName,
    check: impl Future<Output = Result<Checked<T>, ServerRefusal>>,
) -> Option<T> {
    let mut pause = None;
    let judged = async {
        check.await.map_err(|refusal| {
            pause = refusal.retry_after;
            refusal.problem
        })
    };
    let value = report.check(name, judged).await;
    if let Some(pause) = pause {
        report.pause(pause);
    }
    value
}

/// The longest pause that a server can ask for. A mistake in a header must not stop the operator for days.
const LONGEST_PAUSE: Duration = Duration::from_hours(1);

/// The pause that `Retry-After` asks for (RFC 9110 section 10.2.3), as a number of seconds or a date.
pub(super) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let pause = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        // The date is compared with the clock of the server that wrote it, if the answer has that time.
        let now = headers.get(DATE).and_then(|date| self::date(date.to_str().ok()?)).unwrap_or(now);
        // A date in the past asks for no pause.
        Duration::try_from(date(text)?.duration_since(now)).unwrap_or_default()
    };
    Some(pause.min(LONGEST_PAUSE))
}

fn date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sensitive::Redactor;

    #[tokio::test]
    async fn a_refusal_is_a_finding_and_a_pause() {
        let mut report = Report::new(vec![CheckName::KeyAccepted], Redactor::default());
        let pause = Some(Duration::from_secs(7));
        let limited = ServerRefusal { retry_after: pause, ..ServerRefusal::new(Reason::RateLimited, "wait") };
        let outcome = check::<()>(&mut report, CheckName::KeyAccepted, async { Err(limited) }).await;
        let findings = report.finish();
        assert_eq!((outcome, findings.pause), (None, pause));
        assert_eq!(findings.failure().unwrap().reason, Reason::RateLimited);
    }

    #[test]
    fn reads_seconds_and_dates() {
        let now = "1994-11-06T08:49:00Z".parse().unwrap();
        for (text, seconds) in [
            ("0", Some(0)),
            ("120", Some(120)),
            (" 7 ", Some(7)),
            ("3601", Some(3600)),
            ("99999999999999999999999", Some(3600)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(37)),
            ("Sun, 06 Nov 1994 08:48:00 GMT", Some(0)),
            ("Mon, 07 Nov 1994 08:48:00 GMT", Some(3600)),
            ("", None),
            ("-5", None),
            ("1.5", None),
            ("soon", None),
        ] {
            let headers = [(RETRY_AFTER, text.parse().unwrap())].into_iter().collect();
            assert_eq!(retry_after(&headers, now), seconds.map(Duration::from_secs), "{text}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
        let dates = [
            (RETRY_AFTER, "Sun, 06 Nov 1994 08:49:37 GMT".parse().unwrap()),
            (DATE, "Sun, 06 Nov 1994 08:49:30 GMT".parse().unwrap()),
        ];
        let headers = dates.into_iter().collect();
        assert_eq!(retry_after(&headers, now), Some(Duration::from_secs(7)), "by the server's own clock");
    }
}
