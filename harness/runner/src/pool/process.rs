//! One worker process, from its start to its verdict, whatever becomes of it.

use std::{
    collections::VecDeque,
    io,
    os::unix::process::ExitStatusExt,
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use harness_model::event::{Event, Outcome};
use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::{Pid, getpgid},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
    sync::watch,
    time,
};

use crate::job::{ENTRY, Job};

/// This very program, also after its file was replaced.
const OURSELVES: &str = "/proc/self/exe";
/// How much of what a worker complains about is kept.
const KEPT_BYTES: usize = 8 << 10;
/// How long a worker may take to leave after its verdict, or after it was killed.
const FAREWELL: Duration = Duration::from_secs(5);

/// What became of a test.
pub(super) struct Conducted {
    /// From `test-started` to `test-finished`. None: the user interrupted it.
    pub(super) events: Option<Vec<Event>>,
    /// The process, if it may still be there.
    pub(super) remains: Option<Worker>,
}

impl Conducted {
    /// Network namespaces that stay as long as the process does.
    pub(super) fn namespaces(&self) -> usize {
        let built = |event: &Event| match event {
            Event::LabBuilt { namespaces, .. } => Some(*namespaces),
            _ => None,
        };
        self.events.iter().flatten().find_map(built).unwrap_or_default()
    }
}

/// A worker process. Its pipes stay open as long as it lives, so that it can still complain.
pub(super) struct Worker {
    child: Child,
    /// As long as this is open, its lab stands.
    stdin: Option<ChildStdin>,
    stdout: Lines<BufReader<ChildStdout>>,
    stderr: ChildStderr,
    /// The end of what it wrote to its standard error.
    complaints: VecDeque<u8>,
}

/// Runs a job in a worker.
pub(super) async fn conduct(
    job: &Job,
    begun: Event,
    limit: Duration,
    stopped: watch::Receiver<bool>,
) -> Conducted {
    let start = Instant::now();
    let mut events = vec![begun];
    let (why, remains) = match spawn() {
        Ok(mut worker) => {
            let why = match follow(&mut worker, job, &mut events, limit, stopped).await {
                Followed::Verdict => None,
                Followed::Silence(why) => Some(worker.end(why).await),
                Followed::Interrupted => {
                    worker.kill();
                    return Conducted { events: None, remains: Some(worker) };
                }
            };
            (why, Some(worker))
        }
        Err(error) => (Some(format!("the worker could not be started: {error}")), None),
    };
    if let Some(reason) = why {
        let micros = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        let (test, outcome) = (job.test.clone(), Outcome::Error { reason });
        events.push(Event::TestFinished { test, outcome, micros, peak_kib: 0, frames: 0 });
    }
    Conducted { events: Some(events), remains }
}

/// How the conversation with a worker ended.
enum Followed {
    /// With its verdict.
    Verdict,
    /// Without.
    Silence(Silence),
    /// Nobody wants to know any more.
    Interrupted,
}

/// Why there is no verdict.
enum Silence {
    /// It ended, or closed its output.
    Ended,
    /// It took too long.
    Late(Duration),
    /// It said what no worker says.
    Nonsense(String),
}

fn spawn() -> io::Result<Worker> {
    let mut command = Command::new(OURSELVES);
    command
        .arg0("mhlab-worker")
        .arg(ENTRY)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Ctrl-C is for the runner: it ends the workers and tells what was run.
        .process_group(0)
        .kill_on_drop(true);
    let mut child = command.spawn()?;
    let missing = || io::Error::other("a pipe is missing");
    let stdin = Some(child.stdin.take().ok_or_else(missing)?);
    let stdout = BufReader::new(child.stdout.take().ok_or_else(missing)?).lines();
    let stderr = child.stderr.take().ok_or_else(missing)?;
    Ok(Worker { child, stdin, stdout, stderr, complaints: VecDeque::new() })
}

