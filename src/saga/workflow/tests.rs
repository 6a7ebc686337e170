//! Workflows that are read, and workflows that are refused: by code, line and in words.

use super::*;

/// The example of the design.
const CANARY: &str = r#"name = "canary"
summary = "One canary wave, then the fleet in tenths; any failure lowers everyone again."

[on_failure]
then = "unwind"              # unwind | unwind-tenant | halt | continue
budget = "0"                 # failed tenants tolerated: a count or a percentage
beyond = "unwind"
retry = { attempts = 4, first = "1s", factor = 2.0, max = "30s" }

[[stage]]
name = "migrate"

  [[stage.wave]]
  select = "label.canary = true"
  gate = { soak = "10m", http = "https://app.internal/health?tenant={tenant.id}", approve = false }

  [[stage.wave]]
  select = "*"
  size = "10%"

  [[stage.step]]
  id = "preflight"
  uses = "preflight"         # reachable, version known, no drift, lock free, room on disk

  [[stage.step]]
  id = "migrate"
  uses = "migrate"           # becomes one step per pending migration
  needs = ["preflight"]
  with = { lock_timeout = "3s", statement_timeout = "15m", transaction = "migration" }

  [[stage.step]]
  id = "verify"
  uses = "check"
  needs = ["migrate"]
  with = { sql = "SELECT count(*) = 0 FROM orders WHERE new_status IS NULL" }

  [[stage.step]]
  id = "switch"
  uses = "switch"            # the tenant now runs on this release: what routers and flags read
  needs = ["verify"]
"#;

/// The least workflow there is, with its head and its steps replaced.
fn small(head: &str, body: &str) -> String {
    format!("name = \"w\"\n{head}\n[[stage]]\nname = \"s\"\n{body}")
}

/// One step from line 5 on.
const STEP: &str = "[[stage.step]]\nid = \"a\"\nuses = \"check\"\n";

