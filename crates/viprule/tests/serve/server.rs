//! Listening, moving, limits, stopping.

use std::io::{ErrorKind, Read as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use viprule::http::{
    Handler, Reply, Request, Server, ServerOptions, ServerState, StatusCode, text,
};

use super::support::{address, eventually, get, in_namespace, is_closed};

const OPTIONS: ServerOptions = ServerOptions {
    retry: Duration::from_millis(20),
    ..ServerOptions::new("test")
};

/// Repeats the path; slowly, where it says so, and having said that the request arrived.
#[derive(Default)]
struct Echo {
    arrived: Notify,
}

impl Handler for Echo {
    async fn answer(&self, request: &Request<()>) -> Reply {
        let path = request.uri().path();
        if path == "/slow" {
            self.arrived.notify_one();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        text(StatusCode::OK, path)
    }
}

fn start(options: ServerOptions, at: &str) -> Server {
    Server::start(options, Some(address(at)), Arc::new(Echo::default()))
}

async fn exchange(stream: &mut TcpStream, path: &str) -> std::io::Result<String> {
    let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let mut buffer = [0; 1024];
    let length = stream.read(&mut buffer).await?;
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

#[test]
fn the_ipv4_wildcard_serves_both_families() {
    in_namespace(|| async {
        let server = start(OPTIONS, "0.0.0.0:10256");
        assert_eq!(server.listening().await, Some(address("[::]:10256")));
        assert_eq!(get(address("127.0.0.1:10256"), "/a").await.body, "/a");
        assert_eq!(get(address("[::1]:10256"), "/b").await.body, "/b");
        server.stop().await;
        assert!(is_closed(address("127.0.0.1:10256")).await);
    });
}

#[test]
fn an_address_serves_itself_only() {
    in_namespace(|| async {
        let server = start(OPTIONS, "127.0.0.1:10249");
        server.listening().await.unwrap();
        assert_eq!(get(address("127.0.0.1:10249"), "/a").await.body, "/a");
        assert!(is_closed(address("[::1]:10249")).await);
        assert!(is_closed(address("127.0.0.2:10249")).await);
    });
}

#[test]
fn a_taken_port_is_served_once_it_is_free() {
    in_namespace(|| async {
        let taken = TcpListener::bind("127.0.0.1:80").unwrap();
        let server = start(OPTIONS, "127.0.0.1:80");
        let mut state = server.state();
        let waiting = state
            .wait_for(|state| matches!(state, ServerState::Waiting(_)))
            .await
            .unwrap();
        let ServerState::Waiting(error) = &*waiting else {
            panic!("{waiting:?}");
        };
        assert_eq!(error.to_string(), "test: can't listen on 127.0.0.1:80");
        drop(waiting);
        drop(taken);
        assert_eq!(server.listening().await, Some(address("127.0.0.1:80")));
        assert_eq!(get(address("127.0.0.1:80"), "/").await.status, 200);
    });
}

#[test]
fn a_hard_failure_is_final() {
    in_namespace(|| async {
        let _taken = TcpListener::bind("127.0.0.1:80").unwrap();
        let options = ServerOptions {
            hard_fail: true,
            ..OPTIONS
        };
        let server = start(options, "127.0.0.1:80");
        let error = server.failed().await;
        assert_eq!(error.source.kind(), std::io::ErrorKind::AddrInUse);
        assert_eq!(server.listening().await, None);
    });
}

#[test]
fn a_server_moves_to_another_port_and_back_off() {
    in_namespace(|| async {
        let server = start(OPTIONS, "127.0.0.1:80");
        server.listening().await.unwrap();
        server.rebind(Some(address("127.0.0.1:81")));
        eventually("the new port", || async {
            !is_closed(address("127.0.0.1:81")).await
        })
        .await;
        eventually("the old port's end", || is_closed(address("127.0.0.1:80"))).await;
        server.rebind(None);
        eventually("silence", || is_closed(address("127.0.0.1:81"))).await;
        server.rebind(Some(address("127.0.0.1:82")));
        eventually("another start", || async {
            !is_closed(address("127.0.0.1:82")).await
        })
        .await;
    });
}

#[test]
fn the_same_port_on_another_address_is_no_obstacle() {
    in_namespace(|| async {
        let server = start(OPTIONS, "0.0.0.0:80");
        server.listening().await.unwrap();
        server.rebind(Some(address("127.0.0.2:80")));
        eventually("the narrow address", || is_closed(address("127.0.0.1:80"))).await;
        eventually("the narrow address", || async {
            !is_closed(address("127.0.0.2:80")).await
        })
        .await;
    });
}

#[test]
fn the_old_address_is_served_while_the_new_one_is_taken() {
    in_namespace(|| async {
        let taken = TcpListener::bind("127.0.0.1:81").unwrap();
        let options = ServerOptions {
            // No reason to give up for one that has listened before.
            hard_fail: true,
            ..OPTIONS
        };
        let server = start(options, "127.0.0.1:80");
        server.listening().await.unwrap();
        server.rebind(Some(address("127.0.0.1:81")));
        let mut state = server.state();
        let waits = state.wait_for(|state| matches!(state, ServerState::Waiting(_)));
        drop(waits.await.unwrap());
        assert_eq!(get(address("127.0.0.1:80"), "/").await.status, 200);
        drop(taken);
        eventually("the move", || is_closed(address("127.0.0.1:80"))).await;
        assert_eq!(get(address("127.0.0.1:81"), "/").await.status, 200);
    });
}

#[test]
fn connections_are_kept_alive_and_bounded() {
    in_namespace(|| async {
        let options = ServerOptions {
            connections: 3,
            ..OPTIONS
        };
        let server = start(options, "127.0.0.1:80");
        let at = server.listening().await.unwrap();
        let mut kept = TcpStream::connect(at).await.unwrap();
        for path in ["/1", "/2"] {
            let answer = exchange(&mut kept, path).await.unwrap();
            assert!(answer.ends_with(path), "{answer}");
        }
        // Whoever holds connections open keeps nobody out, and loses the oldest.
        let mut held = Vec::new();
        for _ in 0..50 {
            held.push(TcpStream::connect(at).await.unwrap());
        }
        assert_eq!(get(at, "/probe").await.status, 200);
        let mut byte = [0];
        assert!(matches!(kept.read(&mut byte).await, Ok(0) | Err(_)));
        assert!(matches!(held[0].read(&mut byte).await, Ok(0) | Err(_)));
        let newest = held.last_mut().unwrap();
        assert!(exchange(newest, "/x").await.unwrap().ends_with("/x"));
    });
}

#[test]
fn a_client_that_never_finishes_its_request_is_dropped() {
    in_namespace(|| async {
        let options = ServerOptions {
            head_timeout: Duration::from_millis(50),
            ..OPTIONS
        };
        let server = start(options, "127.0.0.1:80");
        let at = server.listening().await.unwrap();
        let mut stream = TcpStream::connect(at).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        let mut rest = Vec::new();
        // It ends, in whatever way.
        let _ = stream.read_to_end(&mut rest).await;
        assert!(!String::from_utf8_lossy(&rest).contains("200 OK"));
    });
}

#[test]
fn a_request_under_way_is_answered_when_the_server_stops() {
    in_namespace(|| async {
        let echo = Arc::new(Echo::default());
        let server = Server::start(OPTIONS, Some(address("127.0.0.1:80")), echo.clone());
        let at = server.listening().await.unwrap();
        let mut idle = TcpStream::connect(at).await.unwrap();
        let mut busy = TcpStream::connect(at).await.unwrap();
        busy.write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        echo.arrived.notified().await;
        // The server waits for a second: the answer comes within it, however slow the machine is.
        tokio::time::pause();
        server.stop().await;
        tokio::time::resume();
        assert!(is_closed(at).await);
        let mut answer = String::new();
        busy.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("/slow"), "{answer}");
        let mut byte = [0];
        assert!(matches!(idle.read(&mut byte).await, Ok(0) | Err(_)));
    });
}

#[test]
fn a_crowd_of_idle_clients_keeps_nobody_out() {
    in_namespace(|| async {
        let server = start(OPTIONS, "127.0.0.1:80");
        let at = server.listening().await.unwrap();
        let mut idle = Vec::new();
        for round in 0..10 {
            let connecting: JoinSet<_> = (0..100).map(|_| TcpStream::connect(at)).collect();
            idle.extend(connecting.join_all().await);
            let path = format!("/{round}");
            assert_eq!(get(at, &path).await.body, path);
        }
        // Most of them were told to go.
        let mut open = 0;
        for stream in idle {
            let mut stream = stream.unwrap().into_std().unwrap();
            let read = stream.read(&mut [0]);
            open += usize::from(read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock));
        }
        assert!(open <= OPTIONS.connections + 1, "{open}");
    });
}

/// Answers with more than sockets hold, and tells when the answer is no longer kept.
struct Large(Arc<Notify>);

struct Kept(Vec<u8>, Arc<Notify>);

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.1.notify_one();
    }
}

impl Handler for Large {
    async fn answer(&self, _: &Request<()>) -> Reply {
        let kept = Kept(vec![b'x'; 64 << 20], self.0.clone());
        Reply::new(Bytes::from_owner(kept).into())
    }
}

#[test]
fn a_client_that_takes_nothing_of_its_answer_is_dropped() {
    in_namespace(|| async {
        let options = ServerOptions {
            stall_timeout: Duration::from_millis(50),
            ..OPTIONS
        };
        let dropped = Arc::new(Notify::new());
        let handler = Arc::new(Large(dropped.clone()));
        let server = Server::start(options, Some(address("127.0.0.1:80")), handler);
        let at = server.listening().await.unwrap();
        let mut stalled = TcpStream::connect(at).await.unwrap();
        let head = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        stalled.write_all(head).await.unwrap();
        dropped.notified().await;
        drop(stalled);
    });
}
