//! A proxy in front of the API server, which counts what changes something and can lose an answer.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::{Context, Result};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::ControlPlane;
use super::faults::{Fault, Faults};
use crate::hostile::{Request, TcpServer};

/// A proxy for the API server of a [`ControlPlane`] on a port of its own, over plain http.
///
/// It passes on who asks and everything else, one request a connection. Requests that change
/// something wait for each other, so that their order is certain. Leases are no part of all this:
/// they are renewed by the clock.
#[derive(Debug)]
pub struct ApiProxy {
    server: TcpServer,
    ledger: Arc<Ledger>,
    faults: Arc<Faults>,
    skew: Arc<Skew>,
}

/// A request that has changed something: the API server performed it and said so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mutation {
    /// `POST`, `PUT`, `PATCH` or `DELETE`.
    pub method: String,
    /// The path with the query.
    pub path: String,
}

#[derive(Debug, Default)]
struct Ledger {
    /// Held by the one request that may change something.
    turn: Mutex<()>,
    /// How many answers have been lost; a request that has waited through one is not performed.
    lost: AtomicUsize,
    /// Held while an answer is being lost.
    springing: Mutex<()>,
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    mutations: Vec<Mutation>,
    trap: Option<Trap>,
    refusal: Option<Refusing>,
}

/// The clock of an API server that goes wrong.
#[derive(Debug, Default)]
struct Skew {
    /// By how many seconds it is ahead.
    ahead: AtomicI64,
    /// How many answers told of it.
    answers: AtomicUsize,
}

/// What becomes of a request that is not to get its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It gets this HTTP status instead of being performed.
    Answer(u16),
    /// It is performed, and gets this HTTP status all the same.
    AnswerAfter(u16),
    /// The connection ends instead of its being performed.
    Lost,
    /// It is performed, and then the connection ends.
    LostAfter,
}

/// What is refused, how, and how often it was.
struct Refusing {
    is_meant: Box<dyn Fn(&Mutation) -> bool + Send>,
    how: Refusal,
    count: usize,
}

struct Trap {
    is_meant: Box<dyn Fn(&Mutation) -> bool + Send>,
    /// The mutations of that sort until it springs.
    left: usize,
    spring: Box<dyn FnOnce(&Mutation) + Send>,
}

impl ApiProxy {
    /// Starts a proxy for this API server.
    pub fn start(control_plane: &ControlPlane) -> Result<Self> {
        let address = control_plane.client.address;
        let tls = control_plane.client.tls.clone().context("the API server is spoken to over TLS")?;
        let ledger = Arc::new(Ledger::default());
        let faults = Arc::new(Faults::default());
        let skew = Arc::new(Skew::default());
        let (recording, failing, dating) = (ledger.clone(), faults.clone(), skew.clone());
        let server = TcpServer::script(move |client| {
            // A client that has been killed breaks off anywhere.
            let _ = pass_on(client, address, &tls, &recording, &failing, &dating);
        })?;
        Ok(Self { server, ledger, faults, skew })
    }

    /// From now on, requests have the fault that this chooses for their method and path, if it chooses one. It is
    /// asked for every request, also those that change nothing.
    pub fn fail(&self, choice: impl Fn(&str, &str) -> Option<Fault> + Send + Sync + 'static) {
        self.fail_requests(move |request| choice(&request.method, &request.path));
    }

    /// The same, by the whole request.
    pub fn fail_requests(&self, choice: impl Fn(&Request) -> Option<Fault> + Send + Sync + 'static) {
        self.faults.choose(Some(Arc::new(choice)));
    }

    /// From now on, the dates of its answers are ahead of the API server's by so many seconds.
    pub fn set_clock_ahead(&self, seconds: i64) {
        self.skew.ahead.store(seconds, Ordering::SeqCst);
    }

    /// How many answers had such a date.
    pub fn skewed_answers(&self) -> usize {
        self.skew.answers.load(Ordering::SeqCst)
    }

    /// Passes everything on again.
    pub fn heal(&self) {
        self.faults.choose(None);
    }

    /// Closes every connection and, until it is healed, each new one, as when the API server is killed.
    pub fn go_down(&self) {
        self.fail(|_, _| Some(Fault::Close));
        self.server.close_connections();
    }

    /// How many connections it has had.
    pub fn connections(&self) -> usize {
        self.server.connections()
    }

    /// What a kubeconfig has as the server.
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// What has changed something so far, in the order in which it was done.
    pub fn mutations(&self) -> Vec<Mutation> {
        self.ledger.entries().mutations.clone()
    }

