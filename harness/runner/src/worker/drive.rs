//! The timeline: builds the lab, puts the subject in place, takes the steps one after the other, and judges.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::{Duration, Instant},
};

use harness_lab::{capture::Capture, inject::Injector, lab::Lab, relay::Relay};
use harness_model::{
    event::{CommandRun, Event, Outcome, StepReport},
    observation::{CommandSeen, ExchangeSeen, SocketResult, StreamSeen},
    plan::{self, LabPlan},
    scenario::{
        self, Action, Exchange, Expect, Happening, LinkAction, LinkChange, Scenario, Step, SubjectAction,
        Timed, Variant,
    },
    stream::Customers,
    topology::NodeId,
    verdict::{Evidence, Ground, Judged, describe_action, describe_happening, judge, judge_always},
};

use super::{
    commands,
    failure::Failure,
    finished, micros, mutant,
    reactor::{Hub, RESTLESS, Reactor},
    subject::Subject,
    traffic::{flow::Flow, service::Services, stream::Streams},
};
use crate::job::Job;

mod entries;
mod inject;

use entries::Watched;

/// Between two looks at tables that are waited for.
const LOOK: Duration = Duration::from_millis(20);
/// Between two runs of a command that is run again.
const AGAIN: Duration = Duration::from_millis(10);

/// Runs a job in this process, which is PID 1 of a fresh sandbox, and says how it ended.
pub(super) fn run(job: &Job, started: Instant, emit: &mut dyn FnMut(Event)) -> Remains {
    let mut remains = Remains::default();
    let outcome = match attempt(job, emit, &mut remains) {
        Ok(outcome) => outcome,
        Err(failure) => Outcome::Error { reason: failure.in_full() },
    };
    emit(finished(job.test.clone(), outcome, started, remains.frames));
    remains
}

/// What is left of a run when it has been judged.
#[derive(Default)]
pub(super) struct Remains {
    frames: u64,
    capture: Option<Capture>,
    injector: Option<Injector>,
}

impl Remains {
    /// Gives back what the kernel takes its time to close.
    pub(super) fn close(self) {
        harness_lab::close(self.capture, self.injector);
    }
}

fn attempt(job: &Job, emit: &mut dyn FnMut(Event), remains: &mut Remains) -> Result<Outcome, Failure> {
    let scenario = scenario::parse(&job.text)
        .map_err(|_| Failure::Scenario("the scenario does not parse any more".to_owned()))?;
    let variant = scenario
        .variants
        .iter()
        .find(|variant| variant.name == job.test.variant)
        .ok_or_else(|| Failure::Scenario(format!("there is no variant `{}`", job.test.variant)))?;
    let seed = job.seed.unwrap_or(scenario.seed);
    emit(Event::TestStarted {
        test: job.test.clone(),
        title: scenario.title.clone(),
        breaks: variant.breaks.iter().cloned().collect(),
        steps: scenario.steps.len(),
        seed: scenario.is_random().then_some(seed),
    });
    let built = Instant::now();
    let plan = plan::build(&scenario.topology, scenario.ipv6);
    let mut lab = Lab::build(&plan)?;
    lab.leave_routes_to(scenario.subject.0);
    let capture = Capture::open(&lab).map_err(|error| Failure::Capture(Box::new(error)))?;
    let services = Services::start(&lab, &plan)?;
    let watched = Watched::begin(&lab, scenario.watched())?;
    emit(Event::LabBuilt {
        test: job.test.clone(),
        namespaces: plan.nodes.len(),
        links: scenario.topology.links.len(),
        micros: micros(built),
    });
    let streams = Streams::new(Customers::of(&scenario.topology, &plan));
    let relay = Relay::new(&mut lab, seed);
    let mut reactor = Reactor::new(lab, relay, capture, services, streams);
    reactor.mhnat.clone_from(&job.mhnat);
    let mhnat = job.mhnat.as_deref();
    let subject = Subject::prepare(&mut reactor, variant, scenario.subject.0, &job.path, mhnat)?;
    let mut drive = Drive {
        job,
        scenario: &scenario,
        plan: &plan,
        seed,
        subject,
        reactor,
        injector: Injector::default(),
        watched,
        flows: BTreeMap::new(),
        probe: 0,
        emit,
    };
    let result = drive.all(variant);
    if !matches!(result, Ok(Outcome::Passed)) {
        drive.tell_what_was_printed();
    }
    let Drive { reactor, injector, .. } = drive;
    let Hub { capture, frames, .. } = reactor.hub;
    *remains = Remains { frames, capture: Some(capture), injector: Some(injector) };
    result
}

