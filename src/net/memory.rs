//! The memory that the answers of servers may take together.
//!
//! Each run of the checks counts what it receives and what parsers make of that. A small amount is free, which is
//! enough for the small answers of a healthy server. A run that receives more needs a permit for the next size
//! before it reads on, and keeps that permit until it is over, because its findings are made of what was read.
//! There are so many permits of each size that all runs together stay below the memory limit of the chart,
//! whatever their servers send, and namespaces share the permits fairly. A run holds a permit of a smaller size
//! while it waits for a larger one, and never the other way round, so no deadlock can occur.

use std::{
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::Instant,
};

use crate::shares::{Permit, Permits};

const KIB: u64 = 1024;

/// How many bytes a run may take without a permit. The engine limits the number of runs.
const FREE: u64 = 64 * KIB;

/// How many bytes a run may take with a permit of the middle size. A permit of the large size covers everything
/// that one run is ever allowed to read and parse.
const MIDDLE: u64 = 1024 * KIB;

/// The number of permits of the middle size. All of them together cover 24 MiB.
const MIDDLE_PERMITS: usize = 24;

/// The number of permits of the large size. A run takes at most 8 MiB of a directory's answers, or what is made
/// of two or three documents, which takes 36 MiB; all permits together cover 108 MiB.
const LARGE_PERMITS: usize = 3;

/// How many bytes a parser may make of one document. A list of as many members of a team as fit into 1 MiB takes
/// less.
const PARSED: u64 = 16 * 1024 * KIB;

/// How long a run may keep its permits while others wait for one. Large answers of a healthy server take seconds.
const LONGEST: Duration = Duration::from_secs(15);

/// The permits for all runs of the process.
pub(super) struct AnswerMemory {
    middle: Permits<String>,
    large: Permits<String>,
}

impl Default for AnswerMemory {
    fn default() -> Self {
        Self { middle: Permits::new(MIDDLE_PERMITS), large: Permits::new(LARGE_PERMITS) }
    }
}

impl AnswerMemory {
    fn is_wanted(&self) -> bool {
        self.middle.are_wanted() || self.large.are_wanted()
    }
}

/// Counts the memory that one run of the checks has taken.
#[derive(Clone)]
pub struct Meter(Arc<MemoryRun>);

struct MemoryRun {
    memory: Arc<AnswerMemory>,
    namespace: String,
    taken: AtomicU64,
    /// The number of permits that the run has, at most one of each size.
    size: AtomicUsize,
    permits: tokio::sync::Mutex<Vec<Permit<String>>>,
    /// When the run got its first permit.
    since: OnceLock<Instant>,
    waiting: AtomicUsize,
}

/// How many permits, one of each size, this number of bytes needs.
fn permits_for(taken: u64) -> usize {
    usize::from(taken > FREE) + usize::from(taken > MIDDLE)
}

impl Meter {
    /// The meter of a run for a namespace.
    pub(super) fn new(memory: Arc<AnswerMemory>, namespace: &str) -> Self {
        Self(Arc::new(MemoryRun {
            memory,
            namespace: namespace.to_owned(),
            taken: AtomicU64::new(0),
            size: AtomicUsize::new(0),
            permits: tokio::sync::Mutex::default(),
            since: OnceLock::new(),
            waiting: AtomicUsize::new(0),
        }))
    }

    /// The namespace for which the run is.
    pub(super) fn namespace(&self) -> &str {
        &self.0.namespace
    }

    /// Counts bytes that are about to be taken, and waits until they are permitted.
    pub async fn take(&self, bytes: u64) {
        self.count(bytes);
        self.permitted().await;
    }

    /// Counts what a parser is about to make of a document, and waits until that is permitted. Returns whether
    /// the document may be parsed.
    pub async fn parse(&self, bytes: u64) -> bool {
        let fits = bytes <= PARSED;
        if fits {
            self.take(bytes).await;
        }
        fits
    }

    /// Whether the run waits for memory that other runs have.
    pub fn is_waiting(&self) -> bool {
        self.0.waiting.load(Ordering::Relaxed) > 0
    }