    /// Loses the answer to the request that will be the `count`-th from now to change something.
    ///
    /// Between the API server's answer and the end of the client's connection the closure is called,
    /// to kill the client there. Nothing else changes anything meanwhile, and requests of the client
    /// that wait for that are dropped.
    pub fn lose_answer(&self, count: usize, then: impl FnOnce(&Mutation) + Send + 'static) {
        self.lose_answer_to(|_| true, count, then);
    }

    /// The same for the `count`-th request from now of one sort.
    pub fn lose_answer_to(
        &self,
        is_meant: impl Fn(&Mutation) -> bool + Send + 'static,
        count: usize,
        then: impl FnOnce(&Mutation) + Send + 'static,
    ) {
        let (is_meant, spring) = (Box::new(is_meant), Box::new(then));
        self.ledger.entries().trap = Some(Trap { is_meant, left: count, spring });
    }

    /// Loses no answer any more, and tells whether one was still to be lost. Otherwise it has been lost, with all that
    /// was to happen then.
    pub fn disarm(&self) -> bool {
        let is_armed = self.ledger.entries().trap.take().is_some();
        if !is_armed {
            drop(self.ledger.springing());
        }
        is_armed
    }

    /// Refuses every request that changes something and is meant, until [`Self::relent`].
    pub fn refuse(&self, how: Refusal, is_meant: impl Fn(&Mutation) -> bool + Send + 'static) {
        self.ledger.entries().refusal = Some(Refusing { is_meant: Box::new(is_meant), how, count: 0 });
    }

    /// How many requests have been refused since [`Self::refuse`].
    pub fn refused(&self) -> usize {
        self.ledger.entries().refusal.as_ref().map_or(0, |refusing| refusing.count)
    }

    /// Refuses nothing any more.
    pub fn relent(&self) {
        self.ledger.entries().refusal = None;
    }

    /// Whether an answer is still to be lost. It may be lost right after this: [`Self::disarm`] tells it for good.
    pub fn is_armed(&self) -> bool {
        self.ledger.entries().trap.is_some()
    }
}

impl fmt::Display for Mutation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.method, self.path)
    }
}

impl fmt::Debug for Refusing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}, {} times", self.how, self.count)
    }
}

impl fmt::Debug for Trap {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Trap in {}", self.left)
    }
}

impl Ledger {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn springing(&self) -> MutexGuard<'_, ()> {
        self.springing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How the request is refused, if it is.
    fn refusal(&self, mutation: &Mutation) -> Option<Refusal> {
        let mut entries = self.entries();
        let refusing = entries.refusal.as_mut().filter(|refusing| (refusing.is_meant)(mutation))?;
        refusing.count += 1;
        Some(refusing.how)
    }

    /// Tells whether the answer may be passed on.
    fn record(&self, mutation: &Mutation) -> bool {
        let mut entries = self.entries();
        entries.mutations.push(mutation.clone());
        if let Some(trap) = entries.trap.as_mut().filter(|trap| (trap.is_meant)(mutation)) {
            trap.left = trap.left.saturating_sub(1);
        }
        let Some(trap) = entries.trap.take_if(|trap| trap.left == 0) else { return true };
        // Who finds no trap any more waits for what it does.
        let _springing = self.springing();
        // The closure may ask the proxy.
        drop(entries);
        (trap.spring)(mutation);
        self.lost.fetch_add(1, Ordering::SeqCst);
        false
    }
}

