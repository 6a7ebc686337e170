//! Courses over a model of a tenant, with a worker that dies before or after every primitive, and its successor that dies as well.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;

use super::*;
use crate::base::{DeployId, Digest, Epoch, StepId, TenantId, Timestamp};
use crate::release::stepwise::{Facts, Object, ObjectKind, Touches};
use crate::saga::event::Half;
use crate::tenant::session::{CheckOutcome, Effect, FenceState, ForeignKeys, InForce, LedgerRow, SetsSession};
use crate::tenant::stepwise::{Begun, Outcomes, Print, Stepwise};

/// What a database would have: the things that were made, how often rows were written, and Windlass's own rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct World {
    made: BTreeSet<String>,
    rows: BTreeMap<String, i32>,
    ledger: BTreeMap<String, Effect>,
    begun: BTreeMap<(String, u32), Begun>,
}

/// When a worker dies: at its n-th primitive, before or after that has done what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Death {
    at: usize,
    after: bool,
}

struct Model {
    world: Arc<Mutex<World>>,
    tenant: TenantId,
    death: Option<Death>,
    passed: usize,
    dead: bool,
}

fn row_of(key: &LedgerKey) -> String {
    format!("{:?}", key.half)
}

impl Model {
    fn open(world: &Arc<Mutex<World>>, death: Option<Death>) -> Self {
        Self {
            world: Arc::clone(world),
            tenant: TenantId::new("acme".to_owned()).unwrap(),
            death,
            passed: 0,
            dead: false,
        }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    fn lost(&self) -> SessionError {
        let failure = Failure::new(ErrorClass::Transient, Code::TenantUnreachable, "the worker died");
        SessionError { tenant: self.tenant.clone(), failure, outcome: Outcome::Unknown }
    }

    /// One primitive.
    fn act<T>(&mut self, act: impl FnOnce(&mut World) -> Result<T, SessionError>) -> Result<T, SessionError> {
        self.passed += 1;
        let dies = self.death.filter(|death| death.at == self.passed);
        if self.dead || dies.is_some_and(|death| !death.after) {
            self.dead = true;
            return Err(self.lost());
        }
        let done = act(&mut self.world.lock().unwrap());
        if dies.is_some() {
            self.dead = true;
            return Err(self.lost());
        }
        done
    }

    fn refused(&self) -> SessionError {
        SessionError::no_effect(&self.tenant, ErrorClass::Permanent, Code::StepFailed, "no")
    }
}

/// `make x`, `drop x`: as DDL, which a second run refuses; `write x`, `erase x`: as DML, which a second run doubles; `fail`.
fn run(world: &mut World, text: &str, refused: &SessionError) -> Result<(), SessionError> {
    let (verb, name) = text.split_once(' ').unwrap_or((text, ""));
    let done = match verb {
        "make" => world.made.insert(name.to_owned()),
        "drop" => world.made.remove(name),
        "write" | "erase" => {
            *world.rows.entry(name.to_owned()).or_default() += if verb == "write" { 1 } else { -1 };
            world.rows.retain(|_, count| *count != 0);
            true
        }
        _ => false,
    };
    if done { Ok(()) } else { Err(refused.clone()) }
}

#[async_trait]
impl Stepwise for Model {
    async fn begun(&mut self, key: &LedgerKey) -> Result<Vec<Begun>, SessionError> {
        let half = row_of(key);
        self.act(|world| {
            Ok(world.begun.iter().filter(|((of, _), _)| *of == half).map(|(_, row)| row.clone()).collect())
        })
    }

    async fn intend(&mut self, key: &LedgerKey, number: u32, before: &str) -> Result<Written, SessionError> {
        let (key, before) = ((row_of(key), number), before.to_owned());
        self.act(|world| {
            let row = Begun { number, state: State::Intent, before, after: String::new(), epoch: Epoch(1) };
            if world.begun.contains_key(&key) {
                return Ok(Written::Before);
            }
            world.begun.insert(key, row);
            Ok(Written::Now)
        })
    }

    async fn run_alone(&mut self, _: Half, statement: &str) -> Result<(), SessionError> {
        let refused = self.refused();
        self.act(|world| run(world, statement, &refused))
    }