fn parse(text: &str) -> Workflow {
    Workflow::parse("w.toml", text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// Code and message of a refusal.
fn refused(text: &str) -> (Code, String) {
    let error = Workflow::parse("w.toml", text).expect_err("the workflow was taken");
    assert_eq!(error.next().as_deref(), Some("mend w.toml, then: windlass workflow show w"));
    (error.code(), error.to_string())
}

#[track_caller]
fn assert_refused(text: &str, code: Code, message: &str) {
    assert_eq!(refused(text), (code, message.to_owned()), "{text}");
}

#[test]
fn the_example_of_the_design_is_read_whole() {
    let workflow = parse(CANARY);
    assert_eq!(workflow.name, "canary");
    let on_failure = OnFailure {
        then: Then::Unwind,
        budget: Budget::Count(0),
        beyond: Then::Unwind,
        retry: RetryPolicy { attempts: 4, first: Duration::from_secs(1), factor: 2.0, max: Duration::from_secs(30) },
    };
    assert_eq!(workflow.on_failure, on_failure);
    let [stage] = &workflow.stages[..] else { panic!("{workflow:?}") };
    let gate = Gate {
        soak: Some("10m".into()),
        http: Some("https://app.internal/health?tenant={tenant.id}".into()),
        approve: false,
    };
    let waves = [
        Wave { select: "label.canary = true".into(), size: None, gate: Some(gate) },
        Wave { select: "*".into(), size: Some(Budget::Percent(10.0)), gate: None },
    ];
    assert_eq!(stage.waves, waves);
    let steps: Vec<_> = workflow
        .steps()
        .map(|(stage, step)| (stage, step.id.as_str(), step.uses.as_str(), step.needs.len(), step.line))
        .collect();
    assert_eq!(
        steps,
        [
            (0, "preflight", "preflight", 0, 21),
            (0, "migrate", "migrate", 1, 25),
            (0, "verify", "check", 1, 31),
            (0, "switch", "switch", 1, 37),
        ]
    );
    assert_eq!(stage.steps[1].with["lock_timeout"].as_str(), Some("3s"));
}

#[test]
fn the_example_of_the_design_is_refused_for_its_gate() {
    let error = parse(CANARY).supported().unwrap_err();
    assert_eq!(error.code(), Code::UnsupportedWorkflow);
    assert_eq!(
        error.to_string(),
        "workflow canary: a gate between waves is not carried out by this version of Windlass"
    );
}

#[test]
fn what_this_version_cannot_do_is_refused_by_name() {
    let head = |lines: &str| small(&format!("[on_failure]\nthen = \"unwind\"\n{lines}"), STEP);
    for (text, feature) in [
        (small("[on_failure]\nthen = \"halt\"", STEP), "on_failure = \"halt\""),
        (small("[on_failure]\nthen = \"unwind-tenant\"", STEP), "on_failure = \"unwind-tenant\""),
        (small("[on_failure]\nthen = \"continue\"\nbeyond = \"unwind\"", STEP), "on_failure = \"continue\""),
        (head("beyond = \"halt\""), "on_failure.beyond = \"halt\""),
        (head("budget = \"1\""), "a budget of failed tenants"),
        (head("budget = \"10%\""), "a budget of failed tenants"),
    ] {
        let error = parse(&text).supported().unwrap_err();
        let expected = format!("workflow w: {feature} is not carried out by this version of Windlass");
        assert_eq!(error.to_string(), expected);
    }
    assert!(parse(&head("budget = \"0\"\nbeyond = \"unwind\"")).supported().is_ok());
}

#[test]
fn the_least_workflow_has_one_wave_of_everyone_and_unwinds() {
    let workflow = parse(&small("", STEP));
    assert_eq!(workflow.stages[0].waves, [Wave { select: "*".into(), size: None, gate: None }]);
    assert_eq!(workflow.on_failure.then, Then::Unwind);
    assert_eq!(workflow.on_failure.beyond, Then::Unwind);
    assert_eq!(workflow.on_failure.retry, RetryPolicy::default());
    assert!(workflow.supported().is_ok());
}

#[test]
fn beyond_the_budget_is_what_happens_within_it_where_nothing_else_is_said() {
    let workflow = parse(&small("[on_failure]\nthen = \"halt\"", STEP));
    assert_eq!(workflow.on_failure.beyond, Then::Halt);
}

#[test]
fn steps_that_wait_for_each_other_are_named_round() {
    let steps = "[[stage.step]]\nid = \"a\"\nuses = \"check\"\nneeds = [\"b\"]\n\
                 [[stage.step]]\nid = \"b\"\nuses = \"check\"\nneeds = [\"a\"]\n";
    assert_refused(
        &small("", steps),
        Code::WorkflowCycle,
        "workflow w.toml, line 5: the steps wait for each other: a → b → a",
    );
    let alone = "[[stage.step]]\nid = \"a\"\nuses = \"check\"\nneeds = [\"a\"]\n";
    let message = "workflow w.toml, line 5: the steps wait for each other: a → a";
    assert_refused(&small("", alone), Code::WorkflowCycle, message);
}

#[test]
fn a_need_that_is_not_there_is_named_with_those_that_are() {
    let steps = format!("{STEP}[[stage.step]]\nid = \"b\"\nuses = \"check\"\nneeds = [\"c\"]\n");
    assert_refused(
        &small("", &steps),
        Code::UnknownNeeds,
        "workflow w.toml, line 8: step \"b\" needs \"c\", and there is no such step; there are: a, b",
    );
}

#[test]
fn a_need_of_a_later_stage_can_never_be_met() {
    let text = small(
        "",
        "[[stage.step]]\nid = \"a\"\nuses = \"check\"\nneeds = [\"b\"]\n\
         [[stage]]\nname = \"later\"\n[[stage.step]]\nid = \"b\"\nuses = \"check\"\n",
    );
    assert_refused(
        &text,
        Code::UnreachableStep,
        "workflow w.toml, line 5: step \"a\" can never run: it needs \"b\" of the later stage \"later\"",
    );
}

#[test]
fn two_steps_with_one_id_are_refused_also_in_different_stages() {
    let message = |line| format!("workflow w.toml, line {line}: two steps have the id \"a\"");
    assert_refused(&small("", &format!("{STEP}{STEP}")), Code::DuplicateStep, &message(8));
    let staged = format!("{STEP}[[stage]]\nname = \"t\"\n{STEP}");
    assert_refused(&small("", &staged), Code::DuplicateStep, &message(10));
}

#[test]
fn a_file_that_is_not_a_workflow_is_refused_with_its_line() {
    let with = |line: &str| small("", &format!("{STEP}{line}\n"));
    for (text, line, part) in [
        ("name = ".to_owned(), Some(1), ""),
        ("name = \"w\"\n".to_owned(), Some(1), "missing field `stage`"),
        ("name = \"w\"\nstage = []\n".to_owned(), Some(1), "a workflow has at least one [[stage]]"),
        (small("", ""), Some(3), "stage \"s\" has no step"),
        (small("colour = \"red\"", STEP), Some(2), "unknown field `colour`"),
        (small("[on_failure]\nthen = \"panic\"", STEP), Some(3), "unknown variant `panic`"),
        (small("[on_failure]\nbudget = \"1\"", STEP), Some(2), "missing field `then`"),
        (with("colour = \"red\""), Some(8), "unknown field `colour`"),
        (with("needs = \"b\""), Some(8), "invalid type: string \"b\", expected a sequence"),
        (with("[[stage.wave]]\ngate = { wait = \"1s\" }"), Some(9), "unknown field `wait`"),
        (small("", "[[stage.step]]\nid = \"a\"\n"), Some(5), "missing field `uses`"),
        (small("", "[[stage.step]]\nid = \"a b\"\nuses = \"x\"\n"), Some(5), "\"a b\" is not a step id"),
        (small("", "[[stage.step]]\nid = \"\"\nuses = \"x\"\n"), Some(5), "\"\" is not a step id"),
    ] {
        let error = Workflow::parse("w.toml", &text).expect_err(&text);
        assert_eq!(error.code(), Code::WorkflowInvalid);
        assert_eq!(error.line, line, "{error}\n{text}");
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn retries_have_their_bounds() {
    let head = |retry: &str| small(&format!("[on_failure]\nthen = \"unwind\"\nretry = {{ {retry} }}"), STEP);
    for (retry, reason) in [
        ("attempts = 0", "retry.attempts lies between 1 and 100"),
        ("attempts = 101", "retry.attempts lies between 1 and 100"),
        ("factor = 0.5", "retry.factor lies between 1 and 100"),
        ("factor = 101.0", "retry.factor lies between 1 and 100"),
        ("factor = nan", "retry.factor lies between 1 and 100"),
        ("first = \"soon\"", "\"soon\" is not a duration: write 500ms, 30s, 15m or 2h"),
        ("max = \"61m\"", "retry.max is at most 1 h"),
        ("max = \"1d\"", "\"1d\" is not a duration: write 500ms, 30s, 15m or 2h"),
    ] {
        let message = format!("workflow w.toml, line 4: {reason}");
        assert_refused(&head(retry), Code::WorkflowInvalid, &message);
    }
    let retry = parse(&head("attempts = 100, factor = 3")).on_failure.retry;
    assert_eq!((retry.attempts, retry.first), (100, RetryPolicy::default().first));
    assert!((retry.factor - 3.0).abs() < f64::EPSILON);
}

#[test]
fn sizes_and_budgets_are_counts_or_percentages() {
    let size = |text: &str| small("", &format!("[[stage.wave]]\nsize = \"{text}\"\n{STEP}"));
    for (text, expected) in [
        ("1", Budget::Count(1)),
        (" 50 ", Budget::Count(50)),
        ("10%", Budget::Percent(10.0)),
        ("0.5 %", Budget::Percent(0.5)),
        ("100%", Budget::Percent(100.0)),
    ] {
        assert_eq!(parse(&size(text)).stages[0].waves[0].size, Some(expected), "{text}");
    }
    let message = "workflow w.toml, line 5: a wave's size is a count (\"50\") or a percentage (\"10%\") above zero";
    for text in ["", "0", "-1", "1.5", "0%", "101%", "-1%", "nan%", "inf%", "%", "ten"] {
        assert_refused(&size(text), Code::WorkflowInvalid, message);
    }
    let budget = small("[on_failure]\nthen = \"unwind\"\nbudget = \"few\"", STEP);
    let message = "workflow w.toml, line 4: a budget is a count (\"3\") or a percentage (\"10%\")";
    assert_refused(&budget, Code::WorkflowInvalid, message);
}

#[test]
fn a_duration_is_a_whole_number_and_a_unit() {
    let millis = Duration::from_millis;
    for (text, expected) in [
        ("500ms", Some(millis(500))),
        ("0s", Some(millis(0))),
        ("30s", Some(millis(30_000))),
        ("15m", Some(millis(900_000))),
        ("2h", Some(millis(7_200_000))),
        ("1000h", Some(millis(3_600_000_000))),
        ("1001h", None),
        ("18446744073709551615h", None),
        ("99999999999999999999s", None),
        ("30", None),
        ("s", None),
        ("", None),
        ("1.5s", None),
        ("-1s", None),
        ("1 s", None),
        ("1S", None),
        ("1d", None),
        ("٣s", None),
    ] {
        assert_eq!(parse_duration(text), expected, "{text:?}");
    }
}

#[test]
fn a_file_or_a_list_of_steps_beyond_its_limit_is_refused() {
    let padding = usize::try_from(TOML_BYTES_MAX).unwrap() - small("#", STEP).len();
    let padded = |more: usize| small(&format!("#{}", "x".repeat(padding + more)), STEP);
    parse(&padded(0));
    let message = format!("workflow w.toml: the file is larger than {TOML_BYTES_MAX} bytes");
    assert_refused(&padded(1), Code::WorkflowInvalid, &message);

    let steps =
        |count: usize| -> String { (0..count).map(|at| STEP.replace("\"a\"", &format!("\"s{at}\""))).collect() };
    parse(&small("", &steps(WORKFLOW_STEPS_MAX)));
    let message = format!("workflow w.toml, line 1: a workflow has at most {WORKFLOW_STEPS_MAX} steps");
    assert_refused(&small("", &steps(WORKFLOW_STEPS_MAX + 1)), Code::WorkflowInvalid, &message);
}

#[test]
fn no_damage_to_a_file_makes_the_reader_panic() {
    for at in 0..CANARY.len() {
        // Every character of the example is one byte.
        let (before, after) = CANARY.split_at(at);
        for text in [before.to_owned(), format!("{before}é{after}"), format!("{before}\"{after}")] {
            if let Err(error) = Workflow::parse("w.toml", &text) {
                let lines = text.lines().count() + 1;
                assert!(error.line.is_none_or(|line| (1..=lines).contains(&line)), "{error}");
            }
        }
    }
}

#[test]
fn migrations_twice_and_a_switch_before_they_are_in_are_refused() {
    let step = |id: &str, uses: &str, needs: &str| {
        format!("[[stage.step]]\nid = \"{id}\"\nuses = \"{uses}\"\nneeds = [{needs}]\n")
    };
    let twice = [step("a", "migrate", ""), step("b", "migrate", "\"a\"")].concat();
    let later = format!("{}[[stage]]\nname = \"t\"\n{}", step("a", "migrate", ""), step("b", "migrate", "\"a\""));
    for text in [&twice, &later] {
        let error = Workflow::parse("w.toml", &small("", text)).unwrap_err();
        assert_eq!(error.code(), Code::WorkflowInvalid);
        assert!(error.to_string().contains("steps a and b both use \"migrate\""), "{error}");
    }
    let beside = [step("a", "migrate", ""), step("s", "switch", "")].concat();
    let error = Workflow::parse("w.toml", &small("", &beside)).unwrap_err();
    assert!(error.to_string().contains("line 9") && error.to_string().contains("does not need step a"), "{error}");
    let behind = [step("s", "switch", "\"v\""), step("v", "check", "\"a\""), step("a", "migrate", "")].concat();
    parse(&small("", &behind));
}