    /// Waits until the run has kept its permits for too long while others wait for one.
    pub async fn overstays(&self) {
        self.keeps_for(LONGEST).await;
    }

    async fn keeps_for(&self, long: Duration) {
        let mut pause = long;
        while !(self.has_kept(long) && self.0.memory.is_wanted()) {
            tokio::time::sleep(pause).await;
            pause = long.min(Duration::from_secs(1));
        }
    }

    fn has_kept(&self, long: Duration) -> bool {
        self.0.since.get().is_some_and(|since| since.elapsed() >= long)
    }

    fn count(&self, bytes: u64) {
        self.0.taken.fetch_add(bytes, Ordering::Relaxed);
    }

    fn is_permitted(&self) -> bool {
        permits_for(self.0.taken.load(Ordering::Relaxed)) <= self.0.size.load(Ordering::Relaxed)
    }

    async fn permitted(&self) {
        if self.is_permitted() {
            return;
        }
        let _waiting = Waiting::begin(&self.0.waiting);
        let mut permits = self.0.permits.lock().await;
        while !self.is_permitted() {
            let memory = &self.0.memory;
            let next = if permits.is_empty() { &memory.middle } else { &memory.large };
            permits.extend(next.take(self.0.namespace.clone()).await);
            self.0.size.store(permits.len(), Ordering::Relaxed);
            self.0.since.get_or_init(Instant::now);
        }
    }
}

/// Counts a waiting run, also if it gives up.
pub(super) struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    pub(super) fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How many bytes are read before the memory is checked again.
const READ_AT_ONCE: usize = 16 * 1024;

/// A connection that reads on only while memory is permitted for it.
pub struct Metered {
    stream: TcpStream,
    meter: Meter,
    permission: Option<BoxFuture<'static, ()>>,
}

impl Metered {
    pub(super) fn new(stream: TcpStream, meter: Meter) -> Self {
        Self { stream, meter, permission: None }
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if self.permission.is_none() && !self.meter.is_permitted() {
            let meter = self.meter.clone();
            self.permission = Some(async move { meter.permitted().await }.boxed());
        }
        if let Some(permission) = &mut self.permission {
            ready!(permission.poll_unpin(context));
            self.permission = None;
        }
        let size = buffer.remaining().min(READ_AT_ONCE);
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(size));
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut part))?;
        let read = part.filled().len();
        buffer.advance(read);
        self.meter.count(read as u64);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Metered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// An upper limit of what a parser makes of a text that may be JSON. The smallest parts take the most memory: an