    async fn settle(&mut self, key: &LedgerKey, number: u32, after: &str) -> Result<(), SessionError> {
        self.act(|world| {
            let row = world.begun.get_mut(&(row_of(key), number)).filter(|row| row.state == State::Intent);
            let row = row.expect("only an intent is settled");
            (row.state, row.after) = (State::Done, after.to_owned());
            Ok(())
        })
    }

    async fn forget(&mut self, key: &LedgerKey, number: u32) -> Result<(), SessionError> {
        self.act(|world| {
            world.begun.remove(&(row_of(key), number));
            Ok(())
        })
    }

    async fn run_with_outcome(
        &mut self,
        key: &LedgerKey,
        number: u32,
        statements: &[String],
    ) -> Result<Written, SessionError> {
        let refused = self.refused();
        self.act(|world| {
            let mut after = world.clone();
            let row =
                Begun { number, state: State::Done, before: String::new(), after: String::new(), epoch: Epoch(1) };
            if after.begun.insert((row_of(key), number), row).is_some() {
                return Ok(Written::Before);
            }
            for statement in statements {
                run(&mut after, statement, &refused)?;
            }
            *world = after;
            Ok(Written::Now)
        })
    }

    async fn say_again(&mut self, _: &str) -> Result<(), SessionError> {
        self.act(|_| Ok(()))
    }

    async fn finish(&mut self, unit: &Unit, outcomes: Outcomes) -> Result<Applied, SessionError> {
        let (key, effect) = (row_of(&unit.key), unit.effect);
        self.act(|world| {
            let open = world.begun.iter_mut().filter(|((of, _), row)| *of == key && row.state == State::Intent);
            for (_, row) in open {
                assert_eq!(outcomes, Outcomes::Due, "an intent is left that nobody settles");
                row.state = State::Done;
            }
            assert_eq!(world.ledger.insert(key, effect), None, "a key is taken once");
            Ok(Applied::Now)
        })
    }

    async fn print(&mut self, facts: &Facts) -> Result<Print, SessionError> {
        let Touches::Objects(objects) = facts.touches.clone() else { panic!("the model's statements are understood") };
        self.act(|world| {
            let of = |object: &Object| format!("{} {}", object.name, world.made.contains(&object.name));
            let text = objects.iter().map(of).collect::<Vec<_>>().join(", ");
            Ok(Print { text, proves: true })
        })
    }

    async fn mend(&mut self, _: &Middle, _: &str, _: Mend) -> Result<Mended, SessionError> {
        self.act(|_| Ok(Mended::Nothing))
    }

    async fn renew(&mut self) {}
}

#[async_trait]
impl Session for Model {
    fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    fn server(&self) -> &'static str {
        "model"
    }

    fn in_force(&self) -> &[InForce] {
        &[]
    }

    fn probe(&self, key: &LedgerKey) -> Probe {
        match self.world().ledger.get(&row_of(key)) {
            None => Probe::NotApplied,
            Some(Effect::Void) => Probe::Void,
            Some(effect) => Probe::Applied(LedgerRow {
                position: 1,
                key: key.clone(),
                version: String::new(),
                name: String::new(),
                digest: Digest::of(b""),
                effect: *effect,
                epoch: Epoch(1),
                at: Timestamp(0),
            }),
        }
    }

    async fn apply(&mut self, _: &Unit) -> Result<Applied, SessionError> {
        unreachable!("a course has no unit with statements")
    }

    async fn void(&mut self, key: &LedgerKey) -> Result<(), SessionError> {
        self.act(|world| {
            let row = world.ledger.entry(row_of(key)).or_insert(Effect::Void);
            assert_eq!(*row, Effect::Void, "what took effect is not given up");
            Ok(())
        })
    }

    async fn check(&mut self, _: &str) -> Result<CheckOutcome, SessionError> {
        unreachable!("no check")
    }

    async fn close(self: Box<Self>) {}
}