fn pass_on(
    client: &TcpStream,
    address: SocketAddr,
    tls: &Arc<ClientConfig>,
    ledger: &Ledger,
    faults: &Faults,
    skew: &Skew,
) -> Result<()> {
    let lost_before = ledger.lost.load(Ordering::SeqCst);
    let request = Request::read(client)?;
    if let Some(fault) = faults.of(&request) {
        return fault.happen(client);
    }
    let is_lease = request.path.contains("/leases");
    if is_lease || matches!(request.method.as_str(), "GET" | "HEAD" | "OPTIONS") {
        let upstream = TcpStream::connect(address)?;
        end_with(client, &upstream)?;
        let ahead = skew.ahead.load(Ordering::SeqCst);
        if ahead != 0 && request.path == "/version" {
            let mut answer = Vec::new();
            forward(&request, upstream, tls, &mut answer)?;
            let mut client = client;
            client.write_all(&with_date(&answer, ahead)?)?;
            skew.answers.fetch_add(1, Ordering::SeqCst);
            return Ok(());
        }
        return forward(&request, upstream, tls, client);
    }

    let _turn = ledger.turn.lock().unwrap_or_else(PoisonError::into_inner);
    if ledger.lost.load(Ordering::SeqCst) != lost_before {
        return Ok(());
    }
    let mutation = Mutation { method: request.method.clone(), path: request.path.clone() };
    let refusal = ledger.refusal(&mutation);
    let mut answer = Vec::new();
    if matches!(refusal, None | Some(Refusal::AnswerAfter(_) | Refusal::LostAfter)) {
        forward(&request, TcpStream::connect(address)?, tls, &mut answer)?;
    }
    match refusal {
        None => {}
        Some(Refusal::Lost | Refusal::LostAfter) => return Ok(()),
        Some(Refusal::Answer(code) | Refusal::AnswerAfter(code)) => {
            let mut client = client;
            client.write_all(no(code).as_bytes())?;
            return Ok(());
        }
    }
    if !is_success(&answer) || ledger.record(&mutation) {
        let mut client = client;
        client.write_all(&answer)?;
    }
    Ok(())
}

/// Ends the connection to the API server when the client goes, which would else be read to the end
/// of a watch.
fn end_with(client: &TcpStream, upstream: &TcpStream) -> Result<()> {
    let (mut client, upstream) = (client.try_clone()?, upstream.try_clone()?);
    thread::spawn(move || {
        let _ = io::copy(&mut client, &mut io::sink());
        let _ = upstream.shutdown(std::net::Shutdown::Both);
    });
    Ok(())
}

/// Sends the request and copies the answer as it comes.
fn forward(
    request: &Request,
    upstream: TcpStream,
    tls: &Arc<ClientConfig>,
    mut answer: impl Write,
) -> Result<()> {
    let address = upstream.peer_addr()?;
    let connection = ClientConnection::new(tls.clone(), ServerName::from(address.ip()))?;
    let mut upstream = StreamOwned::new(connection, upstream);
    let mut head =
        format!("{} {} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n", request.method, request.path);
    let own = ["host", "connection"];
    for (name, value) in request.headers.iter().filter(|(name, _)| !own.contains(&name.as_str())) {
        head.extend([name, ": ", value, "\r\n"]);
    }
    head.push_str("\r\n");
    upstream.write_all(head.as_bytes())?;
    upstream.write_all(request.body.as_bytes())?;
    upstream.flush()?;

    let mut part = [0; 16 * 1024];
    loop {
        let length = upstream.read(&mut part)?;
        let Some(read) = part.get(..length).filter(|read| !read.is_empty()) else { return Ok(()) };
        answer.write_all(read)?;
    }
}

/// The answer with a date that is ahead by so many seconds.
fn with_date(answer: &[u8], ahead: i64) -> Result<Vec<u8>> {
    let text = String::from_utf8(answer.to_vec())?;
    let now = k8s_openapi::jiff::Timestamp::now()
        .checked_add(k8s_openapi::jiff::SignedDuration::from_secs(ahead))?;
    let date = now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let line = |line: &str| match line.split_once(':') {
        Some((name, _)) if name.eq_ignore_ascii_case("date") => format!("Date: {date}"),
        _ => line.to_owned(),
    };
    let (head, body) = text.split_once("\r\n\r\n").context("an answer has a head")?;
    let head: Vec<_> = head.split("\r\n").map(line).collect();
    Ok(format!("{}\r\n\r\n{body}", head.join("\r\n")).into_bytes())
}

/// The words of every refusal.
pub const REFUSED: &str = "the harness says no";

