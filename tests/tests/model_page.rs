//! The table of routes in `docs/model.md` is the one in the code.
//!
//! `VSM_WRITE_DOCS=1 cargo test -p vsm-tests --test model_page` writes it.

use std::{fmt::Write, fs, path::Path};

use vsm_core::matrix::{ROUTES, Relation};

const BEGIN: &str = "<!-- routes: begin -->\n";
const END: &str = "<!-- routes: end -->";

fn table() -> String {
    let mut text = String::from("| channel | from | to | types |\n|---|---|---|---|\n");
    for route in ROUTES {
        let types: Vec<_> = route.types.iter().map(|it| format!("`{it}`")).collect();
        let to = match route.relation {
            Relation::Same => route.to.name().to_owned(),
            other => format!("{} ({})", route.to, format!("{other:?}").to_lowercase()),
        };
        let types = types.join(", ");
        writeln!(
            text,
            "| {} | {} | {to} | {types} |",
            route.channel,
            route.from.name()
        )
        .expect("texts grow");
    }
    text
}

#[test]
fn the_page_shows_the_routes_that_the_code_has() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/model.md");
    let page = fs::read_to_string(&path).expect("the page is there");
    let (head, rest) = page.split_once(BEGIN).expect("it has the begin mark");
    let (shown, tail) = rest.split_once(END).expect("it has the end mark");
    if std::env::var_os("VSM_WRITE_DOCS").is_some() {
        let page = format!("{head}{BEGIN}{}{END}{tail}", table());
        fs::write(&path, page).expect("the page can be written");
        return;
    }
    assert_eq!(shown, table(), "write it again as the module says");
}