fn stride(number: u32, text: &str) -> Stride {
    let (verb, name) = text.split_once(' ').unwrap_or((text, ""));
    let object = Object { kind: ObjectKind::Table, schema: None, name: name.to_owned() };
    let by_itself = ["make", "drop", "fail"].contains(&verb);
    let facts = Facts {
        commit: if by_itself { Commit::ByItself } else { Commit::WithLedger },
        touches: Touches::Objects(if by_itself { vec![object] } else { Vec::new() }),
        shown: if by_itself { Shown::Definition } else { Shown::Nowhere },
        repeat: Repeat::Harmful,
        middle: Middle::None,
        lives: Lives::Database,
    };
    Stride { number, texts: vec![text.to_owned()], facts }
}

fn back(stride_: &Stride) -> Option<Stride> {
    let text = &stride_.texts[0];
    let undone = if text == "fail" {
        return None;
    } else if let Some(name) = text.strip_prefix("make ") {
        format!("drop {name}")
    } else {
        text.replace("write", "erase")
    };
    Some(stride(stride_.number, &undone))
}

fn unit(half: Half, effect: Effect) -> Unit {
    Unit {
        key: LedgerKey { deploy: DeployId::fresh(), step: StepId("migrate:1".to_owned()), half },
        effect,
        version: "1".to_owned(),
        name: "1_name".to_owned(),
        digest: Digest::of(b""),
        statements: Vec::new(),
        sets_session: SetsSession::No,
        foreign_keys: ForeignKeys::Unchecked,
        fence: FenceState::Open,
    }
}

/// How a script came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Applied,
    TakenBack(u32),
}

/// Carries a script on with workers that die as told, one after the other and then none, and takes it back once it has failed, or once
/// so many workers have died, as a deploy does that has turned meanwhile. Answers with the primitives that the last worker passed.
async fn to_its_end(world: &Arc<Mutex<World>>, script: &[Stride], deaths: &[Death], turn_after: usize) -> (End, usize) {
    let (act, undo) = (unit(Half::Act, Effect::Apply), unit(Half::Undo, Effect::Revert));
    let undos: Vec<Option<Stride>> = script.iter().map(back).collect();
    let course = Course { unit: &act, strides: script };
    let mut failed = false;
    for life in 0.. {
        let mut session = Model::open(world, deaths.get(life).copied());
        failed |= life >= turn_after;
        if !failed {
            match carry_on(&mut session, &course).await {
                Ok(_) => return (End::Applied, session.passed),
                Err(halted) => match halted.error.outcome {
                    Outcome::NoEffect => failed = true,
                    Outcome::Unknown => continue,
                    Outcome::Torn => panic!("{}", halted.error),
                },
            }
        }
        match take_back(&mut session, &course, &undos, &undo).await {
            Ok(TakenBack::Part(count)) => return (End::TakenBack(count), session.passed),
            Ok(TakenBack::Whole) => return (End::Applied, session.passed),
            Err(halted) => assert_eq!(halted.error.outcome, Outcome::Unknown, "{}", halted.error),
        }
    }
    unreachable!("lives do not end")
}

/// Every script of up to three statements of either kind, with a failing one or without.
fn scripts() -> Vec<Vec<Stride>> {
    let mut texts: Vec<Vec<&str>> = vec![Vec::new()];
    for names in [["make a", "write a", "fail"], ["make b", "write b", "fail"], ["make c", "write c", "fail"]] {
        let longer = texts
            .iter()
            .flat_map(|script| names.iter().map(move |next| script.iter().copied().chain([*next]).collect::<Vec<_>>()));
        texts = texts.iter().cloned().chain(longer.collect::<Vec<_>>()).collect();
    }
    texts.retain(|script| !script.is_empty());
    texts.sort();
    texts.dedup();
    texts.into_iter().map(|script| (1..).zip(script).map(|(number, text)| stride(number, text)).collect()).collect()
}

/// The ends that an undisturbed deploy could reach: all of it, or none.
fn judge(world: &World, script: &[Stride], end: End, told: &str) {
    let mut expected = World::default();
    if end == End::Applied {
        let refused = Model::open(&Arc::default(), None).refused();
        for stride in script {
            run(&mut expected, &stride.texts[0], &refused).unwrap();
        }
    }
    assert_eq!((&world.made, &world.rows), (&expected.made, &expected.rows), "{told}");
    let over = |half: Half, effect| world.ledger.get(&format!("{half:?}")) == Some(&effect);
    match end {
        End::Applied => assert!(over(Half::Act, Effect::Apply), "{told}"),
        End::TakenBack(_) => assert!(over(Half::Act, Effect::Void) && over(Half::Undo, Effect::Revert), "{told}"),
    }
}

