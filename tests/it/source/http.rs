//! A repository behind http on loopback, served by git's own program for that.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use windlass::base::Code;

use super::repository::Repository;
use super::{labels, refused, revision};

/// `bot:p@ss`, as a browser says it.
const LOGIN: &str = "Basic Ym90OnBAc3M=";

/// Serves the repository below `/git/` to whoever has the login, and below `/open/` to everybody; everything below `/moved/` leads there. As long as it is not
/// open, whoever connects is let go without a word. Ends with the test.
pub fn serve(root: PathBuf, open: Arc<AtomicBool>) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, root) = (stream.unwrap(), root.clone());
            if !open.load(Ordering::SeqCst) {
                continue;
            }
            // Who goes away in the middle is no matter.
            std::thread::spawn(move || answer(stream, &root));
        }
    });
    address
}

/// One request, by the rules of CGI.
fn answer(mut stream: TcpStream, root: &Path) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let lines: Vec<String> =
        reader.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let header = |name: &str| {
        let mut pairs = lines.iter().filter_map(|line| line.split_once(": "));
        pairs.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).unwrap_or_default()
    };
    let mut words = lines[0].split(' ');
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    if let Some(rest) = target.strip_prefix("/moved/") {
        return write!(stream, "HTTP/1.1 301 Moved Permanently\r\nLocation: /git/{rest}\r\nContent-Length: 0\r\n\r\n");
    }
    if !target.starts_with("/open/") && header("Authorization") != LOGIN {
        let refusal = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"git\"\r\n";
        return write!(stream, "{refusal}Content-Length: 0\r\nConnection: close\r\n\r\n");
    }
    let mut body = vec![0; header("Content-Length").parse().unwrap_or(0)];
    reader.read_exact(&mut body)?;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut backend = Command::new("git")
        .arg("http-backend")
        .envs([("GIT_PROJECT_ROOT", root.as_os_str()), ("GIT_HTTP_EXPORT_ALL", "1".as_ref())])
        .envs([
            ("REQUEST_METHOD", method),
            ("PATH_INFO", &path[path[1..].find('/').unwrap() + 1..]),
            ("QUERY_STRING", query),
        ])
        .envs([("CONTENT_TYPE", header("Content-Type")), ("HTTP_CONTENT_ENCODING", header("Content-Encoding"))])
        .envs([("GIT_PROTOCOL", header("Git-Protocol")), ("CONTENT_LENGTH", body.len().to_string())])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    backend.stdin.take().unwrap().write_all(&body)?;
    let said = backend.wait_with_output()?.stdout;
    let status = said.strip_prefix(b"Status: ").map(|rest| rest.split(|byte| *byte == b'\r').next().unwrap());
    let status = String::from_utf8_lossy(status.unwrap_or(b"200 OK")).into_owned();
    write!(stream, "HTTP/1.1 {status}\r\nConnection: close\r\n")?;
    stream.write_all(&said)
}

#[tokio::test]
async fn a_repository_behind_http_is_read_with_the_login_of_its_url() {
    let repository = Repository::new();
    let commit = repository.commit(&[("db/migrations/0001_orders.sql", "CREATE TABLE orders (id INTEGER)")]);
    let address = serve(repository.path().parent().unwrap().to_owned(), Arc::new(AtomicBool::new(true)));
    let sources = |login: &str, top: &str| {
        repository.sources(&format!("http://{login}{address}/{top}/shop.git"), Duration::from_mins(1))
    };
    for name in ["main", &commit] {
        let found = sources("bot:p%40ss@", "git").find(&revision(name)).await.unwrap();
        assert_eq!(labels(&found), ["0001_orders"]);
        assert_eq!(found.origin, format!("git http://{address}/git/shop.git at {commit} in db/migrations"));
    }
    for login in ["bot:other@", ""] {
        refused(sources(login, "git").find(&revision("main")).await, Code::GitUnreadable);
    }
}

#[tokio::test]
async fn an_answer_that_leads_elsewhere_is_not_followed() {
    let repository = Repository::new();
    repository.commit(&[("db/migrations/0001_orders.sql", "")]);
    let address = serve(repository.path().parent().unwrap().to_owned(), Arc::new(AtomicBool::new(true)));
    let moved = repository.sources(&format!("http://bot:p%40ss@{address}/moved/shop.git"), Duration::from_mins(1));
    let error = refused(moved.find(&revision("main")).await, Code::GitUnreadable);
    assert!(error.contains("redirect") || error.contains("301"), "{error}");
}
