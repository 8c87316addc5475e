//! A network that misbehaves on request: a TCP proxy in this process.
//!
//! ```ignore
//! let proxy = Proxy::to(server.address().port).cut_after(100_000).once().start();
//! cli.run(["run", "--source", &database.url_through(proxy.port())]);
//! assert_eq!(proxy.faults(), 1);
//! ```
//!
//! "Down" is from the server to the client, the direction in which data flows.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::sleep;

/// Small enough for a slow line to be slow evenly.
const CHUNK_BYTES: usize = 16 * 1024;

/// What the network will do; [`start`](Builder::start) makes it so.
#[derive(Clone, Debug)]
pub(crate) struct Builder {
    upstream: u16,
    latency: Duration,
    kbit_per_s: Option<u64>,
    fault: Option<(Fault, u64)>,
    once: bool,
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    Cut,
    Hang,
}

impl Builder {
    /// Everything the client sends arrives this much later, so each round trip takes it longer.
    pub(crate) fn latency(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    /// Limits what comes down on each connection, in kilobits a second.
    pub(crate) fn kbps(mut self, kbit_per_s: u64) -> Self {
        self.kbit_per_s = Some(kbit_per_s);
        self
    }

    /// Closes a connection after exactly this many bytes down.
    pub(crate) fn cut_after(mut self, bytes_down: u64) -> Self {
        self.fault = Some((Fault::Cut, bytes_down));
        self
    }

    /// Keeps a connection open but silent after exactly this many bytes down.
    pub(crate) fn hang_after(mut self, bytes_down: u64) -> Self {
        self.fault = Some((Fault::Hang, bytes_down));
        self
    }

    /// Only the first connection that gets so far meets the fault; a retry passes.
    pub(crate) fn once(mut self) -> Self {
        self.once = true;
        self
    }

    /// Starts to listen, on a free port of 127.0.0.1 and a thread of its own.
    pub(crate) fn start(self) -> Proxy {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        listener
            .set_nonblocking(true)
            .expect("a listener that tokio can poll");
        let port = listener.local_addr().expect("an address").port();
        let line = Arc::new(Line {
            settings: self,
            ..Line::default()
        });
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn({
            let line = Arc::clone(&line);
            move || listen(listener, &line, stopped)
        });
        Proxy {
            port,
            line,
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

/// A listening proxy; it and its connections end when dropped.
pub(crate) struct Proxy {
    port: u16,
    line: Arc<Line>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// A proxy to a port of 127.0.0.1, well-behaved until told otherwise.
    pub(crate) fn to(upstream: u16) -> Builder {
        Builder {
            upstream,
            latency: Duration::ZERO,
            kbit_per_s: None,
            fault: None,
            once: false,
        }
    }

    /// Where clients connect.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// From now on everything that clients send arrives so much later, on open connections too.
    pub(crate) fn slow_down(&self, latency: Duration) {
        let millis = u64::try_from(latency.as_millis()).expect("a latency");
        self.line.latency_ms.store(millis, Ordering::SeqCst);
    }

    /// How many connections were opened so far.
    pub(crate) fn connections(&self) -> usize {
        self.line.connections.load(Ordering::SeqCst)
    }

    /// How many connections met the fault so far: a test of a fault should see that it happened.
    pub(crate) fn faults(&self) -> usize {
        self.line.faults.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(
                ended.is_ok() || std::thread::panicking(),
                "the proxy panicked"
            );
        }
    }
}

/// What all connections share.
struct Line {
    settings: Builder,
    latency_ms: AtomicU64,
    connections: AtomicUsize,
    faults: AtomicUsize,
    spent: AtomicBool,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            settings: Proxy::to(0),
            latency_ms: AtomicU64::new(0),
            connections: AtomicUsize::new(0),
            faults: AtomicUsize::new(0),
            spent: AtomicBool::new(false),
        }
    }
}

fn listen(listener: std::net::TcpListener, line: &Arc<Line>, stopped: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(async {
        let listener = TcpListener::from_std(listener).expect("a listener");
        let accept = async {
            while let Ok((client, _)) = listener.accept().await {
                line.connections.fetch_add(1, Ordering::SeqCst);
                let line = Arc::clone(line);
                // A broken connection is what the proxy is for: nobody to tell.
                tokio::spawn(async move { line.carry(client).await.ok() });
            }
        };
        tokio::select! {
            () = accept => {}
            _ = stopped => {}
        }
    });
}

impl Line {
    /// Serves one connection until either side closes it or the fault does.
    async fn carry(&self, client: TcpStream) -> io::Result<()> {
        let server = TcpStream::connect(("127.0.0.1", self.settings.upstream)).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        tokio::select! {
            ended = self.up(from_client, to_server) => ended,
            ended = self.down(from_server, to_client) => ended,
        }
    }