#[tokio::test]
async fn every_script_ends_whole_or_undone_wherever_its_worker_and_the_next_one_die() {
    let mut runs = 0_u64;
    for script in scripts() {
        let told = |deaths: &[Death], turn: usize| {
            let texts: Vec<_> = script.iter().map(|of| of.texts[0].as_str()).collect();
            format!("{texts:?}, deaths {deaths:?}, turned after {turn}")
        };
        let whole = Arc::default();
        let (undisturbed, passed) = to_its_end(&whole, &script, &[], usize::MAX).await;
        judge(&whole.lock().unwrap(), &script, undisturbed, &told(&[], usize::MAX));
        let deaths = |of: usize| (1..=of).flat_map(|at| [false, true].map(|after| Death { at, after }));
        for first in deaths(passed) {
            for turn in [1, usize::MAX] {
                let world = Arc::default();
                let (end, passed) = to_its_end(&world, &script, &[first], turn).await;
                judge(&world.lock().unwrap(), &script, end, &told(&[first], turn));
                runs += 1;
                for second in deaths(passed) {
                    let (world, deaths) = (Arc::default(), [first, second]);
                    let (end, _) = to_its_end(&world, &script, &deaths, turn).await;
                    judge(&world.lock().unwrap(), &script, end, &told(&deaths, turn));
                    runs += 1;
                }
            }
        }
    }
    println!("{runs} runs");
    assert!(runs > 10_000, "{runs}");
}

#[tokio::test]
async fn a_part_without_an_undo_of_its_own_is_not_touched() {
    let world = Arc::default();
    let script = [stride(1, "make a"), stride(2, "fail")];
    let (act, undo) = (unit(Half::Act, Effect::Apply), unit(Half::Undo, Effect::Revert));
    let course = Course { unit: &act, strides: &script };
    let mut session = Model::open(&world, None);
    let halted = carry_on(&mut session, &course).await.unwrap_err();
    assert_eq!((halted.done, halted.error.failure.statement), (1, Some(2)));
    let refused = take_back(&mut session, &course, &[None, None], &undo).await.unwrap_err();
    assert_eq!((refused.error.failure.code, refused.error.outcome), (Code::Irreversible, Outcome::NoEffect));
    assert!(refused.error.failure.message.contains("statement 1 (`make a`)"), "{}", refused.error);
    assert!(session.world().ledger.is_empty());
}

#[tokio::test]
async fn what_nothing_shows_and_nobody_may_repeat_is_left_to_a_human_with_both_ways_on() {
    let world = Arc::default();
    let blind = Facts { touches: Touches::Objects(Vec::new()), shown: Shown::Nowhere, ..stride(1, "make a").facts };
    let script = [Stride { facts: blind.clone(), ..stride(1, "make a") }, stride(2, "make b")];
    let act = unit(Half::Act, Effect::Apply);
    let course = Course { unit: &act, strides: &script };
    // Dies with the statement under way: after the rows were read and the intent was written.
    let mut first = Model::open(&world, Some(Death { at: 3, after: true }));
    assert_eq!(carry_on(&mut first, &course).await.unwrap_err().error.outcome, Outcome::Unknown);
    let stuck = progress(&mut Model::open(&world, None), &course).await.unwrap_err();
    assert_eq!((stuck.failure.code, stuck.outcome), (Code::InDoubt, Outcome::Torn));
    for said in ["statement 1 of 2", "`make a`", "--as applied", "--as undone"] {
        assert!(stuck.failure.message.contains(said), "{said}: {stuck}");
    }
    // The same, harmless to repeat: it is repeated.
    let harmless = Stride { facts: Facts { repeat: Repeat::Harmless, ..blind }, ..stride(1, "make a") };
    let script = [harmless, stride(2, "make b")];
    let known = progress(&mut Model::open(&world, None), &Course { unit: &act, strides: &script }).await.unwrap();
    assert_eq!(known, Progress::Strides(0));
}
