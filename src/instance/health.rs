//! Checks whether W&B Server answers at all.

use hyper::StatusCode;

use super::{BaseUrl, ServerRefusal, answer::Answer};
use crate::{
    api::Reason,
    engine::Checked,
    net::{HttpConnection, HttpRequest, Meter, exchange},
    sensitive::Redactor,
};

/// Requests the path that answers as soon as the server runs. Only an answer that shows that the server does not
/// work now is a failure. Any other unexpected answer is a warning, because a proxy in front of the server may use
/// that path itself.
pub async fn health(
    base_url: &BaseUrl,
    connection: HttpConnection,
    meter: &Meter,
) -> Result<Checked, ServerRefusal> {
    let url = base_url.health_url();
    let response = exchange(connection, HttpRequest::get(url.clone()), meter).await?;
    let answer = Answer { url, response, redactor: Redactor::default() };
    answer.expect_working()?;
    let (url, status) = (answer.shown_url(), answer.response.status);
    if status.is_success() {
        return Ok(Checked::passed((), format!("{url} answers with the status {}.", status.as_u16())));
    }
    let reason = if status.is_redirection() { Reason::Redirected } else { Reason::UnexpectedStatus };
    Ok(Checked::warning(
        (),
        reason,
        format!(
            "{url} answers with the status {} instead of {}. Check that spec.instance.baseURL is the address of W&B Server, if a later check fails.",
            status.as_u16(),
            StatusCode::OK.as_u16()
        ),
    ))
}