    async fn up(&self, mut client: OwnedReadHalf, mut server: OwnedWriteHalf) -> io::Result<()> {
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let length = client.read(&mut buffer).await?;
            if length == 0 {
                return Ok(());
            }
            let more = Duration::from_millis(self.latency_ms.load(Ordering::SeqCst));
            let latency = self.settings.latency.max(more);
            if !latency.is_zero() {
                sleep(latency).await;
            }
            server.write_all(&buffer[..length]).await?;
        }
    }

    async fn down(&self, mut server: OwnedReadHalf, mut client: OwnedWriteHalf) -> io::Result<()> {
        let mut buffer = vec![0; CHUNK_BYTES];
        let mut left = self.settings.fault.map_or(u64::MAX, |(_, bytes)| bytes);
        loop {
            let length = server.read(&mut buffer).await?;
            if length == 0 {
                return Ok(());
            }
            if let Some(kbit_per_s) = self.settings.kbit_per_s {
                // Bits over kilobits a second are milliseconds.
                sleep(Duration::from_micros(length as u64 * 8 * 1000 / kbit_per_s)).await;
            }
            if length as u64 > left
                && let Some(fault) = self.strike()
            {
                // Less than `length`, so it fits.
                client.write_all(&buffer[..left as usize]).await?;
                match fault {
                    Fault::Cut => return Ok(()),
                    Fault::Hang => pending().await,
                }
            }
            client.write_all(&buffer[..length]).await?;
            left = left.saturating_sub(length as u64);
        }
    }

    /// The fault, if it is this connection's to meet.
    fn strike(&self) -> Option<Fault> {
        let (fault, _) = self.settings.fault?;
        if self.settings.once && self.spent.swap(true, Ordering::SeqCst) {
            return None;
        }
        self.faults.fetch_add(1, Ordering::SeqCst);
        Some(fault)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Shutdown, TcpListener, TcpStream};

    use super::*;

    const SENT: usize = 100_000;

    /// A server that greets every client with [`SENT`] bytes and echoes its first byte.
    fn server() -> u16 {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        std::thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    let mut byte = [0];
                    client.read_exact(&mut byte)?;
                    client.write_all(&vec![byte[0]; SENT])?;
                    client.shutdown(Shutdown::Write)
                });
            }
        });
        port
    }

    fn connect(proxy: &Proxy) -> TcpStream {
        let mut client = TcpStream::connect(("127.0.0.1", proxy.port())).expect("a connection");
        client.write_all(b"x").expect("one byte up");
        client
    }

    /// How many bytes arrive until the connection ends.
    fn received(proxy: &Proxy) -> usize {
        let mut bytes = Vec::new();
        // A cut connection may end with a reset; what came before it counts.
        let _ = connect(proxy).read_to_end(&mut bytes);
        assert!(bytes.iter().all(|byte| *byte == b'x'));
        bytes.len()
    }

    #[test]
    fn passes_everything_on() {
        let proxy = Proxy::to(server())
            .latency(Duration::from_millis(1))
            .kbps(1_000_000)
            .start();
        assert_eq!(received(&proxy), SENT);
        assert_eq!((proxy.connections(), proxy.faults()), (1, 0));
    }

    #[test]
    fn cuts_every_connection_at_the_byte() {
        let proxy = Proxy::to(server()).cut_after(70_001).start();
        assert_eq!([received(&proxy), received(&proxy)], [70_001, 70_001]);
        assert_eq!((proxy.connections(), proxy.faults()), (2, 2));
    }

    #[test]
    fn cuts_once() {
        let proxy = Proxy::to(server()).cut_after(0).once().start();
        assert_eq!([received(&proxy), received(&proxy)], [0, SENT]);
        assert_eq!(proxy.faults(), 1);
    }

    #[test]
    fn hangs_with_the_connection_open() {
        let proxy = Proxy::to(server()).hang_after(5).start();
        let mut client = connect(&proxy);
        let mut bytes = [0; 5];
        client
            .read_exact(&mut bytes)
            .expect("the bytes before the fault");
        client
            .set_read_timeout(Some(Duration::from_millis(50)))
            .expect("a timeout");
        let silence = client.read(&mut bytes).expect_err("nothing more");
        assert_eq!(silence.kind(), io::ErrorKind::WouldBlock);
        assert_eq!(proxy.faults(), 1);
    }

    #[test]
    fn a_server_is_reached_through_it() {
        let database = crate::servers::postgres().fresh_database();
        let proxy = Proxy::to(database.address().port).start();
        let url = database.url_through(proxy.port());
        assert_eq!(
            url,
            database.url().replace(
                &database.address().port.to_string(),
                &proxy.port().to_string()
            )
        );
        let through = crate::servers::Address {
            port: proxy.port(),
            ..database.address().clone()
        };
        crate::servers::Session::open(&through).exec("SELECT 1");
        assert_eq!(proxy.connections(), 1);
    }
}
