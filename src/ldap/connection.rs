//! One LDAP connection over a stream that the network module has dialled.
//!
//! The `ldap3` crate only speaks the protocol: it gets one end of a socket pair, and every message
//! of the server is read and judged by [`message`] before it goes in. There are no tasks: the
//! library and the pump between the two run only while an operation is awaited, so that dropping
//! the connection ends everything.

use std::{
    io,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering},
    },
    time::Duration,
};

use futures::{
    FutureExt,
    future::{BoxFuture, Either, select},
};
use lber::structure::{PL, StructureTag};
use ldap3::{
    Ldap, LdapConnAsync, LdapConnSettings, LdapError, LdapResult, Scope, SearchOptions, SearchStream,
    StdStream, controls::RawControl,
};
use tokio::{
    io::{AsyncWriteExt, BufReader},
    net::{UnixStream, unix::OwnedWriteHalf},
};

use super::{
    entry::Entry,
    message::{Allowance, Heading, not_ldap, read_message},
};
use crate::{
    api::Reason,
    net::{Duplex, Meter},
    problem::Problem,
};

/// A connection to a directory.
pub struct Connection {
    ldap: Ldap,
    /// Carries messages between the library and the server; ends when the connection does, with the cause.
    carrier: BoxFuture<'static, Problem>,
    /// Why the connection is over.
    over: Option<Problem>,
    /// The last search that was left: no more entries are wanted of it and of earlier ones.
    left: Arc<AtomicI32>,
}

/// What is looked for.
pub struct Query<'a> {
    /// Where to begin.
    pub base: &'a str,
    /// The entry itself or all below it.
    pub scope: Scope,
    /// Which entries.
    pub filter: &'a str,
    /// Which of their attributes.
    pub attributes: &'a [&'a str],
    /// The most entries that are wanted.
    pub limit: u16,
    /// Whether their values are wanted.
    pub content: AttributeSelection,
}

/// What is wanted of an entry's attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttributeSelection {
    /// Names and values.
    Values,
    /// Names only, which keeps the answer small whatever the size of the entry.
    Names,
}

/// What a search gave.
pub struct SearchAnswer {
    /// The entries, at most as many as were wanted.
    pub entries: Vec<Entry>,
    /// Whether the server said that some entries are elsewhere.
    pub refers_elsewhere: bool,
    /// How the search ended.
    pub ending: Ending,
}

/// How a search ended.
pub enum Ending {
    /// The server said so, with this result.
    Result(LdapResult),
    /// It was left, since the server had more to send than is wanted.
    Left,
}

impl Connection {
    /// Takes a stream over. Nothing is sent yet.
    pub async fn open(stream: Box<dyn Duplex>, meter: &Meter) -> Result<Self, Problem> {
        let (library_end, pump_end) = socket_pair().map_err(|_| no_socket_pair())?;
        let settings = LdapConnSettings::new().set_std_stream(StdStream::Unix(library_end));
        // The URL only tells the library that its stream is a Unix socket.
        let (driver, ldap) =
            LdapConnAsync::with_settings(settings, "ldapi://pump").await.map_err(|_| no_socket_pair())?;
        let driver = AssertUnwindSafe(driver.drive()).catch_unwind();
        let left = Arc::new(AtomicI32::new(NOTHING_LEFT));
        let pump = pump(stream, pump_end, left.clone(), meter.clone());
        let carrier = async { tokio::join!(pump, driver).0 }.boxed();
        Ok(Self { ldap, carrier, over: None, left })
    }

    /// Whether no further operation can succeed.
    pub fn is_over(&self) -> bool {
        self.over.is_some()
    }

    /// Binds with a name and a password, both empty for anonymous.
    pub async fn bind(
        &mut self,
        name: &str,
        password: &str,
        control: RawControl,
    ) -> Result<LdapResult, Problem> {
        let mut ldap = self.ldap.clone();
        self.run(async move { ldap.with_controls(control).simple_bind(name, password).await }).await
    }

    /// Searches, and reads as much of the answer as is wanted.
    pub async fn search(&mut self, query: &Query<'_>) -> Result<SearchAnswer, Problem> {
        let (ldap, left) = (self.ldap.clone(), self.left.clone());
        let collected = self.run(collect(ldap, query, &left)).await?;
        let ending = match collected.end {
            ConnectionEnd::Result(result) => Ending::Result(result),
            ConnectionEnd::Surplus => Ending::Left,
            // An entry has one name, so a second one of that name is nonsense.
            ConnectionEnd::Unfinished(_) if query.scope == Scope::Base => {
                return Err(self.give_up(not_ldap()));
            }
            ConnectionEnd::Unfinished(id) => {
                let mut ldap = self.ldap.clone();
                self.run(async move { ldap.abandon(id).await }).await?;
                Ending::Left
            }
        };
        let entries = collected.entries.into_iter().map(Entry::read).collect::<Option<_>>();
        let entries = entries.ok_or_else(not_ldap)?;
        Ok(SearchAnswer { entries, refers_elsewhere: collected.refers_elsewhere, ending })
    }

    /// Tells the server that nothing more will come.
    pub async fn close(mut self) {
        let mut ldap = self.ldap.clone();
        let sent = self.run(async move { ldap.unbind().await }).await;
        if sent.is_ok() && self.over.is_none() {
            // The pump ends once everything is on its way.
            self.carrier.await;
        }
    }

