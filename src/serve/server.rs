//! Listens, answers, and ends in good order.
//!
//! What a client can cost is limited where it costs: connections are counted, all and those of each address, the head of a request and the agreement on TLS have a time
//! limit each, and so has the request as a whole. Nothing is read of a body before the route has said how much it takes.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use super::access::Client;
use super::addresses::Addresses;
use super::metrics::Connection;
use crate::base::limits::{
    CONNECTIONS_MAX, CONNECTIONS_MIN, CONNECTIONS_OF_ONE_PART, FILES_KEPT, HEAD_TIMEOUT, REQUEST_TIMEOUT,
};
use crate::engine::Stop;

/// Bytes of the heads of one request, all together.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Pause after the system would not give a connection: for want of file descriptors, mostly, which come back when others end.
const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

/// Serves until the server is to stop; then lets what is being answered be answered.
pub(super) async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    connections: usize,
    router: Router,
    mut stop: watch::Receiver<Stop>,
) {
    let room = Arc::new(Semaphore::new(connections));
    let addresses = Addresses::new((connections / CONNECTIONS_OF_ONE_PART).max(1));
    let graceful = GracefulShutdown::new();
    loop {
        // More than there is room for wait in the system's own queue, and beyond that are refused by it.
        let permit = tokio::select! {
            permit = Arc::clone(&room).acquire_owned() => permit,
            _ = stop.changed() => break,
        };
        let Ok(permit) = permit else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.changed() => break,
        };
        let (stream, client) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Whoever has so many needs no explanation of why there are no more.
        let Some(place) = addresses.enter(client.ip()) else { continue };
        let (tls, router, watcher) = (tls.clone(), router.clone(), graceful.watcher());
        tokio::spawn(async move {
            let (_permit, _place, _counted) = (permit, place, Connection::open());
            // Small answers are not to wait for more to go with them.
            let _ = stream.set_nodelay(true);
            match tls {
                None => connection(stream, client, router, watcher).await,
                Some(tls) => {
                    if let Ok(Ok(stream)) = tokio::time::timeout(HEAD_TIMEOUT, tls.accept(stream)).await {
                        connection(stream, client, router, watcher).await;
                    }
                }
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(REQUEST_TIMEOUT, graceful.shutdown()).await.is_err() {
        tracing::warn!("connections that would not end are cut");
    }
}

/// For how many connections there is room. Each is an open file, and so is each tenant: where connections could take all of them, a
/// deploy would fail for somebody who does nothing but connect. The system gives a process few unless it asks for more, so it does.
pub(super) fn room() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let files = match setrlimit(Resource::Nofile, wanted) {
        Ok(()) => limit.maximum,
        Err(error) => {
            tracing::warn!(%error, "the number of open files could not be raised");
            limit.current
        }
    };
    // None: there is no limit.
    let files = files.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX));
    let room = files.saturating_sub(FILES_KEPT).clamp(CONNECTIONS_MIN, CONNECTIONS_MAX);
    if room < CONNECTIONS_MAX {
        tracing::warn!(
            files,
            connections = room,
            "this process may open few files, and takes fewer connections for that"
        );
    }
    room
}

async fn connection<S>(stream: S, client: SocketAddr, router: Router, watcher: hyper_util::server::graceful::Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = TowerToHyperService::new(router.map_request(move |mut request: http::Request<Incoming>| {
        request.extensions_mut().insert(Client(client));
        request.map(axum::body::Body::new)
    }));
    // HTTP/1.1 alone, and known beforehand: a listener that first looks which protocol it is has no limit for whoever says nothing.
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_BYTES_MAX);
    // Who does not read what was asked for holds a connection for nothing.
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(REQUEST_TIMEOUT));
    let connection = builder.serve_connection(TokioIo::new(Box::pin(stream)), service);
    if let Err(error) = watcher.watch(connection).await {
        // The client went away, or sent what is no HTTP.
        tracing::debug!(%client, %error, "a connection has ended badly");
    }
}
