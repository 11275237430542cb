//! The check `StartTls`: the operation after which an `ldap://` connection is encrypted.
//!
//! It is spoken here and not by the LDAP library, so that the stream comes back with nothing of it
//! left in anybody's buffer.

use lber::common::TagClass;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};

use super::message::{Allowance, closed, not_ldap, read_message};
use crate::{
    api::Reason,
    net::{Meter, Metered},
    problem::{Problem, quote},
};

/// The StartTLS request of RFC 4511 section 4.14: message 1, extended request, its object identifier.
const START_TLS: &[u8] = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037";

/// What a server says to the request.
pub enum StartTlsAnswer {
    /// The handshake may begin.
    Ready,
    /// It does not want to, with what there is to say of that.
    Refused(Problem),
}

/// Asks for encryption, and gives the stream back when the server is ready for the handshake.
pub async fn start_tls(stream: Metered, meter: &Meter) -> Result<Metered, Problem> {
    let mut stream = BufReader::new(stream);
    if let StartTlsAnswer::Refused(problem) = ask(&mut stream, meter).await? {
        return Err(problem);
    }
    // Bytes that came before encryption could be anybody's: whoever injects them wants them taken
    // for an answer on the encrypted connection.
    if stream.buffer().is_empty() {
        Ok(stream.into_inner())
    } else {
        Err(Problem::new(
            Reason::ProtocolError,
            "The server sent unencrypted data after it agreed to StartTLS. Check that nothing on the way to the server tampers with the connection.",
        ))
    }
}

/// Sends the request and reads the answer.
pub async fn ask(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    meter: &Meter,
) -> Result<StartTlsAnswer, Problem> {
    stream.write_all(START_TLS).await.map_err(|_| closed())?;
    let answer = read_message(stream, &mut Allowance::new(meter), |_| true).await?;
    let (code, text) = extended_result(&answer).ok_or_else(not_ldap)?;
    Ok(if code == 0 {
        StartTlsAnswer::Ready
    } else {
        StartTlsAnswer::Refused(start_tls_refused(code, &text))
    })
}

fn start_tls_refused(code: u64, text: &str) -> Problem {
    let said = if text.trim().is_empty() { String::new() } else { format!(", \"{}\"", quote(text)) };
    match code {
        51 | 52 => Problem::new(
            Reason::ServerUnavailable,
            format!("The server is too busy for StartTLS (code {code}{said})."),
        ),
        _ => Problem::new(
            Reason::StartTlsRefused,
            format!(
                "The server refused StartTLS (code {code}{said}). Give it a certificate, or use its ldaps:// port."
            ),
        ),
    }
}

/// Result code and text of an extended response.
fn extended_result(message: &[u8]) -> Option<(u64, String)> {
    const EXTENDED_RESPONSE: u64 = 24;
    let (_, message) = lber::parse::parse_tag(message).ok()?;
    let operation = message.expect_constructed()?.into_iter().nth(1)?;
    let operation = operation.match_class(TagClass::Application)?.match_id(EXTENDED_RESPONSE)?;
    let mut parts = operation.expect_constructed()?.into_iter();
    let code = parts.next()?.expect_primitive()?;
    let code = code.iter().fold(0, |code, byte| (code << 8) | u64::from(*byte));
    let text = parts.nth(1)?.expect_primitive()?;
    Some((code, String::from_utf8_lossy(&text).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_is_well_formed() {
        let (rest, _) = lber::parse::parse_tag(START_TLS).unwrap();
        assert!(rest.is_empty());
    }

    #[test]
    fn reads_the_response() {
        let refused = b"\x30\x0e\x02\x01\x01\x78\x09\x0a\x01\x02\x04\x00\x04\x02no";
        assert_eq!(extended_result(refused), Some((2, "no".to_owned())));
        let to_a_bind = b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00";
        assert_eq!(extended_result(to_a_bind), None);
    }
}
