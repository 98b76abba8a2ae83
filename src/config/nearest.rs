//! "Did you mean …?": the known name nearest to a mistyped one.

/// The longest name that is compared; anything longer is no typing mistake.
const LONGEST: usize = 64;

/// The candidate that takes the fewest typing mistakes to reach `name`, if few enough to be one. Among equals the
/// first wins, so the answer depends on the order of the candidates only.
pub(super) fn nearest<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let letters: Vec<char> = name.chars().take(LONGEST + 1).collect();
    if letters.len() > LONGEST {
        return None;
    }
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let other: Vec<char> = candidate.chars().take(LONGEST).collect();
        let mistakes = distance(&letters, &other);
        let few_enough = mistakes <= (letters.len().max(other.len()) / 3).max(1);
        if few_enough && best.is_none_or(|(least, _)| mistakes < least) {
            best = Some((mistakes, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Letters inserted, left out, replaced, or swapped with their neighbour.
fn distance(left: &[char], right: &[char]) -> usize {
    let width = right.len() + 1;
    let mut before: Vec<usize> = vec![0; width];
    let mut last: Vec<usize> = (0..width).collect();
    for (i, a) in left.iter().enumerate() {
        let mut row = vec![i + 1; width];
        for (j, b) in right.iter().enumerate() {
            let replaced = last[j] + usize::from(a != b);
            row[j + 1] = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == right[j - 1] && left[i - 1] == *b {
                row[j + 1] = row[j + 1].min(before[j - 1] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[width - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_typing_mistake() {
        let keys = ["interval", "name", "mode", "min", "max"];
        assert_eq!(nearest("intervall", keys), Some("interval"));
        assert_eq!(nearest("nmae", keys), Some("name"));
        assert_eq!(nearest("mox", keys), Some("max"));
        assert_eq!(nearest("subnets", keys), None);
        assert_eq!(nearest("", keys), None);
    }
}