async fn follow(
    worker: &mut Worker,
    job: &Job,
    events: &mut Vec<Event>,
    limit: Duration,
    mut stopped: watch::Receiver<bool>,
) -> Followed {
    let Worker { stdin, stdout, stderr, complaints, .. } = worker;
    let telling = async {
        let mut line = serde_json::to_vec(job).unwrap_or_default();
        line.push(b'\n');
        if let Some(stdin) = stdin {
            // A worker that does not listen has ended, which its output tells.
            let _ = stdin.write_all(&line).await;
        }
    };
    let late = time::sleep(limit);
    tokio::pin!(telling, late);
    let (mut told, mut complains) = (false, true);
    let mut chunk = [0; 1024];
    loop {
        tokio::select! {
            biased;
            line = stdout.next_line() => {
                let Ok(Some(line)) = line else { return Followed::Silence(Silence::Ended) };
                match serde_json::from_str::<Event>(&line) {
                    // It began before its worker did.
                    Ok(Event::TestStarted { .. }) => {}
                    Ok(event) => {
                        let verdict = matches!(event, Event::TestFinished { .. });
                        events.push(event);
                        if verdict {
                            return Followed::Verdict;
                        }
                    }
                    Err(_) => return Followed::Silence(Silence::Nonsense(line)),
                }
            }
            read = stderr.read(&mut chunk), if complains => match read {
                Ok(length) if length > 0 => keep(complaints, &chunk[..length]),
                Ok(_) | Err(_) => complains = false,
            },
            () = &mut telling, if !told => told = true,
            () = &mut late => return Followed::Silence(Silence::Late(limit)),
            _ = stopped.wait_for(|stopped| *stopped) => return Followed::Interrupted,
        }
    }
}

fn keep(complaints: &mut VecDeque<u8>, chunk: &[u8]) {
    complaints.extend(chunk);
    let excess = complaints.len().saturating_sub(KEPT_BYTES);
    complaints.drain(..excess);
}

impl Worker {
    /// Kills the first process of its sandbox. The worker itself, which supervises that process, then leaves when
    /// the kernel has taken everything away; killed first, it would leave that to happen unseen.
    fn kill(&mut self) {
        let Some(group) = self.group() else { return };
        let children = std::fs::read_to_string(format!("/proc/{group}/task/{group}/children"));
        let mut killed = false;
        for child in children.unwrap_or_default().split_whitespace().filter_map(|id| id.parse().ok()) {
            let child = Pid::from_raw(child);
            killed |= getpgid(Some(child)) == Ok(group) && kill(child, Signal::SIGKILL).is_ok();
        }
        if !killed {
            self.kill_all();
        }
    }

    /// Kills it and whatever it started in its process group.
    fn kill_all(&mut self) {
        // Errors mean that it is gone already.
        if let Some(group) = self.group() {
            let _ = killpg(group, Signal::SIGKILL);
        }
        let _ = self.child.start_kill();
    }

    /// Its process group, which has its own number; None if it has left.
    fn group(&self) -> Option<Pid> {
        self.child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw)
    }

    /// Ends a worker that gave no verdict, and tells why there is none.
    async fn end(&mut self, why: Silence) -> String {
        let ended_by_itself = matches!(why, Silence::Ended);
        // One that closed its output is about to leave, and its status says why.
        let status = match ended_by_itself {
            true => time::timeout(FAREWELL, self.child.wait()).await.ok().and_then(Result::ok),
            false => None,
        };
        if status.is_none() {
            self.kill();
            let _ = time::timeout(FAREWELL, self.child.wait()).await;
        }
        let mut chunk = [0; 1024];
        // What it left in the pipe; processes of its lab may hold the other end for a moment longer.
        while let Ok(Ok(length @ 1..)) =
            time::timeout(Duration::from_millis(50), self.stderr.read(&mut chunk)).await
        {
            keep(&mut self.complaints, &chunk[..length]);
        }
        let mut reason = match why {
            Silence::Ended => format!("the worker gave no verdict: it {}", ending(status)),
            Silence::Late(limit) => format!(
                "no verdict within {} s, so it was stopped (hint: --timeout gives it more)",
                limit.as_secs_f64()
            ),
            Silence::Nonsense(line) => format!("the worker said what no worker says: {line}"),
        };
        let complaints = String::from_utf8_lossy(self.complaints.make_contiguous()).into_owned();
        if !complaints.trim().is_empty() {
            reason.push('\n');
            reason.push_str(complaints.trim_end());
        }
        reason
    }
}

fn ending(status: Option<ExitStatus>) -> String {
    match status.map(|status| (status.code(), status.signal())) {
        Some((Some(code), _)) => format!("ended with exit status {code}"),
        Some((None, Some(signal))) => {
            let name = Signal::try_from(signal).map_or("", Signal::as_str);
            format!("was killed by signal {signal} {name}").trim_end().to_owned()
        }
        Some((None, None)) => "ended in a way that the kernel does not tell".to_owned(),
        None => "closed its output and did not end".to_owned(),
    }
}

/// Lets a worker take its lab down and leave, and sees to it that it does.
pub(super) async fn reap(mut worker: Worker) {
    drop(worker.stdin.take());
    if time::timeout(FAREWELL, worker.child.wait()).await.is_err() {
        worker.kill_all();
        let _ = time::timeout(FAREWELL, worker.child.wait()).await;
    }
}