struct Drive<'a> {
    job: &'a Job,
    scenario: &'a Scenario,
    plan: &'a LabPlan,
    /// Where all chance comes from.
    seed: u64,
    subject: Subject<'a>,
    reactor: Reactor,
    injector: Injector,
    /// Conntrack entries as they come and go.
    watched: Watched,
    flows: BTreeMap<String, Flow>,
    probe: u32,
    emit: &'a mut dyn FnMut(Event),
}

/// What a step leaves behind for its verdict.
#[derive(Default)]
struct Done {
    exchange: Option<ExchangeSeen>,
    injected: Option<u32>,
    stream: Option<StreamSeen>,
    command: Option<CommandRun>,
    /// What happened when.
    timeline: Vec<String>,
}

impl Drive<'_> {
    fn all(&mut self, variant: &Variant) -> Result<Outcome, Failure> {
        let applies = |step: &Step| matches!(step.action, Action::Subject(SubjectAction::Apply));
        if !self.scenario.steps.iter().any(applies) {
            self.drive_subject(SubjectAction::Apply)?;
        }
        self.reactor.hub.settle()?;
        self.watched.look()?;
        self.watched.forget();
        let mut failed: BTreeSet<String> = BTreeSet::new();
        for step in &self.scenario.steps {
            let report = self.step(step, step.expects(&variant.name))?;
            if !report.holds() {
                failed.insert(report.name.clone());
            }
            (self.emit)(Event::StepFinished { test: self.job.test.clone(), step: report });
        }
        for always in &self.scenario.always {
            let began = Instant::now();
            let check = judge_always(self.ground(), always, &self.reactor.hub.records);
            if !check.holds {
                failed.insert(always.name.clone());
            }
            let step = StepReport {
                name: always.name.clone(),
                action: "over all packets of the run".to_owned(),
                checks: vec![check],
                journeys: Vec::new(),
                command: None,
                timeline: Vec::new(),
                micros: micros(began),
            };
            (self.emit)(Event::StepFinished { test: self.job.test.clone(), step });
        }
        if failed == variant.breaks {
            return Ok(Outcome::Passed);
        }
        Ok(Outcome::Failed {
            unbroken: variant.breaks.difference(&failed).cloned().collect(),
            failed: failed.difference(&variant.breaks).cloned().collect(),
        })
    }

    fn ground(&self) -> Ground<'_> {
        Ground { topology: &self.scenario.topology, plan: self.plan }
    }

    fn drive_subject(&mut self, action: SubjectAction) -> Result<(), Failure> {
        let began = Instant::now();
        let mut commands = self.subject.drive(&mut self.reactor, action)?;
        let puts_in_place = matches!(action, SubjectAction::Apply | SubjectAction::Reload);
        if let Some(n) = self.job.without_rule.filter(|_| puts_in_place) {
            commands.push(mutant::delete(&mut self.reactor, self.scenario.subject.0, n)?);
        }
        (self.emit)(Event::SubjectDriven {
            test: self.job.test.clone(),
            action: action.word().to_owned(),
            commands,
            micros: micros(began),
        });
        Ok(())
    }

    /// What a subject that stays printed explains what became of it.
    fn tell_what_was_printed(&mut self) {
        for (command, output) in self.subject.printed() {
            (self.emit)(Event::SubjectPrinted { test: self.job.test.clone(), command, output });
        }
    }

    fn step(&mut self, step: &Step, expect: &Expect) -> Result<StepReport, Failure> {
        let began = Instant::now();
        let first = self.reactor.hub.records.len();
        let mut done = self.act(step, expect)?;
        if let Action::Wait(limit) = &step.action {
            self.wait(expect, began + *limit, first)?;
        }
        if let (Some(within), None) = (step.within, done.exchange) {
            self.reactor.hub.watch_until(began + within)?;
        }
        self.reactor.hub.settle()?;
        self.subject.check()?;
        self.reactor.hub.close_step(first);
        if let Action::End { stream } = &step.action {
            done.stream = self.reactor.hub.streams.take(stream);
        }
        let judged = self.judge(expect, &done, first)?;
        self.watched.forget();
        Ok(StepReport {
            name: step.name.clone(),
            action: describe_action(self.ground(), &step.action),
            checks: judged.checks,
            journeys: judged.journeys,
            command: done.command,
            timeline: done.timeline,
            micros: micros(began),
        })
    }

    /// Judges by what there is now, from the record `first` on.
    fn judge(&mut self, expect: &Expect, done: &Done, first: usize) -> Result<Judged, Failure> {
        self.watched.look()?;
        let conntrack = entries::tables(&mut self.reactor.lab, expect)?;
        let command: Option<CommandSeen> = done.command.as_ref().map(commands::seen);
        let evidence = Evidence {
            records: &self.reactor.hub.records[first..],
            exchange: done.exchange,
            injected: done.injected,
            command: command.as_ref(),
            stream: done.stream.as_ref(),
            conntrack: &conntrack,
            changes: self.watched.seen(),
        };
        Ok(judge(self.ground(), expect, &evidence))
    }

    /// Waits until all that is expected has been seen, or for the whole time if something must not be seen.
    fn wait(&mut self, expect: &Expect, deadline: Instant, first: usize) -> Result<(), Failure> {
        if !expect.can_only_be_met() {
            return self.reactor.hub.watch_until(deadline);
        }
        loop {
            let judged = self.judge(expect, &Done::default(), first)?;
            let met = judged.checks.iter().all(|check| check.holds);
            if met || Instant::now() >= deadline {
                return Ok(());
            }
            // Tables are looked at again when entries come or go, and at times: marks change without a word.
            let again = deadline.min(Instant::now() + LOOK);
            let mut news = false;
            while !news && Instant::now() < again {
                news = self.reactor.hub.turn()?;
                if !news {
                    self.reactor.hub.wait(&self.watched.interest(), again)?;
                    news = self.watched.look()?;
                }
            }
        }
    }

    /// Runs a command, and again until it ends as it should or the time is over.
    fn run(
        &mut self,
        on: NodeId,
        command: &str,
        until: Option<Duration>,
        expect: &Expect,
    ) -> Result<CommandRun, Failure> {
        let directory = self.job.path.parent().unwrap_or(Path::new("/"));
        let deadline = until.map(|until| Instant::now() + until);
        loop {
            let arguments = ["-c", command];
            let run =
                commands::run(&mut self.reactor, on.0, Path::new("/bin/sh"), &arguments, directory, command)?;
            let as_expected = expect.exit.is_none_or(|exit| run.status == exit)
                && expect.output.as_ref().is_none_or(|text| run.output.contains(text.as_str()));
            if as_expected || deadline.is_none_or(|deadline| Instant::now() >= deadline) {
                return Ok(run);
            }
            self.reactor.hub.watch_until(Instant::now() + AGAIN)?;
        }
    }

    fn act(&mut self, step: &Step, expect: &Expect) -> Result<Done, Failure> {
        let mut done = Done::default();
        match &step.action {
            Action::Request(exchange) => {
                let mut flow = self.open(exchange)?;
                done.exchange = Some(self.exchange(&mut flow, exchange.size, step)?);
            }
            Action::Open { flow: name, exchange } => {
                let mut flow = self.open(exchange)?;
                done.exchange = Some(self.exchange(&mut flow, exchange.size, step)?);
                self.flows.insert(name.clone(), flow);
            }
            Action::Say { flow: name } => {
                let mut flow = self
                    .flows
                    .remove(name)
                    .ok_or_else(|| Failure::Scenario(format!("flow {name} is not open")))?;
                done.exchange = Some(self.exchange(&mut flow, 16, step)?);
                self.flows.insert(name.clone(), flow);
            }
            Action::Close { flow } => drop(self.flows.remove(flow)),
            Action::Stream { stream, exchange, rate } => {
                let Reactor { lab, hub, .. } = &mut self.reactor;
                hub.streams.start(lab, stream, exchange, *rate)?;
            }
            Action::End { stream } => self.reactor.hub.streams.end(stream)?,
            Action::Inject(injection) => done.injected = Some(self.inject(injection)?),
            Action::Run { on, command, until } => {
                done.command = Some(self.run(*on, command, *until, expect)?);
            }
            Action::Link { node, interface, change, repeat: None } => {
                self.change_link(*node, *interface, change)?;
            }
            Action::Link { node, interface, change, repeat: Some(repeat) } => {
                done.timeline = self.flap(repeat.schedule(*node, *interface, change))?;
            }
            Action::Flap { flap, written: _ } => {
                done.timeline = self.flap(flap.schedule(self.seed, &step.name))?;
            }
            Action::Subject(action) => self.drive_subject(*action)?,
            Action::Wait(_) => {}
        }
        Ok(done)
    }

    fn change_link(&mut self, node: NodeId, interface: usize, change: &LinkChange) -> Result<(), Failure> {
        let index = self.plan.nodes[node.0].devices[interface].index;
        self.reactor.hub.streams.link_changes();
        match change {
            LinkChange::State(action) => self.reactor.change(|lab| lab.change(node.0, index, *action))??,
            LinkChange::Faults { leaving, coming } => {
                let [leaving, coming] = [leaving, coming].map(|faults| faults.as_deref().cloned());
                self.reactor.lab.impair(node.0, index, leaving, coming)?;
            }
            LinkChange::Addresses(addresses) => {
                self.reactor.change(|lab| lab.readdress(node.0, index, addresses))??;
            }
            LinkChange::Returns(addresses) => {
                let restore = |lab: &mut Lab| {
                    lab.readdress(node.0, index, addresses)?;
                    lab.change(node.0, index, LinkAction::Restore)
                };
                self.reactor.change(restore)??;
            }
        }
        Ok(())
    }

    /// Changes links, and kills and starts the subject, each at its time, and tells when it was done.
    fn flap(&mut self, changes: Vec<Timed>) -> Result<Vec<String>, Failure> {
        let began = Instant::now();
        let mut timeline = Vec::with_capacity(changes.len());
        // The kernel takes its time over some changes: what follows is put off, so that breaks last as long as they should.
        let mut late = Duration::ZERO;
        let mut started = false;
        for Timed { at, what } in changes {
            self.reactor.hub.watch_until(began + at + late)?;
            late = began.elapsed().saturating_sub(at).max(late);
            let since = began.elapsed().as_secs_f64() * 1e3;
            timeline.push(format!("+{since:.1} ms  {}", describe_happening(self.ground(), &what)));
            match what {
                Happening::Link { node, interface, change } => self.change_link(node, interface, &change)?,
                Happening::Killed => {
                    self.subject.kill()?;
                }
                Happening::Started => {
                    self.subject.start(&mut self.reactor)?;
                    started = true;
                }
            }
        }
        // Links go on breaking while it starts. What follows finds it ready.
        if started {
            self.subject.await_ready(&mut self.reactor)?;
        }
        Ok(timeline)
    }

    fn open(&mut self, exchange: &Exchange) -> Result<Flow, Failure> {
        self.reactor.lab.in_node(exchange.from.0, || Flow::open(exchange))?
    }

    /// Asks, and waits for the answer: until the network is quiet, or as long as the step says.
    fn exchange(&mut self, flow: &mut Flow, size: u16, step: &Step) -> Result<ExchangeSeen, Failure> {
        self.probe += 1;
        flow.ask(self.probe, size);
        let deadline = step.within.map(|within| Instant::now() + within);
        let restless = Instant::now() + RESTLESS;
        let result = loop {
            if let Some(result) = flow.progress() {
                break result;
            }
            if deadline.is_none() && Instant::now() > restless {
                return Err(Failure::Restless(RESTLESS.as_secs()));
            }
            if self.reactor.hub.turn()? {
                continue;
            }
            match deadline {
                // The fence may have let the answer in.
                None if self.reactor.hub.is_quiet()? => {
                    break flow.progress().unwrap_or(SocketResult::Silence);
                }
                None => self.reactor.hub.await_relay()?,
                Some(deadline) if Instant::now() >= deadline => break SocketResult::Silence,
                Some(deadline) => self.reactor.hub.wait(flow.interest().as_slice(), deadline)?,
            }
        };
        Ok(ExchangeSeen {
            node: flow.node,
            probe: self.probe,
            protocol: flow.protocol,
            local: flow.local,
            remote: flow.remote,
            result,
        })
    }
}
