//! `docs/api.md` knows every route, problem and closing code.

use vsm_node::{api::problem::Kind, security::Role, unit::close};

const TEXT: &str = include_str!("../../../docs/api.md");
const ROUTER: &str = include_str!("../../src/api/mod.rs");

fn mentions(what: &str) {
    assert!(TEXT.contains(what), "docs/api.md does not mention {what}");
}

#[test]
fn every_route_is_described() {
    let paths: Vec<_> = ROUTER
        .split(".route(")
        .skip(1)
        .filter_map(|rest| rest.split('"').nth(1))
        .collect();
    assert!(paths.len() > 15, "{paths:?}");
    for path in paths {
        mentions(&format!("{path}`"));
    }
}

#[test]
fn every_problem_is_described() {
    for kind in Kind::ALL {
        let (status, name) = kind.parts();
        mentions(&format!("| `{name}` | {} |", status.as_u16()));
    }
}

#[test]
fn every_role_and_code_is_described() {
    for role in Role::ALL {
        mentions(&format!("`{role}`"));
    }
    for code in [
        close::REPLACED,
        close::STOPPED,
        close::REGISTER_AGAIN,
        close::SLOW,
    ] {
        mentions(&code.to_string());
    }
}
