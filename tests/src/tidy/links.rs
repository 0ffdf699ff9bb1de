//! Links between Markdown files.

use std::{collections::BTreeSet, path::Path};

use super::text;

/// Blanks out fenced code and code spans; lines stay lines.
fn prose(markdown: &str) -> String {
    let mut fenced = false;
    let mut out = String::new();
    for line in markdown.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            // Every second part is between backticks.
            let outside = line.split('`').step_by(2);
            out.push_str(&outside.collect::<Vec<_>>().join("code"));
        }
        out.push('\n');
    }
    out
}

/// The targets of a file's links, with their lines.
#[must_use]
pub fn targets(markdown: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in (1..).zip(prose(markdown).lines()) {
        for (at, _) in line.match_indices("](") {
            let target = &line[at + 2..];
            let end = target.find([')', ' ']).unwrap_or(target.len());
            found.push((number, target[..end].to_owned()));
        }
        // A reference's definition: `[name]: target`.
        if let Some((name, target)) = line.split_once("]: ")
            && name.starts_with('[')
        {
            found.push((number, target.trim().to_owned()));
        }
    }
    found
}

/// The anchors that a file's headings make, as the forges make them.
#[must_use]
pub fn anchors(markdown: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut fenced = false;
    for line in markdown.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        }
        if fenced || !line.starts_with('#') {
            continue;
        }
        let heading = line.trim_start_matches('#').trim().to_lowercase();
        let anchor: String = heading
            .chars()
            .filter(|it| it.is_alphanumeric() || matches!(it, ' ' | '-' | '_'))
            .map(|it| if it == ' ' { '-' } else { it })
            .collect();
        let mut unique = anchor.clone();
        let mut repeats = 0;
        while !found.insert(unique.clone()) {
            repeats += 1;
            unique = format!("{anchor}-{repeats}");
        }
    }
    found
}

/// The links of a file that lead nowhere. Those to other sites are not
/// followed.
///
/// # Panics
/// When a file can't be read.
#[must_use]
pub fn broken(file: &Path) -> Vec<String> {
    let markdown = text(file).unwrap_or_default();
    let directory = file.parent().unwrap_or(file);
    let leads_nowhere = |target: &str| {
        // Links into the code are in pages that rustdoc shows, and checks.
        let code = target.starts_with("crate::");
        if code || target.contains("://") || target.starts_with("mailto:") {
            return false;
        }
        let (path, anchor) = target
            .split_once('#')
            .map_or((target, None), |(path, anchor)| (path, Some(anchor)));
        let to = if path.is_empty() {
            file.to_path_buf()
        } else {
            directory.join(path)
        };
        if !to.exists() {
            return true;
        }
        match anchor {
            Some(anchor) if to.extension().is_some_and(|it| it == "md") => {
                !anchors(&text(&to).unwrap_or_default()).contains(anchor)
            }
            _ => false,
        }
    };
    targets(&markdown)
        .into_iter()
        .filter(|(_, target)| leads_nowhere(target))
        .map(|(line, target)| format!("line {line}: {target}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_leads_nowhere_is_found() {
        let directory = tempfile::tempdir().expect("a directory");
        let write = |name: &str, text: &str| {
            std::fs::write(directory.path().join(name), text).expect("it is written");
        };
        write("other.md", "# One `word`, two!\n## Same\n## Same\n");
        write(
            "page.md",
            "# Here\n[a](other.md) [b](none.md) [c](other.md#one-word-two)\n\
             [d](other.md#gone) [e](#here) [f](#there) [g](https://example.org/x)\n\
             `[h](code.md)`\n```\n[i](fenced.md)\n```\n[j](other.md#same-1)\n\n[k]: lost.md\n",
        );
        assert_eq!(
            broken(&directory.path().join("page.md")),
            [
                "line 2: none.md",
                "line 3: other.md#gone",
                "line 3: #there",
                "line 10: lost.md"
            ]
        );
    }
}
