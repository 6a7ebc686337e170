//! The worker processes of one deploy: started, stopped, killed, and seen to their ends.

use std::fs::File;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use windlass::base::crash::Point;

use super::chronicle::{Chronicle, Count};
use super::dice::Dice;
use crate::support::server::signal;

/// Codes that no weather explains: what Windlass says of itself, or of a log that does not read as it was written.
const DEFECTS: [&str; 6] = ["WL0404", "WL0409", "WL0504", "WL0507", "WL070", "panicked at"];
/// A fault that a process is given when it is started, and does to itself.
pub(super) const AT_A_POINT: &str = "worker killed at a named point";
/// How long a command that only looks may take.
const LOOKING_MAX: Duration = Duration::from_mins(1);

/// What a process is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// It drives the deploy.
    Worker,
    /// It was only asked something.
    Visitor,
}

struct Process {
    part: Part,
    words: String,
    child: Child,
    said: PathBuf,
    began: Instant,
    /// Asleep until then.
    asleep: Option<Instant>,
    /// We have killed it.
    killed: bool,
    /// It was asked to stop, which ends it at once where it does not listen yet.
    interrupted: bool,
    /// It was told to kill itself at a point that it may pass.
    doomed: Option<String>,
}

/// How a process has ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) part: Part,
    pub(super) words: String,
    /// None: by a signal.
    pub(super) code: Option<i32>,
    pub(super) said: String,
}

pub(super) struct Crew {
    folder: PathBuf,
    started: usize,
    processes: Vec<Process>,
    chronicle: Chronicle,
}

impl Crew {
    /// What the processes say is kept in files in a folder.
    pub(super) fn new(folder: PathBuf, chronicle: Chronicle) -> Self {
        std::fs::create_dir_all(&folder).unwrap();
        Self { folder, started: 0, processes: Vec::new(), chronicle }
    }

    /// Starts a process.
    pub(super) fn start(&mut self, part: Part, mut command: Command, words: &str, doom: Option<&mut Dice>) {
        self.started += 1;
        let doomed = doom.map(|dice| format!("{}:{}", dice.pick(&Point::of_deploys()).name(), dice.between(1, 8)));
        if let Some(doom) = &doomed {
            command.env("WINDLASS_CRASH_AT", doom);
        }
        let said = self.folder.join(format!("{:04}-{}.txt", self.started, words.replace(' ', "_")));
        let file = File::create(&said).unwrap();
        let again = file.try_clone().unwrap();
        let child = command.stdin(Stdio::null()).stdout(file).stderr(again).spawn().unwrap();
        let doom = doomed.as_deref().map(|doom| format!(", to die at {doom}")).unwrap_or_default();
        self.chronicle.tell(format!("start {} of {words}{doom}", child.id()));
        self.chronicle.count(Count::Commands, words, 1);
        let words = words.to_owned();
        let began = Instant::now();
        self.processes.push(Process {
            part,
            words,
            child,
            said,
            began,
            asleep: None,
            killed: false,
            interrupted: false,
            doomed,
        });
    }

    pub(super) fn workers(&self) -> usize {
        self.processes.iter().filter(|process| process.part == Part::Worker).count()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.processes.is_empty()
    }

    fn awake(&self) -> Vec<usize> {
        let awake = self.processes.iter().enumerate();
        let awake = awake.filter(|(_, process)| process.part == Part::Worker && process.asleep.is_none());
        awake.map(|(at, _)| at).collect()
    }

    /// Kills a worker with -9. False: there is none awake.
    pub(super) fn kill_one(&mut self, dice: &mut Dice) -> bool {
        let awake = self.awake();
        if awake.is_empty() {
            return false;
        }
        let process = &mut self.processes[*dice.pick(&awake)];
        self.chronicle.tell(format!("kill -9 {} of {}", process.child.id(), process.words));
        process.killed = true;
        process.child.kill().unwrap();
        true
    }

    /// Kills every worker with -9, the sleeping ones too.
    pub(super) fn kill_all(&mut self) {
        for process in self.processes.iter_mut().filter(|process| process.part == Part::Worker) {
            self.chronicle.tell(format!("kill -9 {} of {}", process.child.id(), process.words));
            process.killed = true;
            process.child.kill().unwrap();
        }
    }