    /// Awaits an operation while the carrier carries.
    async fn run<T>(&mut self, operation: impl Future<Output = Result<T, LdapError>>) -> Result<T, Problem> {
        if let Some(problem) = &self.over {
            return Err(problem.clone());
        }
        // The library panics on messages that are well-formed but not as the protocol has them.
        let operation = std::pin::pin!(AssertUnwindSafe(operation).catch_unwind());
        let outcome = match select(operation, &mut self.carrier).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right((problem, operation)) => {
                self.over = Some(problem);
                // Whatever arrived before the end is still delivered.
                operation.await
            }
        };
        match outcome {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(_)) => Err(self.cause().await),
            Err(_panic) => Err(self.give_up(not_ldap())),
        }
    }

    /// Why the library reports an error: all of its errors here are about the connection.
    async fn cause(&mut self) -> Problem {
        let problem = match self.over.take() {
            Some(problem) => problem,
            None => (&mut self.carrier).await,
        };
        self.give_up(problem)
    }

    fn give_up(&mut self, problem: Problem) -> Problem {
        self.over = Some(problem.clone());
        problem
    }
}

/// Operations are numbered from 1 on.
const NOTHING_LEFT: i32 = 0;

/// How long the end of a search is waited for that has more entries than are wanted. Servers that ignore
/// limits are often simple ones, which send everything at once, and to which the request to abandon a
/// search is nothing but a reason to close the connection.
const SURPLUS_TIME: Duration = Duration::from_millis(300);

/// The most values that are kept of one search. A sample of people who are in hundreds of groups each
/// is left when it has this many.
const VALUES_LIMIT: usize = 10_000;

/// What a search gave, unread.
struct Collected {
    entries: Vec<StructureTag>,
    refers_elsewhere: bool,
    end: ConnectionEnd,
}

enum ConnectionEnd {
    /// The server was through, with this result.
    Result(LdapResult),
    /// The server was through with more than is wanted.
    Surplus,
    /// The server is not through with the operation of this number.
    Unfinished(i32),
}

async fn collect(mut ldap: Ldap, query: &Query<'_>, left: &AtomicI32) -> Result<Collected, LdapError> {
    const ENTRY: u64 = 4;
    let options = SearchOptions::new()
        .sizelimit(i32::from(query.limit))
        .typesonly(query.content == AttributeSelection::Names);
    let mut stream = ldap
        .with_search_options(options)
        .streaming_search(query.base, query.scope, query.filter, query.attributes.to_vec())
        .await?;
    let id = stream.ldap_handle().last_id();
    let mut entries = Vec::new();
    let mut values = 0;
    let mut refers_elsewhere = false;
    while let Some(item) = stream.next().await? {
        refers_elsewhere |= item.is_ref();
        if item.0.id != ENTRY {
            continue;
        }
        // Some servers ignore the limit, and would send everybody.
        if entries.len() == usize::from(query.limit) || values > VALUES_LIMIT {
            let end = match query.scope {
                Scope::Base => ConnectionEnd::Unfinished(id),
                Scope::OneLevel | Scope::Subtree => {
                    left.store(id, Ordering::Relaxed);
                    match tokio::time::timeout(SURPLUS_TIME, exhaust(&mut stream)).await {
                        Ok(through) => through.map(|()| ConnectionEnd::Surplus)?,
                        Err(_) => ConnectionEnd::Unfinished(id),
                    }
                }
            };
            let _ = stream.finish().await;
            return Ok(Collected { entries, refers_elsewhere, end });
        }
        values += count_primitives(&item.0);
        entries.push(item.0);
    }
    Ok(Collected { entries, refers_elsewhere, end: ConnectionEnd::Result(stream.finish().await) })
}

async fn exhaust<'a>(stream: &mut SearchStream<'a, &'a str, Vec<&'a str>>) -> Result<(), LdapError> {
    while stream.next().await?.is_some() {}
    Ok(())
}

/// How many values there are in a message, its names included. Messages do not nest deep.
fn count_primitives(tag: &StructureTag) -> usize {
    match &tag.payload {
        PL::P(_) => 1,
        PL::C(parts) => parts.iter().map(count_primitives).sum(),
    }
}

fn socket_pair() -> io::Result<(std::os::unix::net::UnixStream, UnixStream)> {
    let (library_end, pump_end) = std::os::unix::net::UnixStream::pair()?;
    pump_end.set_nonblocking(true)?;
    Ok((library_end, UnixStream::from_std(pump_end)?))
}

fn no_socket_pair() -> Problem {
    Problem::new(
        Reason::ConnectionFailed,
        "The operator could not open another socket. Raise its limit of open files.",
    )
}

/// Carries bytes to the server and whole messages back, until either side ends.
async fn pump(server: Box<dyn Duplex>, library: UnixStream, left: Arc<AtomicI32>, meter: Meter) -> Problem {
    let (from_server, mut to_server) = tokio::io::split(server);
    let (mut from_library, to_library) = library.into_split();
    let requests = async {
        match tokio::io::copy(&mut from_library, &mut to_server).await {
            Ok(_) => {
                // The library gave up on an answer, or has sent its farewell.
                let _ = to_server.shutdown().await;
                not_ldap()
            }
            // A server that no longer listens may still have told why.
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        problem = pass_answers_on(BufReader::new(from_server), to_library, &left, &meter) => problem,
        problem = requests => problem,
    }
}

async fn pass_answers_on(
    mut server: impl tokio::io::AsyncRead + Unpin,
    mut library: OwnedWriteHalf,
    left: &AtomicI32,
    meter: &Meter,
) -> Problem {
    let mut allowance = Allowance::new(meter);
    let is_wanted = |heading: Heading| !heading.is_found() || heading.id > left.load(Ordering::Relaxed);
    loop {
        match read_message(&mut server, &mut allowance, is_wanted).await {
            Err(problem) => return problem,
            Ok(message) => {
                if library.write_all(&message).await.is_err() {
                    return not_ldap();
                }
            }
        }
    }
}
