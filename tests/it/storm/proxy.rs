//! The network between the workers and a server of tenants: a proxy on loopback that can be told to fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

const LOOPBACK: &str = "127.0.0.1";
/// What is carried at a time.
const BUFFER_BYTES: usize = 16 * 1024;
/// The pause before a port is asked for again that somebody's connection was given for its own end.
const KNOCK: Duration = Duration::from_millis(20);

/// How the network is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weather {
    /// What comes is carried.
    Fair,
    /// Nobody listens; those who are connected stay so.
    Refusing,
    /// Connections are accepted and stay open, and nothing is carried either way.
    Silent,
}

/// What the connections are told. The numbers grow with each order of their kind.
#[derive(Debug, Clone, Copy)]
struct Orders {
    weather: Weather,
    cut: u64,
    deaf: u64,
}

/// A proxy in front of one port.
pub(super) struct Proxy {
    port: u16,
    orders: watch::Sender<Orders>,
    seen: Arc<Seen>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    open: AtomicU64,
    cut: AtomicU64,
    answers_lost: AtomicU64,
}

impl Proxy {
    /// Listens on a free port for those who want to go to `server`.
    pub(super) async fn before(server: u16) -> Self {
        let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (orders, heard) = watch::channel(Orders { weather: Weather::Fair, cut: 0, deaf: 0 });
        let seen = Arc::new(Seen::default());
        let accepting = tokio::spawn(accept(listener, port, server, heard, Arc::clone(&seen)));
        Self { port, orders, seen, accepting }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn set(&self, weather: Weather) {
        self.orders.send_modify(|orders| orders.weather = weather);
    }

    /// Ends every connection that is open.
    pub(super) fn cut(&self) {
        self.orders.send_modify(|orders| orders.cut += 1);
    }

    /// Of every connection that is open, the next answer is lost and the connection ends: what was asked is carried to the server.
    pub(super) fn lose_answers(&self) {
        self.orders.send_modify(|orders| orders.deaf += 1);
    }

    /// Whether anybody is connected.
    pub(super) fn is_in_use(&self) -> bool {
        self.seen.open.load(Ordering::Relaxed) > 0
    }

    /// Connections that were cut, and answers that were lost, so far.
    pub(super) fn seen(&self) -> (u64, u64) {
        (self.seen.cut.load(Ordering::Relaxed), self.seen.answers_lost.load(Ordering::Relaxed))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, port: u16, server: u16, mut orders: watch::Receiver<Orders>, seen: Arc<Seen>) {
    let mut listener = Some(listener);
    loop {
        let refusing = orders.borrow_and_update().weather == Weather::Refusing;
        if refusing {
            listener = None;
            if orders.changed().await.is_err() {
                return;
            }
            continue;
        }
        let Some(open) = &listener else {
            listener = TcpListener::bind((LOOPBACK, port)).await.ok();
            if listener.is_none() {
                tokio::time::sleep(KNOCK).await;
            }
            continue;
        };
        tokio::select! {
            Ok((client, _)) = open.accept() => {
                let (orders, seen) = (orders.clone(), Arc::clone(&seen));
                tokio::spawn(async move {
                    seen.open.fetch_add(1, Ordering::Relaxed);
                    carry(client, server, orders, &seen).await;
                    seen.open.fetch_sub(1, Ordering::Relaxed);
                });
            }
            changed = orders.changed() => if changed.is_err() { return },
        }
    }
}

/// Carries one connection until an end closes it, or it is cut. One direction at a time: these protocols take turns.
async fn carry(mut client: TcpStream, server: u16, mut orders: watch::Receiver<Orders>, seen: &Seen) -> Option<()> {
    let began = *orders.borrow_and_update();
    let mut now = began;
    let mut server = TcpStream::connect((LOOPBACK, server)).await.ok()?;
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (mut asked, mut answered) = (vec![0; BUFFER_BYTES], vec![0; BUFFER_BYTES]);
    loop {
        let carries = now.weather != Weather::Silent;
        tokio::select! {
            read = client.read(&mut asked), if carries => match read.ok()? {
                0 => return None,
                bytes => server.write_all(&asked[..bytes]).await.ok()?,
            },
            read = server.read(&mut answered), if carries => match read.ok()? {
                0 => return None,
                _ if now.deaf > began.deaf => {
                    seen.answers_lost.fetch_add(1, Ordering::Relaxed);
                    return None;
                }
                bytes => client.write_all(&answered[..bytes]).await.ok()?,
            },
            changed = orders.changed() => {
                changed.ok()?;
                now = *orders.borrow_and_update();
                if now.cut > began.cut {
                    seen.cut.fetch_add(1, Ordering::Relaxed);
                    return None;
                }
            }
        }
    }
}
