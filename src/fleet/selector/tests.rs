use proptest::prelude::*;

use super::*;
use crate::base::{Code, Coded as _};
use crate::fleet::{Engine, Target, UrlTemplate};

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn tenant(id: &str) -> Tenant {
    let url = UrlTemplate::new("sqlite:///x.db").unwrap();
    let target = Target { engine: Engine::Sqlite, url, schema: None, ledger_schema: None };
    Tenant { id: TenantId::new(id).unwrap(), target, labels: BTreeMap::new() }
}

#[test]
fn a_selector_chooses_as_it_reads() {
    let id = TenantId::new("acme-eu-7").unwrap();
    let labels = labels(&[("plan", "pro"), ("region", "eu"), ("note", "a b")]);
    let table = [
        ("*", true),
        ("id = acme-eu-7", true),
        ("id = acme", false),
        ("id = acme-*", true),
        ("id = *-eu-*", true),
        ("id = *-eu-*-7", false),
        ("id != 'acme-*'", false),
        ("id in (globex, acme-eu-7)", true),
        ("id in (acme-*)", false),
        ("label.plan", true),
        ("label.canary", false),
        ("not label.canary", true),
        ("label.plan = \"pro\" and not label.region = eu", false),
        ("label.plan = free or label.region = eu", true),
        ("label.plan = pro or label.region = us and label.region = asia", true),
        ("(label.plan = pro or label.region = us) and label.region = asia", false),
        ("not (label.plan = free)", true),
        ("label.canary != true", true),
        ("label.note = 'a b'", true),
        ("label.plan IN (pro) AND label.plan = *", true),
    ];
    for (text, expected) in table {
        assert_eq!(Selector::parse(text).unwrap().matches(&id, &labels), expected, "{text}");
    }
}

#[test]
fn a_bad_selector_is_refused_at_the_character_where_it_ends_making_sense() {
    let deep = "(".repeat(100);
    let table = [
        ("", 1),
        ("plan = pro", 1),
        ("label.plan = ", 14),
        ("label.plan = pro label.region = eu", 18),
        ("id", 3),
        ("id in acme", 7),
        ("id in (a b)", 10),
        ("(id = a", 8),
        ("id = 'a", 6),
        ("id = é & b", 8),
        (deep.as_str(), 65),
    ];
    for (text, expected) in table {
        let error = Selector::parse(text).unwrap_err();
        assert_eq!(error.code(), Code::BadSelector);
        let FleetError::BadSelector { position, .. } = error else { unreachable!() };
        assert_eq!(position, expected, "{text}");
    }
}

#[test]
fn only_names_every_id_that_nobody_has() {
    let tenants = [tenant("acme"), tenant("glo\"bex's")];
    let only = Selector::only(" acme, glo\"bex's,", &tenants).unwrap();
    assert!(tenants.iter().all(|tenant| only.matches(&tenant.id, &tenant.labels)));
    assert_eq!(Selector::parse(only.as_str()).unwrap(), only);

    let error = Selector::only("acme,nobody,none", &tenants).unwrap_err();
    assert_eq!(error.code(), Code::UnknownTenant);
    assert_eq!(error.to_string(), "no tenant has the id nobody, none; the fleet has 2 tenants");
    assert_eq!(Selector::only(" ,", &tenants).unwrap_err().code(), Code::BadSelector);
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_fall(text in "[()*,=!'\" a-z.éid]{0,60}") {
        let _ = Selector::parse(&text);
    }
}