/// object with one member takes a tree node with room for eleven, a list has room for four values, and a value
/// takes 32 bytes in a list that grows by doubling, and a text of its own.
pub(super) fn parsed_size(text: &[u8]) -> u64 {
    const OBJECT: u64 = 704;
    const LIST: u64 = 192;
    const MEMBER: u64 = 64;
    const PART: u64 = 96;
    // A parser makes nothing of a text that does not begin like JSON.
    if !text.trim_ascii_start().starts_with(b"{") && !text.trim_ascii_start().starts_with(b"[") {
        return 0;
    }
    let parts = text.iter().map(|byte| match byte {
        b'{' => OBJECT,
        b'[' => LIST,
        b':' => MEMBER,
        b',' => PART,
        _ => 1,
    });
    parts.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    #[tokio::test]
    async fn who_keeps_memory_for_long_is_told_only_while_others_wait() {
        const LONG: Duration = Duration::from_millis(20);
        async fn ends(meter: &Meter, within: Duration) -> bool {
            tokio::time::timeout(within, meter.keeps_for(LONG)).await.is_ok()
        }
        let memory = Arc::new(AnswerMemory::default());
        let [first, second, third, small] = [(); 4].map(|()| Meter::new(Arc::clone(&memory), "a"));
        first.take(2 * MIDDLE).await;
        second.take(2 * MIDDLE).await;
        assert!(!ends(&first, 10 * LONG).await, "nobody waits");
        {
            let mut waiting = std::pin::pin!(third.take(2 * MIDDLE));
            assert!(futures::poll!(waiting.as_mut()).is_pending());
            assert!(ends(&first, Duration::from_mins(1)).await);
            assert!(!ends(&small, 10 * LONG).await, "what has no permit keeps nothing");
        }
        assert!(!ends(&first, 10 * LONG).await, "who waited gave up");
    }

    #[test]
    fn small_answers_are_free() {
        for (taken, permits) in
            [(0, 0), (FREE, 0), (FREE + 1, 1), (MIDDLE, 1), (MIDDLE + 1, 2), (u64::MAX, 2)]
        {
            assert_eq!(permits_for(taken), permits, "{taken}");
        }
    }

    #[test]
    fn what_is_small_on_the_wire_may_be_large_in_memory() {
        let size = |text: &str| parsed_size(text.as_bytes());
        assert_eq!(size("<html>{{{{{{"), 0);
        assert_eq!(size(" \"a, b\""), 0, "a text takes what it has");
        assert!(size("{}") >= 704);
        assert!(size(&format!("[{}{{}}]", "{},".repeat(1000))) > 800_000);
        // The document has as many members as the discovery document of a large provider.
        let members: Vec<_> = (0..60).map(|number| format!("\"member_{number}\": [\"a\", \"b\"]")).collect();
        assert!(size(&format!("{{{}}}", members.join(", "))) < FREE * 2 / 3);
    }

    fn run(memory: &Arc<AnswerMemory>, namespace: &str) -> Meter {
        Meter::new(Arc::clone(memory), namespace)
    }

    #[tokio::test]
    async fn large_answers_wait_for_one_another_and_small_ones_do_not() {
        let memory = Arc::new(AnswerMemory::default());
        let large = [run(&memory, "a"), run(&memory, "a")];
        for run in &large {
            run.take(MIDDLE + 1).await;
        }
        let next = run(&memory, "a");
        assert!(next.take(MIDDLE + 1).now_or_never().is_none(), "a namespace has two of three at most");
        let mut waits = Box::pin(next.take(0));
        assert!((&mut waits).now_or_never().is_none() && next.is_waiting());
        assert!(run(&memory, "a").take(FREE).now_or_never().is_some());
        assert!(run(&memory, "a").take(MIDDLE).now_or_never().is_some());
        assert!(run(&memory, "b").take(MIDDLE + 1).now_or_never().is_some(), "another namespace has its own");
        drop(large);
        waits.await;
        assert!(!next.is_waiting());
    }

    #[tokio::test]
    async fn a_document_may_have_so_many_parts_only() {
        let memory = Arc::new(AnswerMemory::default());
        let run = run(&memory, "a");
        assert!(run.parse(PARSED).await && run.parse(PARSED).await);
        assert!(!run.parse(PARSED + 1).await);
        let member = r#"{"id":"VXNlcjoxMjM0NTY3","username":"a","email":"a@example.org","admin":false,"accountType":"USER"},"#;
        let members = member.repeat((1 << 20) / member.len());
        assert!(parsed_size(format!("[{members}]").as_bytes()) < PARSED);
    }

    #[tokio::test]
    async fn a_connection_is_read_on_once_there_is_memory() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        tokio::spawn(async move { server.write_all(&vec![0; 2 * 1024 * 1024]).await });
        let memory = Arc::new(AnswerMemory::default());
        let others = [run(&memory, "a"), run(&memory, "a")];
        for other in &others {
            other.take(MIDDLE + 1).await;
        }
        let meter = run(&memory, "a");
        let mut stream = Metered::new(stream, meter.clone());
        let mut read = vec![0; 2 * 1024 * 1024];
        {
            let mut reading = Box::pin(stream.read_exact(&mut read));
            tokio::select! {
                _ = &mut reading => panic!("all was read although another one has the memory"),
                () = async { while !meter.is_waiting() { tokio::task::yield_now().await; } } => {}
            }
            drop(others);
            reading.await.unwrap();
        }
        assert_eq!(meter.0.taken.load(Ordering::Relaxed), 2 * 1024 * 1024);
    }
}
