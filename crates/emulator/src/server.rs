//! Accepts connections and ends them.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::connection::{Connection, End, Socket};
use crate::connection_gate::{ConnectionGate, Mode};
use crate::control;
use crate::service::Service;

/// How long the head of a request may take, and how long a connection may stay idle between two requests.
const HEAD_TIME: Duration = Duration::from_secs(30);

/// The longest head of a request.
const HEAD_LIMIT: usize = 64 << 10;

/// How many bytes of a connection hyper holds at once. A head must fit.
const BUFFER_LIMIT: usize = 2 * HEAD_LIMIT;

/// How long a shutdown waits for requests in progress.
const SHUTDOWN_TIME: Duration = Duration::from_secs(5);

/// The pause after a failure to accept, which is usually a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// How many connections the system may queue. tokio uses the same value.
const BACKLOG: u32 = 1024;

/// How often the server looks for an idle connection while it has one too many.
const IDLE_PAUSE: Duration = Duration::from_millis(10);

/// The server's task. Dropping this ends the task.
pub(crate) struct Server {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    service: Arc<Service>,
}

impl Server {
    pub(crate) fn spawn(listener: TcpListener, address: SocketAddr, service: Arc<Service>) -> Self {
        let (stop, stopped) = watch::channel(false);
        Self { stop, task: tokio::spawn(accept(listener, address, Arc::clone(&service), stopped)), service }
    }

    /// Stops accepting, lets requests in progress finish, and returns once the port is free.
    pub(crate) async fn shutdown(mut self) {
        self.stop.send_replace(true);
        // An error means that the task has already ended.
        let _ = (&mut self.task).await;
        self.service.settle(self.service.clock.now());
        self.service.is_stopped.store(true, Ordering::Release);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The task owns the listener and the connections' tasks, so they end with it.
        self.task.abort();
        self.service.is_stopped.store(true, Ordering::Release);
    }
}

/// The connections that the server serves.
#[derive(Default)]
struct Connections {
    tasks: JoinSet<()>,
    /// Every connection that the server has started to serve. Some may have ended.
    started: Vec<Weak<Connection>>,
}

impl Connections {
    fn serve(&mut self, socket: TcpStream, service: &Arc<Service>, stopped: &watch::Receiver<bool>) {
        let connection = Arc::new(Connection::default());
        self.started.push(Arc::downgrade(&connection));
        self.tasks.spawn(serve(socket, connection, Arc::clone(service), stopped.clone()));
        if self.started.len() > 2 * self.tasks.len() {
            self.started.retain(|connection| connection.strong_count() > 0);
        }
    }

    /// Closes the connection that has been idle for longest, if any is idle besides the newest.
    ///
    /// A client that opens connections and sends nothing must not lock out other clients.
    fn close_idle(&self) {
        let older = self.started.split_last().map_or(&[][..], |(_, older)| older);
        let older = older.iter().filter_map(Weak::upgrade).filter(|connection| !connection.has_ended());
        let idle = older.filter_map(|connection| Some((connection.idle_since()?, connection)));
        if let Some((_, connection)) = idle.min_by_key(|(since, _)| *since) {
            connection.end(End::Close);
        }
    }
}

async fn accept(mut listener: TcpListener, address: SocketAddr, service: Arc<Service>, stopped: watch::Receiver<bool>) {
    let limit = service.settings.connections.max(1);
    let mut connections = Connections::default();
    let mut stop = pin!(stop_requested(stopped.clone()));
    loop {
        while connections.tasks.try_join_next().is_some() {}
        tokio::select! {
            () = &mut stop => break,
            () = service.gate.refuse_requested() => {
                drop(listener);
                tokio::select! {
                    () = &mut stop => return,
                    again = refuse(address, &mut connections.tasks, &service.gate) => listener = again,
                }
            }
            _ = connections.tasks.join_next(), if connections.tasks.len() > limit => {}
            // All connections were busy when the newest arrived; one of them may be idle now.
            () = tokio::time::sleep(IDLE_PAUSE), if connections.tasks.len() > limit => connections.close_idle(),
            accepted = listener.accept(), if connections.tasks.len() <= limit => match accepted {
                Ok((socket, _)) => {
                    connections.serve(socket, &service, &stopped);
                    if connections.tasks.len() > limit {
                        connections.close_idle();
                    }
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
        }
    }
    drop(listener);
    let mut connections = connections.tasks;
    let finish = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(SHUTDOWN_TIME, finish).await.is_err() {
        connections.shutdown().await;
    }
}

/// Ends all connections and refuses new ones until the gate ends the refusal. Returns the new listener.
///
/// It keeps the port bound without listening, so that the system refuses connections.
async fn refuse(address: SocketAddr, connections: &mut JoinSet<()>, gate: &ConnectionGate) -> TcpListener {
    let mut port = keep_port(address);
    connections.shutdown().await;
    gate.report(Mode::Refusing);
    gate.refusal_ended().await;
    loop {
        match port.and_then(|port| port.listen(BACKLOG)) {
            Ok(listener) => {
                gate.report(Mode::Accepting);
                return listener;
            }
            // Another process has taken the port in the meantime.
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
        port = keep_port(address);
    }
}

fn keep_port(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

async fn serve(socket: TcpStream, connection: Arc<Connection>, service: Arc<Service>, stopped: watch::Receiver<bool>) {
    // Answers are small and complete, so waiting to fill a packet would only delay them. A failure only costs time.
    let _ = socket.set_nodelay(true);
    let port = socket.local_addr().map_or(0, |address| address.port());
    let respond = service_fn(|request| {
        let (service, connection) = (Arc::clone(&service), Arc::clone(&connection));
        async move {
            connection.begin();
            let response = if control::handles(&service, request.uri().path()) {
                Some(control::respond(&service, request, &connection, port).await)
            } else {
                service.respond(request, &connection).await
            };
            if let Some(response) = response {
                connection.answered();
                return Ok::<_, Infallible>(response);
            }
            connection.end(End::Reset);
            std::future::pending().await
        }
    });
    let http = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_header_size(HEAD_LIMIT)
        .max_buf_size(BUFFER_LIMIT)
        .serve_connection(TokioIo::new(Socket::new(socket, Arc::clone(&connection))), respond);
    let mut http = pin!(http);
    // How a connection ends concerns only the client, so the server ignores the error.
    let served = async {
        tokio::select! {
            _ = http.as_mut() => return,
            () = stop_requested(stopped) => {}
        }
        http.as_mut().graceful_shutdown();
        let _ = http.await;
    };
    tokio::select! {
        () = served => {}
        // Dropping the connection closes or resets it.
        () = connection.ended() => {}
    }
}

/// Waits until the server must stop, or its sender is dropped.
async fn stop_requested(mut stop: watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