    /// Puts a worker to sleep, in the middle of whatever it does.
    pub(super) fn stop_one(&mut self, dice: &mut Dice, time: Duration) -> bool {
        let awake = self.awake();
        if awake.is_empty() {
            return false;
        }
        let process = &mut self.processes[*dice.pick(&awake)];
        self.chronicle.tell(format!("SIGSTOP {} of {} for {time:?}", process.child.id(), process.words));
        signal("STOP", &[process.child.id()]);
        process.asleep = Some(Instant::now() + time);
        true
    }

    /// Presses Ctrl-C.
    pub(super) fn interrupt_one(&mut self, dice: &mut Dice, twice: bool) -> bool {
        let awake = self.awake();
        if awake.is_empty() {
            return false;
        }
        let process = &mut self.processes[*dice.pick(&awake)];
        process.interrupted = true;
        self.chronicle.tell(format!(
            "SIGINT {} of {}{}",
            process.child.id(),
            process.words,
            if twice { ", twice" } else { "" }
        ));
        signal("INT", &[process.child.id()]);
        if twice {
            signal("TERM", &[process.child.id()]);
        }
        true
    }

    pub(super) fn anybody_sleeps(&self) -> bool {
        self.processes.iter().any(|process| process.asleep.is_some())
    }

    /// Wakes those whose time has come.
    pub(super) fn wake(&mut self) {
        for process in &mut self.processes {
            if process.asleep.is_some_and(|until| until <= Instant::now()) {
                self.chronicle.tell(format!("SIGCONT {} of {}", process.child.id(), process.words));
                signal("CONT", &[process.child.id()]);
                process.asleep = None;
            }
        }
    }

    /// Those that have ended since it was asked last.
    pub(super) fn reap(&mut self) -> Vec<Ended> {
        let mut ended = Vec::new();
        let mut at = 0;
        while at < self.processes.len() {
            match self.processes[at].child.try_wait().unwrap() {
                Some(status) => {
                    let process = self.processes.remove(at);
                    ended.push(self.settle(&process, status.code(), status.signal()));
                }
                None => at += 1,
            }
        }
        for process in &mut self.processes {
            if process.part == Part::Visitor && process.began.elapsed() > LOOKING_MAX {
                self.chronicle.find(format!("{} ({}) does not end", process.words, process.child.id()));
                process.killed = true;
                let _ = process.child.kill();
            }
        }
        ended
    }

    fn settle(&self, process: &Process, code: Option<i32>, signal: Option<i32>) -> Ended {
        let said = String::from_utf8_lossy(&std::fs::read(&process.said).unwrap()).into_owned();
        let (id, words) = (process.child.id(), &process.words);
        let end = match (code, signal) {
            (Some(code), _) => format!("exit {code}"),
            (None, signal) => format!("signal {}", signal.unwrap_or_default()),
        };
        let seconds = process.began.elapsed().as_secs_f64();
        let last = said.lines().rev().find(|line| line.contains("WL0")).unwrap_or_default();
        self.chronicle.tell(format!("ended {id} of {words} after {seconds:.1} s: {end} {last}"));
        let fate = match (code, &process.doomed) {
            (None, Some(_)) if !process.killed && signal == Some(9) => {
                self.chronicle.count(Count::Faults, AT_A_POINT, 1);
                "killed at a point".to_owned()
            }
            (None, _) if process.killed => "killed".to_owned(),
            (None, _) if process.interrupted && matches!(signal, Some(2 | 15)) => {
                "interrupted before it listened".to_owned()
            }
            (None, _) => {
                self.chronicle.find(format!("{id} of {words} ended by {end}:\n{said}"));
                end
            }
            (Some(code), _) => {
                if !matches!(code, 0 | 1 | 3 | 5) {
                    self.chronicle.find(format!("{id} of {words} ended by {end}:\n{said}"));
                }
                end
            }
        };
        if let Some(defect) = DEFECTS.iter().find(|defect| said.contains(*defect)) {
            self.chronicle.find(format!("{id} of {words} says {defect}:\n{said}"));
        }
        self.chronicle.count(Count::Processes, fate, 1);
        Ended { part: process.part, words: words.clone(), code, said }
    }

    /// Kills those that are left, as something that ought not to be.
    pub(super) fn give_up(&mut self) {
        for process in &mut self.processes {
            let said = String::from_utf8_lossy(&std::fs::read(&process.said).unwrap()).into_owned();
            self.chronicle.find(format!("{} of {} does not end:\n{said}", process.child.id(), process.words));
            process.killed = true;
            let _ = process.child.kill();
        }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.child.kill();
            let _ = process.child.wait();
        }
    }
}
