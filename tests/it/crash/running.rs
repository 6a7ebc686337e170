//! A command while it runs: listened to, sent signals, waited for.

use std::io::Read;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::support::project::Ran;

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_mins(1);
/// The pause between two looks.
const LOOK: Duration = Duration::from_millis(2);

/// A process that is killed with this value, if it has not ended.
pub(super) struct Running {
    child: Child,
    answers: Listened,
    complaints: Listened,
}

/// What a pipe has brought so far.
struct Listened {
    text: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Listened {
    fn to(mut pipe: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let heard = Arc::clone(&text);
        let reader = std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = pipe.read(&mut bytes) {
                heard.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..read]));
            }
        });
        Self { text, reader: Some(reader) }
    }

    fn so_far(&self) -> String {
        self.text.lock().unwrap().clone()
    }

    fn whole(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        self.so_far()
    }
}

impl Running {
    /// Starts it.
    pub(super) fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let answers = Listened::to(child.stdout.take().unwrap());
        let complaints = Listened::to(child.stderr.take().unwrap());
        Self { child, answers, complaints }
    }

    /// Starts it with nobody at the other end: every write to its output and its errors fails.
    pub(super) fn unheard(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop((child.stdout.take(), child.stderr.take()));
        let nothing = || Listened { text: Arc::default(), reader: None };
        Self { child, answers: nothing(), complaints: nothing() }
    }

    /// Sends it a signal, by name.
    pub(super) fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status().unwrap();
        assert!(sent.success(), "no signal {name}");
    }

    pub(super) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits until it has complained of something.
    pub(super) async fn until_it_says(&mut self, text: &str) {
        until(text, async || self.complaints.so_far().contains(text)).await;
    }

    /// Waits for its own end.
    pub(super) async fn ends(mut self) -> Ran {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(
                Instant::now() < deadline,
                "it does not end: {}{}",
                self.answers.so_far(),
                self.complaints.so_far()
            );
            tokio::time::sleep(LOOK).await;
        };
        assert_eq!(status.signal(), None);
        Ran { code: status.code(), stdout: self.answers.whole(), stderr: self.complaints.whole() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Looks until it is so.
pub(super) async fn until(what: &str, mut is: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is().await {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(LOOK).await;
    }
}