/// An answer as the API server gives it where it or a webhook refuses.
fn no(code: u16) -> String {
    let reason = match code {
        400 => "BadRequest",
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        410 => "Gone",
        413 => "RequestEntityTooLarge",
        422 => "Invalid",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "InternalError",
    };
    let body = serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": REFUSED, "reason": reason, "code": code, "details": {"retryAfterSeconds": 1},
    });
    let body = body.to_string();
    format!(
        "HTTP/1.1 {code} No\r\nContent-Type: application/json\r\nRetry-After: 1\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn is_success(answer: &[u8]) -> bool {
    answer.starts_with(b"HTTP/1.1 2")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::time::Duration;

    use futures::{StreamExt, pin_mut};
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::api::{DeleteParams, PostParams, WatchEvent, WatchParams};
    use kube::config::{KubeConfigOptions, Kubeconfig};
    use kube::{Api, Client, Config};
    use serde_json::json;

    use super::*;
    use crate::User;
    use crate::process::{PATIENCE, wait_until};

    async fn config_maps(control_plane: &ControlPlane, proxy: &ApiProxy) -> Result<Api<ConfigMap>> {
        let kubeconfig = Kubeconfig::read_from(control_plane.kubeconfig(User::Admin))?;
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        config.cluster_url = proxy.url().parse()?;
        Ok(Api::namespaced(Client::try_from(config)?, "default"))
    }

    fn config_map(name: &str) -> Result<ConfigMap> {
        Ok(serde_json::from_value(json!({ "metadata": { "name": name } }))?)
    }

    #[tokio::test]
    async fn only_what_changes_something_counts() -> Result<()> {
        let control_plane = ControlPlane::shared().await?;
        let proxy = ApiProxy::start(control_plane)?;
        let api = config_maps(control_plane, &proxy).await?;
        let map = config_map("counted")?;
        api.create(&PostParams::default(), &map).await?;
        assert!(api.create(&PostParams::default(), &map).await.is_err());
        api.get("counted").await?;
        api.delete("counted", &DeleteParams::default()).await?;
        let counted: Vec<_> = proxy.mutations().iter().map(ToString::to_string).collect();
        let path = "/api/v1/namespaces/default/configmaps";
        assert_eq!(counted, [format!("POST {path}?"), format!("DELETE {path}/counted?")]);
        Ok(())
    }

    #[tokio::test]
    async fn the_answer_is_lost_after_the_request_was_performed() -> Result<()> {
        let control_plane = ControlPlane::shared().await?;
        let proxy = ApiProxy::start(control_plane)?;
        let api = config_maps(control_plane, &proxy).await?;
        let (sender, sprung) = std::sync::mpsc::channel();
        proxy.lose_answer(2, move |mutation| drop(sender.send(mutation.clone())));
        api.create(&PostParams::default(), &config_map("lost-1")?).await?;
        assert!(proxy.is_armed());
        assert!(api.create(&PostParams::default(), &config_map("lost-2")?).await.is_err());
        assert!(!proxy.is_armed() && !proxy.disarm());
        assert_eq!(Some(&sprung.try_recv()?), proxy.mutations().last());
        proxy.lose_answer(1, |_| ());
        assert!(proxy.disarm());
        api.get("lost-2").await?;
        api.create(&PostParams::default(), &config_map("lost-3")?).await?;
        assert_eq!(proxy.mutations().len(), 3);
        Ok(())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_comes_too_late_to_disarm_waits_for_what_happens() -> Result<()> {
        let control_plane = ControlPlane::shared().await?;
        let proxy = ApiProxy::start(control_plane)?;
        let api = config_maps(control_plane, &proxy).await?;
        let has_happened = Arc::new(AtomicBool::new(false));
        let happens = has_happened.clone();
        proxy.lose_answer(1, move |_| {
            thread::sleep(Duration::from_millis(300));
            happens.store(true, Ordering::SeqCst);
        });
        let map = config_map("lost-slowly")?;
        let created = tokio::spawn(async move { api.create(&PostParams::default(), &map).await.is_ok() });
        wait_until(PATIENCE, "lost answer", || Ok(!proxy.is_armed()))?;
        assert!(!proxy.disarm());
        assert!(has_happened.load(Ordering::SeqCst));
        assert!(!created.await?);
        Ok(())
    }

    #[tokio::test]
    async fn watches_stream() -> Result<()> {
        let control_plane = ControlPlane::shared().await?;
        let proxy = ApiProxy::start(control_plane)?;
        let api = config_maps(control_plane, &proxy).await?;
        let watched =
            WatchParams::default().fields("metadata.name=watched-through-the-proxy").disable_bookmarks();
        let events = api.watch(&watched, "0").await?;
        pin_mut!(events);
        api.create(&PostParams::default(), &config_map("watched-through-the-proxy")?).await?;
        let event = tokio::time::timeout(PATIENCE, events.next()).await?;
        assert!(matches!(event, Some(Ok(WatchEvent::Added(_)))), "{event:?}");
        drop(proxy);
        // The watch itself would go on for minutes.
        let end = tokio::time::timeout(PATIENCE, events.next()).await?;
        assert!(!matches!(end, Some(Ok(WatchEvent::Added(_)))), "{end:?}");
        Ok(())
    }
}
