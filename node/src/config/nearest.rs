//! The known key that is nearest to an unknown one.

/// How many insertions, deletions, replacements and exchanges of neighbours
/// make `a` into `b` (Damerau 1964, restricted to one edit per place).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<_>, Vec<_>) = (a.chars().collect(), b.chars().collect());
    let mut before_last = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut cost = (last[j] + usize::from(x != y))
                .min(last[j + 1] + 1)
                .min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                let exchanged: usize = before_last[j - 1];
                cost = cost.min(exchanged + 1);
            }
            row.push(cost);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

/// The nearest of `known`, unless all are far: by the whole path, or by the
/// last part when the section was mistaken.
pub(super) fn nearest<'a>(
    unknown: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let (near, by) = known
        .into_iter()
        .map(|key| {
            let elsewhere = distance(&last(unknown), &last(key)) + 1;
            (key, distance(unknown, key).min(elsewhere))
        })
        .min_by_key(|(_, by)| *by)?;
    (by <= (last(unknown).chars().count() / 3).max(2)).then_some(near)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, expect) in [("", "abc", 3), ("listen", "lsiten", 1), ("a", "b", 1)] {
            assert_eq!(distance(a, b), expect, "{a} {b}");
        }
    }

    #[test]
    fn near_keys_are_found_and_far_ones_are_not() {
        let known = ["api.listen", "node.data_dir", "storage.compress"];
        for (unknown, expect) in [
            ("api.lisen", Some("api.listen")),
            ("node.listen", Some("api.listen")),
            ("node.datadir", Some("node.data_dir")),
            ("cluster.peers", None),
        ] {
            assert_eq!(nearest(unknown, known), expect, "{unknown}");
        }
    }
}
